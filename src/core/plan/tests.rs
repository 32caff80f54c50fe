mod properties;

use chrono::TimeDelta;
use kube::ResourceExt;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    api::SourceKind,
    core::{
        approvals::Code,
        customer::CustomerClient,
        observed::{Doubt, ShopState},
        older::Older,
        pair,
        record::{Parent, Record},
        scene::{
            dice, foreign, healthy, held, hours, identity, minutes, now, older, previous, record, secret_string,
            snapshot, status, token, workload,
        },
        secret::{Held, SecretState},
        source::{Bootstrap, Issuer},
        status::{Attempts, Validity, project},
        vocabulary::{REQUESTED_AT, ROTATE_AT},
    },
};

const APP: SourceKind = SourceKind::ClientCredentials;
const LISTED: SourceKind = SourceKind::Storefront;
const HAND: SourceKind = SourceKind::Custom;

fn app() -> Observed {
    healthy(APP, json!({}))
}

fn storefront(fields: Value) -> Observed {
    healthy(LISTED, fields)
}

fn hold(plan: &Plan) -> &'static str {
    match &plan.hold {
        None => "",
        Some(Hold::Suspended) => "Suspended",
        Some(Hold::BackingOff) => "BackingOff",
        Some(Hold::Blocked(failure)) => failure.reason.as_str(),
    }
}

/// Name, what is observed, the step, and what stands in the way.
type Case = (&'static str, Observed, Step, &'static str);

fn assert_all(cases: Vec<Case>) {
    for (name, observed, step, held_by) in cases {
        let plan = plan(&observed, now());
        assert_eq!((plan.step, hold(&plan)), (step, held_by), "{name}: {plan:?}");
    }
}

/// An offline token whose merchant has approved the app.
fn approved() -> Observed {
    healthy(SourceKind::Offline, json!({})).with(|o| {
        let Ok(Issuer::Offline(offline)) = &mut o.issuer else { panic!("there is nothing to approve") };
        let code = Code { value: secret_string("canary"), state: "s".into() };
        offline.recorded.as_mut().unwrap().code = Some(code);
    })
}

/// The same with a Secret that can't be written.
fn frozen(o: Observed) -> Observed {
    o.with(|o| {
        let SecretState::Ours(held) = &mut o.secret else { panic!("there is no Secret to freeze") };
        held.frozen = Some(Failure::new(Reason::SecretConflict, "immutable"));
    })
}

fn failing(reason: Reason) -> impl FnOnce(&mut Observed) {
    move |o| o.issuer = Err(Failure::new(reason, "missing"))
}

/// A published client, when the credentials Secret holds this one.
fn with_client(id: &str, secret: Option<&str>) -> Observed {
    let client = CustomerClient::new(&identity(), id.into(), secret.map(secret_string));
    healthy(SourceKind::CustomerAccount, json!({})).with(|o| o.issuer = Ok(Issuer::CustomerAccount(client)))
}

#[test]
fn nothing_is_due() {
    let kinds = [APP, SourceKind::Offline, LISTED, SourceKind::Delegate, HAND, SourceKind::CustomerAccount];
    assert_all(kinds.map(|kind| ("healthy", healthy(kind, json!({})), Step::Keep, "")).into());
    let rotated = json!({"rotation": {"trigger": "a", "interval": "2h"}, "verifyInterval": "31m"});
    assert_all(vec![
        ("handled", healthy(APP, rotated).recorded(|r| r.handled_trigger = Some("a".into())), Step::Keep, ""),
        ("a title is for reading only", storefront(json!({})).annotated("team", "web"), Step::Keep, ""),
        ("in overlap", storefront(json!({})).recorded(|r| r.previous = vec![previous(2, hours(1))]), Step::Keep, ""),
        ("a custom token has no interval", healthy(HAND, json!({"rotation": {"interval": "1s"}})), Step::Keep, ""),
    ]);
}

#[test]
fn a_credential_is_issued_for_a_reason() {
    let lost = |change: fn(&mut Held)| {
        app().with(|o| {
            let SecretState::Ours(held) = &mut o.secret else { unreachable!() };
            change(held);
        })
    };
    let rejected = || app().with(|o| o.token.status = Some(status(o, None, Validity::Rejected, Attempts::None)));
    let due = |o: Observed| {
        o.recorded(|r| r.issued_at = now() - hours(17)).recorded(|r| r.expires_at = Some(now() + hours(7)))
    };
    let asked = |kind, value: &str| healthy(kind, json!({})).annotated(ROTATE_AT, value);
    assert_all(vec![
        ("first", app().without_secret().with(|o| o.token.status = None), Step::Call(Call::Issue(Why::First)), ""),
        (
            "first, into another's Secret",
            app().with(|o| o.secret = SecretState::Mergeable(Box::new(foreign()))).with(|o| o.token.status = None),
            Step::Call(Call::Issue(Why::First)),
            "",
        ),
        ("the Secret is gone", app().without_secret(), Step::Call(Call::Issue(Why::Lost)), ""),
        ("the record is gone", lost(|held| held.record = None), Step::Call(Call::Issue(Why::Lost)), ""),
        ("the value is gone", lost(|held| held.value = None), Step::Call(Call::Issue(Why::Lost)), ""),
        ("Shopify refuses it", rejected(), Step::Call(Call::Issue(Why::Rejected)), ""),
        (
            "refused, and replaced since",
            rejected().recorded(|r| (r.revision, r.issued_at) = (4, now())),
            Step::Keep,
            "",
        ),
        (
            "the spec asks for another",
            app().with(|o| o.inputs = "others".into()),
            Step::Call(Call::Issue(Why::InputsChanged)),
            "",
        ),
        ("it expires soon", due(app()), Step::Call(Call::Issue(Why::Expiring)), ""),
        (
            "it has expired",
            app().recorded(|r| r.expires_at = Some(now() - hours(1))),
            Step::Call(Call::Issue(Why::Expiring)),
            "",
        ),
        (
            "the clock was set back a little",
            app().recorded(|r| r.issued_at = now() + hours(8)).recorded(|r| r.expires_at = Some(now() + hours(32))),
            Step::Keep,
            "",
        ),
        (
            "the clock was set back a lot",
            app().recorded(|r| r.issued_at = now() + hours(9)).recorded(|r| r.expires_at = Some(now() + hours(33))),
            Step::Call(Call::Issue(Why::Expiring)),
            "",
        ),
        ("a trigger", healthy(APP, json!({"rotation": {"trigger": "a"}})), Step::Call(Call::Issue(Why::Requested)), ""),
        (
            "another trigger",
            healthy(APP, json!({"rotation": {"trigger": "b"}})).recorded(|r| r.handled_trigger = Some("a".into())),
            Step::Call(Call::Issue(Why::Requested)),
            "",
        ),
        ("a trigger taken away", app().recorded(|r| r.handled_trigger = Some("a".into())), Step::Keep, ""),
        ("rotate-at", asked(APP, "today"), Step::Call(Call::Issue(Why::Requested)), ""),
        ("rotate-at, of what a person supplies", asked(HAND, "today"), Step::Call(Call::Issue(Why::Requested)), ""),
        (
            "the same rotate-at",
            asked(APP, "today").recorded(|r| r.handled_rotate_at = Some("today".into())),
            Step::Keep,
            "",
        ),
        (
            "the interval",
            storefront(json!({"rotation": {"interval": "1h"}})),
            Step::Call(Call::Issue(Why::Interval)),
            "",
        ),
        (
            "scopes",
            healthy(APP, json!({"requiredScopes": ["write_orders"]})),
            Step::Call(Call::Issue(Why::ScopesMissing)),
            "",
        ),
        (
            "implied scopes",
            healthy(APP, json!({"requiredScopes": ["read_orders"]}))
                .recorded(|r| r.scopes = vec!["write_orders".into()]),
            Step::Keep,
            "",
        ),
        (
            "replaced by the person",
            healthy(HAND, json!({})).with(|o| o.issuer = Ok(Issuer::Custom(secret_string("new")))),
            Step::Call(Call::Issue(Why::Replaced)),
            "",
        ),
        ("another secret of a client", with_client("shp_1", Some("new")), Step::Call(Call::Issue(Why::Replaced)), ""),
        ("another client", with_client("shp_2", Some("canary")), Step::Call(Call::Issue(Why::Replaced)), ""),
        ("a client without its secret", with_client("shp_1", None), Step::Call(Call::Issue(Why::Replaced)), ""),
    ]);
}

#[test]
fn an_approval_is_taken_up_at_once() {
    assert_all(vec![
        ("approved while one lives", approved(), Step::Call(Call::Issue(Why::Approved)), ""),
        (
            "approved once Shopify refused it",
            approved().reported(|s| s.revision = Some(3)).failed(Reason::RefreshTokenDead, 4, minutes(1), minutes(5)),
            Step::Keep,
            "BackingOff",
        ),
        (
            "approved after a failure of what was there before",
            approved()
                .failed(Reason::RefreshTokenDead, 4, minutes(1), minutes(5))
                .with(|o| o.dependencies = "with an approval".into()),
            Step::Call(Call::Issue(Why::Approved)),
            "",
        ),
        ("approved first", approved().without_secret(), Step::Call(Call::Issue(Why::Lost)), ""),
    ]);
}

#[test]
fn some_may_have_no_secret_at_all() {
    let conflict = || SecretState::Refused(Failure::new(Reason::SecretConflict, "theirs"));
    let rival = |o: &mut Observed| o.rival = Some("older".into());
    assert_all(vec![
        ("suspended", healthy(APP, json!({"suspend": true})).without_secret(), Step::Keep, "Suspended"),
        (
            "suspended, with everything due",
            healthy(LISTED, json!({"suspend": true, "rotation": {"trigger": "a"}}))
                .with(|o| o.drifted = true)
                .annotated(REQUESTED_AT, "x"),
            Step::Keep,
            "Suspended",
        ),
        ("somebody else's Secret", app().with(|o| o.secret = conflict()), Step::Keep, "SecretConflict"),
        ("an older object's name", app().without_secret().with(rival), Step::Keep, "SecretConflict"),
        (
            "an older object's Secret to merge into",
            app().with(|o| o.secret = SecretState::Mergeable(Box::new(foreign()))).with(rival),
            Step::Keep,
            "SecretConflict",
        ),
        ("a rival for what is ours already", app().with(rival), Step::Keep, ""),
        ("a predecessor's Secret", app().with(|o| o.secret = SecretState::Collected), Step::Keep, "Issuing"),
    ]);
}

#[test]
fn preconditions() {
    assert_all(vec![
        ("absent", app().without_secret().with(failing(Reason::AppNotFound)), Step::Keep, "AppNotFound"),
        ("healthy all the same", app().with(failing(Reason::CredentialsMissing)), Step::Keep, "CredentialsMissing"),
        (
            "nothing is verified",
            app().reported(|s| s.last_verified_time = None).with(failing(Reason::AppNotFound)),
            Step::Keep,
            "AppNotFound",
        ),
        (
            "repaired all the same",
            app().with(|o| o.drifted = true).with(failing(Reason::AppNotFound)),
            Step::Repair,
            "AppNotFound",
        ),
        (
            "a template that doesn't render",
            app().without_secret().with(|o| o.template = Err(Failure::new(Reason::InvalidTemplate, "bad"))),
            Step::Keep,
            "InvalidTemplate",
        ),
        (
            "is no reason to repair",
            app().with(|o| o.drifted = true).with(|o| o.template = Err(Failure::new(Reason::InvalidTemplate, "bad"))),
            Step::Keep,
            "InvalidTemplate",
        ),
        (
            "a Secret of ours that can't be written, and is due",
            frozen(app().recorded(|r| r.inputs = "others".into())),
            Step::Keep,
            "SecretConflict",
        ),
        ("nor is it repaired", frozen(app().with(|o| o.drifted = true)), Step::Keep, "SecretConflict"),
    ]);
}

#[test]
fn what_would_perish_waits_for_no_secret() {
    let cooling = || {
        healthy(SourceKind::Offline, json!({})).with(|o| {
            let Ok(Issuer::Offline(offline)) = &mut o.issuer else { unreachable!() };
            let pair = offline.recorded.as_mut().unwrap().pair.as_mut().unwrap();
            pair.refresh.as_mut().unwrap().expires_at = Some(now() + TimeDelta::days(29));
        })
    };
    let unreadable = |o: Observed| o.with(|o| o.template = Err(Failure::new(Reason::InvalidTemplate, "bad")));
    let theirs =
        |o: Observed| o.with(|o| o.secret = SecretState::Refused(Failure::new(Reason::SecretConflict, "theirs")));
    let brought = |o: &mut Observed| {
        let Ok(Issuer::Offline(offline)) = &mut o.issuer else { unreachable!() };
        let pair = offline.pair().unwrap().clone();
        offline.bootstrap = Some(Bootstrap { pair, fingerprint: "another".into() });
    };
    let refresh = Step::Call(Call::Issue(Why::Expiring));
    assert_all(vec![
        ("a refresh token, with a template that breaks", unreadable(cooling()), refresh, "InvalidTemplate"),
        ("with somebody else's Secret", theirs(cooling()), refresh, "SecretConflict"),
        ("with one that can't be written", frozen(cooling()), refresh, "SecretConflict"),
        ("a code", unreadable(approved()), refresh, "InvalidTemplate"),
        (
            "refused a moment ago",
            theirs(cooling()).failed(Reason::BackingOff, 1, minutes(1), minutes(5)),
            Step::Keep,
            "BackingOff",
        ),
        ("nothing", theirs(healthy(SourceKind::Offline, json!({}))), Step::Keep, "SecretConflict"),
        ("what a person has brought", theirs(cooling()).with(brought), Step::Begin, "SecretConflict"),
    ]);
    let call = Call::Issue(Why::Expiring);
    let waits = plan_without(&theirs(cooling()), &[call], now());
    assert_eq!((waits.step, hold(&waits)), (Step::Keep, "SecretConflict"), "others ask");
}

#[test]
fn rotation_and_overlap() {
    let all = |n, left| (0..n).map(|i| previous(i, left)).collect::<Vec<_>>();
    let asked = || storefront(json!({"rotation": {"trigger": "a", "overlap": "1h"}}));
    let one =
        |left| storefront(json!({"rotation": {"overlap": "1h"}})).recorded(|r| r.previous = vec![previous(2, left)]);
    let rolling = |o: Observed| o.with(|o| o.workloads = vec![workload(Some("3"), false)]);
    assert_all(vec![
        (
            "four in overlap",
            asked().recorded(|r| r.previous = all(4, hours(1))),
            Step::Call(Call::Issue(Why::Requested)),
            "",
        ),
        ("five in overlap", asked().recorded(|r| r.previous = all(5, hours(1))), Step::Keep, "Rotating"),
        (
            "five, one of them over",
            asked().recorded(|r| r.previous = all(5, minutes(-1))),
            Step::Call(Call::EndOverlap),
            "Rotating",
        ),
        (
            "five, one of them over, and revoking failed 1",
            asked().recorded(|r| r.previous = all(5, minutes(-1))).failed(
                Reason::AdminTokenNotReady,
                1,
                minutes(1),
                minutes(1),
            ),
            Step::Keep,
            "BackingOff",
        ),
        (
            "five, one of them over, and revoking failed 2",
            asked().recorded(|r| r.previous = all(5, minutes(-1))).failed(
                Reason::AdminTokenNotReady,
                2,
                minutes(1),
                minutes(1),
            ),
            Step::Keep,
            "BackingOff",
        ),
        (
            "five, and the value is lost",
            asked().recorded(|r| r.previous = all(5, hours(1))).with(|o| {
                let SecretState::Ours(held) = &mut o.secret else { unreachable!() };
                held.value = None;
            }),
            Step::Call(Call::Issue(Why::Lost)),
            "",
        ),
        ("the overlap isn't over", one(TimeDelta::seconds(1)), Step::Keep, ""),
        ("the overlap is over", one(TimeDelta::zero()), Step::Call(Call::EndOverlap), ""),
        ("a rollout is under way", rolling(one(minutes(-59))), Step::Keep, ""),
        ("a rollout lasts too long", rolling(one(minutes(-60))), Step::Call(Call::EndOverlap), ""),
        (
            "no admin token to revoke with",
            one(minutes(-1)).with(failing(Reason::AdminTokenNotReady)),
            Step::Keep,
            "AdminTokenNotReady",
        ),
    ]);
}

#[test]
fn a_rotation_that_fails_keeps_no_old_token_alive() {
    let due =
        storefront(json!({"rotation": {"trigger": "a"}})).recorded(|r| r.previous = vec![previous(2, minutes(-1))]);
    let failed = |count| due.clone().failed(Reason::LimitReached, count, minutes(9), minutes(0));
    assert_all(vec![
        ("first the rotation", due.clone(), Step::Call(Call::Issue(Why::Requested)), ""),
        ("then the overlap, and the conditions stay", failed(1), Step::Call(Call::EndOverlap), "BackingOff"),
        ("then the rotation", failed(2), Step::Call(Call::Issue(Why::Requested)), ""),
        (
            "nothing else is due",
            failed(1).recorded(|r| r.previous.clear()),
            Step::Call(Call::Issue(Why::Requested)),
            "",
        ),
        (
            "verification has its turn too",
            failed(2).reported(|s| s.last_verified_time = None),
            Step::Call(Call::Verify),
            "BackingOff",
        ),
    ]);
}

#[test]
fn an_overlap_that_cannot_be_ended_takes_no_turn() {
    let ended = || storefront(json!({})).recorded(|r| r.previous = vec![previous(2, minutes(-1))]);
    let lost = |count| {
        let lost = ended().with(|o| {
            let SecretState::Ours(held) = &mut o.secret else { panic!("no Secret") };
            held.value = None;
        });
        lost.failed(Reason::BackingOff, count, minutes(1), TimeDelta::zero())
    };
    for count in 1..4 {
        let step = plan(&lost(count), now()).step;
        assert_eq!(step, Step::Call(Call::Issue(Why::Lost)), "after {count} failures");
    }
    let restored = ended().with(|o| {
        o.identity.uid = "restored".into();
        o.token.metadata.uid = Some("restored".into());
    });
    assert_eq!(plan(&restored, now()).step, Step::Call(Call::Verify), "it is nobody's to revoke before");
}

#[test]
fn a_rollout_protects_each_older_credential_by_itself() {
    let (recent, old) = (previous(2, minutes(-1)), previous(1, minutes(-61)));
    let both = [old.clone(), recent.clone()].to_vec();
    let rolling = storefront(json!({"rotation": {"overlap": "1h"}})).recorded(|r| r.previous = both);
    let rolling = rolling.with(|o| o.workloads = vec![workload(Some("3"), false)]);
    assert_eq!(plan(&rolling, now()).step, Step::Call(Call::EndOverlap));
    assert!(rolling.overlap_ended(&old, now()) && !rolling.overlap_ended(&recent, now()));
}

#[test]
fn verification_and_repair() {
    let verified = |o: Observed, ago| o.reported(|s| s.last_verified_time = Some(time::to_kube(now() - ago)));
    assert_all(vec![
        ("not yet", verified(app(), minutes(59)), Step::Keep, ""),
        ("due", verified(app(), hours(1)), Step::Call(Call::Verify), ""),
        ("never", verified(healthy(APP, json!({"verifyInterval": 0})), hours(100)), Step::Keep, ""),
        ("not since it was issued", app().reported(|s| s.last_verified_time = None), Step::Call(Call::Verify), ""),
        (
            "never, but asked",
            healthy(APP, json!({"verifyInterval": "0"})).annotated(REQUESTED_AT, "x"),
            Step::Call(Call::Verify),
            "",
        ),
        (
            "asked before",
            app().annotated(REQUESTED_AT, "x").reported(|s| s.last_handled_reconcile_at = Some("x".into())),
            Step::Keep,
            "",
        ),
        ("a stray may live", app().with(|o| o.suspect = Some(Doubt::Stray)), Step::Call(Call::Verify), ""),
        ("refused to somebody", app().with(|o| o.suspect = Some(Doubt::Refused)), Step::Call(Call::Verify), ""),
        (
            "refused to somebody, and just confirmed",
            verified(app(), TimeDelta::seconds(59)).with(|o| o.suspect = Some(Doubt::Refused)),
            Step::Keep,
            "",
        ),
        (
            "refused to somebody, and just issued",
            app().recorded(|r| (r.revision, r.issued_at) = (4, now())).with(|o| o.suspect = Some(Doubt::Refused)),
            Step::Keep,
            "",
        ),
        ("the clock was set back a little", verified(app(), minutes(-60)), Step::Keep, ""),
        ("the clock was set back a lot", verified(app(), minutes(-61)), Step::Call(Call::Verify), ""),
        ("edited", app().with(|o| o.drifted = true), Step::Repair, ""),
        ("edited, and due", verified(app(), hours(1)).with(|o| o.drifted = true), Step::Repair, ""),
        ("edited, and asked", app().annotated(REQUESTED_AT, "x").with(|o| o.drifted = true), Step::Repair, ""),
        (
            "edited, and it failed",
            app().failed(Reason::ShopUnavailable, 1, minutes(9), minutes(0)).with(|o| o.drifted = true),
            Step::Repair,
            "BackingOff",
        ),
        (
            "edited, and the API server refused that",
            app().failed(Reason::WriteRefused, 1, minutes(9), minutes(0)).with(|o| o.drifted = true),
            Step::Repair,
            "",
        ),
    ]);
    let edited = verified(app(), hours(1)).with(|o| o.drifted = true);
    assert_eq!(plan(&edited, now()).wake_at, Some(now() + SAFETY_NET), "should the write change nothing");
}

#[test]
fn back_off() {
    let due = || healthy(APP, json!({"rotation": {"trigger": "a"}}));
    let failed = |reason| due().failed(reason, 3, minutes(1), minutes(1));
    let back = |ago| ShopState::Up { since: now() - ago };
    assert_all(vec![
        ("honoured", failed(Reason::BackingOff), Step::Keep, "BackingOff"),
        (
            "over",
            due().failed(Reason::BackingOff, 3, minutes(1), TimeDelta::zero()),
            Step::Call(Call::Issue(Why::Requested)),
            "",
        ),
        (
            "a dependency has changed",
            failed(Reason::CredentialsRejected).with(|o| o.dependencies = "others".into()),
            Step::Call(Call::Issue(Why::Requested)),
            "",
        ),
        (
            "somebody asks",
            failed(Reason::CredentialsRejected).annotated(REQUESTED_AT, "x"),
            Step::Call(Call::Issue(Why::Requested)),
            "",
        ),
        (
            "somebody has asked before",
            failed(Reason::AppNotInstalled)
                .annotated(REQUESTED_AT, "x")
                .reported(|s| s.last_handled_reconcile_at = Some("x".into())),
            Step::Keep,
            "BackingOff",
        ),
        (
            "the shop is back",
            failed(Reason::BackingOff).with(|o| o.shop = back(TimeDelta::seconds(10))),
            Step::Call(Call::Issue(Why::Requested)),
            "",
        ),
        (
            "the shop is back, and had answered",
            failed(Reason::ScopesMissing).with(|o| o.shop = back(TimeDelta::seconds(10))),
            Step::Keep,
            "BackingOff",
        ),
        (
            "the shop came back before",
            failed(Reason::BackingOff).with(|o| o.shop = back(minutes(2))),
            Step::Keep,
            "BackingOff",
        ),
        (
            "the shop is down: who asks is decided at the call",
            failed(Reason::BackingOff).with(|o| o.shop = ShopState::Down { own: true }),
            Step::Call(Call::Issue(Why::Requested)),
            "",
        ),
        (
            "something else of the shop is down: its own failure is its own",
            failed(Reason::BackingOff).with(|o| o.shop = ShopState::Down { own: false }),
            Step::Keep,
            "BackingOff",
        ),
        (
            "verification waits too",
            app().failed(Reason::BackingOff, 1, minutes(1), minutes(1)).reported(|s| s.last_verified_time = None),
            Step::Keep,
            "BackingOff",
        ),
        (
            "the API server refused a repair",
            app().with(|o| o.drifted = true).failed(Reason::WriteRefused, 1, minutes(1), minutes(1)),
            Step::Keep,
            "BackingOff",
        ),
        (
            "the API server refused a repair, and the app is gone",
            app().with(|o| o.drifted = true).with(failing(Reason::AppNotFound)).failed(
                Reason::WriteRefused,
                1,
                minutes(1),
                minutes(1),
            ),
            Step::Keep,
            "BackingOff",
        ),
        (
            "the API server may take it now",
            app().with(|o| o.drifted = true).failed(Reason::WriteRefused, 1, minutes(1), minutes(0)),
            Step::Repair,
            "",
        ),
        (
            "the clock was set back",
            due().failed(Reason::BackingOff, 3, minutes(-300), minutes(-290)).reported(|s| {
                s.next_attempt_time = Some(time::to_kube(now() + minutes(11)));
            }),
            Step::Call(Call::Issue(Why::Requested)),
            "",
        ),
        ("repair needs no Shopify", failed(Reason::BackingOff).with(|o| o.drifted = true), Step::Repair, "BackingOff"),
    ]);
}

#[test]
fn what_a_revocation_will_need_is_protected() {
    let unprotected = |o: &mut Observed| o.unprotected = true;
    assert_all(vec![
        ("a finalizer is missing", app().with(unprotected), Step::Protect, ""),
        ("and the app is", app().with(failing(Reason::AppNotFound)).with(unprotected), Step::Protect, "AppNotFound"),
        ("suspended", healthy(APP, json!({"suspend": true})).with(unprotected), Step::Protect, "Suspended"),
    ]);
}

#[test]
fn what_older_specs_named_is_left_when_all_else_is_done() {
    let named = |left: Option<TimeDelta>| storefront(json!({})).with(|o| o.older = vec![older(3, left)]);
    let due = || named(Some(minutes(-1)));
    let absent = |o: Observed| o.without_secret();
    assert_all(vec![
        ("new to it", named(None), Step::Leave, ""),
        ("waiting", named(Some(minutes(1))), Step::Keep, ""),
        ("over", due(), Step::Leave, ""),
        ("over, and the app is gone", due().with(failing(Reason::AppNotFound)), Step::Leave, "AppNotFound"),
        ("suspended", due().with(|o| o.token.spec.suspend = Some(true)), Step::Keep, "Suspended"),
        ("unprotected", due().with(|o| o.unprotected = true), Step::Protect, ""),
        ("drifted: gone back to that name", due().with(|o| o.drifted = true), Step::Repair, ""),
        ("not written yet", absent(due()), Step::Call(Call::Issue(Why::Renamed)), ""),
        (
            "not written yet, and a rotation is asked for",
            absent(due()).annotated(ROTATE_AT, "1"),
            Step::Call(Call::Issue(Why::Requested)),
            "",
        ),
        (
            "there and back, and rotated there",
            named(None).with(|o| o.older = vec![older(4, None)]),
            Step::Call(Call::Issue(Why::Renamed)),
            "",
        ),
        (
            "another has the new name",
            due().with(|o| o.rival = Some("web".into())).without_secret(),
            Step::Keep,
            "SecretConflict",
        ),
        ("deleted", due().deleting(minutes(5)), Step::Call(Call::Revoke), ""),
    ]);
    let quiet = |left| healthy(LISTED, json!({"verifyInterval": "0"})).with(|o| o.older = vec![older(3, Some(left))]);
    assert_eq!(plan(&quiet(minutes(7)), now()).wake_at, Some(now() + minutes(7)));
    assert_eq!(plan(&quiet(minutes(-7)), now()).wake_at, Some(now() + SAFETY_NET), "should it be refused");
}

#[test]
fn what_waits_holds_nothing_else_up() {
    let o = storefront(json!({"rotation": {"trigger": "b"}})).recorded(|r| r.previous = vec![previous(2, minutes(-1))]);
    let o = o.reported(|s| s.last_verified_time = None);
    let (issue, mut waiting) = (Call::Issue(Why::Requested), Vec::new());
    for next in [issue, Call::EndOverlap, Call::Verify] {
        assert_eq!(plan_without(&o, &waiting, now()).step, Step::Call(next));
        waiting.push(next);
    }
    assert_eq!(plan_without(&o, &waiting, now()).step, Step::Keep);
    assert!(plan_without(&o, &waiting, now()).hold.is_none());
}

fn without_refresh_token(o: &mut Observed) {
    let Ok(Issuer::Offline(offline)) = &mut o.issuer else { panic!("{:?}", o.issuer) };
    offline.recorded.as_mut().unwrap().pair.as_mut().unwrap().refresh = None;
}

/// An offline token that others need for their revocation, and whose access token ends.
fn needed_and_ending(o: &mut Observed) {
    let Ok(Issuer::Offline(offline)) = &mut o.issuer else { panic!("{:?}", o.issuer) };
    let pair = offline.recorded.as_mut().unwrap().pair.as_mut().unwrap();
    let ends = Some(now() + minutes(1));
    pair.access.as_mut().unwrap().expires_at = ends;
    o.needed_by = vec!["web".into()];
    if let SecretState::Ours(held) = &mut o.secret {
        held.record.as_mut().unwrap().expires_at = ends;
    }
}

#[test]
fn what_others_need_is_refreshed_while_it_goes() {
    let gone = || healthy(SourceKind::Offline, json!({})).deleting(minutes(5));
    assert_all(vec![
        (
            "needed, and refreshed by itself",
            gone().with(needed_and_ending),
            Step::Call(Call::Issue(Why::Expiring)),
            "Revoking",
        ),
        (
            "needed, and its Secret is gone",
            gone().with(needed_and_ending).without_secret(),
            Step::Call(Call::Issue(Why::Lost)),
            "Revoking",
        ),
        (
            "needed, and refused a moment ago",
            gone().with(needed_and_ending).failed(Reason::RefreshTokenDead, 1, minutes(1), minutes(5)),
            Step::Keep,
            "BackingOff",
        ),
        (
            "needed, and nothing can follow it",
            gone().with(needed_and_ending).with(without_refresh_token).without_secret(),
            Step::Keep,
            "Revoking",
        ),
        (
            "needed, with all that it takes in its record Secret",
            gone().without_secret().with(|o| o.needed_by = vec!["web".into()]),
            Step::Keep,
            "Revoking",
        ),
    ]);
}

#[test]
fn deletion() {
    let gone = |kind, fields| healthy(kind, fields).deleting(minutes(5));
    let failed = |ago, at, left| storefront(json!({})).deleting(ago).failed(Reason::BackingOff, 1, at, left);
    let refused = |ago, at, left| storefront(json!({})).deleting(ago).failed(Reason::WriteRefused, 1, at, left);
    let merged = |ago, at, left| {
        let spec = json!({"secret": {"creationPolicy": "Merge"}});
        healthy(APP, spec).deleting(ago).failed(Reason::WriteRefused, 1, at, left)
    };
    let revoke = Step::Call(Call::Revoke);
    let let_go = Step::LetGo(Ending::NothingToRevoke);
    let give_up = Step::LetGo(Ending::GivenUp);
    assert_all(vec![
        ("not ours to finish", gone(LISTED, json!({})).with(|o| o.token.finalizers_mut().clear()), Step::Keep, ""),
        ("revoked", gone(LISTED, json!({})), revoke, ""),
        ("revoked though suspended", gone(LISTED, json!({"suspend": true})), revoke, ""),
        ("revoked without a Secret", gone(LISTED, json!({})).without_secret(), revoke, ""),
        ("retained", gone(LISTED, json!({"deletionPolicy": "Retain"})), Step::LetGo(Ending::Retained), ""),
        ("retained, and never issued", gone(LISTED, json!({"deletionPolicy": "Retain"})).without_secret(), let_go, ""),
        ("nothing to revoke", gone(APP, json!({})), let_go, ""),
        ("nothing to revoke, and no app", gone(APP, json!({})).with(failing(Reason::AppNotFound)), let_go, ""),
        ("needed", gone(APP, json!({})).with(|o| o.needed_by = vec!["web".into()]), Step::Keep, "Revoking"),
        ("no way to revoke", gone(LISTED, json!({})).with(failing(Reason::AdminTokenNotReady)), give_up, ""),
        (
            "its admin token is refreshed by itself",
            gone(LISTED, json!({})).with(failing(Reason::AdminTokenNotReady)).with(|o| o.admin_renews = true),
            Step::Keep,
            "AdminTokenNotReady",
        ),
        (
            "its admin token is refreshed by itself, too late",
            gone(LISTED, json!({}))
                .with(failing(Reason::AdminTokenNotReady))
                .with(|o| (o.admin_renews, o.revocation_timeout) = (true, minutes(5))),
            give_up,
            "",
        ),
        (
            "its app can't be read",
            gone(LISTED, json!({})).with(failing(Reason::DependencyInvalid)),
            Step::Keep,
            "DependencyInvalid",
        ),
        (
            "its app can't be read, too late",
            gone(LISTED, json!({}))
                .with(failing(Reason::DependencyInvalid))
                .with(|o| o.revocation_timeout = minutes(5)),
            give_up,
            "",
        ),
        ("backing off", failed(minutes(5), minutes(1), minutes(1)), Step::Keep, "BackingOff"),
        ("trying again", failed(minutes(5), minutes(1), minutes(-1)), revoke, ""),
        ("too late, and tried", failed(hours(1), minutes(1), minutes(1)), give_up, ""),
        (
            "too late, and only an issue was tried",
            storefront(json!({})).deleting(hours(2)).failed(Reason::BackingOff, 1, hours(3), minutes(-150)),
            revoke,
            "",
        ),
        ("too late, and never tried", gone(LISTED, json!({})).with(|o| o.revocation_timeout = minutes(1)), revoke, ""),
        ("the Secret's write was refused", refused(minutes(5), minutes(1), minutes(1)), Step::Keep, "BackingOff"),
        ("of what nothing is revoked, too", merged(minutes(5), minutes(1), minutes(1)), Step::Keep, "BackingOff"),
        ("it may be taken now", refused(minutes(5), minutes(1), minutes(-1)), revoke, ""),
        ("too late, and only a write was refused", refused(hours(1), minutes(1), minutes(1)), revoke, ""),
        ("the same of what nothing is revoked", merged(hours(1), minutes(1), minutes(1)), let_go, ""),
        ("too late, and refused again since", refused(hours(2), minutes(1), minutes(1)), Step::Keep, "BackingOff"),
        (
            "too late, and the shop is down",
            gone(LISTED, json!({}))
                .with(|o| o.revocation_timeout = minutes(1))
                .with(|o| o.shop = ShopState::Down { own: false }),
            give_up,
            "",
        ),
    ]);
}

#[test]
fn the_next_look() {
    let wake = |o: &Observed| plan(o, now()).wake_at;
    let in_ = |time| Some(now() + time);
    assert_eq!(wake(&app()), in_(minutes(30)), "verification");
    let quiet = |kind| healthy(kind, json!({"verifyInterval": "0"}));
    let doubted =
        quiet(LISTED).recorded(|r| (r.revision, r.issued_at) = (4, now())).with(|o| o.suspect = Some(Doubt::Refused));
    assert_eq!(wake(&doubted), in_(minutes(1)), "a doubt isn't forgotten");
    let renewal = wake(&quiet(APP)).unwrap();
    assert!(renewal > now() + hours(14) && renewal <= now() + hours(15), "{renewal}");
    assert_eq!(renewal, renewal_of(&quiet(APP).token, APP, &record(APP)).unwrap());
    assert_eq!(wake(&quiet(LISTED)), None, "idle costs nothing");
    let interval = json!({"verifyInterval": "0", "rotation": {"interval": "3h"}});
    assert_eq!(wake(&healthy(LISTED, interval)), in_(hours(2)));
    assert_eq!(
        wake(&quiet(LISTED).recorded(|r| r.previous = vec![previous(1, hours(9)), previous(2, hours(8))])),
        in_(hours(8))
    );
    let rolling = vec![workload(Some("3"), false)];
    let late =
        |left| quiet(LISTED).recorded(|r| r.previous = vec![previous(1, left)]).with(|o| o.workloads = rolling.clone());
    assert_eq!(wake(&late(minutes(-1))), in_(TimeDelta::seconds(15)), "a rollout says nothing when it ends");
    let failed =
        healthy(APP, json!({"rotation": {"trigger": "a"}})).failed(Reason::BackingOff, 1, minutes(1), minutes(3));
    assert_eq!(wake(&failed), in_(minutes(3)));
    let expired = quiet(APP).recorded(|r| r.expires_at = Some(now() + minutes(2))).failed(
        Reason::BackingOff,
        1,
        minutes(1),
        minutes(3),
    );
    assert_eq!(wake(&expired), in_(minutes(2)), "Ready ends with the credential");
    assert_eq!(wake(&quiet(LISTED).with(failing(Reason::AppNotFound))), in_(SAFETY_NET));
    assert_eq!(wake(&healthy(APP, json!({"suspend": true}))), in_(hours(23)), "Ready ends with the credential");
    let deleting = storefront(json!({})).deleting(minutes(5));
    assert_eq!(wake(&deleting), in_(minutes(55)), "the end of the revocation's time");
}

/// What a restore, a clone, another app or a crash leaves behind.
#[test]
fn what_others_left_behind() {
    let restored = |kind| {
        healthy(kind, json!({})).with(|o| {
            o.identity.uid = "restored".into();
            o.token.metadata.uid = Some("restored".into());
            o.token.status = None;
        })
    };
    let put_back = healthy(LISTED, json!({"verifyInterval": 0})).with(|o| {
        o.token.status.as_mut().unwrap().revision = Some(5);
    });
    let moved = |issuer: &str| storefront(json!({})).recorded(|r| r.issuer = Some(issuer.to_owned()));
    let unsettled = |left| storefront(json!({})).deleting(minutes(1)).with(|o| o.settles_at = Some(now() + left));
    let revoking = previous(2, hours(1));
    let revoking = crate::core::record::Previous { revoking: Some(3), ..revoking };
    assert_all(vec![
        ("restored", restored(LISTED), Step::Call(Call::Verify), ""),
        ("restored, of a person", restored(HAND), Step::Call(Call::Verify), ""),
        (
            "restored, and never verified otherwise",
            restored(APP).with(|o| o.token.spec.verify_interval = Some(std::time::Duration::ZERO.into())),
            Step::Call(Call::Verify),
            "",
        ),
        ("an older revision was put back", put_back.clone(), Step::Call(Call::Verify), ""),
        ("and edited besides", put_back.clone().with(|o| o.drifted = true), Step::Call(Call::Verify), ""),
        (
            "an older revision was put back, with overlaps of its time",
            put_back.clone().recorded(|r| r.previous = vec![previous(2, minutes(-1))]),
            Step::Call(Call::Verify),
            "",
        ),
        ("another app's client id", moved("another"), Step::Call(Call::Issue(Why::InputsChanged)), ""),
        (
            "the installation can't be compared with a client id",
            moved("gid://shopify/AppInstallation/1"),
            Step::Keep,
            "",
        ),
        (
            "another app behind a person's token",
            storefront(json!({})).with(|o| o.suspect = Some(Doubt::Moved)),
            Step::Call(Call::Issue(Why::InputsChanged)),
            "",
        ),
        ("a create may not be listed yet", unsettled(minutes(1)), Step::Keep, "Revoking"),
        ("by now it is listed", unsettled(minutes(-1)), Step::Call(Call::Revoke), ""),
        (
            "a revocation has begun",
            storefront(json!({})).recorded(|r| r.previous = vec![revoking]),
            Step::Call(Call::EndOverlap),
            "",
        ),
    ]);
    let status = project(&snapshot(&restored(LISTED), None, Validity::NotAsked, Attempts::None), now());
    assert!(!crate::core::condition::is_ready(&status), "nobody has verified it yet");
    for (validity, revision, ready) in [
        (Validity::NotAsked, 5, false),
        (Validity::Unreachable, 5, false),
        (Validity::Verified(now()), 3, true),
        (Validity::Rejected, 3, false),
    ] {
        let status = project(&snapshot(&put_back, None, validity, Attempts::None), now());
        assert_eq!(status.revision, Some(revision), "what was put back is no news before Shopify confirms it");
        assert_eq!(crate::core::condition::is_ready(&status), ready, "{validity:?}");
    }
}

/// Who asks what else there is to do while a call waits asks until there is nothing: the same call for ever would be a loop.
#[test]
fn a_call_that_waits_is_not_planned_again() {
    let gone = storefront(json!({})).deleting(minutes(1));
    assert_eq!(plan(&gone, now()).step, Step::Call(Call::Revoke));
    assert_eq!(plan_without(&gone, &[Call::Revoke], now()).step, Step::Keep, "nothing else is to be done for it");
}

#[test]
fn a_restart_happens_once_for_each_revision() {
    let targets = json!({"rolloutRestartTargets": [{"kind": "Deployment", "name": "web"}]});
    let replaced = |restarted, mark, finished| {
        storefront(targets.clone())
            .recorded(|r| r.restarted = restarted)
            .with(|o| o.workloads = vec![workload(mark, finished)])
    };
    let missing = storefront(targets.clone()).recorded(|r| r.restarted = None);
    assert_all(vec![
        ("not restarted yet", replaced(Some(2), Some("2"), true), Step::Restart, ""),
        ("restarted, and not recorded", replaced(Some(2), Some("3"), false), Step::Restart, ""),
        ("recorded", replaced(Some(3), Some("3"), false), Step::Keep, ""),
        ("recorded, and its mark is gone", replaced(Some(3), None, true), Step::Keep, ""),
        ("the target isn't there", missing.clone(), Step::Keep, ""),
    ]);
    assert_eq!(plan(&missing, now()).wake_at, Some(now() + SAFETY_NET), "nobody tells when it comes");
    let overlap = |o: Observed| o.recorded(|r| r.previous = vec![previous(2, minutes(-1))]);
    assert!(overlap(missing).rolling_out(), "nobody knows what runs with the old one");
    assert!(!overlap(replaced(Some(3), None, true)).rolling_out());
}

#[test]
fn what_was_asked_for_and_failed_is_asked_for_again() {
    let quiet = || healthy(APP, json!({"verifyInterval": "0s"}));
    let verify = Step::Call(Call::Verify);
    assert_all(vec![
        ("nothing is due", quiet(), Step::Keep, ""),
        ("it waits", quiet().failed(Reason::BackingOff, 1, minutes(1), minutes(1)), Step::Keep, "BackingOff"),
        ("its back-off is over", quiet().failed(Reason::BackingOff, 1, minutes(1), minutes(0)), verify, ""),
        ("a person had to act", quiet().failed(Reason::ShopUnavailable, 1, minutes(9), minutes(0)), verify, ""),
        ("it was a write", quiet().failed(Reason::WriteRefused, 1, minutes(9), minutes(0)), Step::Keep, ""),
    ]);
}

#[test]
fn the_record_goes_with_its_object_or_stays_as_the_policies_want_it_now() {
    let with = |policy: &str, before: &str| {
        let before = token(SourceKind::Offline, &json!({"deletionPolicy": before}));
        healthy(SourceKind::Offline, json!({"deletionPolicy": policy})).with(|o| {
            let Ok(Issuer::Offline(offline)) = &mut o.issuer else { panic!("an offline token") };
            let recorded = offline.recorded.as_mut().unwrap();
            recorded.live = pair::owned(&before, &o.identity, "id", recorded);
        })
    };
    let refused = with("Retain", "Revoke").failed(Reason::WriteRefused, 1, minutes(1), minutes(1));
    assert_all(vec![
        ("it stays", with("Retain", "Retain"), Step::Keep, ""),
        ("it went, and is to stay", with("Retain", "Revoke"), Step::Begin, ""),
        ("it goes", with("Revoke", "Revoke"), Step::Keep, ""),
        ("it stayed, and is to go", with("Revoke", "Retain"), Step::Begin, ""),
        ("the API server has refused that a moment ago", refused, Step::Keep, ""),
    ]);
}

#[test]
fn a_delegate_is_made_anew_with_its_parent() {
    let of = |revision, ends_in: Option<TimeDelta>, ago: TimeDelta| {
        let o = healthy(SourceKind::Delegate, json!({}));
        o.recorded(|r| (r.issued_at, r.expires_at) = (now() - ago, Some(now() - ago + hours(1)))).with(|o| {
            let Ok(Issuer::Delegate(parent)) = &mut o.issuer else { panic!("a delegate") };
            let published = Parent { revision, issued_at: Some(now() - hours(2)) };
            (parent.admin.published, parent.admin.expires_at) = (Some(published), ends_in.map(|left| now() + left));
        })
    };
    let made_of = |issued_at| {
        let parent = Some(Parent { revision: 7, issued_at });
        of(7, None, minutes(5)).recorded(|r| r.parent = parent)
    };
    let issue = |why| Step::Call(Call::Issue(why));
    assert_all(vec![
        ("fresh", of(7, None, minutes(5)), Step::Keep, ""),
        ("its parent is the same", made_of(Some(now() - hours(2))), Step::Keep, ""),
        (
            "its parent was made anew, and counts from the beginning",
            made_of(Some(now() - hours(3))),
            issue(Why::ParentChanged),
            "",
        ),
        ("nobody has written down when its parent was issued", made_of(None), Step::Keep, ""),
        ("its parent is new", of(8, None, minutes(5)), issue(Why::ParentChanged), ""),
        ("by the clock", of(7, None, minutes(45)), issue(Why::Expiring), ""),
        ("by the clock, the parent lives on", of(7, Some(hours(5)), minutes(45)), issue(Why::Expiring), ""),
        ("by the clock, in vain: it ends with its parent", of(7, Some(minutes(16)), minutes(45)), Step::Keep, ""),
        ("it has ended", of(7, Some(minutes(16)), minutes(61)), issue(Why::Expiring), ""),
    ]);
}
