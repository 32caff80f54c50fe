//! How cost grows with the number of tokens: a line through the bursts over a hundred shops.

use super::figures::{Figures, Run, alike, count};

/// What is there without any token, and what each adds.
struct Line {
    fixed: f64,
    each: f64,
}

impl Line {
    /// By least squares of the relative errors: a burst of ten thousand isn't to outweigh the others. `None` of fewer than two.
    fn through(points: &[(f64, f64)]) -> Option<Self> {
        let weighted = |of: fn(f64, f64) -> f64| -> f64 { points.iter().map(|&(x, y)| of(x, y) / (y * y)).sum() };
        let (n, x, y) = (weighted(|_, _| 1.0), weighted(|x, _| x), weighted(|_, y| y));
        let (xx, xy) = (weighted(|x, _| x * x), weighted(|x, y| x * y));
        let spread = n * xx - x * x;
        if points.len() < 2 || spread <= f64::EPSILON {
            return None;
        }
        let each = (n * xy - x * y) / spread;
        Some(Self { fixed: (y - each * x) / n, each })
    }
}

/// A sentence; `None` where there aren't two such bursts.
pub(super) fn growth(all: &[Figures]) -> Option<String> {
    let bursts: Vec<&Figures> = alike(all).collect();
    let line = |of: fn(&Run) -> f64| {
        let points: Vec<_> = bursts.iter().map(|row| (count(row.tokens), of(&row.operator).max(0.001))).collect();
        Line::through(&points)
    };
    let (wall, cpu, memory) = (line(|run| run.wall)?, line(|run| run.cpu)?, line(|run| run.peak_mib)?);
    Some(format!(
        "growth, by a line through the bursts: {:.1} s and {:.1} ms a token; {:.2} s of CPU and {:.2} ms a token; {:.0} MiB and {:.1} KiB a token at the peak",
        wall.fixed,
        wall.each * 1000.0,
        cpu.fixed,
        cpu.each * 1000.0,
        memory.fixed,
        memory.each * 1024.0
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst(tokens: usize, wall: f64) -> Figures {
        let operator = Run { wall, cpu: 0.5 + wall / 10.0, peak_mib: 20.0 + count(tokens) / 256.0, ..Run::default() };
        Figures { scenario: format!("burst {tokens}, 100 shops"), tokens, floor: None, as_much: None, operator }
    }

    #[test]
    fn a_line_is_found_again() {
        let elsewhere = Figures { scenario: "burst 3000, 3000 shops".to_owned(), ..burst(3_000, 99.0) };
        let all = [burst(100, 2.5), burst(1_000, 7.0), burst(10_000, 52.0), elsewhere];
        let growth = growth(&all).unwrap();
        assert!(
            growth.contains("2.0 s and 5.0 ms a token; 0.70 s of CPU and 0.50 ms a token; 20 MiB and 4.0 KiB"),
            "{growth}"
        );
        assert!(super::growth(&all[..1]).is_none());
    }
}
