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
}

impl Surface {
    /// Its name, for a person.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenEndpoint => "token endpoint",
            Self::AdminApi => "Admin API",
            Self::StorefrontApi => "Storefront API",
        }
    }
}

/// What was heard: each call's surface, and whether it answered, in order. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Vec<(Surface, bool)>>>);

impl Heard {
    pub(super) fn note(&self, surface: Surface, answered: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((surface, answered));
    }

    /// Each surface that was called, and whether its last call was answered. `silent`: what the last call brought
    /// can't be used, and counts as no answer.
    #[must_use]
    pub fn surfaces(&self, silent: bool) -> Vec<(Surface, bool)> {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut surfaces: Vec<(Surface, bool)> = Vec::new();
        for (n, (surface, answered)) in calls.iter().enumerate() {
            let answered = *answered && !(silent && n + 1 == calls.len());
            surfaces.retain(|(known, _)| known != surface);
            surfaces.push((*surface, answered));
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
        heard.note(Surface::AdminApi, false);
        heard.note(Surface::AdminApi, true);
        heard.note(Surface::StorefrontApi, true);
        assert_eq!(heard.surfaces(false), [(Surface::AdminApi, true), (Surface::StorefrontApi, true)]);
        assert_eq!(heard.surfaces(true), [(Surface::AdminApi, true), (Surface::StorefrontApi, false)]);
    }
}
