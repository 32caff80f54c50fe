use serde_json::{Value, json};

use super::*;
use crate::{
    api::SourceKind::{self, ClientCredentials, Delegate, Offline, Storefront},
    core::{
        pair::Pair,
        plan::{Call, Step, Why, plan},
        scene::{healthy, hours, minted_by, minutes, now, record, status},
        status::{Attempts, Validity},
        vocabulary::Reason,
    },
};

const NEW: &str = "new";

/// Of a token whose credential ends in 23 hours: what the record of the next one says, minted by that secret; `None`: by
/// the same one.
fn next(kind: SourceKind, spec: Value, by: Option<&str>, same: bool, before: Option<Timestamp>) -> Record {
    let own = minted::is_minted(kind).then(|| minted_by(kind));
    let o = healthy(kind, spec).recorded(|r| r.old_secret_until = before);
    let by = by.map(str::to_owned).or(own);
    o.minted(record(kind), by, same, now())
}

#[test]
fn an_older_one_is_in_use_until_its_overlap_or_its_own_end() {
    let until = |kind, spec, by, before| next(kind, spec, by, false, before).old_secret_until;
    let (ends, short) = (now() + hours(23), json!({"rotation": {"overlap": "1h"}}));
    let (later, over) = (Some(now() + hours(5)), Some(now() - hours(1)));
    assert_eq!(until(ClientCredentials, json!({}), Some(NEW), None), Some(ends), "its own end");
    assert_eq!(until(Offline, short.clone(), Some(NEW), None), Some(now() + hours(1)), "its overlap");
    assert_eq!(until(ClientCredentials, short, Some(NEW), later), later, "the longer counts");
    assert_eq!(until(ClientCredentials, json!({}), None, None), None, "a renewal");
    assert_eq!(until(ClientCredentials, json!({}), None, later), later, "a renewal meanwhile");
    assert_eq!(until(ClientCredentials, json!({}), None, over), None, "over");
    assert_eq!(until(Delegate, json!({}), Some(NEW), None), Some(ends));
    assert_eq!(until(Storefront, json!({}), Some(NEW), None), None, "no app mints it");
    let same = next(Offline, json!({}), Some(NEW), true, None);
    assert_eq!(same.old_secret_until, None, "the same credential, of which more is known now");
    assert_eq!((same.client_secret.as_deref(), same.client_secret_since), (Some(NEW), Some(now())));
    let renewed = next(ClientCredentials, json!({}), None, false, None);
    assert_eq!(renewed.client_secret_since, Some(now() - hours(1)), "since the first one of that secret");
}

#[test]
fn of_a_lost_one_nobody_knows_what_minted_it() {
    let until = |ago| {
        let o = healthy(ClientCredentials, json!({})).without_secret().with(|o| {
            let Ok(Issuer::ClientCredentials(app)) = &mut o.issuer else { unreachable!() };
            app.rotation = Some(Rotation { since: now() - ago, within: minutes(10) });
        });
        o.minted(record(ClientCredentials), Some(NEW.into()), false, now()).old_secret_until
    };
    // It was issued an hour ago.
    assert_eq!(until(minutes(5)), Some(now() + hours(23)));
    assert_eq!(until(hours(2)), None);
}

#[test]
fn it_is_issued_again_when_it_is_its_turn() {
    let turned = |turn, spec| healthy(ClientCredentials, spec).with(|o| o.turn = Some(turn));
    let (due, later) = (Turn::At(now() - minutes(1)), now() + minutes(3));
    let again = Step::Call(Call::Issue(Why::SecretChanged));
    assert_eq!(plan(&turned(due, json!({})), now()).step, again);
    let plans = [
        (turned(Turn::At(later), json!({})), later),
        (turned(Turn::AfterFirst, json!({})), now() + minutes(10)),
        (turned(due, json!({})).failed(Reason::CredentialsRejected, 1, minutes(1), minutes(2)), now() + minutes(2)),
    ];
    for (o, wake_at) in plans {
        let plan = plan(&o, now());
        assert_eq!((plan.step, plan.wake_at), (Step::Keep, Some(wake_at)), "{plan:?}");
    }
    assert_eq!(plan(&turned(due, json!({"suspend": true})), now()).step, Step::Keep);
    let expires = turned(Turn::AfterFirst, json!({})).recorded(|r| r.expires_at = Some(now() + minutes(1)));
    assert_eq!(plan(&expires, now()).step, Step::Call(Call::Issue(Why::Expiring)), "as ever");
    // Nobody's conditions change over it.
    let waiting = turned(Turn::AfterFirst, json!({}));
    let reported = status(&waiting, None, Validity::NotAsked, Attempts::None);
    assert_eq!(Some(reported.conditions), waiting.token.status.map(|status| status.conditions));
}

#[test]
fn which_secret_it_is_on() {
    for kind in [ClientCredentials, Offline] {
        let o = healthy(kind, json!({}));
        assert!(!o.on_old_secret(), "{kind:?}");
        assert!(o.clone().recorded(|r| r.client_secret = Some("another".into())).on_old_secret());
        assert!(o.clone().recorded(|r| r.client_secret = None).on_old_secret(), "nobody knows");
        assert!(!o.without_secret().on_old_secret(), "nothing is there");
    }
    for kind in [Delegate, Storefront] {
        let o = healthy(kind, json!({})).recorded(|r| r.client_secret = None);
        assert!(!o.on_old_secret(), "{kind:?} follows its admin token");
    }
    let offline = |change: fn(&mut Pair)| {
        healthy(Offline, json!({})).with(|o| {
            let Ok(Issuer::Offline(offline)) = &mut o.issuer else { unreachable!() };
            change(offline.recorded.as_mut().and_then(|recorded| recorded.pair.as_mut()).expect("a pair"));
        })
    };
    let forget = |pair: &mut Pair| pair.access.as_mut().expect("an access token").minted_by = None;
    assert!(offline(forget).on_old_secret(), "the record Secret is behind");
    let lone = offline(|pair| pair.refresh = None).recorded(|r| r.client_secret = Some(minted::BROUGHT.into()));
    assert!(!lone.on_old_secret(), "there is nothing to have another one with");
}
