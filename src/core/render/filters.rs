//! The filters of templates. Each counts what it is going to make before it makes it.

use std::{ops::RangeInclusive, rc::Rc};

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{bounds::Bounds, value::Value};

/// What RFC 3986 leaves alone wherever it stands: letters, digits, `-`, `.`, `_` and `~`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Most bytes that one byte becomes in lower or upper case.
const OTHER_CASE: usize = 3;
/// Most bytes that one byte becomes in JSON: `\u0007`.
const IN_JSON: usize = 6;

type Made = Result<Value, &'static str>;

/// A filter.
pub(super) struct Filter {
    /// Its name in templates.
    pub name: &'static str,
    /// How many arguments it takes.
    pub arguments: RangeInclusive<usize>,
    /// Applies it to a value and its arguments.
    pub apply: fn(&mut Bounds, &Value, &[Value]) -> Made,
}

const fn filter(
    name: &'static str,
    arguments: RangeInclusive<usize>,
    apply: fn(&mut Bounds, &Value, &[Value]) -> Made,
) -> Filter {
    Filter { name, arguments, apply }
}

/// All of them but `default`, which isn't applied to a value: see `subset.rs`.
static FILTERS: [Filter; 13] = [
    filter("b64encode", 0..=0, |bounds, value, _| {
        let text = text(value)?;
        bounds.spend(text.len() / 3 * 4 + 4)?;
        Ok(Value::text(STANDARD.encode(text)))
    }),
    filter("first", 0..=0, |_, value, _| Ok(Value::text(list(value)?.first().cloned().unwrap_or_default()))),
    filter("join", 0..=1, |bounds, value, with| {
        let (items, with) = (list(value)?, with.first().map_or(Ok(""), text)?);
        let size = items.iter().map(|item| item.len().saturating_add(with.len())).fold(0, usize::saturating_add);
        bounds.spend(size)?;
        Ok(Value::text(items.join(with)))
    }),
    filter("last", 0..=0, |_, value, _| Ok(Value::text(list(value)?.last().cloned().unwrap_or_default()))),
    filter("length", 0..=0, |bounds, value, _| {
        let length = match value {
            Value::List(items) => items.len(),
            Value::Text(text) => {
                bounds.spend(text.len())?;
                text.chars().count()
            }
            Value::Number(_) | Value::Flag(_) => return Err("only texts and lists have a length"),
        };
        i64::try_from(length).map(Value::Number).map_err(|_| "it is too long")
    }),
    filter("lower", 0..=0, |bounds, value, _| {
        let text = text(value)?;
        bounds.spend(text.len() * OTHER_CASE)?;
        Ok(Value::text(text.to_lowercase()))
    }),
    filter("quote", 0..=0, |bounds, value, _| replaced(bounds, text(value)?, "'", r"'\''", "'")),
    filter("replace", 2..=2, |bounds, value, arguments| match arguments {
        [from, to] => match text(from)? {
            "" => Err("replace needs a text to look for"),
            from => replaced(bounds, text(value)?, from, text(to)?, ""),
        },
        _ => Err("replace takes what to look for, and what to put there"),
    }),
    filter("split", 1..=1, |bounds, value, at| match (text(value)?, at.first().map_or(Ok(""), text)?) {
        (_, "") => Err("split needs a text to split at"),
        ("", _) => Value::list(bounds, std::iter::empty()),
        (text, at) => {
            bounds.spend(text.len() + at.len())?;
            Value::list(bounds, text.split(at))
        }
    }),
    filter("tojson", 0..=0, |bounds, value, _| {
        bounds.spend(value.cost().saturating_mul(IN_JSON).saturating_add(2))?;
        let json = match value {
            Value::Text(text) => serde_json::to_string(&**text),
            Value::List(items) => serde_json::to_string(&items.iter().map(|item| &**item).collect::<Vec<_>>()),
            Value::Number(number) => serde_json::to_string(number),
            Value::Flag(flag) => serde_json::to_string(flag),
        };
        json.map(Value::text).map_err(|_| "it can't be written as JSON")
    }),
    filter("trim", 0..=0, |bounds, value, _| {
        let text = text(value)?;
        bounds.spend(text.len())?;
        Ok(Value::text(text.trim()))
    }),
    filter("upper", 0..=0, |bounds, value, _| {
        let text = text(value)?;
        bounds.spend(text.len() * OTHER_CASE)?;
        Ok(Value::text(text.to_uppercase()))
    }),
    filter("urlencode", 0..=0, |bounds, value, _| {
        let text = text(value)?;
        bounds.spend(text.len() * "%20".len())?;
        Ok(Value::text(utf8_percent_encode(text, RESERVED).to_string()))
    }),
];

/// The filter of that name.
pub(super) fn find(name: &str) -> Option<&'static Filter> {
    FILTERS.iter().find(|filter| filter.name == name)
}

/// The names of all filters, for people.
pub(super) fn names() -> String {
    let names: Vec<_> = FILTERS.iter().map(|filter| filter.name).collect();
    format!("default, {}", names.join(", "))
}

fn text(value: &Value) -> Result<&str, &'static str> {
    match value {
        Value::Text(text) => Ok(text),
        Value::List(_) | Value::Number(_) | Value::Flag(_) => Err("that takes a text"),
    }
}

fn list(value: &Value) -> Result<&[Rc<str>], &'static str> {
    match value {
        Value::List(items) => Ok(items),
        Value::Text(_) | Value::Number(_) | Value::Flag(_) => Err("that takes a list, such as split makes"),
    }
}

/// `text` with `to` for each `from`, between two `around`.
fn replaced(bounds: &mut Bounds, text: &str, from: &str, to: &str, around: &str) -> Made {
    bounds.spend(text.len() + from.len())?;
    let size = text.matches(from).count().saturating_mul(to.len()).saturating_add(text.len() + 2 * around.len());
    bounds.spend(size)?;
    let mut made = String::with_capacity(size);
    made.push_str(around);
    for (number, part) in text.split(from).enumerate() {
        if number > 0 {
            made.push_str(to);
        }
        made.push_str(part);
    }
    made.push_str(around);
    Ok(Value::text(made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_is_in_the_reference() {
        let reference = include_str!("../../../docs/reference.md");
        let table = reference.split("| filter | |").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
        for name in names().split(", ") {
            assert!(table.contains(&format!("`{name}`")) || table.contains(&format!("`{name}(")), "{name} is missing");
        }
    }
}
