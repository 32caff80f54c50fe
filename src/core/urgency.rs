//! How urgent a token's next call is, beside the others of its shop.

use super::finalizer::has_finalizer;
use crate::{
    api::ShopifyToken,
    time::{self, Timestamp},
};

/// How urgent a call is: the smallest first. A hint, by what the status says.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Urgency {
    /// Applications have no credential that works.
    Nothing,
    /// They have one until then.
    Until(Timestamp),
    /// They have one that doesn't end by itself, or want none any more.
    None,
}

impl Urgency {
    /// Of the next call for a token.
    #[must_use]
    pub fn of(token: &ShopifyToken, now: Timestamp) -> Self {
        if token.metadata.deletion_timestamp.is_some() {
            return Self::None;
        }
        let status = token.status.as_ref().filter(|status| status.revision.is_some());
        match status.map(|status| status.expires_at.as_ref().map(time::from_kube)) {
            None => Self::Nothing,
            Some(Some(end)) if end <= now => Self::Nothing,
            Some(Some(end)) => Self::Until(end),
            Some(None) => Self::None,
        }
    }
}

/// Whether a token that nothing is known of yet will have something asked of Shopify: it was never issued, or goes and has
/// something to revoke.
#[must_use]
pub fn expects_call(token: &ShopifyToken) -> bool {
    if token.metadata.deletion_timestamp.is_some() {
        return has_finalizer(token);
    }
    !token.spec.suspended() && token.status.as_ref().is_none_or(|status| status.revision.is_none())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        core::scene::{healthy, now},
    };

    #[test]
    fn who_has_nothing_goes_before_who_has_something_and_those_that_end_first_before_the_others() {
        let working = healthy(SourceKind::ClientCredentials, json!({})).token;
        let end = working.status.as_ref().and_then(|s| s.expires_at.as_ref()).map(time::from_kube).unwrap();
        let (new, lasting) =
            (ShopifyToken { status: None, ..working.clone() }, healthy(SourceKind::Storefront, json!({})).token);
        let of = |token: &ShopifyToken| Urgency::of(token, now());
        assert_eq!([of(&new), of(&working), of(&lasting)], [Urgency::Nothing, Urgency::Until(end), Urgency::None]);
        assert_eq!(Urgency::of(&working, end), Urgency::Nothing);
        assert!(Urgency::Nothing < Urgency::Until(end) && Urgency::Until(end) < Urgency::None);
        assert!(Urgency::Until(end) < Urgency::Until(end + TimeDelta::seconds(1)));
        assert!(expects_call(&new) && !expects_call(&working));
        let going = lasting.clone();
        let mut going = ShopifyToken { status: None, ..going };
        going.metadata.deletion_timestamp = Some(time::to_kube(now()));
        assert_eq!((of(&going), expects_call(&going)), (Urgency::None, has_finalizer(&going)));
    }
}
