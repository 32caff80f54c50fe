//! The one place that reads the time of day.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::TimeDelta;

use crate::time::Timestamp;

/// The time of day: the system's, shifted by a number of milliseconds that is 0 outside tests.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    shift: Arc<AtomicI64>,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        #[allow(clippy::disallowed_methods, reason = "the one line that reads the clock")]
        let system = chrono::Utc::now();
        system + TimeDelta::milliseconds(self.shift.load(Ordering::SeqCst))
    }

    /// Moves this clock and every clone of it: how tests let ninety days pass in seconds.
    pub fn advance(&self, by: TimeDelta) {
        self.shift.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}
