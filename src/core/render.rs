//! The data of the Secret: default keys, presets and the user's templates.
//!
//! Synchronous and bounded: a rendering holds less than 8 MiB, whatever a template says.

mod bounds;
mod evaluate;
mod filters;
mod gate;
mod hash;
mod mistake;
mod preset;
mod subset;
mod template;
mod value;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use secrecy::SecretString;

use self::{
    bounds::Bounds,
    mistake::{Mistake, Place},
    value::Value,
    values::default_keys,
};
pub use self::{
    hash::content_hash,
    values::{
        ACCESS_TOKEN, CLIENT_ID, CLIENT_SECRET, ClientValues, EXPIRES_AT, OLDER_ACCESS_TOKENS, PREVIOUS_ACCESS_TOKEN,
        PREVIOUS_CLIENT_ID, PREVIOUS_CLIENT_SECRET, Values,
    },
};
use super::{
    customer::Discovery,
    failure::Failure,
    source::{Nature, nature},
    vocabulary::Reason,
};
use crate::{
    api::{DEFAULT_KEYS, ShopifyTokenSpec, SourceKind, source::ClientType},
    time::Timestamp,
};

/// Data of a Secret.
pub type Data = BTreeMap<String, ByteString>;

/// Renders the data of the Secret: the default keys, the preset's, and the template's, which may replace the preset's.
///
/// # Errors
/// `InvalidTemplate`, naming the key and the mistake, never a value.
pub fn render(spec: &ShopifyTokenSpec, kind: SourceKind, values: &Values<'_>) -> Result<Data, Failure> {
    let defaults = values.defaults();
    let templates = spec.template().map(|template| &template.data);
    let mut preset = match spec.secret.as_ref().and_then(|secret| secret.preset) {
        Some(preset) => preset::data(preset, kind, &defaults)?,
        None => BTreeMap::new(),
    };
    preset.retain(|key, _| templates.is_none_or(|templates| !templates.contains_key(*key)));

    let names = default_keys(kind);
    let mut bounds = Bounds::new();
    let mut data = Data::new();
    for (key, value) in defaults.iter().chain(&preset) {
        bounds.keep(key.len() + value.len()).map_err(|what| invalid("spec.secret", what))?;
        data.insert((*key).to_owned(), ByteString(value.clone().into_bytes()));
    }
    let values = defaults.into_iter().filter(|(key, _)| *key != OLDER_ACCESS_TOKENS);
    let values = values.map(|(key, value)| (key, Value::text(value))).collect();
    for (key, source) in templates.into_iter().flatten() {
        // The schema refuses these, but not in an object from before the schema did.
        if names.contains(&key.as_str()) || DEFAULT_KEYS.contains(&key.as_str()) {
            return Err(of_key(
                key,
                &Mistake { place: None, what: "this key is the operator's own: choose another name".into() },
            ));
        }
        let text = bounds
            .keep(key.len())
            .map_err(|what| Mistake { place: None, what: what.into() })
            .and_then(|()| template::render(source, &names, &values, &mut bounds))
            .map_err(|mistake| of_key(key, &mistake))?;
        data.insert(key.clone(), ByteString(text.into_bytes()));
    }
    Ok(data)
}

/// Every key that the operator may write into the Secret.
#[must_use]
pub fn keys(spec: &ShopifyTokenSpec, kind: SourceKind) -> BTreeSet<String> {
    let Nature { expires, overlaps, by_value, .. } = nature(kind);
    let written = |key: &&&str| match **key {
        PREVIOUS_ACCESS_TOKEN => overlaps,
        OLDER_ACCESS_TOKENS => by_value,
        EXPIRES_AT => expires || has_session(spec),
        ACCESS_TOKEN => kind != SourceKind::CustomerAccount || has_session(spec),
        CLIENT_SECRET => is_confidential(spec),
        _ => true,
    };
    let defaults = default_keys(kind);
    let defaults = defaults.iter().filter(written);
    let placeholders = defaults.clone().map(|key| (*key, ISSUER.to_owned())).collect();
    let defaults = defaults.map(|key| (*key).to_owned());
    let preset = spec.secret.as_ref().and_then(|secret| secret.preset);
    let preset = preset.and_then(|preset| preset::data(preset, kind, &placeholders).ok()).unwrap_or_default();
    let template = spec.template().into_iter().flat_map(|template| template.data.keys().cloned());
    defaults.chain(preset.into_keys().map(str::to_owned)).chain(template).collect()
}

/// A URL as that of an issuer that names a shop.
const ISSUER: &str = "https://shopify.com/authentication/36563550340";

fn has_session(spec: &ShopifyTokenSpec) -> bool {
    spec.source.customer_account.as_ref().is_some_and(|source| source.session.is_some())
}

fn is_confidential(spec: &ShopifyTokenSpec) -> bool {
    spec.source.customer_account.as_ref().is_some_and(|source| source.client_type == ClientType::Confidential)
}

/// Renders with placeholders of a credential's usual shape, so that a mistake is found before anything is minted.
///
/// # Errors
/// As [`render`].
pub fn check(spec: &ShopifyTokenSpec, kind: SourceKind) -> Result<(), Failure> {
    let placeholder = SecretString::from("x".repeat(64));
    let id = if is_confidential(spec) { "y".repeat(36) } else { "x".repeat(64) };
    let Nature { expires, overlaps, .. } = nature(kind);
    let two = ["read_products".to_owned(), "write_products".to_owned()];
    // Outside an overlap there is no previous token, and a template has to do without. Not every credential has scopes.
    for (previous, scopes) in [(None, &[][..]), (overlaps.then_some(&placeholder), &two)] {
        let client = (kind == SourceKind::CustomerAccount).then(|| ClientValues {
            client_id: id.clone(),
            previous_client_id: Some(id.clone()),
            endpoints: Discovery::KEYS.into_iter().map(|key| (key, ISSUER.to_owned())).collect(),
        });
        // Before its customer has signed in there is no session, and a template has to do without, too.
        let session = previous.filter(|_| has_session(spec));
        let values = Values {
            value: &placeholder,
            previous_value: previous,
            older_values: &[],
            shop_domain: &spec.shop,
            api_version: "2026-10",
            scopes,
            expires_at: (expires || session.is_some()).then(Timestamp::default),
            session,
            client,
        };
        render(spec, kind, &values)?;
    }
    Ok(())
}

fn of_key(key: &str, mistake: &Mistake) -> Failure {
    let place = match mistake.place {
        Some(Place { line, column: Some(column) }) => format!(", line {line}, column {column}"),
        Some(Place { line, column: None }) => format!(", line {line}"),
        None => String::new(),
    };
    invalid(&format!("spec.secret.template.data[{key}]{place}"), &mistake.what)
}

fn invalid(field: &str, what: &str) -> Failure {
    Failure::new(Reason::InvalidTemplate, format!("{field}: {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(secret: &serde_json::Value) -> ShopifyTokenSpec {
        serde_json::from_value(json!({"shop": "acme.myshopify.com", "source": {}, "secret": secret})).unwrap()
    }

    fn rendered(secret: &serde_json::Value, kind: SourceKind) -> Result<Data, Failure> {
        let token = SecretString::from("canary");
        let values = Values {
            value: &token,
            previous_value: None,
            older_values: &[],
            shop_domain: "acme.myshopify.com",
            api_version: "2026-10",
            scopes: &["read_orders".into(), "read_products".into()],
            expires_at: Some(Timestamp::default()),
            session: None,
            client: None,
        };
        render(&spec(secret), kind, &values)
    }

    fn text(data: &Data, key: &str) -> String {
        String::from_utf8(data[key].0.clone()).unwrap()
    }

    #[test]
    fn default_keys_presets_and_templates() {
        let secret = json!({"preset": "Node", "template": {"data": {".env": "TOKEN={{ access_token }}\nSHOP={{ shop_domain | upper }}\n"}}});
        let data = rendered(&secret, SourceKind::ClientCredentials).unwrap();
        assert_eq!(
            data.keys().collect::<Vec<_>>(),
            [
                ".env",
                "SHOPIFY_ACCESS_TOKEN",
                "SHOPIFY_API_VERSION",
                "SHOPIFY_SHOP",
                "access_token",
                "api_version",
                "expires_at",
                "scopes",
                "shop_domain"
            ]
        );
        assert_eq!(text(&data, ".env"), "TOKEN=canary\nSHOP=ACME.MYSHOPIFY.COM\n");
        assert_eq!(text(&data, "scopes"), "read_orders,read_products");
        assert_eq!(text(&data, "expires_at"), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn what_templates_can_say() {
        for (template, says) in [
            ("{{ access_token }}", "canary"),
            ("a {# why #}b{{ '}}' }}\n", "a b}}\n"),
            ("{% raw %}{{ as it is }}{% endraw %}", "{{ as it is }}"),
            ("{{ 'https://' ~ shop_domain ~ '/' ~ 1 }}", "https://acme.myshopify.com/1"),
            ("{{ shop_domain|replace('.myshopify.com', '')|upper }}", "ACME"),
            ("{{ shop_domain|split('.')|first }} {{ shop_domain|split('.')|last }}", "acme com"),
            ("{{ scopes|split(',')|join(' ') }}", "read_orders read_products"),
            ("{{ scopes|split(',')|tojson }}", r#"["read_orders","read_products"]"#),
            ("{{ 'say \"hi\"\\n'|tojson }} {{ 1|tojson }} {{ true|tojson }}", r#""say \"hi\"\n" 1 true"#),
            ("{{ 'ü/? '|urlencode }}{{ '-._~a1'|urlencode }}", "%C3%BC%2F%3F%20-._~a1"),
            ("{{ ('x:' ~ access_token)|b64encode }}", "eDpjYW5hcnk="),
            (r#"{{ "it's"|quote }}"#, r"'it'\''s'"),
            ("{{ ' a\n'|trim }}{{ 'ABC'|lower|length }}{{ ''|split(',')|length }}", "a30"),
            ("{{ previous_access_token|default('none') }}", "none"),
            ("{{ ''|default('a') }}{{ ''|default('b', true) }}", "b"),
            ("{% if expires_at is defined and previous_access_token is undefined %}yes{% else %}no{% endif %}", "yes"),
            ("{% if 1 > 2 %}a{% elif not 'b' in ['a', 'c'] %}b{% endif %}{{ 'c' if '' }}{{ 'd' if 1 else 'e' }}", "bd"),
            ("{{ 'read_orders' in scopes }} {{ api_version >= '2026-07' }}", "true true"),
            ("{{ '' or 'a' }}{{ 'b' and 'c' }}", "ac"),
            (
                "{% for s in scopes|split(',') %}{{ loop.index }}:{{ s }}{% if not loop.last %}, {% endif %}{% endfor %}",
                "1:read_orders, 2:read_products",
            ),
            ("{% for a in [] %}x{% else %}none{% endfor %}", "none"),
            ("{% set a = 'x' %}{% for b in ['y'] %}{% set a = b %}{{ a }}{% endfor %}{{ a }}", "yx"),
            ("  {%- if true -%}  a  {%- endif %}", "a"),
        ] {
            let data = rendered(&json!({"template": {"data": {"K": template}}}), SourceKind::Custom);
            assert_eq!(text(&data.map_err(|f| f.message).unwrap(), "K"), says, "{template}");
        }
    }

    #[test]
    fn a_mistake_says_where_and_what_there_is_instead() {
        for (template, says) in [
            ("a\n  {{ nothing }}", ", line 2, column 6: there is no such value; there are access_token, api_version"),
            ("{% if false %}{{ nothing }}{% endif %}", ", line 1, column 18: there is no such value"),
            ("{{ scopes|indent(4) }}", ": there is no such filter; there are default, b64encode, first"),
            ("{{ 'a' * 9 }}", ": there is no such operator"),
            ("{{ range(9) }}", ": there are no functions"),
            ("{% include 'a' %}", ": there is no such statement; there are if, for and set"),
            ("{{ scopes is string }}", ": there is no such test"),
            ("{{ scopes|replace('a') }}", ": replace takes 2 in brackets"),
            ("{{ scopes|replace('', 'a') }}", ": replace needs a text to look for"),
            ("{{ scopes|split(',') }}", ": a list can't be written as it is: use join or tojson"),
            ("{% for s in scopes %}{% endfor %}", ": for goes through a list, such as split makes"),
            ("{{ 1 < 'a' }}", ": <, <=, > and >= compare two texts or two numbers"),
            ("{{ 1 in 'a' }}", ": in looks for a text in a text or a list"),
            ("{{ loop.index }}", ": only loop, within for, has fields"),
            ("{{ previous_access_token }}", ": this value isn't always there"),
            ("{{ access_token", ", line 1: this isn't Jinja"),
        ] {
            let data = rendered(&json!({"template": {"data": {"K": template}}}), SourceKind::Custom);
            let message = data.unwrap_err().message;
            assert!(
                message.starts_with("spec.secret.template.data[K]") && message.contains(says),
                "{template}: {message}"
            );
        }
    }

    #[test]
    fn a_template_replaces_a_presets_keys_and_never_the_default_keys() {
        let of = |key: &str| json!({"preset": "Node", "template": {"data": {key: "v{{ api_version }}"}}});
        for key in DEFAULT_KEYS {
            let failure = rendered(&of(key), SourceKind::Custom).unwrap_err();
            assert_eq!(failure.reason, Reason::InvalidTemplate);
            assert_eq!(
                failure.message,
                format!("spec.secret.template.data[{key}]: this key is the operator's own: choose another name")
            );
        }
        assert_eq!(
            text(&rendered(&of("SHOPIFY_API_VERSION"), SourceKind::Custom).unwrap(), "SHOPIFY_API_VERSION"),
            "v2026-10"
        );
    }

    #[test]
    fn an_admin_token_never_gets_public_names() {
        let failure = rendered(&json!({"preset": "Hydrogen"}), SourceKind::ClientCredentials).unwrap_err();
        assert_eq!(failure.reason, Reason::InvalidTemplate);
        assert!(rendered(&json!({"preset": "Hydrogen"}), SourceKind::Storefront).is_ok());
    }

    #[test]
    fn mistakes_name_the_key_and_never_a_value() {
        for template in [
            "{{ acces_token }}",
            "{{ access_token",
            "{% for x in %}",
            "{{ access_token + 1 }}",
            "{{ access_token | int }}",
            "{% include access_token %}",
            "{{ access_token.a.b }}",
            "{{ canary }}",
            "{{ access_token|canary }}",
            "{{ 'canary }}",
            "{% canary %}",
        ] {
            let failure = rendered(&json!({"template": {"data": {"KEY": template}}}), SourceKind::Custom).unwrap_err();
            assert_eq!(failure.reason, Reason::InvalidTemplate, "{template}");
            assert!(failure.message.starts_with("spec.secret.template.data[KEY]"), "{}", failure.message);
            assert!(!failure.message.contains("canary"), "{}", failure.message);
        }
    }

    #[test]
    fn what_is_not_always_there_has_to_be_asked_for() {
        let check = |text: &str, kind| check(&spec(&json!({"template": {"data": {"K": text}}})), kind).is_ok();
        assert!(check("{{ expires_at }}", SourceKind::ClientCredentials));
        assert!(!check("{{ expires_at }}", SourceKind::Storefront));
        assert!(!check("{{ previous_access_token }}", SourceKind::Storefront));
        let asked = "{% if previous_access_token is defined %}{{ previous_access_token }}{% endif %}";
        assert!(check(asked, SourceKind::Storefront) && check(asked, SourceKind::Custom));
    }

    #[test]
    fn the_check_finds_what_rendering_would() {
        assert!(check(&spec(&json!({"template": {"data": {"K": "{{ access_token }}"}}})), SourceKind::Custom).is_ok());
        assert!(check(&spec(&json!({"template": {"data": {"K": "{{ nothing }}"}}})), SourceKind::Custom).is_err());
        for scopes in
            ["{% for s in scopes|split(',') %}{{ expires_at }}{% endfor %}", "{{ 1 if scopes else expires_at }}"]
        {
            assert!(
                check(&spec(&json!({"template": {"data": {"K": scopes}}})), SourceKind::Custom).is_err(),
                "{scopes}"
            );
        }
        let large: serde_json::Map<_, _> = (0..40).map(|n| (format!("K{n}"), json!("x".repeat(30_000)))).collect();
        assert!(check(&spec(&json!({"template": {"data": large}})), SourceKind::Custom).is_err());
    }

    #[test]
    fn the_hash_sees_every_edit() {
        let data = rendered(&json!({}), SourceKind::Custom).unwrap();
        let keys: Vec<String> = data.keys().cloned().collect();
        let whole = content_hash("uid", &data, &keys);
        assert_ne!(whole, content_hash("other", &data, &keys));
        for key in &keys {
            let mut edited = data.clone();
            edited.insert(key.clone(), ByteString(b"x".to_vec()));
            assert_ne!(whole, content_hash("uid", &edited, &keys), "{key}");
            edited.remove(key);
            assert_ne!(whole, content_hash("uid", &edited, &keys), "{key}");
        }
        let mut foreign = data.clone();
        foreign.insert("theirs".into(), ByteString(vec![]));
        assert_eq!(whole, content_hash("uid", &foreign, &keys));
    }
}
