//! The tables of the custom resources' fields, made of the definitions' schema.

use serde_json::Value;
use shopify_token_operator::api::crd;

/// A table of each kind.
pub(super) fn tables() -> String {
    crd::all().iter().map(|definition| table(&serde_json::to_value(definition).unwrap())).collect::<Vec<_>>().join("\n")
}

fn table(definition: &Value) -> String {
    let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut rows = vec![row(kind, schema, false)];
    for part in ["spec", "status"] {
        walk(part, &schema["properties"][part], part == "spec", &mut rows);
    }
    format!("### {kind}\n\n| field | type | default | allowed | |\n|---|---|---|---|---|\n{}", rows.concat())
}

fn walk(path: &str, schema: &Value, required: bool, rows: &mut Vec<String>) {
    rows.push(row(path, schema, required));
    // Conditions are Kubernetes' own.
    if path.ends_with(".conditions") {
        return;
    }
    let (path, schema) = match &schema["items"] {
        Value::Null => (path.to_owned(), schema),
        items => (format!("{path}[]"), items),
    };
    let demanded = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), field, demanded.iter().any(|n| n == name), rows);
    }
}

fn row(path: &str, schema: &Value, required: bool) -> String {
    let (description, default) = described(schema["description"].as_str().unwrap());
    let default = if schema["default"].is_null() { default } else { format!("`{}`", schema["default"]) };
    let kind = format!("{}{}", type_of(schema), if required { ", required" } else { "" });
    format!("| `{path}` | {kind} | {} | {} | {} |\n", cell(&default), cell(&allowed(schema)), cell(&description))
}

/// A description, and what it says of the default: `Default 1h.` or `Default: never.` is a sentence of its own.
fn described(text: &str) -> (String, String) {
    let (default, rest): (Vec<_>, _) = text.split(". ").partition(|sentence| sentence.starts_with("Default"));
    let default = default.concat();
    let default = default.trim_start_matches("Default").trim_start_matches(':').trim().trim_end_matches('.');
    let rest = rest.join(". ");
    let stop = if rest.is_empty() || rest.ends_with('.') { "" } else { "." };
    (rest + stop, default.to_owned())
}

fn type_of(schema: &Value) -> String {
    let of = |part: &str| type_of(&schema[part]);
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("array"), _) => format!("list of {}s", of("items")),
        (Some("object"), _) if schema["additionalProperties"].is_object() => {
            format!("map of {}s", of("additionalProperties"))
        }
        (Some("string"), Some("date-time")) => "time".to_owned(),
        (Some(kind), _) => kind.to_owned(),
        (None, _) => "integer or string".to_owned(),
    }
}

/// What the API server takes, in words: those of the rules where there are some.
fn allowed(schema: &Value) -> String {
    let mut all = Vec::new();
    let values = schema["enum"].as_array().into_iter().flatten().map(|value| format!("`{}`", value.as_str().unwrap()));
    all.push(values.collect::<Vec<_>>().join(", "));
    let rules = schema["x-kubernetes-validations"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.push(between(&schema["minimum"], &schema["maximum"], ""));
    if rules.is_empty() {
        all.push(between(&schema["minLength"], &schema["maxLength"], " characters"));
    }
    all.extend(schema["pattern"].as_str().map(|pattern| format!("`{pattern}`")));
    all.push(between(&schema["minItems"], &schema["maxItems"], " of them"));
    all.push(between(&Value::Null, &schema["maxProperties"], " of them"));
    for part in [&schema["items"], &schema["additionalProperties"]].into_iter().filter(|part| part.is_object()) {
        // The fields of an object have rows of their own.
        let each = if part["type"] == "object" { rules_of(part) } else { allowed(part) };
        all.extend(Some(each).filter(|each| !each.is_empty()).map(|each| format!("each {each}")));
    }
    all.push(rules_of(schema));
    all.retain(|text| !text.is_empty());
    all.join("; ")
}

fn rules_of(schema: &Value) -> String {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let mut messages: Vec<_> = rules.map(|rule| rule["message"].as_str().unwrap()).collect();
    messages.dedup();
    messages.join("; ")
}

fn between(least: &Value, most: &Value, what: &str) -> String {
    match (least.as_f64(), most.as_f64()) {
        (Some(least), Some(most)) => format!("{least} to {most}{what}"),
        (Some(least), None) => format!("at least {least}{what}"),
        (None, Some(most)) => format!("at most {most}{what}"),
        (None, None) => String::new(),
    }
}

/// Text as a cell holds it: on one line, with no end of the cell and, outside of code, no HTML.
fn cell(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(at, part)| if at % 2 == 0 { part.replace('<', "&lt;") } else { part.to_owned() });
    parts.collect::<Vec<_>>().join("`").replace('|', "\\|").replace('\n', " ")
}
