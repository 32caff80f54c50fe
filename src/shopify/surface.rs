//! The API surfaces of a shop, and what was heard of each during one step.

use std::sync::{Arc, Mutex, PoisonError};

/// An API surface of a shop: each may be out of order by itself.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Surface {
    /// `/admin/oauth/access_token`.
    TokenEndpoint,
    /// GraphQL and REST below `/admin/api`.
    AdminApi,
    /// GraphQL below `/api`.
    StorefrontApi,
    /// Customer accounts: discovery at the shop's own domain, and the endpoints that it names.
    CustomerAccounts,
}

impl Surface {
    /// Its name, for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenEndpoint => "token endpoint",
            Self::AdminApi => "Admin API",
            Self::StorefrontApi => "Storefront API",
            Self::CustomerAccounts => "Customer Account API",
        }
    }
}

/// What came back from a surface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Word {
    /// No answer, a fault of Shopify's, or nothing that can be used.
    Silence,
    /// An answer that isn't a success.
    Refusal,
    /// A success.
    Success,
}

/// What was heard: each call's surface, and what came back, in order. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Vec<(Surface, Word)>>>);

impl Heard {
    pub(super) fn note(&self, surface: Surface, word: Word) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((surface, word));
    }

    /// Each surface that was called, and what its last call brought. `silent`: what the very last call brought can't be
    /// used, and counts as silence.
    #[must_use]
    pub fn surfaces(&self, silent: bool) -> Vec<(Surface, Word)> {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut surfaces: Vec<(Surface, Word)> = Vec::new();
        for (n, (surface, word)) in calls.iter().enumerate() {
            let word = if silent && n + 1 == calls.len() { Word::Silence } else { *word };
            surfaces.retain(|(known, _)| known != surface);
            surfaces.push((*surface, word));
        }
        surfaces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_call_of_each_surface_counts() {
        let heard = Heard::default();
        assert!(heard.surfaces(true).is_empty());
        heard.note(Surface::AdminApi, Word::Silence);
        heard.note(Surface::AdminApi, Word::Refusal);
        heard.note(Surface::StorefrontApi, Word::Success);
        let all = |word| [(Surface::AdminApi, Word::Refusal), (Surface::StorefrontApi, word)];
        assert_eq!(heard.surfaces(false), all(Word::Success));
        assert_eq!(heard.surfaces(true), all(Word::Silence));
    }
}
