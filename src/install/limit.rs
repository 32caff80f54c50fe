//! How much the pages do at a time, whoever asks: of fixed size, so that a flood fills nothing.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// A token bucket: `burst` at once, then `rate` a second.
#[derive(Debug)]
pub(super) struct Limit {
    rate: f64,
    burst: f64,
    state: Mutex<(f64, Instant)>,
}

impl Limit {
    pub(super) fn new(rate: u32, burst: u32, now: Instant) -> Self {
        let (rate, burst) = (f64::from(rate), f64::from(burst));
        Self { rate, burst, state: Mutex::new((burst, now)) }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, since) = *state;
        let grown = (now.saturating_duration_since(since).as_secs_f64().mul_add(self.rate, left)).min(self.burst);
        let taken = grown >= 1.0;
        *state = (if taken { grown - 1.0 } else { grown }, since.max(now));
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_and_then_so_many_a_second() {
        let start = Instant::now();
        let limit = Limit::new(10, 20, start);
        let taken = |at: Instant, tries: usize| (0..tries).filter(|_| limit.take(at)).count();
        assert_eq!(taken(start, 1000), 20);
        assert_eq!(taken(start + Duration::from_secs(1), 1000), 10);
        assert_eq!(taken(start, 1000), 0, "no time goes back");
        assert_eq!(taken(start + Duration::from_hours(1), 1000), 20, "what isn't taken isn't saved up");
    }
}
