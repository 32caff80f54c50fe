//! The grace of what is applied at once: what isn't there yet is no Warning for the first seconds.
//!
//! The condition says at once what is missing, and by how it ends whether a Warning has told of it. So a process that
//! comes after this one knows that too.

use chrono::TimeDelta;

use super::{
    condition::{find, obstacle},
    vocabulary::{Reason, conditions},
};
use crate::{
    api::ShopifyTokenStatus,
    time::{self, Timestamp},
};

/// How long what is missing is waited for before a Warning tells of it.
pub const GRACE: TimeDelta = TimeDelta::seconds(10);

/// How the message of Reconciling ends as long as no Warning has told of it.
pub(super) const UNTOLD: &str = "; a warning follows if that lasts";

/// Whether what is missing may be on its way, so that its Warning waits: for 10 seconds since something was missing,
/// unless it was told already.
#[must_use]
pub(super) fn lasts(before: &ShopifyTokenStatus, missing: Reason, now: Timestamp) -> bool {
    let end = waiting_since(before).unwrap_or(now) + GRACE;
    // What begins in the future was written before the clock was set back.
    may_come(missing) && told(before) != Some(missing) && now < end && end <= now + GRACE
}

/// When a Warning will have to tell what the conditions say, if nothing comes until then. Later than now.
#[must_use]
pub fn ends_at(status: &ShopifyTokenStatus, now: Timestamp) -> Option<Timestamp> {
    waiting_since(status).filter(|_| is_untold(status)).map(|since| since + GRACE).filter(|end| *end > now)
}

/// Whether a Warning has to tell now what stands in the way after this look, and didn't after the one before.
#[must_use]
pub fn is_news(before: Option<&ShopifyTokenStatus>, after: &ShopifyTokenStatus, obstacle: Reason) -> bool {
    !is_untold(after) && before.and_then(told) != Some(obstacle)
}

/// What stands in the way, if a Warning has told of it.
#[must_use]
pub fn told(status: &ShopifyTokenStatus) -> Option<Reason> {
    obstacle(status).filter(|_| !is_untold(status))
}

fn is_untold(status: &ShopifyTokenStatus) -> bool {
    find(&status.conditions, conditions::RECONCILING).is_some_and(|c| c.message.ends_with(UNTOLD))
}

fn waiting_since(status: &ShopifyTokenStatus) -> Option<Timestamp> {
    find(&status.conditions, conditions::RECONCILING).map(|c| time::from_kube(&c.last_transition_time))
}

fn may_come(missing: Reason) -> bool {
    matches!(missing, Reason::AppNotFound | Reason::CredentialsMissing | Reason::AdminTokenNotReady)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        core::{
            failure::Failure,
            hold::Hold,
            scene::{healthy, now, snapshot},
            status::{Attempts, Validity, project},
        },
    };

    const ADMIN: Option<Reason> = Some(Reason::AdminTokenNotReady);
    const APP: Option<Reason> = Some(Reason::AppNotFound);
    const LIMIT: Option<Reason> = Some(Reason::LimitReached);

    /// A look at a time in milliseconds: what is missing then.
    type Look = (i64, Option<Reason>);
    /// What a Warning tells, and when.
    type Told = (i64, Reason);

    /// Looks at a token at these times, and when the grace is over. Gives back what was told, and when.
    fn looks(at: &[Look]) -> Vec<Told> {
        let mut o = healthy(SourceKind::Storefront, json!({})).with(|o| o.token.status = None);
        let (mut all, mut wake) = (Vec::new(), None);
        let mut look = |millis: i64, missing: Option<Reason>| {
            let time = now() + TimeDelta::milliseconds(millis);
            let hold = missing.map(|reason| Hold::Blocked(Failure::new(reason, "make it")));
            let after = project(&snapshot(&o, hold.as_ref(), Validity::NotAsked, Attempts::None), time);
            if let Some(missing) = missing {
                assert_eq!(obstacle(&after), Some(missing), "the condition says it at once");
                all.extend(is_news(o.status(), &after, missing).then_some((millis, missing)));
            }
            let next = ends_at(&after, time);
            assert!(next.is_none_or(|next| next <= time + GRACE), "{next:?}");
            o.token.status = Some(after);
            next.map(|next| (next - now()).num_milliseconds())
        };
        let mut missing_before = None;
        for &(millis, missing) in at {
            while let Some(due) = wake.filter(|due| *due < millis) {
                wake = look(due, missing_before);
            }
            wake = look(millis, missing);
            missing_before = missing;
        }
        all
    }

    #[test]
    fn what_comes_in_time_is_no_warning_and_what_does_not_is_one() {
        let (admin, app, limit) = (ADMIN.unwrap(), APP.unwrap(), LIMIT.unwrap());
        let cases: &[(&str, &[Look], &[Told])] = &[
            ("it comes", &[(0, ADMIN), (2_000, None), (60_000, None)], &[]),
            ("it comes in the last moment", &[(0, ADMIN), (9_999, ADMIN), (9_999, None)], &[]),
            ("it doesn't come", &[(0, ADMIN), (60_000, ADMIN), (90_000, ADMIN)], &[(10_000, admin)]),
            ("in fractions of a second", &[(900, ADMIN), (60_000, ADMIN)], &[(10_000, admin)]),
            ("looks meanwhile", &[(0, ADMIN), (5_000, ADMIN), (9_000, ADMIN), (20_000, None)], &[(10_000, admin)]),
            ("one comes, and another is missing", &[(0, APP), (8_000, ADMIN), (30_000, None)], &[(10_000, admin)]),
            ("another one later", &[(0, APP), (30_000, ADMIN), (60_000, None)], &[(10_000, app), (30_000, admin)]),
            ("a person must act", &[(0, LIMIT), (1_000, LIMIT)], &[(0, limit)]),
            ("and after a wait", &[(0, ADMIN), (1_000, LIMIT), (30_000, None)], &[(1_000, limit)]),
            (
                "it goes again",
                &[(0, ADMIN), (30_000, None), (40_000, None), (50_000, ADMIN), (70_000, None)],
                &[(10_000, admin), (60_000, admin)],
            ),
            ("the clock is set back", &[(0, ADMIN), (-60_000, ADMIN), (-1_000, ADMIN)], &[(-60_000, admin)]),
        ];
        for (name, at, expected) in cases {
            assert_eq!(looks(at), *expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_told_twice_and_nothing_that_lasts_is_lost(
            steps in prop::collection::vec((1i64..15_000, prop::sample::select(vec![None, APP, ADMIN, LIMIT])), 1..12),
        ) {
            let mut at = 0;
            let timeline: Vec<_> = steps.iter().map(|&(wait, missing)| { at += wait; (at, missing) }).collect();
            let told = looks(&timeline);
            // Looks in a row that found the same.
            for run in timeline.chunk_by(|a, b| a.1 == b.1) {
                let (from, missing) = run[0];
                let until = timeline.iter().find(|(time, other)| *time > from && *other != missing).map_or(at, |end| end.0);
                let Some(missing) = missing else { continue };
                let count = told.iter().filter(|(time, what)| (from..until.max(from + 1)).contains(time) && *what == missing).count();
                prop_assert!(count <= 1, "{timeline:?} {told:?}");
                prop_assert!(count == 1 || until - from <= 10_000, "{timeline:?} {told:?}");
            }
        }
    }
}
