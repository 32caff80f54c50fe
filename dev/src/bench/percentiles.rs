//! Percentiles of durations.

use std::time::Duration;

use serde::Serialize;

/// Of some durations, in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Percentiles {
    /// By the nearest rank; zeros of none.
    pub(super) fn of(mut all: Vec<Duration>) -> Self {
        all.sort();
        let at = |share: usize| {
            let rank = (all.len() * share).div_ceil(100).max(1) - 1;
            all.get(rank).map_or(0.0, Duration::as_secs_f64)
        };
        Self { p50: at(50), p99: at(99), max: at(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rank_counts() {
        let of = |n: u64| Percentiles::of((1..=n).rev().map(Duration::from_secs).collect());
        let shown = |p: Percentiles| format!("{} {} {}", p.p50, p.p99, p.max);
        assert_eq!(shown(of(100)), "50 99 100");
        assert_eq!(shown(of(3)), "2 3 3");
        assert_eq!(shown(of(1)), "1 1 1");
        assert_eq!(shown(of(0)), "0 0 0");
    }
}
