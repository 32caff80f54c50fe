//! Whose turn it is to ask at one place that is out of order.

use std::{
    collections::BTreeSet,
    mem,
    ops::Bound::{Excluded, Unbounded},
};

use chrono::TimeDelta;

use super::{Place, place::INTERVAL};
use crate::time::Timestamp;

/// After this a probe that nobody reports on is given up: longer than a call may take.
const LOST: TimeDelta = TimeDelta::seconds(30);

/// One place that is out of order.
#[derive(Debug)]
pub(super) struct Outage<K> {
    waiting: BTreeSet<K>,
    /// Who had the last turn: the next one is who comes after, round robin.
    last_turn: Option<K>,
    probe: Probe<K>,
    failures: u32,
    pause: TimeDelta,
}

#[derive(Debug)]
enum Probe<K> {
    /// Whoever asks first from then on.
    Due(Timestamp),
    /// It is this waiter's turn.
    Designated(K, Timestamp),
    /// This caller is asking now.
    InFlight(K, Timestamp),
}

impl<K: Clone + Ord> Outage<K> {
    /// One that begins now.
    pub(super) fn begun(place: &Place, now: Timestamp) -> Self {
        Self { waiting: BTreeSet::new(), last_turn: None, probe: Probe::Due(now), failures: 0, pause: place.pause(1) }
    }

    /// Whether `who` waits, or is the one who asks.
    pub(super) fn concerns(&self, who: &K) -> bool {
        let asks = matches!(&self.probe, Probe::Designated(holder, _) | Probe::InFlight(holder, _) if holder == who);
        asks || self.waiting.contains(who)
    }

    /// Who waits, now that it is over.
    pub(super) fn waiting(self) -> BTreeSet<K> {
        self.waiting
    }

    /// Until when `who` waits, if it isn't its turn.
    pub(super) fn wait(&mut self, who: &K, now: Timestamp) -> Option<Timestamp> {
        self.expire(now);
        let until = match &self.probe {
            Probe::Due(at) if *at <= now => return None,
            Probe::Designated(holder, _) if holder == who => return None,
            Probe::Due(until) | Probe::Designated(_, until) | Probe::InFlight(_, until) => *until,
        };
        self.waiting.insert(who.clone());
        Some(until)
    }

    pub(super) fn go(&mut self, who: &K, now: Timestamp) {
        self.waiting.remove(who);
        self.probe = Probe::InFlight(who.clone(), now + LOST);
    }

    pub(super) fn silent(&mut self, place: &Place, who: &K, now: Timestamp) {
        self.expire(now);
        self.waiting.insert(who.clone());
        match &self.probe {
            // A call from before the outage says nothing of the probe under way.
            Probe::InFlight(holder, _) if holder != who => {}
            Probe::Designated(..) => {}
            Probe::InFlight(..) => self.failed(place, now),
            // Calls that were under way when it began are one failure.
            Probe::Due(_) if self.failures == 0 => self.failed(place, now),
            Probe::Due(_) => self.probe = Probe::Due(now + self.pause),
        }
    }

    pub(super) fn hold_off(&mut self, wait: TimeDelta, now: Timestamp) {
        self.pause = self.pause.max(wait);
        if let Probe::Due(at) = self.probe {
            self.probe = Probe::Due(at.max(now + wait));
        }
    }

    fn failed(&mut self, place: &Place, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.pause = place.pause(self.failures);
        self.probe = Probe::Due(now + self.pause);
    }

    /// `who` waits no more, and gives back its turn. Whose it is then.
    pub(super) fn pass(&mut self, who: &K, now: Timestamp) -> Option<K> {
        self.waiting.remove(who);
        match &self.probe {
            Probe::Designated(holder, _) if holder == who => {
                self.probe = Probe::Due(now);
                self.next_turn(|_| false, now)
            }
            Probe::InFlight(holder, until) if holder == who => {
                // It may have asked.
                self.probe = Probe::Due(*until - LOST + self.pause);
                None
            }
            Probe::Due(_) | Probe::Designated(..) | Probe::InFlight(..) => None,
        }
    }

    pub(super) fn inconclusive(&mut self, who: &K, now: Timestamp) {
        if matches!(&self.probe, Probe::InFlight(holder, _) if holder == who) {
            self.probe = Probe::Due(now + INTERVAL);
        }
    }

    /// `who` was let in, and is known not to have asked.
    pub(super) fn unused(&mut self, who: &K, now: Timestamp) -> Option<K> {
        if matches!(&self.probe, Probe::InFlight(holder, _) if holder == who) {
            self.probe = Probe::Designated(who.clone(), now + INTERVAL);
        }
        self.pass(who, now)
    }

    /// Whose turn it is now. Who may hear something new doesn't wait for the whole pause.
    pub(super) fn next_turn(&mut self, new: impl Fn(&K) -> bool, now: Timestamp) -> Option<K> {
        self.expire(now);
        let Probe::Due(at) = self.probe else { return None };
        let soon = at - (self.pause - INTERVAL).max(TimeDelta::zero()) <= now;
        let next = soon.then(|| self.after_last_turn(new)).flatten();
        let next = next.or_else(|| (at <= now).then(|| self.after_last_turn(|_| true)).flatten())?;
        self.last_turn = Some(next.clone());
        self.probe = Probe::Designated(next.clone(), now + INTERVAL);
        Some(next)
    }

    fn after_last_turn(&self, wanted: impl Fn(&K) -> bool) -> Option<K> {
        let after = self.last_turn.as_ref().and_then(|last| {
            let rest = (Excluded(last), Unbounded);
            self.waiting.range(rest).find(|who| wanted(who))
        });
        after.or_else(|| self.waiting.iter().find(|who| wanted(who))).cloned()
    }

    /// Takes the probe away from who doesn't use it. A clock set back makes nobody wait longer.
    fn expire(&mut self, now: Timestamp) {
        let probe = mem::replace(&mut self.probe, Probe::Due(now));
        self.probe = match probe {
            Probe::Due(at) => Probe::Due(at.min(now + self.pause)),
            Probe::Designated(_, until) | Probe::InFlight(_, until) if until <= now => {
                if let Probe::InFlight(who, _) = probe {
                    self.waiting.insert(who.clone());
                }
                Probe::Due(until)
            }
            Probe::Designated(who, until) => Probe::Designated(who, until.min(now + INTERVAL)),
            Probe::InFlight(who, until) => Probe::InFlight(who, until.min(now + LOST)),
        };
    }
}
