//! Schemas that several fields share.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Units Kubernetes users know; no nanoseconds, no sign. At most one `h`, `m` and `s` each.
const DURATION: &str =
    r"^([0-9]{1,7}(\.[0-9]{1,3})?h)?([0-9]{1,9}(\.[0-9]{1,3})?m)?([0-9]{1,9}(\.[0-9]{1,3})?s)?$";

/// A duration of one second to 100 years, as Go and Kubernetes write them: `90s`, `1h30m`, `720h`.
pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 2, "maxLength": 32, "pattern": DURATION,
        "x-kubernetes-validations": [{
            "rule": "duration(self) >= duration('1s') && duration(self) <= duration('876000h')",
            "message": "must be a duration from 1s to 876000h, such as 90s, 1h30m or 720h",
        }],
    })
}

/// Like [`duration`], and zero, which switches the feature off.
pub(super) fn duration_or_zero(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": 32, "pattern": format!("^0$|{DURATION}"),
        "x-kubernetes-validations": [{
            "rule": "self == '0' || duration(self) == duration('0s') || (duration(self) >= duration('1s') && duration(self) <= duration('876000h'))",
            "message": "must be 0 or a duration from 1s to 876000h, such as 15m or 1h",
        }],
    })
}

/// Name of an object: a DNS subdomain (RFC 1123).
pub(super) fn object_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": 253,
        "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    })
}

/// Key of a Secret's data.
pub(super) fn data_key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 253, "pattern": r"^[-._a-zA-Z0-9]+$" })
}

/// Labels or annotations a template may set: never Kubernetes' own or this operator's.
pub(super) fn template_metadata(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
        "x-kubernetes-validations": [
            {
                "rule": "self.all(k, !k.matches('^([^/]*\\\\.)?kubernetes\\\\.io/') && !k.matches('^([^/]*\\\\.)?k8s\\\\.io/'))",
                "message": "must not set a kubernetes.io or k8s.io label or annotation: they are Kubernetes' own",
            },
            {
                "rule": "self.all(k, !k.startsWith('tokens.shopify-operator.dev/'))",
                "message": "must not set a tokens.shopify-operator.dev label or annotation: the operator's record is kept there",
            },
        ],
    })
}

/// Data of the Secret: key to minijinja template.
pub(super) fn template_data(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 65_536 },
        "x-kubernetes-validations": [
            {
                "rule": "self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$'))",
                "message": "a key may have letters, digits, '-', '_' and '.', and at most 253 of them",
            },
            {
                "rule": "self.all(k, !(k in ['access_token', 'previous_access_token']))",
                "message": "access_token and previous_access_token are the operator's own keys; choose another name",
            },
        ],
    })
}

/// A `type` of the Secret that no controller of Kubernetes acts on.
pub(super) fn secret_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": "!self.matches('^([^/]*\\\\.)?kubernetes\\\\.io/') && !self.matches('^([^/]*\\\\.)?helm\\\\.sh/')",
            "message": "must be Opaque or a type of your own: kubernetes.io and helm.sh types have a meaning of their own",
        }],
    })
}

/// An integer that the schema needs to default to -1, so that an object nobody has looked at yet is
/// never taken for a finished one (kstatus compares it with `metadata.generation`).
pub(super) fn observed_generation(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": -1 })
}
