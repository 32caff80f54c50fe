use proptest::prelude::*;

use super::*;
use crate::core::scene::{hours, minutes, now};

const SECOND: TimeDelta = TimeDelta::seconds(1);

fn judge(all: &[Standing], rotation: Option<&Rotation>, refused: bool, now: Timestamp) -> Judgement {
    super::judge(&standings(all, now), rotation, refused)
}

fn standings(all: &[Standing], now: Timestamp) -> Standings {
    let mut standings = Standings::at(now);
    standings.extend(all.iter().cloned());
    standings
}

fn rotated(ago: TimeDelta) -> Rotation {
    Rotation { since: now() - ago, within: minutes(10) }
}

/// A token whose credential was minted by this secret, and ends `left` after now.
fn standing(name: &str, minted_by: Option<&str>, left: Option<TimeDelta>) -> Standing {
    Standing {
        name: name.into(),
        mint: Mint {
            client_secret: minted_by.map(str::to_owned),
            since: Some(now() - minutes(5)),
            issued_at: now() - hours(1),
            expires_at: left.map(|left| now() + left),
            old_until: None,
            issuer: Some("id".into()),
        },
        current: "new".into(),
        overlap: hours(24),
        rests: None,
    }
}

fn old(left: TimeDelta) -> Standing {
    standing("old", Some("old"), Some(left))
}

fn moved(left: TimeDelta, old_until: Option<TimeDelta>) -> Standing {
    let mut standing = standing("moved", Some("new"), Some(left));
    standing.mint.old_until = old_until.map(|left| now() + left);
    standing
}

fn resting(name: &str, rests: Rests) -> Standing {
    Standing { rests: Some(rests), ..standing(name, Some("old"), Some(hours(2))) }
}

fn at(after: TimeDelta) -> String {
    time::print(now() + after)
}

#[test]
fn before_any_rotation_it_is_safe() {
    let all = [moved(hours(1), None), standing("unknown", None, None)];
    let judged = judge(&all, None, false, now());
    assert_eq!((judged.total, judged.on_current, judged.safe, judged.wake_at), (2, 1, true, None));
    assert!(!standings(&all, now()).is_under_way(), "of one nobody knows which secret minted it");
    assert!(standings(&[old(hours(1))], now()).is_under_way(), "as after a restore");
    assert!(!standings(&[old(hours(-1))], now()).is_under_way());
    assert!(!standings(&[standing("brought", Some(minted::BROUGHT), None)], now()).is_under_way());
}

/// What is judged of these, 5 minutes after the change: total, those on the current secret, safe, when to look again; and
/// the message, which has to say this.
fn check(
    about: &str,
    all: &[Standing],
    refused: bool,
    wanted: (usize, usize, bool),
    wakes: Option<TimeDelta>,
    says: &str,
) {
    let judged = judge(all, Some(&rotated(minutes(5))), refused, now());
    assert_eq!((judged.total, judged.on_current, judged.safe), wanted, "{about}: {judged:?}");
    assert_eq!(judged.wake_at, wakes.map(|wakes| now() + wakes), "{about}");
    assert!(judged.message.contains(says), "{about}: {}", judged.message);
    assert_eq!(judged.stopped, judged.message.contains("refuses"), "{about}");
}

#[test]
fn what_holds_it_and_how_long() {
    let two = Some(hours(2));
    check("no token at all", &[], false, (0, 0, true), None, "no token is on another one");
    let says = format!(
        "1 of 2 tokens is on it; 1 is issued again until about {}; the old one is in use until about",
        at(minutes(5))
    );
    check("one is to follow", &[moved(hours(23), Some(hours(3))), old(hours(2))], false, (2, 1, false), two, &says);
    let says = format!("2 of 2 tokens are on it; applications may use what the old one minted until {}", at(hours(3)));
    let overlaps = [moved(hours(23), Some(hours(3))), moved(hours(23), two)];
    check("overlaps", &overlaps, false, (2, 2, false), two, &says);
    let says = "revoke the old one in the Dev Dashboard; 1 of 2 has a credential that has expired";
    check("all is over", &[moved(hours(23), Some(hours(-1))), old(hours(-1))], false, (2, 1, true), None, says);
    let unknown = standing("unknown", None, two);
    check("the secret is refused", &[old(hours(2)), unknown], true, (2, 0, false), two, "Shopify refuses it");
    let taken = [old(hours(2)), moved(hours(2), None)];
    check("it was taken before one was refused", &taken, true, (2, 1, false), two, "1 is issued again until");
    let says = format!(
        "a suspended (spec.suspend), on the old one until {} at most; applications may use what the old one minted until {0}",
        at(hours(2))
    );
    check("suspended", &[resting("a", Rests::Suspended)], false, (1, 0, false), two, &says);
    let many: Vec<_> = (0..7).map(|n| resting(&format!("t{n}"), Rests::Hindered)).collect();
    check("many", &many, false, (7, 0, false), two, "t0, t1, t2, t3, t4 and 2 more held up");
    let brought = Standing { rests: Some(Rests::Lone), ..standing("b", Some(minted::BROUGHT), None) };
    let all = [moved(hours(2), None), brought];
    check("brought by a person", &all, false, (1, 1, false), None, "don't revoke the old one");
}

#[test]
fn what_is_settled_is_counted_and_not_kept() {
    let all: Vec<_> = (0..10_000).map(|n| moved(hours(2), Some(minutes(-n % 100)))).collect();
    let mut standings = standings(&all, now());
    assert!(standings.others.is_empty());
    standings.extend([moved(hours(2), Some(minutes(1))), old(hours(1)), standing("unknown", None, None)]);
    assert_eq!(standings.others.len(), 3);
    let judged = super::judge(&standings, None, false);
    assert_eq!((judged.total, judged.on_current), (10_003, 10_001));
}

#[test]
fn a_call_that_began_before_may_be_under_way() {
    let judged = |ago| judge(&[], Some(&rotated(ago)), false, now());
    assert_eq!(judged(SECOND * 20).wake_at, Some(now() + SECOND * 40));
    assert!(!judged(SECOND * 59).safe && judged(minutes(1)).safe);
}

fn any_standing() -> impl Strategy<Value = Standing> {
    let seconds = || (-100i64..100_000).prop_map(|s| Some(TimeDelta::seconds(s)));
    let minted = prop_oneof![Just(Some("new")), Just(Some("old")), Just(None)];
    let left = prop_oneof![4 => seconds(), 1 => Just(None)];
    let rests = prop_oneof![Just(None), Just(Some(Rests::Suspended)), Just(Some(Rests::Hindered))];
    let until = prop_oneof![Just(None), seconds()];
    (minted, left, rests, until).prop_map(|(minted, left, rests, until)| {
        let mut one = Standing { rests, ..standing("t", minted, left) };
        one.mint.old_until = until.map(|until| now() + until);
        one
    })
}

proptest! {
    /// What is counted and not kept changes no judgement.
    #[test]
    fn a_count_says_as_much_as_all_of_them(
        all in prop::collection::vec((any_standing(), 0i64..20, prop::bool::weighted(0.2)), 0..8),
        ago in prop::option::of(0i64..1_200),
        refused: bool,
    ) {
        let vary = |(mut standing, since, lone): (Standing, i64, bool)| {
            standing.mint.since = (since > 0).then(|| now() - minutes(since));
            standing.rests = if lone { Some(Rests::Lone) } else { standing.rests };
            standing
        };
        let all: Vec<_> = all.into_iter().map(vary).collect();
        let rotation = ago.map(|ago| rotated(TimeDelta::seconds(ago)));
        let kept = Standings { others: all.clone(), ..Standings::at(now()) };
        prop_assert_eq!(judge(&all, rotation.as_ref(), refused, now()), super::judge(&kept, rotation.as_ref(), refused));
        prop_assert_eq!(standings(&all, now()).is_under_way(), kept.is_under_way());
    }

    /// Looked at only when it says so, it is True no earlier than it may be, and no later.
    #[test]
    fn it_is_true_when_it_may_be(all in prop::collection::vec(any_standing(), 0..8), ago in 0i64..200) {
        let rotation = rotated(TimeDelta::seconds(ago));
        let ends = all.iter().flat_map(|s| {
            let another = s.mint.client_secret.as_deref() != Some("new");
            [another.then(|| s.mint.expires_at.unwrap_or(Timestamp::MAX_UTC)), s.mint.old_until]
        });
        let end = ends.flatten().fold(rotation.since + IN_FLIGHT, Timestamp::max);
        let mut time = now();
        loop {
            let judged = judge(&all, Some(&rotation), false, time);
            prop_assert_eq!(judged.safe, time >= end, "at {}: {:?}", time, judged);
            prop_assert!(judged.wake_at.is_none_or(|at| at > time));
            let Some(next) = judged.wake_at else {
                prop_assert!(judged.safe || end == Timestamp::MAX_UTC, "{judged:?}");
                break;
            };
            time = next;
        }
    }
}
