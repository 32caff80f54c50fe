//! The figures as a table, and the targets.

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::figures::{Figures, Run, alike, count};
use super::fit::growth;

const MIB: u64 = 1024 * 1024;
/// Reconciles at a time, by default.
const UNDER_WAY: f64 = 16.0;

/// The table, the requests by verb, and the targets with their state.
pub(super) fn summary(all: &[Figures], binary: u64) -> String {
    let mut text = format!("\n{}\n", figures(all));
    if let Some(growth) = growth(all) {
        text.extend(["\n", &growth, "\n"]);
    }
    for row in all {
        let each = per_token(&row.operator, row.tokens);
        if !each.is_empty() {
            text.extend(["\n", &row.scenario, ": Kubernetes requests a token: ", &each.join(", ")]);
        }
    }
    let mut targets = targets(all);
    targets.push(Target {
        what: "binary, MiB".into(),
        is: count_of(binary) / count_of(MIB),
        bound: Bound::Below(15.0),
    });
    let mut table = table(&["target", "is", "bound", ""]);
    for Target { what, is, bound } in targets {
        table.add_row([
            what,
            format!("{is:.3}"),
            bound.to_string(),
            if bound.holds(is) { "met" } else { "NOT MET" }.into(),
        ]);
    }
    format!("{text}\n\n{table}\n")
}

fn figures(all: &[Figures]) -> Table {
    let mut table = table(&[
        "scenario",
        "tokens",
        "who",
        "s",
        "tokens/s",
        "of the floor",
        "p50 s",
        "p99 s",
        "CPU ms/token",
        "peak MiB",
        "MiB at the end",
        "issues/token",
        "requests/token",
    ]);
    for row in all {
        let floor = row.floor.iter().map(|run| ("floor", run));
        let as_much = row.as_much.iter().map(|run| ("floor that writes as much", run));
        for (who, run) in floor.chain(as_much).chain([("operator", &row.operator)]) {
            let n = count(row.tokens.max(1));
            let share = row
                .of_floor(run)
                .filter(|_| who != "floor")
                .map_or(String::new(), |share| format!("{:.0} %", share * 100.0));
            table.add_row([
                row.scenario.clone(),
                row.tokens.to_string(),
                who.to_owned(),
                format!("{:.2}", run.wall),
                format!("{:.0}", run.rate(row.tokens)),
                share,
                format!("{:.3}", run.each.p50),
                format!("{:.3}", run.each.p99),
                format!("{:.2}", run.cpu * 1000.0 / n),
                format!("{:.0}", run.peak_mib),
                run.rest_mib.map_or(String::new(), |mib| format!("{mib:.0}")),
                format!("{:.2}", count_of(run.issues) / n),
                format!("{:.2}", count_of(run.all_requests()) / n),
            ]);
        }
    }
    table
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(header);
    table
}

fn per_token(run: &Run, tokens: usize) -> Vec<String> {
    run.requests.iter().map(|(what, n)| format!("{what} {:.2}", count_of(*n) / count(tokens))).collect()
}

struct Target {
    what: String,
    is: f64,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    Above(f64),
    Below(f64),
}

impl Bound {
    fn holds(self, is: f64) -> bool {
        match self {
            Self::Above(bound) => is >= bound,
            Self::Below(bound) => is <= bound,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Above(bound) => write!(f, ">= {bound:.3}"),
            Self::Below(bound) => write!(f, "<= {bound:.3}"),
        }
    }
}

fn targets(all: &[Figures]) -> Vec<Target> {
    let mut targets = Vec::new();
    for row in all {
        let Figures { scenario, tokens, floor, as_much: _, operator } = row;
        let n = count(*tokens);
        let mut target = |what: &str, is: f64, bound: Bound| {
            targets.push(Target { what: format!("{scenario} × {tokens}: {what}"), is, bound });
        };
        match scenario.as_str() {
            name if name.starts_with("burst") => {
                if let Some(floor) = floor {
                    target("throughput of the floor's", floor.wall / operator.wall, Bound::Above(0.8));
                    target("CPU of the floor's", operator.cpu / floor.cpu.max(0.01), Bound::Below(2.0));
                }
                target("issue calls a token", count_of(operator.issues) / n, Bound::Below(1.0));
                target("Kubernetes requests a token", count_of(operator.all_requests()) / n, Bound::Below(5.0));
            }
            "start" => target("seconds until ready", operator.wall, Bound::Below(0.5)),
            "idle" => {
                target("calls to Shopify", count_of(operator.shopify_calls), Bound::Below(0.0));
                // Of four kinds, each once a minute.
                target("watches", count_of(operator.watches()), Bound::Below(4.0 * (operator.wall / 60.0).ceil()));
                target("CPU, %", operator.cpu / operator.wall * 100.0, Bound::Below(0.5));
                target("peak MiB", operator.peak_mib, Bound::Below(60.0));
                target("MiB at the end", operator.rest_mib.unwrap_or(f64::NAN), Bound::Below(60.0));
            }
            "one among many" => {
                let over = floor.as_ref().map_or(0.0, |floor| operator.each.p99 - floor.each.p99);
                target("p99 over the floor's, s", over, Bound::Below(0.25));
            }
            "restart" => {
                target("seconds until ready", operator.wall, Bound::Below(5.0));
                target("calls to Shopify", count_of(operator.shopify_calls), Bound::Below(0.0));
                target("GETs a token", count_of(operator.of_verb("get")) / n, Bound::Below(0.01));
                target("writes", count_of(operator.writes()), Bound::Below(0.0));
                target("peak MiB", operator.peak_mib, Bound::Below(60.0));
            }
            name if name.starts_with("steady") || name.starts_with("wave") => {
                target("lateness p99, s", operator.each.p99, Bound::Below(1.0));
                // Those under way at the end aren't counted as renewed yet.
                let issues = count_of(operator.issues) / n;
                target("issue calls a renewal", issues, Bound::Below(1.0 + UNDER_WAY / n));
                let by_clock = operator.watches() + operator.lists();
                target("Kubernetes requests a renewal", count_of(operator.all_requests()) / n, Bound::Below(3.0));
                // However many are renewed: the watches of four kinds each minute, and the end of the history of two each
                // quarter of one. At both ends one more of each may fall into it.
                target("lists and watches", count_of(by_clock), Bound::Below(12.0 * operator.wall / 60.0 + 6.0));
            }
            name if name.starts_with("deletion") => {
                if let Some(floor) = floor {
                    target("time, of the floor's", operator.wall / floor.wall, Bound::Below(2.0));
                }
                target("peak MiB", operator.peak_mib, Bound::Below(100.0));
            }
            name if name.starts_with("fairness") => target("a new token, p99 s", operator.each.p99, Bound::Below(1.0)),
            _ => {}
        }
    }
    targets.extend(linear(all));
    targets
}

/// CPU a token at the largest burst, of that at the largest but one.
fn linear(all: &[Figures]) -> Option<Target> {
    let mut bursts: Vec<&Figures> = alike(all).collect();
    bursts.sort_by_key(|row| row.tokens);
    let [.., less, most] = bursts.as_slice() else { return None };
    let each = |row: &Figures| row.operator.cpu / count(row.tokens);
    let what = format!("CPU a token at {}, of that at {}", most.tokens, less.tokens);
    Some(Target { what, is: each(most) / each(less).max(f64::EPSILON), bound: Bound::Below(1.3) })
}

#[allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
fn count_of(n: u64) -> f64 {
    n as f64
}
