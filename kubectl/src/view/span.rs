//! Times as people say them: `3h12m`, `in 8h`, `2d ago`.

use chrono::TimeDelta;
use shopify_token_operator::time::Timestamp;

/// A length of time in at most two units, as kubectl prints ages. A negative one counts as zero.
#[must_use]
pub fn length(span: TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        () if hours < 3 => format!("{minutes}m"),
        () if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, 'd', hours % 24, 'h'),
        () if days < 730 => format!("{days}d"),
        () => two(days / 365, 'y', days % 365, 'd'),
    }
}

fn two(more: i64, unit: char, less: i64, small: char) -> String {
    if less == 0 { format!("{more}{unit}") } else { format!("{more}{unit}{less}{small}") }
}

/// A time as seen from now: `in 8h`, `now`, `2d ago`.
#[must_use]
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    match at - now {
        left if left >= TimeDelta::seconds(1) => format!("in {}", length(left)),
        left if left > TimeDelta::seconds(-1) => "now".to_owned(),
        left => format!("{} ago", length(-left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_kubectl() {
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (135, "2m15s"),
            (600, "10m"),
            (10799, "179m"),
            (10800, "3h"),
            (11520, "3h12m"),
            (28800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (190_800, "2d5h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (65_000_000, "2y22d"),
        ] {
            assert_eq!(length(TimeDelta::seconds(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn a_time_is_seen_from_now() {
        let now = Timestamp::default();
        for (seconds, text) in [(-7200, "120m ago"), (0, "now"), (1, "in 1s"), (86400, "in 24h")] {
            assert_eq!(relative(now + TimeDelta::seconds(seconds), now), text);
        }
    }
}
