//! A client of customer accounts that a person has replaced: how long it stays beside the one that replaces it.

use super::{
    customer::{CustomerClient, id_of},
    observed::Observed,
    plan::MAX_PREVIOUS,
    previous::PreviousValues,
    record::Previous,
};
use crate::time::{self, Timestamp};

/// The older clients that applications may still use once this one is published, newest last, and their values.
///
/// Where the Secret is lost the status tells which they were. It is no evidence of what may be used, only of what a person
/// mustn't revoke yet.
#[must_use]
pub fn beside(o: &Observed, client: &CustomerClient, now: Timestamp) -> (Vec<Previous>, PreviousValues) {
    let (record, status) = (o.latest(), o.status());
    let (mut list, before) = match (record, status) {
        (Some(record), _) => (record.previous.clone(), record.token_id.clone()),
        (None, Some(status)) => {
            let known = status.previous.iter();
            let known = known.map(|p| Previous::of(None, &p.token_id, time::from_kube(&p.revoke_at)));
            (known.collect(), status.token_id.clone())
        }
        (None, None) => (Vec::new(), None),
    };
    let id = client.id.clone();
    let replaced = before.filter(|before| *before != id);
    list.extend(replaced.map(|before| Previous::of(record, &before, time::round_up(now + o.token.spec.overlap()))));
    // One that is taken up again is no older one.
    list.retain(|p| p.id != id);
    while list.len() > MAX_PREVIOUS {
        let oldest = list.remove(0);
        list[0].revoke_at = list[0].revoke_at.max(oldest.revoke_at);
    }
    let newest = list.last().and_then(|p| {
        let client_id = p.issuer.as_deref()?;
        o.stored_values().into_iter().find(|value| id_of(&o.identity, client_id, value) == p.id)
    });
    (list, PreviousValues { newest, kept: Vec::new() })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        core::scene::{client, healthy, hours, minutes, now},
    };

    fn before() -> Observed {
        healthy(SourceKind::CustomerAccount, json!({"rotation": {"overlap": "1h"}}))
    }

    fn ids(list: &[Previous]) -> Vec<&str> {
        list.iter().map(|p| p.id.as_str()).collect()
    }

    #[test]
    fn the_one_that_is_replaced_stays_for_an_overlap() {
        let old = client("canary").id;
        let (list, values) = beside(&before(), &client("new"), now());
        assert_eq!(ids(&list), [&*old]);
        assert_eq!((list[0].revoke_at, list[0].issuer.as_deref()), (now() + hours(1), Some("shp_1")));
        assert_eq!(values.newest.unwrap().expose_secret(), "canary");
        // The same one again is no rotation.
        let (list, values) = beside(&before(), &client("canary"), now());
        assert!(list.is_empty() && values.newest.is_none());
    }

    #[test]
    fn one_that_is_taken_up_again_is_no_older_one() {
        let id = |secret: &str| client(secret).id;
        let entry = |secret: &str, left| Previous {
            issuer: Some("shp_1".into()),
            ..Previous::of(None, &id(secret), now() + minutes(left))
        };
        let o = before().recorded(|r| r.previous = vec![entry("a", 10), entry("b", 20)]);
        let (list, values) = beside(&o, &client("b"), now());
        assert_eq!(ids(&list), [&*id("a"), &*id("canary")]);
        assert_eq!(values.newest.unwrap().expose_secret(), "canary");
        let (list, values) = beside(&o, &client("canary"), now());
        assert_eq!(ids(&list), [&*id("a"), &*id("b")]);
        assert!(values.newest.is_none(), "the Secret holds no value of it");
    }

    #[test]
    fn the_list_is_bounded_and_no_overlap_ends_earlier_for_that() {
        let entry = |n: i64| Previous::of(None, &format!("sha256:{n}"), now() + minutes(60 - n));
        let o = before().recorded(|r| r.previous = (0..5).map(entry).collect());
        let (list, _) = beside(&o, &client("new"), now());
        assert_eq!(list.len(), MAX_PREVIOUS);
        assert_eq!((list[0].id.as_str(), list[0].revoke_at), ("sha256:1", now() + minutes(60)));
    }

    #[test]
    fn a_lost_secret_makes_nothing_safe() {
        let old = client("canary").id;
        let o = before().without_secret();
        let (list, values) = beside(&o, &client("new"), now());
        assert_eq!(ids(&list), [&*old]);
        assert!(values.newest.is_none() && list[0].issuer.is_none(), "its value is known to nobody");
        assert!(beside(&o, &client("canary"), now()).0.is_empty());
    }
}
