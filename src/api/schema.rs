//! Schemas that several fields share.
//!
//! Rules stand in CEL rather than in `pattern` wherever a regular expression alone would be the
//! message. In a rule's string literals a backslash is written `\\`, and once more in Rust's.

use schemars::{Schema, SchemaGenerator, json_schema, transform::transform_subschemas};

/// Matches durations of at most one `h`, `m` and `s` each, for numbers that can't overflow CEL's.
macro_rules! is_duration {
    ($text:literal) => {
        concat!(
            $text,
            r".matches('^([0-9]{1,6}(\\.[0-9]{1,3})?h)?([0-9]{1,7}(\\.[0-9]{1,3})?m)?(([0-9]{1,9}|[1-3][0-9]{9})(\\.[0-9]{1,9})?s)?$')"
        )
    };
}

/// What one writer sets as a whole: one field to the API server, which keeps, compares and sends to all who watch a list of
/// all fields of an object beside it.
pub(super) fn as_one_field(object: &mut Schema) {
    object.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
}

/// Each item of a list [as one field](as_one_field).
pub(super) fn items_as_one_field(list: &mut Schema) {
    transform_subschemas(&mut as_one_field, list);
}

/// A duration of one second to 100 years, as Go and Kubernetes write them: `90s`, `1h30m`, `720h`.
pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": concat!(
                "size(self) > 0 && ", is_duration!("self"),
                " && duration(self) >= duration('1s') && duration(self) <= duration('876000h')",
            ),
            "message": "must be a duration from 1s to 876000h in h, m and s, such as 90s, 1h30m or 720h",
        }],
    })
}

/// Like [`duration`], of 24 hours at most.
pub(super) fn duration_of_a_day(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": concat!(
                "size(self) > 0 && ", is_duration!("self"),
                " && duration(self) >= duration('1s') && duration(self) <= duration('24h')",
            ),
            "message": "must be a duration from 1s to 24h in h, m and s, such as 90s, 30m or 1h30m",
        }],
    })
}

/// Like [`duration`], and zero, which switches the feature off: `0` without quotes too.
pub(super) fn duration_or_zero(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true, "maxLength": 32,
        "anyOf": [{ "type": "integer" }, { "type": "string" }],
        "x-kubernetes-validations": [{
            "rule": concat!(
                "string(self).matches('^0(ns|s|m|h)?$') || size(string(self)) > 0 && ", is_duration!("string(self)"),
                " && duration(string(self)) >= duration('1s') && duration(string(self)) <= duration('876000h')",
            ),
            "message": "must be 0, or a duration from 1s to 876000h in h, m and s, such as 15m or 1h",
        }],
    })
}

/// A text of at most so many characters that matches; whoever is refused is told the message, and nothing else.
fn text(longest: u32, pattern: &str, message: &str) -> Schema {
    let pattern = pattern.replace('\\', r"\\");
    bounded(longest, &format!("self.matches('{pattern}')"), message)
}

/// A text of at most so many characters that a rule holds for. What is longer than `maxLength` is refused in Kubernetes' own
/// words, and no rule is asked then: it is there for the rule's cost alone, and generous.
fn bounded(longest: u32, rule: &str, message: &str) -> Schema {
    json_schema!({
        "type": "string", "maxLength": 4 * longest,
        "x-kubernetes-validations": [{
            "rule": format!("size(self) <= {longest} && {rule}"),
            "message": format!("{message}; at most {longest} characters"),
        }],
    })
}

/// Name of an object: a DNS subdomain (RFC 1123).
pub(super) fn object_name(_: &mut SchemaGenerator) -> Schema {
    text(
        253,
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "must be the name of an object, such as web or web.v2: lower-case letters, digits, '-' and '.', with a letter or digit at both ends",
    )
}

/// Name of a namespace: a DNS label (RFC 1123).
pub(super) fn namespace_name(_: &mut SchemaGenerator) -> Schema {
    text(
        63,
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "must be the name of a namespace, such as apps: lower-case letters, digits and '-', with a letter or digit at both ends",
    )
}

/// Key of a Secret's data.
pub(super) fn data_key(_: &mut SchemaGenerator) -> Schema {
    text(253, r"^[-._a-zA-Z0-9]+$", "must be a key of a Secret: letters, digits, '-', '_' and '.'")
}

/// Permanent domain of a shop.
pub(super) fn shop(_: &mut SchemaGenerator) -> Schema {
    text(
        77,
        r"^[a-z0-9][a-z0-9-]*\.myshopify\.com$",
        "must be the shop's permanent domain, such as acme.myshopify.com: in lower case, without https://, and not the domain that customers see",
    )
}

/// Shops of a grant.
pub(super) fn shops(_: &mut SchemaGenerator) -> Schema {
    let shop = text(
        77,
        r"^(\*|[a-z0-9][a-z0-9-]*)\.myshopify\.com$",
        "must be a shop's permanent domain, such as acme.myshopify.com, or *.myshopify.com for every shop",
    );
    json_schema!({ "type": "array", "maxItems": 100, "items": shop })
}

/// Version of the Admin and Storefront API.
pub(super) fn api_version(_: &mut SchemaGenerator) -> Schema {
    text(
        8,
        "^([0-9]{4}-(01|04|07|10)|unstable)$",
        "must be a version of Shopify's API, such as 2026-10: a year, and 01, 04, 07 or 10; or unstable",
    )
}

/// Title of a storefront token; the operator's marker begins with `#`.
pub(super) fn title(_: &mut SchemaGenerator) -> Schema {
    text(
        120,
        r"^[^\x00-\x1f#]+$",
        "must be a line of text, not empty, without control characters and without #, which begins the operator's marker",
    )
}

/// Access scopes of a token, or none.
pub(super) fn scopes(_: &mut SchemaGenerator) -> Schema {
    scopes_from(0)
}

/// Access scopes of a token, one at least.
pub(super) fn some_scopes(_: &mut SchemaGenerator) -> Schema {
    scopes_from(1)
}

fn scopes_from(least: u32) -> Schema {
    let scope = text(
        100,
        "^[a-z0-9_]+$",
        "must be one scope, such as read_products: lower-case letters, digits and '_'; each scope is an item of its own",
    );
    let mut scopes = json_schema!({ "type": "array", "maxItems": 100, "items": scope });
    if least > 0 {
        scopes.insert("minItems".to_owned(), least.into());
    }
    scopes
}

/// Scopes of a customer's session.
pub(super) fn session_scopes(_: &mut SchemaGenerator) -> Schema {
    let scope = text(
        100,
        "^[a-z0-9_:-]+$",
        "must be one scope, such as openid or customer-account-api:full; each scope is an item of its own",
    );
    json_schema!({ "type": "array", "minItems": 1, "maxItems": 20, "items": scope })
}

/// Labels a template may set: never Kubernetes' own or this operator's.
pub(super) fn template_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "maxProperties": 32,
        "additionalProperties": text(
            63,
            "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
            "a label's value may have letters, digits, '-', '_' and '.', with a letter or digit at both ends",
        ),
        "x-kubernetes-validations": template_keys(),
    })
}

/// Annotations a template may set: never Kubernetes' own or this operator's.
pub(super) fn template_annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
        "x-kubernetes-validations": template_keys(),
    })
}

fn template_keys() -> serde_json::Value {
    serde_json::json!([
        {
            "rule": r"self.all(k, k.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
            "message": "a key must be a name such as team or example.com/team: at most 63 letters, digits, '-', '_' and '.', after an optional lower-case DNS prefix and '/'",
        },
        {
            "rule": r"self.all(k, !k.matches('^([^/]*\\.)?(kubernetes|k8s)\\.io/'))",
            "message": "keys under kubernetes.io and k8s.io are Kubernetes' own: use a prefix of yours, or none",
        },
        {
            "rule": "self.all(k, !k.startsWith('tokens.shopify-operator.dev/'))",
            "message": "keys under tokens.shopify-operator.dev are the operator's record: use a prefix of yours, or none",
        },
    ])
}

/// Keys of every Secret, some of them not always there. Templates can't set them.
pub const DEFAULT_KEYS: [&str; 7] = [
    "access_token",
    "api_version",
    "expires_at",
    "older_access_tokens",
    "previous_access_token",
    "scopes",
    "shop_domain",
];

/// Further keys of the Secret of a `customerAccount` token, some of them not always there. Its templates can't set them.
pub const CLIENT_KEYS: [&str; 10] = [
    "authorization_endpoint",
    "client_id",
    "client_secret",
    "end_session_endpoint",
    "graphql_api",
    "issuer",
    "jwks_uri",
    "previous_client_id",
    "previous_client_secret",
    "token_endpoint",
];

/// Data of the Secret: key to template.
pub(super) fn template_data(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 65_000 },
        "x-kubernetes-validations": [
            {
                "rule": r"self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$'))",
                "message": "a key may have letters, digits, '-', '_' and '.', and at most 253 of them",
            },
            {
                "rule": format!("self.all(k, !(k in {DEFAULT_KEYS:?}))"),
                "message": format!("{} are the operator's own keys: choose another name", DEFAULT_KEYS.join(", ")),
            },
        ],
    })
}

/// A `type` of the Secret that no controller of Kubernetes acts on.
pub(super) fn secret_type(_: &mut SchemaGenerator) -> Schema {
    bounded(
        253,
        r"size(self) > 0 && !self.matches('^([^/]*\\.)?(kubernetes\\.io|k8s\\.io|helm\\.sh)/')",
        "must be Opaque or a type of your own: those under kubernetes.io, k8s.io and helm.sh are acted upon by others",
    )
}

/// A label selector of namespaces (`metav1.LabelSelector`), with the rules that the API server has for its own: never
/// that of every namespace.
pub(super) fn namespace_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "x-kubernetes-map-type": "atomic",
        "x-kubernetes-validations": [{
            "rule": "has(self.matchLabels) && size(self.matchLabels) > 0 || has(self.matchExpressions) && size(self.matchExpressions) > 0",
            "message": "must name labels: an empty selector would be every namespace",
        }],
        "properties": {
            "matchLabels": {
                "description": "Labels that must be there with these values.",
                "type": "object", "maxProperties": 32,
                "additionalProperties": { "type": "string", "maxLength": 63 },
            },
            "matchExpressions": {
                "description": "Requirements of labels, all of which must be met.",
                "type": "array", "maxItems": 32, "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object", "required": ["key", "operator"],
                    "properties": {
                        "key": {
                            "description": "Key of the label.",
                            "type": "string", "minLength": 1, "maxLength": 317,
                        },
                        "operator": {
                            "description": "How the label's value relates to `values`: In, NotIn, Exists or DoesNotExist.",
                            "type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                        },
                        "values": {
                            "description": "Values, for In and NotIn only.",
                            "type": "array", "maxItems": 64, "x-kubernetes-list-type": "atomic",
                            "items": { "type": "string", "maxLength": 63 },
                        },
                    },
                    "x-kubernetes-validations": [{
                        "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
                        "message": "In and NotIn need values; Exists and DoesNotExist take none",
                    }],
                },
            },
        },
    })
}

/// An integer that the schema needs to default to -1, so that an object nobody has looked at yet is
/// never taken for a finished one (kstatus compares it with `metadata.generation`).
pub(super) fn observed_generation(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": -1 })
}
