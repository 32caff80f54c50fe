//! A credential's life, drawn on a time scale.
//!
//! ```text
//!                       ▼ now
//! ●─────────────○───────┼─────────────◆────────────✕
//! │             │                     │            └ expires    2026-11-30T09:00:00Z, in 16h
//! │             │                     └ renewal    2026-11-30T01:00:00Z, in 8h
//! │             └ verified   2026-11-29T15:00:00Z, 120m ago
//! └ issued     2026-11-29T09:00:00Z, 8h ago
//! ```

use chrono::TimeDelta;
use shopify_token_operator::time::{self, Timestamp};

use super::span::relative;

/// Something that happened, or will.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What it is.
    pub what: String,
    /// Its sign on the line.
    pub sign: char,
}

/// The line and what hangs from it, `width` columns wide at least (the texts stand to the right of their signs). After the
/// last moment it goes on as an arrow if `endless`. Empty without any moment.
#[must_use]
pub fn draw(moments: &[Moment], endless: bool, width: usize, now: Timestamp) -> Vec<String> {
    let mut moments: Vec<&Moment> = moments.iter().collect();
    moments.sort_by_key(|moment| moment.at);
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else { return Vec::new() };
    let scale = Scale { from: first.at.min(now), to: last.at.max(now), width: width.max(2) };
    let columns: Vec<usize> = moments.iter().map(|moment| scale.column(moment.at)).collect();

    let here = scale.column(now);
    let mut axis = vec!['─'; scale.width];
    axis[here] = '┼';
    // Of several in one column the first is seen.
    for (moment, column) in moments.iter().zip(&columns).rev() {
        axis[*column] = moment.sign;
    }
    let mut lines =
        vec![format!("{}▼ now", " ".repeat(here)), axis.into_iter().chain(endless.then_some('▶')).collect()];
    let broadest = moments.iter().map(|moment| moment.what.chars().count()).max().unwrap_or_default();
    for (index, moment) in moments.iter().enumerate().rev() {
        let (stems, column) = (&columns[..index], columns[index]);
        let mut line: String = (0..column).map(|c| if stems.contains(&c) { '│' } else { ' ' }).collect();
        line.push(if stems.contains(&column) { '├' } else { '└' });
        let what = format!("{:broadest$}", moment.what);
        lines.push(format!("{line} {what}  {}, {}", time::print(moment.at), relative(moment.at, now)));
    }
    lines
}

/// From a time to a column.
struct Scale {
    from: Timestamp,
    to: Timestamp,
    width: usize,
}

impl Scale {
    /// Rounded to the nearest column, from 0 to `width - 1`.
    fn column(&self, at: Timestamp) -> usize {
        let whole = (self.to - self.from).max(TimeDelta::seconds(1)).num_seconds();
        let part = (at - self.from).num_seconds().clamp(0, whole);
        let last = i64::try_from(self.width - 1).unwrap_or(i64::MAX);
        let column = i128::from(part) * i128::from(last) * 2 + i128::from(whole);
        usize::try_from(column / (2 * i128::from(whole))).unwrap_or(self.width - 1).min(self.width - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(hours: i64, what: &str, sign: char) -> Moment {
        Moment { at: now() + TimeDelta::hours(hours), what: what.into(), sign }
    }

    fn now() -> Timestamp {
        Timestamp::from_timestamp(1_790_000_000, 0).unwrap()
    }

    fn drawn(moments: &[Moment], endless: bool) -> String {
        draw(moments, endless, 40, now()).join("\n")
    }

    #[test]
    fn a_credential_that_expires() {
        let moments = [
            moment(16, "expires", '✕'),
            moment(-8, "issued", '●'),
            moment(8, "renewal", '◆'),
            moment(-2, "verified", '○'),
        ];
        insta::assert_snapshot!(drawn(&moments, false));
    }

    #[test]
    fn one_that_never_does_with_others_in_overlap() {
        let moments = [
            moment(-700, "issued", '●'),
            moment(-1, "verified", '○'),
            moment(5, "revision before is revoked", '✕'),
            moment(20, "rotation", '◆'),
        ];
        insta::assert_snapshot!(drawn(&moments, true));
    }

    #[test]
    fn moments_in_one_column_hang_below_each_other() {
        let moments = [moment(0, "issued", '●'), moment(0, "verified", '○'), moment(24, "expires", '✕')];
        insta::assert_snapshot!(drawn(&moments, false));
    }

    #[test]
    fn all_of_it_may_be_past() {
        insta::assert_snapshot!(drawn(&[moment(-48, "issued", '●'), moment(-24, "expired", '✕')], false));
        assert_eq!(draw(&[], false, 40, now()), Vec::<String>::new());
    }

    #[test]
    fn ten_thousand_years_fit() {
        let far = Moment { at: Timestamp::MAX_UTC, what: "expires".into(), sign: '✕' };
        let line = draw(&[moment(-1, "issued", '●'), far], false, 40, now());
        assert_eq!(line[1].chars().count(), 40, "{line:?}");
    }
}
