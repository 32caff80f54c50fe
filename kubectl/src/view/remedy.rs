//! What to do about a reason: its entry in `docs/reasons.md`, which is part of the binary.

/// The text as it is documented.
const REASONS: &str = include_str!("../../../docs/reasons.md");

/// What the documentation says to do about a reason of a condition: what follows `**Do:**` in its entry, paragraphs with an
/// empty line between. `None` where there is no such entry, or it says nothing.
#[must_use]
pub fn of(reason: &str) -> Option<String> {
    let heading = format!("\n### `{reason}`\n");
    let entry = &REASONS[REASONS.find(&heading)? + heading.len()..];
    let entry = entry.split("\n#").next()?;
    let said: Vec<_> =
        entry.split("**Do:**").skip(1).map(|part| part.split("\n\n").next().unwrap_or_default()).collect();
    let texts = said.into_iter().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let texts: Vec<String> =
        texts.map(|text| sentence(&unlinked(&text))).filter(|text| !matches!(text.as_str(), "" | "Nothing.")).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// The text with a capital at its beginning.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// `[text](target)` as `text`, where the target is a page of the documentation.
fn unlinked(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        let link = after.split_once("](").and_then(|(label, end)| Some((label, end.split_once(')')?.1)));
        let (label, end) = link.unwrap_or(("[", after));
        plain.push_str(label);
        rest = end;
    }
    plain + rest
}

/// The text in lines of at most `width` characters, words whole, each after `indent`.
#[must_use]
pub fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let mut out = String::new();
    for paragraph in text.split("\n\n") {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                out.extend([indent, &line, "\n"]);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        out.extend([indent, &line, "\n"]);
    }
    out
}

#[cfg(test)]
mod tests {
    use shopify_token_operator::core::vocabulary::{Class, Reason};

    use super::*;

    #[test]
    fn whatever_a_person_must_mend_says_what_to_do() {
        for reason in Reason::ALL.iter().filter(|reason| reason.class() == Class::Stalled) {
            let text = of(reason.as_str()).unwrap_or_else(|| panic!("{reason} says nothing"));
            assert!(text.len() > 15 && !text.contains("](") && !text.contains('\t'), "{reason}: {text}");
        }
        assert!(of("AppNotFound").unwrap().starts_with("Apply it; issuing goes on at that moment."));
        assert_eq!(of("Nonsense"), None);
    }

    #[test]
    fn a_link_is_its_text() {
        assert_eq!(unlinked("see [the guide](guides/x.md#a) and [1]."), "see the guide and [1].");
    }

    #[test]
    fn words_stay_whole() {
        assert_eq!(wrapped("one two three\n\nfour", 8, "  "), "  one two\n  three\n  four\n");
    }
}
