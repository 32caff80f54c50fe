//! The tables of metrics and of their labels, made of what they are registered with.

use shopify_token_operator::metrics::reference::{Described, METRICS, Says, UNANSWERED};

/// A table of the metrics, and one of their labels.
pub(super) fn tables() -> String {
    format!(
        "| name | type | labels | what it says | what to do with it |\n|---|---|---|---|---|\n{}\n{}",
        METRICS.iter().map(row).collect::<String>(),
        labels()
    )
}

fn row(metric: &Described) -> String {
    let kind = format!("{:?}", metric.kind).to_lowercase();
    let labels: Vec<_> = metric.labels.iter().map(|label| label.name).collect();
    format!("| `{}` | {kind} | {} | {} | {} |\n", metric.name(), labels.join(", "), metric.meaning, metric.advice)
}

/// The labels of metrics, and what each can say: those that say the same stand in one row.
fn labels() -> String {
    let mut rows: Vec<(&str, String, Vec<String>)> = Vec::new();
    for metric in METRICS {
        for label in metric.labels {
            let says = match label.says {
                Says::OneOf(values) => values().iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "),
                Says::Status => {
                    format!("an HTTP status, or `{}` where there is no answer", UNANSWERED.join("` or `"))
                }
                Says::OrReason(words, _) => {
                    let words = words.iter().map(|word| format!("`{}`, or ", word.as_str()));
                    format!("{}a [reason](reasons.md)", words.collect::<String>())
                }
                Says::PerObject(of) => of.to_owned(),
            };
            let of = format!("`{}`", metric.name());
            match rows.iter_mut().find(|(name, said, _)| *name == label.name && *said == says) {
                Some((_, _, metrics)) => metrics.push(of),
                None => rows.push((label.name, says, vec![of])),
            }
        }
    }
    let row = |(name, says, metrics): &(&str, String, Vec<String>)| {
        format!("| `{name}` | {says} | {} |\n", if metrics.len() < 4 { metrics.join(", ") } else { String::new() })
    };
    format!("| label | what it can say | of |\n|---|---|---|\n{}", rows.iter().map(row).collect::<String>())
}
