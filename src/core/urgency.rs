//! How urgent a token's next call is, beside the others of its shop; who is wanted at once is also looked at first.

use chrono::TimeDelta;

use super::{condition::is_ready, finalizer::keeps_issuer};
use crate::{
    api::ShopifyToken,
    time::{self, Timestamp},
};

/// Who fails, or goes, is as urgent as who has a credential that ends so long after the failure, or the deletion.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);

/// How urgent a call is: the smallest first. A hint.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Urgency {
    /// Applications have no credential that works, and nothing says that they can't have one.
    AtOnce,
    /// It should be made by then.
    By(Timestamp),
    /// Applications have a credential that doesn't end by itself.
    AnyTime,
}

impl Urgency {
    /// Of the next call for a token, by its status. `held` is false where it is known that applications have none, whatever
    /// that says.
    #[must_use]
    pub fn of(token: &ShopifyToken, held: bool, now: Timestamp) -> Self {
        if let Some(deleted_at) = &token.metadata.deletion_timestamp {
            return Self::By(time::from_kube(deleted_at) + PATIENCE);
        }
        let status = token.status.as_ref();
        let works = status.filter(|status| held && is_ready(status));
        match works.map(|status| status.expires_at.as_ref().map(time::from_kube)) {
            Some(None) => Self::AnyTime,
            Some(Some(end)) if end > now => Self::By(end),
            Some(Some(_)) | None if status.is_some_and(|s| s.failed_attempts.is_some()) => Self::By(now + PATIENCE),
            Some(Some(_)) | None => Self::AtOnce,
        }
    }
}

/// Whether a token that nothing is known of yet will have something asked of Shopify: it was never issued, or goes, has
/// something to revoke, and time left to do so.
#[must_use]
pub fn expects_call(token: &ShopifyToken, revocation_timeout: TimeDelta, now: Timestamp) -> bool {
    if let Some(deleted_at) = &token.metadata.deletion_timestamp {
        return keeps_issuer(token) && now < time::from_kube(deleted_at) + revocation_timeout;
    }
    !token.spec.suspended() && token.status.as_ref().is_none_or(|status| status.revision.is_none())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        core::{
            scene::{healthy, now},
            vocabulary::FINALIZER,
        },
    };

    fn of(token: &ShopifyToken) -> Urgency {
        Urgency::of(token, true, now())
    }

    #[test]
    fn who_has_nothing_goes_before_who_has_something_and_those_that_end_first_before_the_others() {
        let working = healthy(SourceKind::ClientCredentials, json!({})).token;
        let end = working.status.as_ref().and_then(|s| s.expires_at.as_ref()).map(time::from_kube).unwrap();
        let (new, lasting) =
            (ShopifyToken { status: None, ..working.clone() }, healthy(SourceKind::Storefront, json!({})).token);
        assert_eq!([of(&new), of(&working), of(&lasting)], [Urgency::AtOnce, Urgency::By(end), Urgency::AnyTime]);
        assert_eq!(Urgency::of(&working, true, end), Urgency::AtOnce);
        assert_eq!(Urgency::of(&lasting, false, now()), Urgency::AtOnce, "its Secret was lost a moment ago");
        assert!(Urgency::AtOnce < Urgency::By(end) && Urgency::By(end) < Urgency::AnyTime);
        assert!(Urgency::By(end) < Urgency::By(end + TimeDelta::seconds(1)));
    }

    #[test]
    fn a_call_is_expected_of_who_was_never_issued_and_of_who_has_to_revoke_in_time() {
        let expects = |token: &ShopifyToken, now| expects_call(token, TimeDelta::hours(1), now);
        let working = healthy(SourceKind::Storefront, json!({})).token;
        let new = ShopifyToken { status: None, ..working.clone() };
        assert!(expects(&new, now()) && !expects(&working, now()));
        let going = |spec| {
            let mut token = healthy(SourceKind::Storefront, spec).token;
            token.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
            token.metadata.deletion_timestamp = Some(time::to_kube(now()));
            token
        };
        let revoked = going(json!({}));
        assert!(expects(&revoked, now()));
        assert!(!expects(&revoked, now() + TimeDelta::hours(1)), "it is given up without a call");
        assert!(!expects(&going(json!({"deletionPolicy": "Retain"})), now()), "nothing is to be revoked");
        let bare = ShopifyToken { metadata: ObjectMeta { finalizers: None, ..revoked.metadata.clone() }, ..revoked };
        assert!(!expects(&bare, now()));
    }

    fn changed(kind: SourceKind, status: &serde_json::Value) -> ShopifyToken {
        let mut token = healthy(kind, json!({})).token;
        let mut before = serde_json::to_value(token.status.take()).unwrap();
        for (field, value) in status.as_object().unwrap() {
            before[field] = value.clone();
        }
        ShopifyToken { status: serde_json::from_value(before).unwrap(), ..token }
    }

    fn not_ready() -> serde_json::Value {
        let at = time::to_kube(now());
        json!([{"type": "Ready", "status": "False", "reason": "Pending", "message": "", "lastTransitionTime": at}])
    }

    #[test]
    fn a_credential_that_is_lost_or_refused_is_wanted_first() {
        let soon = changed(SourceKind::Delegate, &json!({"expiresAt": time::to_kube(now() + TimeDelta::seconds(5))}));
        let lost = changed(SourceKind::Storefront, &json!({"conditions": not_ready(), "expiresAt": null}));
        let dead = changed(SourceKind::ClientCredentials, &json!({"conditions": not_ready()}));
        assert!(of(&lost) < of(&soon) && of(&dead) < of(&soon), "{:?}", [of(&lost), of(&dead), of(&soon)]);
    }

    #[test]
    fn who_fails_again_and_again_goes_behind_those_that_end_soon_and_before_those_that_do_not() {
        let failing = json!({"conditions": not_ready(), "expiresAt": null, "revision": null, "failedAttempts": 7});
        let failing = changed(SourceKind::Storefront, &failing);
        let lost = json!({"conditions": not_ready(), "expiresAt": null, "failedAttempts": 1});
        let lost = changed(SourceKind::Storefront, &lost);
        let soon = changed(SourceKind::Delegate, &json!({"expiresAt": time::to_kube(now() + TimeDelta::seconds(5))}));
        let far = changed(SourceKind::Delegate, &json!({"expiresAt": time::to_kube(now() + TimeDelta::hours(20))}));
        let lasting = healthy(SourceKind::Storefront, json!({})).token;
        let mut going = lasting.clone();
        going.metadata.deletion_timestamp = Some(time::to_kube(now() - TimeDelta::seconds(1)));
        assert!(of(&soon) < of(&failing) && of(&failing) < of(&far) && of(&failing) < of(&lasting));
        assert_eq!(of(&failing), of(&lost));
        assert!(of(&going) < of(&failing), "its place at Shopify may be what the other one lacks");
        assert!(of(&soon) < of(&going) && of(&going) < of(&far));
    }
}
