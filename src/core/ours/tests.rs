use serde_json::json;

use super::*;
use crate::{
    api::SourceKind,
    core::scene::{healthy, hours, id, identity, minutes, now, previous, secret_string},
    core::secret::SecretState,
};

/// A listed token `n` with a title.
fn listed(n: i64, title: &str) -> StorefrontToken {
    StorefrontToken {
        id: id(n),
        value: secret_string("canary"),
        title: title.to_owned(),
        scopes: vec!["unauthenticated_read_products".into()],
        created_at: None,
    }
}

/// Listed token `n`, which carries the marker of revision `n`.
fn marked(n: i64) -> StorefrontToken {
    listed(n, &Marker { uid: identity().uid, revision: n }.title("web"))
}

/// Revision 3 is published, with an overlap of an hour.
fn observed() -> Observed {
    healthy(SourceKind::Storefront, json!({"rotation": {"overlap": "1h"}}))
}

fn requiring(scope: &str) -> Observed {
    healthy(SourceKind::Storefront, json!({"requiredScopes": [scope]}))
}

#[test]
fn ours_are_known_by_marker_or_record() {
    let all = [
        marked(2),
        listed(3, "web"),
        listed(4, "web #stok:another:4"),
        listed(5, "web"),
        marked(1),
        listed(6, "web #stok:0a1b2c3d:x"),
    ];
    let known = |o: &Observed| Ours::among(&all, o).ids().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(known(&observed()), [id(1), id(2), id(3)], "oldest first; 3 is in the record");
    assert_eq!(known(&observed().without_secret()), [id(1), id(2)]);
    let restored = observed().with(|o| o.identity.uid = "new".into());
    assert_eq!(known(&restored), [id(3)], "after a restore the record still knows its token");
}

#[test]
fn the_next_revision_is_after_all_that_are_known() {
    let next = |listed: &[StorefrontToken], o: &Observed| Ours::among(listed, o).next_revision();
    assert_eq!(next(&[], &observed()), 4);
    assert_eq!(next(&[marked(3), marked(7)], &observed()), 8);
    assert_eq!(next(&[marked(1)], &observed().without_secret()), 4, "status keeps the count");
    assert_eq!(next(&[marked(i64::MAX)], &observed()), i64::MAX);
}

#[test]
fn what_the_old_name_held_goes_on_under_the_new_one() {
    // The first was made with another app, whose list isn't asked.
    let overlap = vec![previous(1, minutes(5)), previous(2, minutes(10))];
    let renamed = observed().recorded(|r| r.previous = overlap.clone()).under_another_name();
    let (all, less) = ([marked(2), listed(3, "web")], [marked(2)]);
    let ours = Ours::among(&all, &renamed);
    let (revision, token) = ours.candidate(Why::Renamed).unwrap();
    assert_eq!((revision, token.id.clone()), (3, id(3)), "3 is in the record");
    let current = Current { id: &id(3), revision: 3, moved: false };
    assert_eq!(ours.previous(current, now()), overlap, "each keeps its time");
    assert!(ours.candidate(Why::Requested).is_none(), "a rotation that is asked for is one");

    let ours = Ours::among(&less, &renamed);
    let (revision, token) = ours.candidate(Why::Renamed).unwrap();
    assert_eq!((revision, token.id.clone()), (3, id(2)), "never behind the old name, or it would be done again");
}

#[test]
fn what_is_adopted_instead_of_creating_another() {
    let poor = |n: i64| StorefrontToken { scopes: vec![], ..marked(n) };
    let (scope, lost) = ("unauthenticated_read_products", || observed().without_secret());
    let unread = || {
        observed().with(|o| {
            let SecretState::Ours(held) = &mut o.secret else { unreachable!() };
            held.value = None;
        })
    };
    #[rustfmt::skip]
    let cases = vec![
        ("nothing is listed", lost(), Why::Lost, vec![], None),
        ("another's", lost(), Why::Lost, vec![listed(9, "web")], None),
        ("the Secret is gone", lost(), Why::Lost, vec![marked(2), marked(3)], Some(3)),
        ("a first attempt was interrupted", lost(), Why::First, vec![marked(1)], Some(1)),
        ("the value is gone", unread(), Why::Lost, vec![marked(2), marked(3)], Some(3)),
        ("the value is gone, a newer one was made", unread(), Why::Lost, vec![marked(3), marked(4)], Some(4)),
        ("the value and the token are gone", unread(), Why::Lost, vec![marked(2)], Some(2)),
        ("a rotation begins", observed(), Why::Requested, vec![marked(2), marked(3)], None),
        ("a rotation was interrupted", observed(), Why::Requested, vec![marked(3), marked(4)], Some(4)),
        ("replaced at Shopify", observed(), Why::Rejected, vec![marked(2)], None),
        ("scopes: the newest has them", requiring(scope), Why::ScopesMissing, vec![marked(3), marked(4)], Some(4)),
        ("scopes: the newest lacks them", requiring(scope), Why::ScopesMissing, vec![marked(3), poor(4)], None),
        ("scopes: an older one has them", requiring(scope).without_secret(), Why::Lost, vec![marked(3), poor(4)], Some(3)),
        ("scopes: none has them", requiring("unauthenticated_read_orders").without_secret(), Why::Lost, vec![marked(3)], None),
    ];
    for (name, observed, why, listed, expected) in cases {
        let found = Ours::among(&listed, &observed).candidate(why).map(|(revision, _)| revision);
        assert_eq!(found, expected, "{name}");
    }
}

/// What becomes of the other tokens: their numbers, and in how many minutes they are revoked.
fn fates(all: &[Previous]) -> Vec<(String, i64)> {
    all.iter().map(|p| (p.id.rsplit('/').next().unwrap().to_owned(), (p.revoke_at - now()).num_minutes())).collect()
}

#[test]
fn what_becomes_of_the_others() {
    let in_overlap = |n, left| observed().recorded(|r| r.previous = vec![previous(n, left)]);
    let elsewhere = |n, left| {
        observed().recorded(|r| r.previous = vec![Previous { admin: Some("older".into()), ..previous(n, left) }])
    };
    let (rotated, moved) = (false, true);
    #[rustfmt::skip]
    let cases = vec![
        ("the one it replaces gets a whole overlap", observed(), rotated, vec![marked(3), marked(4)], vec![("3", 60)]),
        ("one in overlap keeps its time", in_overlap(2, minutes(20)), rotated, vec![marked(2), marked(3), marked(4)], vec![("2", 20), ("3", 60)]),
        ("one in overlap that isn't listed may live", in_overlap(2, minutes(20)), rotated, vec![marked(3), marked(4)], vec![("2", 20), ("3", 60)]),
        ("one that was deleted there is forgotten", observed(), rotated, vec![marked(4)], vec![]),
        ("one that is too young to be listed isn't", observed().recorded(|r| r.issued_at = now()), rotated, vec![marked(4)], vec![("3", 60)]),
        ("one in overlap from before a restore keeps its time", in_overlap(2, minutes(20)), rotated, vec![listed(2, "web #stok:before:2"), marked(3), marked(4)], vec![("2", 20), ("3", 60)]),
        ("one in overlap with another admin token stays", elsewhere(2, minutes(20)), rotated, vec![marked(3), marked(4)], vec![("2", 20), ("3", 60)]),
        ("a stray may have been published", observed(), rotated, vec![marked(1), marked(3), marked(4)], vec![("1", 60), ("3", 60)]),
        ("a later one never was", observed(), rotated, vec![marked(3), marked(4), marked(5)], vec![("3", 60), ("5", 0)]),
        ("a refused one that is still listed keeps its overlap", observed(), rotated, vec![marked(3), marked(4)], vec![("3", 60)]),
        ("a moved one is in another app's list", observed(), moved, vec![marked(4)], vec![("3", 60)]),
        ("moved, within the same app's list", observed(), moved, vec![marked(3), marked(4)], vec![("3", 60)]),
        ("moved, while one is in overlap", in_overlap(2, minutes(20)), moved, vec![marked(4)], vec![("2", 20), ("3", 60)]),
        ("nothing is known", observed().without_secret(), rotated, vec![marked(3), marked(4), marked(5)], vec![("3", 60), ("5", 0)]),
    ];
    for (name, observed, moved, listed, expected) in cases {
        let current = Current { id: &id(4), revision: 4, moved };
        let expected: Vec<_> = expected.into_iter().map(|(n, left)| (n.to_owned(), left)).collect();
        assert_eq!(fates(&Ours::among(&listed, &observed).previous(current, now())), expected, "{name}");
    }
}

/// In whole seconds, as status says it, and never earlier than a whole overlap.
#[test]
fn an_overlap_ends_when_status_says_so() {
    let looked = now() + TimeDelta::milliseconds(300);
    let (ends, at_once) = (now() + hours(1) + TimeDelta::seconds(1), looked);
    let (observed, all) = (observed(), [marked(1), marked(3), marked(4), marked(5)]);
    let when = |all: Vec<Previous>| all.into_iter().map(|p| (p.id, p.revoke_at)).collect::<Vec<_>>();
    let others = Ours::among(&all, &observed).previous(Current { id: &id(4), revision: 4, moved: false }, looked);
    assert_eq!(when(others), [(id(1), ends), (id(3), ends), (id(5), at_once)]);
    let strays = Ours::among(&all, &observed).strays(observed.record().unwrap(), looked);
    assert_eq!(when(strays), [(id(1), ends), (id(4), at_once), (id(5), at_once)]);
}

#[test]
fn what_is_being_revoked_is_not_taken_up_again() {
    let revoking = Previous { revoking: Some(3), ..previous(4, minutes(-1)) };
    let observed = observed().recorded(|r| r.previous = vec![revoking.clone()]);
    let all = [marked(3), marked(4)];
    assert!(Ours::among(&all, &observed).candidate(Why::Requested).is_none());
    let others = Ours::among(&all, &observed).previous(Current { id: &id(5), revision: 5, moved: false }, now());
    assert!(others.contains(&revoking), "{others:?}");
}

#[test]
fn strays_are_neither_current_nor_in_overlap() {
    let observed = observed().recorded(|r| r.previous = vec![previous(2, hours(1))]);
    let all = [marked(1), marked(2), marked(3), marked(4), listed(5, "web")];
    let strays = Ours::among(&all, &observed).strays(observed.record().unwrap(), now());
    assert_eq!(fates(&strays), [("1".to_owned(), 60), ("4".to_owned(), 0)]);
}

/// Revision 3 was put back, and status still knows of 4, which applications hold.
#[test]
fn what_was_published_before_an_older_one_was_put_back_keeps_its_overlap() {
    let observed = observed().with(|o| o.token.status.as_mut().unwrap().revision = Some(4));
    let all = [marked(3), marked(4), marked(5)];
    let ours = Ours::among(&all, &observed);
    assert_eq!(fates(&ours.strays(observed.record().unwrap(), now())), [("4".to_owned(), 60), ("5".to_owned(), 0)]);
    let others = ours.previous(Current { id: &id(3), revision: 3, moved: false }, now());
    assert_eq!(fates(&others), [("4".to_owned(), 60), ("5".to_owned(), 0)]);
    let adopted = Ours::among(&all[..2], &observed).candidate(Why::Requested).map(|(revision, _)| revision);
    assert_eq!(adopted, Some(4), "that is what the rotation had brought");
}
