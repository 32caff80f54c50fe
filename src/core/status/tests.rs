use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::core::condition::{is_ready, is_rejected, obstacle};
use crate::core::{
    failure::Failure,
    observed::Observed,
    record::Previous,
    scene,
    scene::{dice, healthy, hours, minutes, now, previous, snapshot, status},
    source::Issuer,
};

const KIND: SourceKind = SourceKind::ClientCredentials;

fn app() -> Observed {
    healthy(KIND, json!({}))
}

fn fresh() -> Observed {
    app().without_secret().with(|o| o.token.status = None)
}

fn expired() -> Observed {
    app().recorded(|r| r.expires_at = Some(now()))
}

/// `Type=Status/Reason` of each condition but the one on the token's validity, in order.
fn told(status: &ShopifyTokenStatus) -> String {
    let shown = status.conditions.iter().filter(|c| c.type_ != conditions::TOKEN_VALID);
    shown.map(|c| format!("{}={}/{}", c.type_, c.status, c.reason)).collect::<Vec<_>>().join(" ")
}

fn valid(status: &ShopifyTokenStatus) -> &str {
    find(&status.conditions, conditions::TOKEN_VALID).map_or("", |c| &c.reason)
}

#[test]
fn where_to_approve_is_said_while_an_approval_is_what_helps() {
    let o = healthy(SourceKind::Offline, json!({}));
    for (reason, said) in [
        (Reason::ConsentRequired, true),
        (Reason::RefreshTokenDead, true),
        (Reason::CredentialsRejected, false),
        (Reason::ScopesMissing, false),
    ] {
        let hold = Hold::Blocked(Failure::new(reason, "it is so"));
        let told = status(&o, Some(&hold), Validity::NotAsked, Attempts::AsBefore);
        assert_eq!(told.install_url.is_some(), said, "{reason}");
        // While the next attempt is waited for it is still so.
        let waiting = o.clone().with(|o| o.token.status = Some(told.clone()));
        let told = status(&waiting, Some(&Hold::BackingOff), Validity::NotAsked, Attempts::AsBefore);
        assert_eq!(told.install_url.is_some(), said, "{reason}");
    }
    assert_eq!(status(&o, None, Validity::NotAsked, Attempts::None).install_url, None);
}

#[test]
fn what_can_be_revoked_is_said_of_a_client_and_only_when_nobody_uses_it() {
    let client = healthy(SourceKind::CustomerAccount, json!({}));
    let asked = |o: &Observed| {
        let status = status(o, None, Validity::NotAsked, Attempts::None);
        let condition = find(&status.conditions, conditions::SAFE_TO_REVOKE_OLD_SECRET)?;
        Some((condition.status.clone(), condition.message.clone()))
    };
    let in_overlap = client.clone().recorded(|r| r.previous = vec![previous(1, minutes(-5)), previous(2, minutes(5))]);
    let another = client.clone().with(|o| o.issuer = Ok(Issuer::CustomerAccount(scene::client("another"))));
    let unread = client.clone().with(|o| o.issuer = Err(Failure::new(Reason::CredentialsMissing, "it is gone")));
    for (o, status, says) in [
        (client.clone(), "True", "client shp_1 of revision 3 and no other pair"),
        (in_overlap, "False", "until 2026-09-21T14:18:20Z"),
        (another, "False", "isn't published yet"),
        (unread, "False", "isn't published yet"),
        (client.clone().without_secret(), "False", "revoke nothing yet"),
    ] {
        let (is, message) = asked(&o).expect("a condition");
        assert!(is == status && message.contains(says), "{is}: {message}");
    }
    assert_eq!(asked(&client.without_secret().with(|o| o.token.status = None)), None, "nothing was published");
    assert_eq!(asked(&healthy(SourceKind::Storefront, json!({}))), None);
}

#[test]
fn before_another_one_is_published_nothing_is_safe_and_nothing_else_is_said() {
    let o = healthy(SourceKind::CustomerAccount, json!({}));
    let (before, record) = (o.status().unwrap(), o.record().unwrap());
    let after = not_yet_safe(&o.token, record, now()).expect("it said so");
    assert_eq!(told(&after), "Ready=True/Issued SafeToRevokeOldSecret=False/TokensOnOldSecret");
    assert_eq!(ShopifyTokenStatus { conditions: before.conditions.clone(), ..after.clone() }, *before);
    let told_already = o.clone().with(|o| o.token.status = Some(after));
    assert_eq!(not_yet_safe(&told_already.token, record, now()), None);
    let other = healthy(SourceKind::Storefront, json!({}));
    assert_eq!(not_yet_safe(&other.token, other.record().unwrap(), now()), None);
}

/// What a lost Secret held is still in use.
#[test]
fn a_lost_client_is_remembered() {
    let o = healthy(SourceKind::CustomerAccount, json!({})).recorded(|r| r.previous = vec![previous(1, minutes(5))]);
    let before = status(&o, None, Validity::NotAsked, Attempts::None);
    let lost = o.with(|o| o.token.status = Some(before.clone())).without_secret();
    let after = status(&lost, None, Validity::NotAsked, Attempts::None);
    assert_eq!((after.token_id, after.previous), (before.token_id, before.previous));
}

#[test]
fn the_conditions_of_every_phase() {
    let failure = |reason| Hold::Blocked(Failure::new(reason, "do this"));
    let (heals, stalls) = (failure(Reason::BackingOff), failure(Reason::AppNotInstalled));
    let cases = vec![
        ("healthy", app(), None, "Ready=True/Issued"),
        ("about to be issued", fresh(), None, "Ready=False/Pending Reconciling=True/Issuing"),
        ("a first issue fails", fresh(), Some(&heals), "Ready=False/BackingOff Reconciling=True/BackingOff"),
        ("a person must act", fresh(), Some(&stalls), "Ready=False/AppNotInstalled Stalled=True/AppNotInstalled"),
        ("a renewal fails", app(), Some(&heals), "Ready=True/Issued Reconciling=True/BackingOff"),
        ("a renewal fails for good", app(), Some(&stalls), "Ready=True/Issued Stalled=True/AppNotInstalled"),
        ("expired", expired(), Some(&heals), "Ready=False/TokenExpired Reconciling=True/BackingOff"),
        ("expired, with nothing in the way", expired(), None, "Ready=False/TokenExpired Reconciling=True/Issuing"),
        ("suspended", app(), Some(&Hold::Suspended), "Ready=True/Issued Suspended=True/Suspended"),
        (
            "suspended before the first issue",
            fresh(),
            Some(&Hold::Suspended),
            "Ready=False/Pending Suspended=True/Suspended",
        ),
        (
            "suspended and expired",
            expired(),
            Some(&Hold::Suspended),
            "Ready=False/TokenExpired Suspended=True/Suspended",
        ),
    ];
    for (name, o, obstacle, expected) in cases {
        assert_eq!(told(&status(&o, obstacle, Validity::NotAsked, Attempts::None)), expected, "{name}");
    }
}

#[test]
fn what_stood_in_the_way_still_does() {
    let failed = app().failed(Reason::LimitReached, 2, minutes(1), minutes(1));
    let before = failed.token.status.clone().unwrap();
    let after = status(&failed, Some(&Hold::BackingOff), Validity::NotAsked, Attempts::AsBefore);
    assert_eq!(after, before);
    assert_eq!((after.failed_attempts, obstacle(&after)), (Some(2), Some(Reason::LimitReached)));
    let over = status(&failed, None, Validity::NotAsked, Attempts::None);
    assert_eq!((over.failed_attempts, over.next_attempt_time.clone(), obstacle(&over)), (None, None, None));
}

#[test]
fn what_shopify_said_holds_for_the_credential_it_was_said_of() {
    let say = |o: &Observed, validity| status(o, None, validity, Attempts::None);
    assert_eq!(valid(&say(&app(), Validity::NotAsked)), "Verified", "as before");
    let rejected = app().with(|o| o.token.status = Some(say(o, Validity::Rejected)));
    let told_so = say(&rejected, Validity::NotAsked);
    assert!(is_rejected(&told_so) && told(&told_so).starts_with("Ready=False/TokenRejected"));
    let replaced = rejected.recorded(|r| r.revision = 4);
    let unknown = say(&replaced, Validity::NotAsked);
    assert_eq!((valid(&unknown), is_ready(&unknown)), ("NotChecked", true));
    assert_eq!(unknown.last_verified_time, None);
    assert_eq!(valid(&say(&fresh(), Validity::Unreachable)), "NotChecked", "there is nothing to ask of");
}

#[test]
fn echoes_and_counts() {
    let asked = app().annotated(REQUESTED_AT, "today");
    let say = |o: &Observed, obstacle| status(o, obstacle, Validity::NotAsked, Attempts::None);
    assert_eq!(say(&asked, None).last_handled_reconcile_at.as_deref(), Some("today"));
    assert_eq!(say(&asked, Some(&Hold::Suspended)).last_handled_reconcile_at, None, "nothing was done");
    let lost = say(&app().without_secret(), None);
    assert_eq!((lost.revision, lost.secret.unwrap().revision), (Some(3), None), "the count goes on");
    let edited = app().with(|o| o.token.metadata.generation = Some(2));
    let seen = say(&edited, None);
    assert!(seen.observed_generation == 2 && seen.conditions.iter().all(|c| c.observed_generation == Some(2)));
}

/// Status keeps whole seconds: no revocation comes before the time that it names, and nothing was verified after it.
#[test]
fn what_is_cut_to_the_second_promises_nothing_longer() {
    let fraction = now() + TimeDelta::milliseconds(700);
    let o = healthy(SourceKind::Storefront, json!({}))
        .recorded(|r| r.previous = vec![Previous { revoke_at: fraction, ..previous(2, hours(0)) }]);
    let said = status(&o, None, Validity::Verified(fraction), Attempts::None);
    assert_eq!(said.previous[0].revoke_at, time::to_kube(now()), "it is revoked at {fraction}");
    assert_eq!(said.last_verified_time, Some(time::to_kube(now())), "it was verified at {fraction}");
}

#[test]
fn a_transition_is_when_the_status_changes() {
    let (before, later) = (app(), now() + hours(1));
    let failure = Hold::Blocked(Failure::new(Reason::BackingOff, "x"));
    let at = |s: &ShopifyTokenStatus, type_: &str| find(&s.conditions, type_).unwrap().last_transition_time.clone();
    let then = project(&snapshot(&before, Some(&failure), Validity::Unreachable, Attempts::None), later);
    assert_eq!(at(&then, conditions::READY), time::to_kube(now()), "still True");
    assert_eq!(at(&then, conditions::RECONCILING), time::to_kube(later));
    assert_eq!(at(&then, conditions::TOKEN_VALID), time::to_kube(later), "True to Unknown");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What pipelines rely on, whatever was observed before, whatever happened now.
    #[test]
    fn whatever_happens(mut dice in dice()) {
        let o = dice.observed();
        let hold = dice.hold();
        let hold = hold.as_ref();
        let (validity, attempts) = (dice.validity(), dice.attempts());
        let once = project(&snapshot(&o, hold, validity, attempts.clone()), now());

        let again = o.clone().with(|o| o.token.status = Some(once.clone()));
        let twice = project(&snapshot(&again, hold, validity, attempts.clone()), now() + minutes(0));
        prop_assert_eq!(&twice, &once, "projecting twice changes nothing");
        let as_before = project(&snapshot(&again, hold, Validity::NotAsked, Attempts::AsBefore), now());
        if validity != Validity::Rejected && o.record().is_some() {
            prop_assert_eq!(&as_before.conditions, &once.conditions, "nor does looking again");
        }

        let is = |type_: &str| find(&once.conditions, type_).is_some_and(|c| c.status == "True");
        prop_assert!(!(is(conditions::STALLED) && is(conditions::RECONCILING)));
        let types: std::collections::BTreeSet<_> = once.conditions.iter().map(|c| &c.type_).collect();
        prop_assert_eq!(types.len(), once.conditions.len());
        for c in &once.conditions {
            let always = [conditions::READY, conditions::TOKEN_VALID, conditions::SAFE_TO_REVOKE_OLD_SECRET];
            let always = always.contains(&c.type_.as_str());
            prop_assert!(always || c.status == "True", "{c:?}");
            prop_assert!(c.reason.chars().all(char::is_alphanumeric) && !c.message.is_empty(), "{c:?}");
        }
        let alive = o.record().is_some_and(|r| r.expires_at.is_none_or(|at| at > now()));
        if is(conditions::READY) {
            prop_assert!(alive && o.value().is_some() && !is_rejected(&once));
        } else if hold != Some(&Hold::Suspended) {
            prop_assert!(is(conditions::STALLED) || is(conditions::RECONCILING), "kstatus has something to go by");
        }
        prop_assert_eq!(once.observed_generation, o.token.metadata.generation.unwrap_or_default());
        let printed = format!("{once:?}");
        prop_assert!(!printed.contains("canary"));
    }
}
