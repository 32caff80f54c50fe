//! What a new `spec.secret.name` asks for: which credential is the newest, and which older Secrets are to be left when.

use secrecy::SecretString;

use super::{observed::Observed, older::Older, record::Record, secret::stored};
use crate::time::{self, Timestamp};

impl Observed {
    /// The record of the newest credential that is known of, whichever name its Secret has.
    #[must_use]
    pub fn latest(&self) -> Option<&Record> {
        let older = self.older.iter().filter_map(|o| o.record.as_ref());
        older.chain(self.record()).max_by_key(|r| r.revision)
    }

    /// The values in the Secret with that record, whoever wrote them. Where ids are hashes of values they tell which are
    /// whole.
    #[must_use]
    pub fn stored_values(&self) -> Vec<SecretString> {
        let older = self.older.iter().filter_map(|o| Some((o.record.as_ref()?, &o.live)));
        let own = self.held().and_then(|held| Some((held.record.as_ref()?, &held.live)));
        let newest = older.chain(own).max_by_key(|(record, _)| record.revision);
        let Some((record, live)) = newest else { return Vec::new() };
        let (value, previous) = stored(live, Some(record));
        value.iter().chain(previous.all()).cloned().collect()
    }

    /// Whether the newest credential is in a Secret that the spec doesn't name any more.
    #[must_use]
    pub fn renamed(&self) -> bool {
        (self.held().is_none() && !self.older.is_empty()) || self.outdated()
    }

    /// Whether another Secret holds a newer credential than the one that the spec names: the spec has gone back to a name.
    #[must_use]
    pub fn outdated(&self) -> bool {
        let revision = |record: &Record| record.revision;
        self.record().map(revision).is_some_and(|own| self.latest().map(revision) > Some(own))
    }

    /// The older Secrets that have no mark yet, once what replaces them was written, and when they are to be left. A mark
    /// later than that is of a clock set back, or of a longer overlap, and counts as none.
    pub fn to_mark(&self, now: Timestamp) -> impl Iterator<Item = (&Older, Timestamp)> {
        let at = time::round_up(now + self.token.spec.overlap());
        let unmarked = move |o: &&Older| self.is_replaced() && o.leave_at.is_none_or(|mark| mark > at);
        self.older.iter().filter(unmarked).map(move |o| (o, at))
    }

    /// The older Secrets whose overlap is over.
    pub fn to_leave(&self, now: Timestamp) -> impl Iterator<Item = &Older> {
        self.older.iter().filter(move |o| self.is_replaced() && o.leave_at.is_some_and(|at| at <= now))
    }

    /// Whether applications find in the Secret that the spec names what they found in older ones.
    fn is_replaced(&self) -> bool {
        let whole = self.whole().is_some_and(|whole| !self.rejected(whole.record));
        whole && !self.restored() && !self.put_back() && !self.outdated()
    }
}
