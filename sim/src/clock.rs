//! The virtual clock: real time plus an offset.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// What time it is for everything that is simulated. Clones share one offset,
/// so a test can hand the same clock to what it tests.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_us: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that agrees with the real one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Now, in virtual time.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one line that reads the clock")]
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now().checked_add_signed(self.offset()).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.offset_us.fetch_add(by, Ordering::SeqCst);
    }

    /// Sets how far virtual time is ahead of (or, negative, behind) real time.
    pub fn set_offset(&self, offset: TimeDelta) {
        self.offset_us.store(offset.num_microseconds().unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// How far virtual time is ahead of real time.
    #[must_use]
    pub fn offset(&self) -> TimeDelta {
        TimeDelta::microseconds(self.offset_us.load(Ordering::SeqCst))
    }
}
