//! The data of the Secret: default keys, presets and the user's templates.

use std::{collections::BTreeMap, io};

use k8s_openapi::ByteString;
use minijinja::{Environment, UndefinedBehavior, syntax::SyntaxConfig};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{Timestamp, failure::Failure, vocabulary::Reason};
use crate::{
    api::{ShopifyTokenSpec, SourceKind, token::Preset},
    time,
};

/// Key of the credential.
pub const ACCESS_TOKEN: &str = "access_token";
/// Key of the newest older credential, during an overlap.
pub const PREVIOUS_ACCESS_TOKEN: &str = "previous_access_token";

/// Most bytes of data a Secret may hold (`core/v1` `MaxSecretSize`).
const MAX_SECRET_SIZE: usize = 1024 * 1024;
/// Instructions a template may take: far more than any list of environment variables needs.
const FUEL: u64 = 50_000;

/// Data of a Secret.
pub type Data = BTreeMap<String, ByteString>;

/// What templates can name. Has no `Debug`: it holds credentials.
pub struct Values<'a> {
    /// The credential.
    pub access_token: &'a SecretString,
    /// The newest older credential, during an overlap.
    pub previous_access_token: Option<&'a SecretString>,
    /// Domain of the shop.
    pub shop_domain: &'a str,
    /// API version to use it with.
    pub api_version: &'a str,
    /// Its scopes.
    pub scopes: &'a [String],
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

impl Values<'_> {
    fn defaults(&self) -> BTreeMap<&'static str, String> {
        let mut all = BTreeMap::from([
            (ACCESS_TOKEN, self.access_token.expose_secret().to_owned()),
            ("shop_domain", self.shop_domain.to_owned()),
            ("api_version", self.api_version.to_owned()),
            ("scopes", self.scopes.join(",")),
        ]);
        if let Some(at) = self.expires_at {
            all.insert("expires_at", time::print(at));
        }
        if let Some(previous) = self.previous_access_token {
            all.insert(PREVIOUS_ACCESS_TOKEN, previous.expose_secret().to_owned());
        }
        all
    }
}

/// Renders the data of the Secret: the default keys, then the preset's, then the template's.
///
/// # Errors
/// `InvalidTemplate`, naming the key and the mistake, never a value.
pub fn render(spec: &ShopifyTokenSpec, kind: SourceKind, values: &Values<'_>) -> Result<Data, Failure> {
    let defaults = values.defaults();
    let mut data: BTreeMap<String, Vec<u8>> =
        defaults.iter().map(|(k, v)| ((*k).to_owned(), v.clone().into_bytes())).collect();
    if let Some(preset) = spec.secret.as_ref().and_then(|s| s.preset) {
        data.extend(preset_data(preset, kind, &defaults)?);
    }
    if let Some(template) = spec.template() {
        data.extend(template_data(&template.data, &defaults)?);
    }
    let size: usize = data.iter().map(|(k, v)| k.len() + v.len()).sum();
    if size > MAX_SECRET_SIZE {
        return Err(Failure::new(
            Reason::InvalidTemplate,
            format!(
                "spec.secret.template.data: the Secret would hold {size} bytes, more than Kubernetes' 1 MiB; make it smaller"
            ),
        ));
    }
    Ok(data.into_iter().map(|(k, v)| (k, ByteString(v))).collect())
}

/// Renders with placeholders of a credential's usual shape, so that a mistake is found before anything is minted.
///
/// # Errors
/// As [`render`].
pub fn check(spec: &ShopifyTokenSpec, kind: SourceKind) -> Result<(), Failure> {
    let placeholder = SecretString::from("x".repeat(64));
    let (expires, overlaps) = match kind {
        SourceKind::ClientCredentials | SourceKind::Delegate => (true, false),
        SourceKind::Offline => (true, true),
        SourceKind::Storefront | SourceKind::CustomerAccount => (false, true),
        SourceKind::Custom => (false, false),
    };
    // Outside an overlap there is no previous token, and a template has to do without.
    for previous in [None, overlaps.then_some(&placeholder)] {
        let values = Values {
            access_token: &placeholder,
            previous_access_token: previous,
            shop_domain: &spec.shop,
            api_version: "2026-10",
            scopes: &[],
            expires_at: expires.then(Timestamp::default),
        };
        render(spec, kind, &values)?;
    }
    Ok(())
}

/// The environment names that a consumer expects.
fn preset_data(
    preset: Preset,
    kind: SourceKind,
    values: &BTreeMap<&'static str, String>,
) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let (token, shop) = match preset {
        // https://shopify.dev/docs/storefronts/headless/hydrogen/environments
        Preset::Hydrogen if kind != SourceKind::Storefront => {
            return Err(Failure::new(
                Reason::InvalidTemplate,
                format!(
                    "spec.secret.preset: Hydrogen publishes the token to browsers (PUBLIC_STOREFRONT_API_TOKEN), which is right for a storefront token alone, not for {}; choose Node, Ruby or Python, or a template",
                    kind.as_str()
                ),
            ));
        }
        Preset::Hydrogen => ("PUBLIC_STOREFRONT_API_TOKEN", "PUBLIC_STORE_DOMAIN"),
        Preset::Node => ("SHOPIFY_ACCESS_TOKEN", "SHOPIFY_SHOP"),
        Preset::Ruby => ("SHOPIFY_ACCESS_TOKEN", "SHOPIFY_SHOP_DOMAIN"),
        Preset::Python => ("SHOPIFY_ACCESS_TOKEN", "SHOPIFY_SHOP_URL"),
    };
    let version = if preset == Preset::Hydrogen { "PUBLIC_STOREFRONT_API_VERSION" } else { "SHOPIFY_API_VERSION" };
    let of = |key: &str| values.get(key).cloned().unwrap_or_default().into_bytes();
    Ok(BTreeMap::from([
        (token.to_owned(), of(ACCESS_TOKEN)),
        (shop.to_owned(), of("shop_domain")),
        (version.to_owned(), of("api_version")),
    ]))
}

fn template_data(
    templates: &BTreeMap<String, String>,
    values: &BTreeMap<&'static str, String>,
) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment
        .set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build().map_err(|error| invalid("", &error))?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    templates
        .iter()
        .map(|(key, source)| {
            let mut text = Bounded(Vec::new());
            environment
                .template_from_named_str(key, source)
                .and_then(|template| template.render_captured_to(values, &mut text).map(drop))
                .map_err(|error| invalid(key, &error))?;
            Ok((key.clone(), text.0))
        })
        .collect()
}

/// Says what is wrong by kind and line: the error's own text may quote a value.
fn invalid(key: &str, error: &minijinja::Error) -> Failure {
    let line = error.line().map(|l| format!(", line {l}")).unwrap_or_default();
    Failure::new(
        Reason::InvalidTemplate,
        format!(
            "spec.secret.template.data[{key}]{line}: {}; a template can name access_token, shop_domain, api_version, scopes, \
             and where they exist expires_at and previous_access_token ({{% if expires_at is defined %}})",
            error.kind()
        ),
    )
}

/// A buffer that refuses more than a Secret can hold.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_SECRET_SIZE {
            return Err(io::Error::other("more than 1 MiB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hash of the keys named in `keys`, salted with the object's UID. Tells an edit from our own write.
#[must_use]
pub fn content_hash<'a>(uid: &str, data: &Data, keys: impl IntoIterator<Item = &'a String>) -> String {
    let mut hash = Sha256::new_with_prefix(uid);
    for key in keys {
        let value = data.get(key).map(|v| v.0.as_slice());
        hash.update((key.len() as u64).to_be_bytes());
        hash.update(key);
        hash.update(value.map_or(u64::MAX, |v| v.len() as u64).to_be_bytes());
        hash.update(value.unwrap_or_default());
    }
    hex::encode(&hash.finalize()[..16])
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
            access_token: &token,
            previous_access_token: None,
            shop_domain: "acme.myshopify.com",
            api_version: "2026-10",
            scopes: &["read_orders".into(), "read_products".into()],
            expires_at: Some(Timestamp::default()),
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
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
            "{% for a in range(9000) %}{{ 'x' * 9000 }}{% endfor %}",
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
        let large: serde_json::Map<_, _> = (0..40).map(|n| (format!("K{n}"), json!("{{ 'x' * 30000 }}"))).collect();
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
