//! Label selectors as kubectl writes them: `team=web,env in (test,prod),!legacy`.

use std::collections::BTreeSet;

use kube::core::{Expression, Selector};

/// Reads a label selector; the error says which part of it is wrong.
pub fn parse(text: &str) -> Result<Selector, String> {
    requirements(text)?
        .into_iter()
        .map(|requirement| expression(requirement.trim()).map_err(|why| format!("`{}`: {why}", requirement.trim())))
        .collect()
}

/// Splits at the commas that aren't inside parentheses.
fn requirements(text: &str) -> Result<Vec<&str>, String> {
    let mut found = Vec::new();
    let (mut start, mut inside) = (0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' if inside => return Err("a parenthesis inside parentheses".to_owned()),
            '(' => inside = true,
            ')' if !inside => return Err("a `)` without its `(`".to_owned()),
            ')' => inside = false,
            ',' if !inside => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err("a `(` without its `)`".to_owned());
    }
    found.push(&text[start..]);
    Ok(found)
}

fn expression(text: &str) -> Result<Expression, String> {
    if let Some(key) = text.strip_prefix('!') {
        return Ok(Expression::DoesNotExist(label_key(key)?));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(Expression::NotEqual(label_key(key)?, label_value(value)?));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Expression::Equal(label_key(key)?, label_value(value)?));
    }
    if let Some((left, values)) = text.strip_suffix(')').and_then(|t| t.split_once('(')) {
        let values: BTreeSet<String> = values.split(',').map(label_value).collect::<Result<_, _>>()?;
        let mut words = left.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => Ok(Expression::In(label_key(key)?, values)),
            (Some(key), Some("notin"), None) => Ok(Expression::NotIn(label_key(key)?, values)),
            _ => Err("expected `key in (…)` or `key notin (…)`".to_owned()),
        };
    }
    Ok(Expression::Exists(label_key(text)?))
}

fn label_key(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (prefix, name) = text.rsplit_once('/').unwrap_or(("", text));
    let prefix_fits = !text.starts_with('/')
        && prefix.len() <= 253
        && prefix.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'));
    if name.is_empty() || !is_label_text(name) || !prefix_fits {
        return Err(format!("`{text}` isn't a label's key"));
    }
    Ok(text.to_owned())
}

fn label_value(text: &str) -> Result<String, String> {
    let text = text.trim();
    if !is_label_text(text) {
        return Err(format!("`{text}` isn't a label's value"));
    }
    Ok(text.to_owned())
}

/// At most 63 letters, digits, `-`, `_`, `.`; a letter or digit at either end.
fn is_label_text(text: &str) -> bool {
    text.len() <= 63
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && text.chars().next().is_none_or(|c| c.is_ascii_alphanumeric())
        && text.chars().last().is_none_or(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (text, printed) in [
            ("team=web", "team=web"),
            ("team == web", "team=web"),
            ("team=", "team="),
            ("team != web", "team!=web"),
            ("team", "team"),
            ("!legacy", "!legacy"),
            ("example.com/shard in (b, a)", "example.com/shard in (a,b)"),
            ("env notin (prod),team=web", "env notin (prod),team=web"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_the_api_server_would_refuse_is_refused() {
        for text in [
            "",
            ",",
            "team=web,",
            "=web",
            "team=web shop",
            "team in web",
            "team in (a",
            "team in a)",
            "team in ((a))",
            "team near (a)",
            "team in (a b)",
            "/name=a",
            "Example.com/name=a",
            "-team=web",
            "team=web=shop",
            "!",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
