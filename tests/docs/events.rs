//! The table of events, made of the vocabulary.

use shopify_token_operator::core::vocabulary::EventReason;

/// A table of the events; `reasons` is the page that each leads to.
pub(super) fn table(reasons: &str) -> String {
    let row = |event: &EventReason| {
        let name = event.as_str();
        let kind = if event.is_warning() { "Warning" } else { "Normal" };
        let of = event.kinds().join(", ");
        format!("| [`{name}`](reasons.md#{}) | {kind} | {of} | {} |\n", anchor(reasons, name), event.meaning())
    };
    format!(
        "| reason | type | of | means |\n|---|---|---|---|\n{}",
        EventReason::ALL.iter().map(row).collect::<String>()
    )
}

/// The anchor of an event's entry. Where a condition has a reason of that name its entry is above, and the second one is
/// numbered.
fn anchor(reasons: &str, name: &str) -> String {
    let above = reasons.lines().any(|line| line == format!("### `{name}`"));
    name.to_lowercase() + if above { "-1" } else { "" }
}
