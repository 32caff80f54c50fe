//! The schema's rules without an API server; `tests/crd.rs` asks a real one about the same cases.

use std::collections::BTreeSet;

use kube::core::cel::{
    Validator,
    cel::{Context, Program, Value as CelValue},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ShopifyApp, ShopifyToken, ShopifyTokenStatus, SourceKind, crd};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    #[serde(default = "token")]
    kind: String,
    from: Option<Value>,
    accepted: Vec<Value>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    says: String,
    specs: Vec<Value>,
}

fn token() -> String {
    "ShopifyToken".to_owned()
}

fn schema(kind: &str) -> Value {
    let crd = crd::all().into_iter().find(|crd| crd.spec.names.kind == kind);
    let version = crd.unwrap().spec.versions.remove(0);
    serde_json::to_value(version.schema.unwrap().open_api_v3_schema.unwrap()).unwrap()
}

fn object(kind: &str, fields: &Value) -> Value {
    let mut spec = match kind {
        "ShopifyApp" => json!({"credentialsRef": {"name": "acme"}}),
        _ => {
            json!({"shop": "acme.myshopify.com", "source": {"clientCredentials": {"appRef": {"name": "acme"}}}})
        }
    };
    for (name, value) in fields.as_object().unwrap() {
        spec[name] = value.clone();
    }
    json!({
        "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "case"}, "spec": spec,
    })
}

/// What the API server would say: of the structure, then of the rules.
fn refusal(schema: &Value, object: &Value, old: Option<&Value>) -> Option<String> {
    let mut mistakes = Vec::new();
    structure(schema, object, "", &mut mistakes);
    if mistakes.is_empty()
        && let Err(errors) = Validator::new().validate(schema, object, old)
    {
        let errors = errors.into_vec().into_iter();
        mistakes.extend(errors.map(|e| format!("{}: {}", e.field_path, e.message)));
    }
    (!mistakes.is_empty()).then(|| mistakes.join("; "))
}

/// The API server drops nulls of fields that aren't nullable.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), without_nulls(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// As much of OpenAPI as the two schemas use.
fn structure(schema: &Value, value: &Value, path: &str, mistakes: &mut Vec<String>) {
    let limit = |name: &str| schema[name].as_f64();
    let within =
        |n: f64, least: &str, most: &str| limit(least).is_none_or(|l| n >= l) && limit(most).is_none_or(|m| n <= m);
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let size = |n: usize| n as f64;
    let mut wrong = |what: &str| mistakes.push(format!("{path}: {what}"));
    let kind = match value {
        Value::String(text) => {
            if !within(size(text.chars().count()), "minLength", "maxLength") {
                wrong("length");
            }
            if schema["pattern"].as_str().is_some_and(|p| !matches(text, p)) {
                wrong("pattern");
            }
            "string"
        }
        Value::Number(number) => {
            if !within(number.as_f64().unwrap(), "minimum", "maximum") {
                wrong("range");
            }
            if number.is_f64() { "number" } else { "integer" }
        }
        Value::Bool(_) => "boolean",
        Value::Array(items) => {
            if !within(size(items.len()), "minItems", "maxItems") {
                wrong("number of items");
            }
            let keys: Vec<_> = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().collect();
            let identity = |item: &Value| match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => Some(item.to_string()),
                Some("map") => {
                    Some(json!(keys.iter().map(|k| &item[k.as_str().unwrap()]).collect::<Vec<_>>()).to_string())
                }
                _ => None,
            };
            let identities: Vec<_> = items.iter().filter_map(identity).collect();
            if identities.iter().collect::<BTreeSet<_>>().len() < identities.len() {
                wrong("Duplicate value");
            }
            for (index, item) in items.iter().enumerate() {
                structure(&schema["items"], item, &format!("{path}[{index}]"), mistakes);
            }
            "array"
        }
        Value::Object(fields) => {
            if !within(size(fields.len()), "minProperties", "maxProperties") {
                wrong("number of fields");
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                if !fields.contains_key(name.as_str().unwrap()) {
                    wrong(&format!("{name}: Required value"));
                }
            }
            for (name, value) in fields {
                let schema = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
                if !schema.is_null() {
                    structure(schema, value, &format!("{path}.{name}"), mistakes);
                }
            }
            "object"
        }
        Value::Null => "null",
    };
    let int_or_string = schema["x-kubernetes-int-or-string"] == true && matches!(kind, "integer" | "string");
    if !int_or_string && schema["type"] != kind {
        mistakes.push(format!("{path}: must be of type {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        mistakes.push(format!("{path}: Unsupported value"));
    }
}

fn matches(text: &str, pattern: &str) -> bool {
    let mut context = Context::default();
    context.add_variable_from_value("text", text);
    context.add_variable_from_value("pattern", pattern);
    let program = Program::compile("text.matches(pattern)").unwrap();
    program.execute(&context).unwrap() == CelValue::Bool(true)
}

/// The operator holds each, and there may be tens of thousands: what few set is a pointer. With two counters beside it one
/// takes a kilobyte, and jemalloc's next size is a quarter more.
#[test]
fn an_object_takes_little_memory() {
    let (token, status) = (size_of::<ShopifyToken>(), size_of::<ShopifyTokenStatus>());
    assert!(token + 16 <= 1024, "{token} bytes, {status} of them its status");
}

#[test]
fn accepted_and_refused() {
    let cases: Vec<Case> = serde_saphyr::from_str(include_str!("cases.yaml")).unwrap();
    let mut surprises = Vec::new();
    for case in cases {
        let schema = schema(&case.kind);
        let old = case.from.map(|fields| object(&case.kind, &fields));
        let ask = |fields| refusal(&schema, &without_nulls(&object(&case.kind, fields)), old.as_ref());
        for fields in &case.accepted {
            if let Some(refusal) = ask(fields) {
                surprises.push(format!("{}: {fields} is refused: {refusal}", case.about));
            }
            let object = without_nulls(&object(&case.kind, fields));
            let read = match case.kind.as_str() {
                "ShopifyApp" => serde_json::from_value::<ShopifyApp>(object).err(),
                _ => serde_json::from_value::<ShopifyToken>(object).err(),
            };
            if let Some(error) = read {
                surprises.push(format!("{}: {fields} is accepted but can't be read: {error}", case.about));
            }
        }
        for Refused { says, specs } in &case.refused {
            for fields in specs {
                match ask(fields) {
                    Some(refusal) if refusal.contains(says) => {}
                    refusal => {
                        surprises
                            .push(format!("{}: {fields} should be refused with {says:?}: {refusal:?}", case.about));
                    }
                }
            }
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

#[test]
fn rules_hold_for_the_types_too() {
    let read = |fields: &Value| serde_json::from_value::<ShopifyToken>(object("ShopifyToken", fields)).unwrap();
    let web = read(&json!({"verifyInterval": 0, "renewBefore": "8h"}));
    web.validate_cel().unwrap();
    let other = read(&json!({"shop": "other.myshopify.com"}));
    let errors = other.validate_cel_update(&web).unwrap_err();
    assert_eq!(errors[0].message, "the shop is immutable: make a new ShopifyToken");
}

/// The operator never defaults into `spec`, and neither does the schema.
#[test]
fn spec_has_no_defaults_and_nothing_is_nullable() {
    fn walk(schema: &Value, path: &str, of_spec: bool) {
        assert!(!of_spec || schema["default"].is_null(), "{path} has a default");
        assert!(schema["nullable"].is_null(), "{path} is nullable");
        let format = schema["format"].as_str().unwrap_or("int64");
        // The API server warns of any other.
        assert!(["int32", "int64", "date-time"].contains(&format), "{path}: format {format}");
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let described = schema["description"].as_str().is_some_and(|d| !d.is_empty());
            assert!(described, "{path} has no description");
            let lines = schema["description"].as_str().is_some_and(|d| d.replace("\n\n", "").contains('\n'));
            assert!(!lines, "{path}: `kubectl explain` breaks the lines itself");
            walk(schema, &path, of_spec);
        }
        for part in ["items", "additionalProperties"] {
            if !schema[part].is_null() {
                walk(&schema[part], &format!("{path}.{part}"), of_spec);
            }
        }
    }
    for kind in ["ShopifyToken", "ShopifyApp"] {
        let schema = schema(kind);
        walk(&schema["properties"]["spec"], "spec", true);
        walk(&schema["properties"]["status"], "status", false);
        assert_eq!(schema["properties"]["status"]["default"], json!({"observedGeneration": -1}));
    }
}

/// Kubernetes' own words for a text that is too long end the rules, and name no limit in the reference.
#[test]
fn how_long_a_text_may_be_is_a_rule_of_its_own_that_says_so() {
    fn walk(schema: &Value, path: &str) {
        let rules = schema["x-kubernetes-validations"].as_array().map(Vec::as_slice).unwrap_or_default();
        let duration = rules.iter().any(|rule| rule["rule"].as_str().unwrap().contains("duration("));
        if let Some(longest) = schema["maxLength"].as_u64().filter(|_| !rules.is_empty() && !duration) {
            let told = |rule: &Value| {
                let most = rule["rule"].as_str()?.strip_prefix("size(self) <= ")?.split(' ').next()?.parse().ok()?;
                let said = format!("at most {most} characters");
                (rule["message"].as_str()?.contains(&said) && longest >= 4 * most).then_some(most)
            };
            let most: Option<u64> = rules.iter().find_map(told);
            assert!(most.is_some(), "{path} is bounded by maxLength alone: {rules:?}");
        }
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            walk(schema, &format!("{path}.{name}"));
        }
        for part in ["items", "additionalProperties"] {
            if schema[part].is_object() {
                walk(&schema[part], &format!("{path}.{part}"));
            }
        }
    }
    for kind in ["ShopifyToken", "ShopifyApp"] {
        walk(&schema(kind)["properties"]["spec"], "spec");
    }
}

const EXAMPLE: &str = r#"
apiVersion: tokens.shopify-operator.dev/v1alpha1
kind: ShopifyToken
metadata: {name: web, namespace: shop}
spec:                                # durations: 1s and up
  shop: acme.myshopify.com           # immutable
  source:                            # exactly one; its kind is immutable
    clientCredentials: {appRef: {name: acme}}          # appRef.namespace: another namespace, if its grants allow
    # storefront:      {adminTokenRef: {name: admin}, title: web}
  requiredScopes: [read_products]
  renewBefore: 8h                    # or renewBeforePercentage: 33 (default); for credentials that expire
  rotation:                          # for credentials that don't
    interval: 720h
    overlap: 24h                     # the old one stays valid this long after the new Secret is written
    trigger: "2026-11-22"
  verifyInterval: 1h                 # live probe and drift check at Shopify; 0 = never
  secret:
    name: web-shopify                # default: metadata.name
    preset: Hydrogen
    template: {type: Opaque, metadata: {labels: {team: web}, annotations: {example.com/a: b}}, data: {KEY: "text with {{ access_token }}"}}
    creationPolicy: Owner
  rolloutRestartTargets: [{kind: Deployment, name: web}]
  deletionPolicy: Revoke
  suspend: false
status:
  observedGeneration: 3
  conditions: []
  source: ClientCredentials
  previous: [{tokenID: "gid://shopify/StorefrontAccessToken/1", revokeAt: "2026-11-22T00:00:00Z"}]
  installURL: https://operator.example.com/oauth/install/shop/web
"#;

#[test]
fn the_full_example_is_read() {
    let token: ShopifyToken = serde_saphyr::from_str(EXAMPLE).unwrap();
    token.validate_cel().unwrap();
    let spec = &token.spec;
    assert_eq!(spec.shop, "acme.myshopify.com");
    assert_eq!(spec.source().unwrap().kind(), SourceKind::ClientCredentials);
    assert_eq!(spec.required_scopes, ["read_products"]);
    assert_eq!(spec.renew_before.unwrap(), std::time::Duration::from_hours(8));
    assert_eq!(spec.rotation_interval(), Some(chrono::TimeDelta::days(30)));
    assert_eq!(spec.overlap(), chrono::TimeDelta::days(1));
    assert_eq!(spec.rotation_trigger(), Some("2026-11-22"));
    assert_eq!(spec.verify_interval(), Some(chrono::TimeDelta::hours(1)));
    assert_eq!(token.secret_name(), "web-shopify");
    assert!(!spec.suspended());
    assert_eq!(token.status.unwrap().previous.len(), 1);
}

#[test]
fn what_is_left_out_is_defaulted_when_read() {
    let token: ShopifyToken = serde_json::from_value(object("ShopifyToken", &json!({}))).unwrap();
    assert_eq!(token.secret_name(), "case");
    assert_eq!(token.spec.verify_interval(), Some(chrono::TimeDelta::hours(1)));
    assert_eq!(token.spec.overlap(), chrono::TimeDelta::days(1));
    assert_eq!(token.spec.rotation_interval(), None);
    let never: ShopifyToken = serde_json::from_value(object("ShopifyToken", &json!({"verifyInterval": 0}))).unwrap();
    assert_eq!(never.spec.verify_interval(), None);
}

/// Every property that the schema has, set to something.
fn filled(schema: &Value) -> Value {
    if let Some(properties) = schema["properties"].as_object() {
        return properties.iter().map(|(name, schema)| (name.clone(), filled(schema))).collect();
    }
    let first = &schema["enum"][0];
    match schema["type"].as_str() {
        _ if !first.is_null() => first.clone(),
        Some("array") => json!([filled(&schema["items"])]),
        Some("object") => json!({"a": filled(&schema["additionalProperties"])}),
        Some("integer") => json!(7),
        Some("boolean") => json!(true),
        // Durations are texts as well; what one says is kept, how it says it is not.
        _ if schema["format"] == "date-time" => json!("2026-11-22T00:00:00Z"),
        _ => json!("90s"),
    }
}

#[test]
fn every_field_survives_a_round_trip() {
    fn round_trip<T: serde::de::DeserializeOwned + serde::Serialize>(kind: &str) {
        let mut full = filled(&schema(kind));
        full["metadata"] = json!({"name": "full"});
        let read: T = serde_json::from_value(full.clone()).unwrap();
        let written = serde_json::to_value(read).unwrap();
        assert_eq!(written["spec"], full["spec"], "{kind}");
        assert_eq!(written["status"], full["status"], "{kind}");
    }
    round_trip::<ShopifyToken>("ShopifyToken");
    round_trip::<ShopifyApp>("ShopifyApp");
}
