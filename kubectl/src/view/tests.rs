use serde_json::{Value, json};
use shopify_token_operator::time::{self, Timestamp};

use super::{
    detail,
    secret::{Facts, Part, secret},
    table::{self, Columns},
};
use crate::objects::Object;

fn now() -> Timestamp {
    time::parse("2026-11-29T17:00:00Z").unwrap()
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-11-29T09:00:00Z"})
}

fn object(name: &str, source: &Value, status: &Value) -> Object {
    of(json!({
        "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyToken",
        "metadata": {"name": name, "namespace": "shop", "generation": 2, "creationTimestamp": "2026-11-01T17:00:00Z"},
        "spec": {"shop": "acme.myshopify.com", "source": source},
        "status": status,
    }))
}

fn of(object: Value) -> Object {
    Object::new(serde_json::from_value(object).unwrap())
}

fn storefront() -> Object {
    let verified = condition("TokenValid", "True", "Verified", "Shopify confirmed the credential");
    object(
        "web",
        &json!({"storefront": {"adminTokenRef": {"name": "admin"}}}),
        &json!({
            "observedGeneration": 2, "source": "Storefront", "revision": 4, "tokenID": "gid://shopify/StorefrontAccessToken/9",
            "scopes": ["unauthenticated_read_product_listings"], "issuedAt": "2026-11-29T09:00:00Z",
            "lastVerifiedTime": "2026-11-29T16:30:00Z", "renewalTime": "2026-12-01T09:00:00Z",
            "previous": [{"tokenID": "gid://shopify/StorefrontAccessToken/8", "revokeAt": "2026-11-30T09:00:00Z"}],
            "conditions": [condition("Ready", "True", "Issued", "revision 4 never expires"), verified],
        }),
    )
}

fn failing() -> Object {
    let waits = "acme.myshopify.com gave no answer";
    object(
        "admin",
        &json!({"clientCredentials": {"appRef": {"name": "acme"}}}),
        &json!({
            "observedGeneration": 2, "source": "ClientCredentials", "revision": 7, "scopes": ["read_products", "write_orders"],
            "issuedAt": "2026-11-28T18:00:00Z", "expiresAt": "2026-11-29T18:00:00Z", "renewalTime": "2026-11-29T10:00:00Z",
            "lastVerifiedTime": "2026-11-29T10:00:00Z", "failedAttempts": 6, "nextAttemptTime": "2026-11-29T17:04:00Z",
            "conditions": [
                condition("Ready", "True", "Issued", "revision 7 expires at 2026-11-29T18:00:00Z"),
                condition("Reconciling", "True", "BackingOff", waits),
                condition("TokenValid", "Unknown", "Unreachable", "Shopify gave no answer"),
            ],
        }),
    )
}

fn dead() -> Object {
    let message = "Shopify refuses the refresh token; approve the app again";
    object(
        "backoffice",
        &json!({"offline": {"appRef": {"name": "acme", "namespace": "apps"}}}),
        &json!({
            "observedGeneration": 2, "source": "Offline", "revision": 90, "issuedAt": "2026-11-29T15:00:00Z",
            "expiresAt": "2026-11-29T16:00:00Z", "renewalTime": "2026-11-29T15:39:00Z",
            "refreshTokenExpiresAt": "2027-02-20T00:00:00Z",
            "installURL": "https://tokens.example.com/oauth/install/shop/backoffice",
            "conditions": [
                condition("Ready", "False", "TokenExpired", "expired at 2026-11-29T16:00:00Z"),
                condition("Stalled", "True", "RefreshTokenDead", message),
                condition("TokenValid", "True", "Verified", "Shopify confirmed the credential"),
            ],
        }),
    )
}

/// Nothing renews it, and applications don't notice yet.
fn dying() -> Object {
    let mut raw = serde_json::to_value(&dead().raw).unwrap();
    let moved = [
        ("issuedAt", "2026-11-29T16:30:00Z"),
        ("renewalTime", "2026-11-29T17:09:00Z"),
        ("expiresAt", "2026-11-29T17:30:00Z"),
        ("nextAttemptTime", "2026-11-29T17:05:00Z"),
    ];
    for (field, time) in moved {
        raw["status"][field] = json!(time);
    }
    raw["status"]["conditions"][0] =
        condition("Ready", "True", "Issued", "revision 90 expires at 2026-11-29T17:30:00Z");
    of(raw)
}

fn suspended() -> Object {
    let mut raw = serde_json::to_value(&storefront().raw).unwrap();
    raw["metadata"]["name"] = json!("paused");
    raw["spec"]["suspend"] = json!(true);
    let told = condition("Suspended", "True", "Suspended", "spec.suspend is true: no issue, check or revocation");
    raw["status"]["conditions"].as_array_mut().unwrap().push(told);
    of(raw)
}

fn deleting() -> Object {
    let mut raw = serde_json::to_value(&failing().raw).unwrap();
    raw["metadata"]["name"] = json!("going");
    raw["metadata"]["deletionTimestamp"] = json!("2026-11-29T16:59:00Z");
    raw["metadata"]["finalizers"] = json!(["tokens.shopify-operator.dev/in-use"]);
    raw["status"]["conditions"][1] =
        condition("Reconciling", "True", "Revoking", "kept until the tokens that need it are revoked: web");
    of(raw)
}

fn unseen() -> Object {
    object(
        "new",
        &json!({"custom": {"tokenRef": {"name": "pasted", "key": "token"}}}),
        &json!({"observedGeneration": -1}),
    )
}

fn unreadable() -> Object {
    of(json!({
        "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyToken",
        "metadata": {"name": "later", "namespace": "shop"}, "spec": {"shop": {"domain": "acme.myshopify.com"}},
    }))
}

#[test]
fn all_as_a_table() {
    let all = [failing(), dead(), deleting(), unreadable(), unseen(), suspended(), storefront()];
    let plain = |columns| anstream::adapter::strip_str(&table::tokens(&all, columns, true, now())).to_string();
    insta::assert_snapshot!(plain(Columns::default()));
    insta::assert_snapshot!(plain(Columns { namespace: true, wide: true }));
}

/// The examples in the documentation are what is shown.
#[test]
fn examples_are_documented_as_they_are() {
    let documented = include_str!("../../../docs/kubectl.md");
    let all = [failing(), dead(), deleting(), unreadable(), unseen(), suspended(), storefront()];
    let table = table::tokens(&all, Columns::default(), true, now());
    for shown in [table, detail::token(&storefront(), now())] {
        let shown = anstream::adapter::strip_str(&shown).to_string();
        assert!(documented.contains(&shown), "docs/kubectl.md hasn't got\n{shown}");
    }
}

#[test]
fn what_isnt_as_it_should_be_has_a_colour() {
    let line = |object: Object| table::tokens(&[object], Columns::default(), false, now());
    assert!(!line(storefront()).contains('\x1b'));
    assert!(line(failing()).starts_with("\x1b[33m"), "yellow");
    assert!(line(dead()).starts_with("\x1b[31m"), "red");
    assert!(line(suspended()).starts_with("\x1b[2m"), "dim");
}

#[test]
fn one_in_detail() {
    for (name, object) in [
        ("storefront", storefront()),
        ("failing", failing()),
        ("dead", dead()),
        ("dying", dying()),
        ("suspended", suspended()),
        ("deleting", deleting()),
        ("unseen", unseen()),
        ("unreadable", unreadable()),
    ] {
        insta::assert_snapshot!(name, anstream::adapter::strip_str(&detail::token(&object, now())).to_string());
    }
}

#[test]
fn a_secret_without_its_values() {
    let prefixed = |name: &str| format!("tokens.shopify-operator.dev/{name}");
    let annotations = json!({
        prefixed("token"): "shop/web/0a1b", prefixed("revision"): "4", prefixed("issued-at"): "2026-11-29T09:00:00Z",
        prefixed("inputs"): "00", prefixed("content"): "00", prefixed("api-version"): "2026-10", prefixed("scopes"): "a,b",
        prefixed("fields"): "{\"data\":[\"access_token\"]}", prefixed("secret"): "web", "other": "x",
    });
    let fields = json!({"f:data": {".": {}, "f:access_token": {}}});
    let written = json!([{"manager": "shopify-token-operator", "operation": "Update", "time": "2026-11-29T09:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields}]);
    let object = json!({
        "metadata": {"name": "web", "namespace": "shop", "creationTimestamp": "2026-11-01T17:00:00Z", "annotations": annotations, "managedFields": written},
        "type": "Opaque", "data": {"access_token": "Y2FuYXJ5", "extra": ""},
    });
    let read = |object: &Value| Facts::of(&serde_json::from_value(object.clone()).unwrap());
    let shown = |facts: &Facts, part| anstream::adapter::strip_str(&secret(facts, part, now())).to_string();
    insta::assert_snapshot!(shown(&read(&object), Part::Current));
    let edited = |name: &str, value: Value| {
        let mut object = object.clone();
        object["metadata"][name] = value;
        shown(&read(&object), Part::Named)
    };
    assert!(edited("name", json!("copy")).contains("a copy: its record was written under another name"));
    assert!(edited("namespace", json!("other")).contains("a copy: its record is of another namespace"));
    assert!(edited("annotations", json!({prefixed("token"): "shop/web/0a1b"})).contains("its record can't be read"));
    assert!(edited("annotations", json!({})).contains("no record"));
    let painted = edited("annotations", json!({prefixed("token-id"): "\u{1b}]0;gone\u{7}\u{1b}[2J"}));
    assert!(painted.contains("\u{fffd}]0;gone") && !painted.contains('\u{1b}'), "{painted:?}");
    assert!(!format!("{:?}", read(&object)).contains("Y2FuYXJ5") && !format!("{:?}", read(&object)).contains("canary"));
}
