use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    api::SourceKind::{ClientCredentials, Offline},
    core::{
        observed::Observed,
        scene::{healthy, hours, minted_by, minutes, now},
    },
    time,
};

fn token(n: usize) -> Identity {
    Identity { namespace: "shop".into(), name: format!("t-{n:03}"), uid: n.to_string() }
}

fn waits(due: TimeDelta) -> State {
    State::Waits { due: now() + due, hindered: Hindered::No }
}

const HINDERED: State = State::Waits { due: Timestamp::MIN_UTC, hindered: Hindered::Yes };

fn rotation() -> Rotation {
    Rotation { since: now(), within: minutes(10) }
}

fn members(states: &[State]) -> Vec<Member> {
    states.iter().enumerate().map(|(n, state)| Member { token: token(n), state: *state }).collect()
}

/// Seconds after the change until each one's turn; `None` while it waits for the first, or has none.
fn turns(states: &[State], resumed: Timestamp) -> Vec<Option<i64>> {
    let schedule = Schedule::of(&members(states), &rotation(), resumed);
    let turn = |n: usize| match schedule.turns.get(&token(n)) {
        Some(Turn::At(at)) => Some((*at - now()).num_seconds()),
        Some(Turn::AfterFirst) | None => None,
    };
    (0..states.len()).map(turn).collect()
}

#[test]
fn one_goes_first_and_nothing_else_before_it_has_succeeded() {
    let earlier = now() - hours(1);
    assert_eq!(turns(&[waits(hours(3)), waits(hours(1)), waits(hours(2))], earlier), [None, Some(0), None]);
    // What fails for a reason of its own shows nothing.
    assert_eq!(turns(&[HINDERED, waits(hours(1)), waits(hours(2))], earlier), [None, Some(0), None]);
    assert_eq!(turns(&[HINDERED, HINDERED], earlier), [None, None]);
    // What was refused before the secret changed may be refused for ever.
    let refused = State::Waits { due: Timestamp::MIN_UTC, hindered: Hindered::Perhaps };
    assert_eq!(turns(&[refused, waits(hours(1)), HINDERED], earlier), [None, Some(0), None]);
    assert_eq!(turns(&[HINDERED, refused], earlier), [None, Some(0)], "unless nobody else can show anything");
    // The old one was put back: that some were never on another shows nothing either.
    assert_eq!(turns(&[State::There, waits(hours(1)), waits(hours(2))], earlier), [None, Some(0), None]);
    assert_eq!(turns(&[State::Rests, State::There], earlier), [None, None]);
}

#[test]
fn the_others_follow_evenly_soonest_due_first() {
    let (earlier, moved) = (now() - hours(1), State::Moved(now()));
    let states = [waits(hours(3)), moved, waits(hours(1)), waits(hours(2)), State::Rests, State::There];
    assert_eq!(turns(&states, earlier), [Some(450), None, Some(150), Some(300), None, None]);
    // Another has moved since, by its turn or by a renewal: the rest keep theirs.
    let states = [waits(hours(3)), moved, State::Moved(now() + minutes(1)), waits(hours(2))];
    assert_eq!(turns(&states, earlier), [Some(450), None, None, Some(300)]);
    // The secret was refused for an hour before.
    let states = [State::Moved(now() + hours(1)), waits(hours(1))];
    assert_eq!(turns(&states, earlier), [None, Some(3600 + 300)]);
}

#[test]
fn what_fell_behind_is_made_up_for_at_twice_the_pace() {
    let states = [State::Moved(now()), waits(hours(1)), waits(hours(2)), waits(hours(3))];
    assert_eq!(turns(&states, now() + minutes(8)), [None, Some(480 + 75), Some(480 + 150), Some(480 + 225)]);
}

#[test]
fn what_a_token_is_among_the_others() {
    let of = |o: &Observed, mint: Option<&Mint>| {
        Member::of(&o.token, mint, |_| "current".to_owned(), &rotation()).expect("a token").state
    };
    let o = healthy(ClientCredentials, json!({}));
    let mint = Mint::of(o.record().expect("a record"));
    let current = |since| Mint { client_secret: Some("current".into()), since: Some(since), ..mint.clone() };
    assert_eq!(of(&o, Some(&current(now()))), State::Moved(now()));
    assert_eq!(of(&o, Some(&current(now() - hours(1)))), State::There);
    assert!(matches!(of(&o, Some(&mint)), State::Waits { hindered: Hindered::No, .. }));
    assert_eq!(of(&o, None), State::Rests, "it is issued with the current one anyway");
    assert_eq!(of(&healthy(ClientCredentials, json!({"suspend": true})), Some(&mint)), State::Rests);
    assert_eq!(of(&o.clone().deleting(minutes(1)), Some(&mint)), State::Rests);
    let failed = |reason| o.clone().failed(reason, 1, minutes(1), minutes(1));
    assert!(matches!(of(&failed(Reason::AppNotInstalled), Some(&mint)), State::Waits { hindered: Hindered::Yes, .. }));
    let refused = failed(Reason::CredentialsRejected);
    assert!(matches!(of(&refused, Some(&mint)), State::Waits { hindered: Hindered::No, .. }), "it is the first still");
    // Without a refresh token there is nothing to issue it again with.
    let lone = healthy(Offline, json!({}));
    let lone_mint = Mint { expires_at: None, client_secret: Some(minted_by(Offline)), ..mint.clone() };
    assert_eq!(of(&lone, Some(&lone_mint)), State::Rests);
}

proptest! {
    /// Whoever comes when its turn is told to be finds that it is; all come in order, evenly and in time.
    #[test]
    fn all_move_in_order_evenly_and_in_time(
        dues in prop::collection::vec(1i64..100_000, 1..60),
        per in 2i64..600,
        late in prop::collection::vec(0i64..1_000, 60),
        away in prop_oneof![2 => Just(None), 1 => (1i64..1_000, 1i64..10_000).prop_map(Some)],
    ) {
        let count = i64::try_from(dues.len()).unwrap_or_default();
        let rotation = Rotation { since: now(), within: TimeDelta::seconds(per * count) };
        let mut members = members(&dues.iter().map(|due| waits(TimeDelta::seconds(*due))).collect::<Vec<_>>());
        let (mut at, mut started, mut order, mut times) = (now(), now() - hours(1), Vec::new(), Vec::new());
        let next = |members: &[Member], started| {
            let turns = Schedule::of(members, &rotation, started).turns.into_iter();
            let known = turns.filter_map(|(token, turn)| match turn {
                Turn::At(at) => Some((at, token)),
                Turn::AfterFirst => None,
            });
            known.min()
        };
        while let Some((turn, token)) = next(&members, started) {
            at = at.max(turn) + TimeDelta::milliseconds(late[order.len()]);
            if let Some((from, long)) = away {
                let (from, to) = (now() + TimeDelta::seconds(from), now() + TimeDelta::seconds(from + long));
                if at >= from && at < to {
                    // Another process goes on.
                    (at, started) = (to, to);
                    continue;
                }
            }
            let member = members.iter_mut().find(|member| member.token == token).expect("a member");
            let State::Waits { due, .. } = member.state else { panic!("it has moved") };
            order.push(due);
            times.push(at);
            // Records keep whole seconds.
            member.state = State::Moved(time::round_down(at));
        }
        prop_assert_eq!(order.len(), dues.len(), "all have moved");
        prop_assert!(order.is_sorted(), "{:?}", order);
        let least = TimeDelta::milliseconds(per * 500 - 1_000);
        prop_assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= least), "{:?}", times);
        let slack = TimeDelta::seconds(2 + away.map_or(0, |(_, long)| long));
        prop_assert!(times.last().is_some_and(|last| *last <= rotation.since + rotation.within + slack), "{:?}", times);
    }
}
