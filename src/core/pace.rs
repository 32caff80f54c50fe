//! How often steps that succeed may follow one another: whoever undoes them again and again is outwaited.

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::TimeDelta;
use kube::ResourceExt;

use super::{
    failure::Failure,
    hold::Hold,
    observed::Observed,
    plan::{Call, Plan, Step, Why, plan_without},
    record::Record,
    vocabulary::{REQUESTED_AT, ROTATE_AT, Reason},
};
use crate::time::Timestamp;

/// Steps in a row that wait for nothing.
const FREE: u32 = 3;
/// The first pause; each further one is twice as long.
const FIRST: TimeDelta = TimeDelta::seconds(2);
/// The longest pause. A row ends when nothing happens for this and twice the pause.
const LONGEST: TimeDelta = TimeDelta::minutes(5);

/// Steps that others can make necessary again and again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Paced {
    /// A credential is issued, though not by the clock.
    Issue,
    /// The Secret is written anew.
    Repair,
    /// A workload is restarted.
    Restart,
    /// A finalizer is put on or taken off.
    Protect,
    /// A Secret that an older spec named is marked or left.
    Leave,
}

impl Paced {
    /// What a step counts as. One that comes by the clock has a bound of its own, and waits for nothing here, unless the
    /// record that asks for it is `others`': who puts an old one back makes it due again and again.
    #[must_use]
    pub const fn of(step: Step, others: bool) -> Option<Self> {
        match step {
            Step::Call(Call::Issue(
                Why::First
                | Why::Lost
                | Why::Renamed
                | Why::Rejected
                | Why::InputsChanged
                | Why::ParentChanged
                | Why::ScopesMissing
                | Why::Requested
                | Why::Replaced
                | Why::Approved,
            )) => Some(Self::Issue),
            Step::Call(Call::Issue(Why::SecretChanged | Why::Expiring | Why::Interval)) if others => Some(Self::Issue),
            Step::Call(Call::Verify | Call::EndOverlap) if others => Some(Self::Repair),
            Step::Begin | Step::Repair => Some(Self::Repair),
            Step::Restart => Some(Self::Restart),
            Step::Protect => Some(Self::Protect),
            Step::Leave => Some(Self::Leave),
            Step::Call(
                Call::Issue(Why::SecretChanged | Why::Expiring | Why::Interval)
                | Call::Verify
                | Call::EndOverlap
                | Call::Revoke,
            )
            | Step::Keep
            | Step::LetGo(_) => None,
        }
    }
}

/// What one object did lately. Of bounded size.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// Hash of what a person changes.
    basis: u64,
    /// Hash of the record that was written last.
    wrote: Option<u64>,
    /// One a kind at most: most objects have one, if any.
    rows: Vec<(Paced, Row)>,
}

/// Steps of a kind that followed one another.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    steps: u32,
    last: Timestamp,
}

impl Row {
    fn pause(self) -> TimeDelta {
        match self.steps.checked_sub(FREE) {
            None => TimeDelta::zero(),
            Some(further) => (FIRST * 2i32.pow(further.min(16))).min(LONGEST),
        }
    }

    /// Whether it goes on at `now`. One from the future was written before the clock was set back.
    fn goes_on(self, now: Timestamp) -> bool {
        self.steps > 0 && self.last <= now && now - self.last < LONGEST + self.pause() * 2
    }
}

impl Pace {
    /// A step was taken. Says whether the next one is the first in its row that has to wait: the moment to
    /// tell that somebody else undoes what is done.
    ///
    /// `basis` is what a person changes to have a step taken at once: generation, inputs, requests.
    pub fn taken(&mut self, kind: Paced, now: Timestamp, basis: &str) -> bool {
        let basis = hash(basis);
        if self.basis != basis {
            self.rows.clear();
            self.basis = basis;
        }
        let row = self.row(kind);
        let steps = if row.goes_on(now) { row.steps.saturating_add(1) } else { 1 };
        self.rows.retain(|(other, row)| *other != kind && row.goes_on(now));
        self.rows.reserve_exact(1);
        self.rows.push((kind, Row { steps, last: now }));
        steps == FREE
    }

    fn row(&self, kind: Paced) -> Row {
        self.rows.iter().find(|(other, _)| *other == kind).map(|(_, row)| *row).unwrap_or_default()
    }

    /// A record was written, and is as the API server has it.
    pub fn wrote(&mut self, record: &Record) {
        self.wrote = Some(hash(record));
    }

    /// Whether somebody else has written the record, or taken it away, since this process wrote one.
    #[must_use]
    pub fn is_others(&self, record: Option<&Record>) -> bool {
        self.wrote.is_some_and(|wrote| record.map(hash) != Some(wrote))
    }

    /// When a step of the kind may be taken, if not yet: at most 5 minutes from now.
    #[must_use]
    pub fn not_before(&self, kind: Paced, now: Timestamp, basis: &str) -> Option<Timestamp> {
        let row = self.row(kind);
        let same = self.basis == hash(basis);
        Some(row.last + row.pause()).filter(|at| same && row.goes_on(now) && *at > now)
    }
}

/// What a row of steps is about: when it changes, the steps that follow have a reason of their own.
#[must_use]
pub fn basis(o: &Observed) -> String {
    let asked = |name| o.token.annotations().get(name).map_or("", String::as_str);
    format!("{}/{}/{}", o.dependencies, asked(REQUESTED_AT), asked(ROTATE_AT))
}

/// The plan without these calls, with its step put off if the same one was taken again and again.
#[must_use]
pub fn plan_slowed(o: &Observed, waiting: &[Call], pace: &Pace, now: Timestamp) -> Plan {
    let plan = plan_without(o, waiting, now);
    let Some(kind) = Paced::of(plan.step, pace.is_others(o.record())) else { return plan };
    let Some(at) = pace.not_before(kind, now, &basis(o)) else { return plan };
    if plan.step == Step::Repair {
        // Nothing else has to wait for that.
        let next = plan_slowed(&Observed { drifted: false, ..o.clone() }, waiting, pace, now);
        return Plan { wake_at: next.wake_at.into_iter().chain([at]).min(), ..next };
    }
    let hold = match kind {
        Paced::Issue => {
            let message = format!(
                "Secret {:?} has lost its credential again and again; the next is issued after a pause: find who else writes the Secret (kubectl get secret --show-managed-fields)",
                o.token.secret_name()
            );
            plan.hold.or(Some(Hold::Blocked(Failure::new(Reason::BackingOff, message))))
        }
        Paced::Repair | Paced::Restart | Paced::Protect | Paced::Leave => plan.hold,
    };
    Plan { step: Step::Keep, hold, wake_at: plan.wake_at.into_iter().chain([at]).min() }
}

/// Within this process alone, and always the same in it.
fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        core::{
            plan::plan,
            scene::{healthy, minutes, previous},
        },
    };

    const KINDS: [Paced; 5] = [Paced::Issue, Paced::Repair, Paced::Restart, Paced::Protect, Paced::Leave];

    fn start() -> Timestamp {
        Timestamp::from_timestamp(1_790_000_000, 0).unwrap()
    }

    #[test]
    fn each_of_a_row_waits_longer_and_one_tells_of_it() {
        let (mut pace, mut now, mut waits, mut told) = (Pace::default(), start(), Vec::new(), Vec::new());
        for _ in 0..12 {
            told.push(pace.taken(Paced::Repair, now, "a"));
            let next = pace.not_before(Paced::Repair, now, "a").unwrap_or(now);
            waits.push((next - now).num_seconds());
            now = next;
        }
        assert_eq!(waits, [0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(told.iter().filter(|t| **t).count(), 1);
        assert!(told[2]);
    }

    #[test]
    fn a_change_quiet_and_a_clock_set_back_end_a_row_of_one_kind() {
        let (mut pace, now) = (Pace::default(), start());
        for _ in 0..20 {
            pace.taken(Paced::Repair, now, "a");
        }
        assert!(pace.not_before(Paced::Repair, now, "a").is_some());
        assert_eq!(pace.not_before(Paced::Issue, now, "a"), None, "another kind");
        assert_eq!(pace.not_before(Paced::Repair, now, "b"), None, "a change");
        assert_eq!(pace.not_before(Paced::Repair, now - TimeDelta::hours(1), "a"), None, "a clock set back");
        let quiet = now + LONGEST * 3;
        assert_eq!(pace.not_before(Paced::Repair, quiet, "a"), None);
        assert!(!pace.taken(Paced::Repair, quiet, "a"));
        assert_eq!(pace.not_before(Paced::Repair, quiet, "a"), None, "a single edit after quiet is repaired at once");
    }

    #[test]
    fn what_comes_by_the_clock_is_not_paced() {
        let of = |step| Paced::of(step, false);
        assert_eq!(of(Step::Call(Call::Issue(Why::Expiring))), None);
        assert_eq!(of(Step::Call(Call::Issue(Why::Lost))), Some(Paced::Issue));
        assert_eq!(of(Step::Repair), Some(Paced::Repair));
    }

    #[test]
    fn what_comes_by_the_clock_of_a_record_that_others_put_back_is() {
        let now = crate::core::scene::now();
        let fresh = healthy(SourceKind::Storefront, json!({}));
        let ended =
            healthy(SourceKind::Storefront, json!({})).recorded(|r| r.previous = vec![previous(2, minutes(-1))]);
        let unverified = healthy(SourceKind::Storefront, json!({})).reported(|s| s.last_verified_time = None);
        let expired = healthy(SourceKind::ClientCredentials, json!({})).recorded(|r| r.expires_at = Some(now));
        let step = |o: &Observed, pace: &Pace| plan_slowed(o, &[], pace, now).step;
        for (o, kind) in [(&ended, Paced::Repair), (&unverified, Paced::Repair), (&expired, Paced::Issue)] {
            let by_the_clock = plan(o, now).step;
            assert!(matches!(by_the_clock, Step::Call(_)), "{by_the_clock:?}");
            let mut pace = Pace::default();
            for _ in 0..4 {
                assert_eq!(step(o, &pace), by_the_clock, "nothing of it was written");
                pace.taken(kind, now, &basis(o));
            }
            pace.wrote(o.record().unwrap());
            assert_eq!(step(o, &pace), by_the_clock, "it is our own");
            let newer = fresh.clone().recorded(|r| r.revision = 4);
            pace.wrote(newer.record().unwrap());
            assert_eq!(step(o, &pace), Step::Keep, "an older one was put back");
        }
    }

    #[test]
    fn a_repair_that_is_put_off_holds_up_no_verification() {
        let (mut pace, now) = (Pace::default(), crate::core::scene::now());
        let edited = |due: bool| {
            healthy(SourceKind::Storefront, json!({}))
                .with(|o| o.drifted = true)
                .reported(|s| s.last_verified_time = s.last_verified_time.take().filter(|_| !due))
        };
        for _ in 0..3 {
            assert_eq!(plan_slowed(&edited(true), &[], &pace, now).step, Step::Repair);
            pace.taken(Paced::Repair, now, &basis(&edited(true)));
        }
        let after = |due| plan_slowed(&edited(due), &[], &pace, now);
        assert_eq!(after(true).step, Step::Call(Call::Verify));
        assert_eq!(after(false).step, Step::Keep);
        let at = pace.not_before(Paced::Repair, now, &basis(&edited(false)));
        assert_eq!(after(false).wake_at, at);
        assert_eq!(after(true).wake_at, at);
    }

    proptest! {
        #[test]
        fn no_one_is_held_long_and_none_is_fast(
            kind in proptest::sample::select(KINDS.to_vec()),
            // Milliseconds: never a gap, short ones, or now and then one that ends the row.
            gaps in proptest::collection::vec(
                prop_oneof![20 => Just(0i64), 10 => 0i64..5_000, 1 => 0i64..400_000, 1 => 300_000i64..1_000_000], 1..600,
            ),
        ) {
            let (mut pace, mut now, mut at) = (Pace::default(), start(), Vec::new());
            for gap in gaps {
                now += TimeDelta::milliseconds(gap);
                if let Some(next) = pace.not_before(kind, now, "a") {
                    prop_assert!(next - now <= TimeDelta::minutes(5));
                    now = next;
                }
                pace.taken(kind, now, "a");
                at.push(now);
            }
            for (n, begin) in at.iter().enumerate() {
                let within = at[n..].iter().take_while(|t| **t - *begin < TimeDelta::hours(1)).count();
                prop_assert!(within <= 90, "{within} steps in an hour");
            }
        }
    }
}
