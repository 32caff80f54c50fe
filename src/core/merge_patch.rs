//! What differs between two JSON objects, as a merge patch (RFC 7386) carries it.

use serde_json::{Map, Value};

/// The patch that makes `after` of `before`; `None` if they are the same. A list is carried whole.
#[must_use]
pub fn difference(before: &Value, after: Value) -> Option<Value> {
    if *before == after {
        return None;
    }
    let (before, after) = match (before, after) {
        (Value::Object(before), Value::Object(after)) => (before, after),
        (_, after) => return Some(after),
    };
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let mut patch: Map<_, _> = gone.collect();
    patch.extend(after.into_iter().filter_map(|(key, value)| {
        let change = match before.get(&key) {
            Some(before) => difference(before, value)?,
            None => value,
        };
        Some((key, change))
    }));
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_carries_what_changed_and_nothing_else() {
        let before = json!({"a": 1, "b": {"c": 1, "d": [1]}, "gone": "x", "same": [{"k": "v"}]});
        let after = json!({"a": 2, "b": {"c": 1, "d": [1, 2]}, "new": {"e": null}, "same": [{"k": "v"}]});
        let patch = json!({"a": 2, "b": {"d": [1, 2]}, "gone": null, "new": {"e": null}});
        assert_eq!(difference(&before, after.clone()), Some(patch));
        assert_eq!(difference(&after, after.clone()), None);
        assert_eq!(difference(&json!({}), json!({})), None);
        assert_eq!(difference(&json!(null), json!({"a": 1})), Some(json!({"a": 1})));
    }
}
