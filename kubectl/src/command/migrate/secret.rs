//! From a Secret that something else writes, such as a cron job.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::draft::{Carried, Draft, copied, secret_spec};
use crate::{
    cli::MigrateOptions,
    failure::{Code, Failure, Result},
};

/// What a key's value is, by its form and else by the key's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    Shop,
    ShopUrl,
    AdminToken,
    StorefrontToken,
    RefreshToken,
    ClientId,
    ClientSecret,
    Scopes,
    ApiVersion,
    ExpiresAt,
    Other,
}

/// A key, and what is known of its value. The value itself isn't kept, but for a shop's domain.
struct Key {
    name: String,
    role: Role,
    shop: Option<String>,
}

/// What takes its place.
pub(super) fn draft(secret: &Secret, options: &MigrateOptions) -> Result<Draft> {
    let old = secret.name_any();
    let namespace = secret.namespace();
    let keys: Vec<Key> = values(secret).map(|(name, value)| key(name, &value)).collect();
    let has = |role: Role| keys.iter().find(|key| key.role == role).map(|key| key.name.as_str());
    let shop = options.shop.clone().or_else(|| keys.iter().find_map(|key| key.shop.clone())).ok_or_else(|| {
        Failure::new(Code::Usage, format!("no key of Secret {old} holds a domain under myshopify.com"))
            .remedy("say it with --shop")
    })?;
    let name = options.name.clone().unwrap_or_else(|| old.clone());
    let app = has(Role::ClientId).zip(has(Role::ClientSecret));

    let mut steps = Vec::new();
    let credentials = app.map(|(id, secret)| {
        if (id, secret) == ("client_id", "client_secret") {
            return old.clone();
        }
        let own = format!("{name}-app");
        steps.push((own.clone(), vec![("client_id", id), ("client_secret", secret)]));
        own
    });
    let app_ref = json!({"name": name});
    let (source, beside) = match (app, has(Role::RefreshToken), has(Role::AdminToken), has(Role::StorefrontToken)) {
        (Some(_), Some(refresh), ..) => {
            let own = format!("{name}-approved");
            let bootstrap = if refresh == "refresh_token" { old.clone() } else { own.clone() };
            if bootstrap == own {
                steps.push((own, vec![("refresh_token", refresh)]));
            }
            (json!({"offline": {"appRef": app_ref, "bootstrapRef": {"name": bootstrap}}}), None)
        }
        (None, _, Some(token), None) => (json!({"custom": {"tokenRef": {"name": old, "key": token}}}), None),
        (Some(_), None, _, None) => (json!({"clientCredentials": {"appRef": app_ref}}), None),
        (Some(_), None, _, Some(_)) => (storefront(&name), Some(json!({"clientCredentials": {"appRef": app_ref}}))),
        (None, _, Some(token), Some(_)) => {
            (storefront(&name), Some(json!({"custom": {"tokenRef": {"name": old, "key": token}}})))
        }
        (None, _, None, _) => {
            let names: Vec<_> = keys.iter().map(|key| key.name.as_str()).collect();
            let message =
                format!("Secret {old} holds nothing to issue a token with; its keys are {}", names.join(", "));
            return Err(Failure::new(Code::Failed, message)
                .remedy("it takes a client id and secret, or an Admin API token; the operator's documentation says where to get them (docs/sources.md)"));
        }
    };

    let mut draft = Draft::default();
    draft.say(format!("In place of what writes Secret {old}. Review it, then: kubectl apply -f FILE"));
    if source.get("offline").is_some() {
        draft.say("Stop what uses the refresh token before: each refresh ends the one before, so only the operator may use it.");
    }
    if source.get("storefront").is_some() {
        draft.say("The storefront token is a new one; the old one works on until somebody deletes it at Shopify.");
    }
    let of_old = |source: &Value| {
        source["custom"]["tokenRef"]["name"] == old.as_str()
            || source["offline"]["bootstrapRef"]["name"] == old.as_str()
    };
    let referred = of_old(&source) || beside.as_ref().is_some_and(of_old) || credentials.as_ref() == Some(&old);
    let keep = if referred { "keep" } else { "delete" };
    draft.say(format!(
        "Move your applications from Secret {old} to {name}-shopify, stop what writes the old one, and {keep} that."
    ));
    let place = namespace.as_deref().unwrap_or_default();
    draft.first(&steps.iter().map(|(to, keys)| copied(&old, to, place, keys)).collect::<Result<Vec<_>>>()?);
    if let Some(credentials) = credentials {
        draft.object("ShopifyApp", &name, namespace.as_deref(), &json!({"credentialsRef": {"name": credentials}}));
    }
    if let Some(admin) = beside {
        let spec = json!({"shop": shop, "source": admin});
        draft.object("ShopifyToken", &format!("{name}-admin"), namespace.as_deref(), &spec);
    }
    draft.object("ShopifyToken", &name, namespace.as_deref(), &token(&shop, &source, &name, &keys));
    let lost: Vec<_> =
        keys.iter().filter(|key| template(key.role, &source).is_none()).map(|key| key.name.as_str()).collect();
    if !lost.is_empty() {
        draft.say(format!("Not in the new Secret: {}.", lost.join(", ")));
        draft.say("What your applications need of these, put into a Secret of your own.");
    }
    Ok(draft)
}

fn storefront(name: &str) -> Value {
    json!({"storefront": {"adminTokenRef": {"name": format!("{name}-admin")}}})
}

fn token(shop: &str, source: &Value, name: &str, keys: &[Key]) -> Value {
    let expires = source.get("clientCredentials").or_else(|| source.get("offline")).is_some();
    let carried: Vec<Carried> = keys
        .iter()
        .filter_map(|key| {
            let template = template(key.role, source)?;
            (key.role != Role::ExpiresAt || expires)
                .then(|| Carried { key: key.name.clone(), template: template.to_owned() })
        })
        .collect();
    json!({"shop": shop, "source": source, "secret": secret_spec(&format!("{name}-shopify"), &carried)})
}

/// What a key is filled with; `None` for what applications don't get.
fn template(role: Role, source: &Value) -> Option<&'static str> {
    let storefront = source.get("storefront").is_some();
    match role {
        Role::Shop => Some("{{ shop_domain }}"),
        Role::ShopUrl => Some("https://{{ shop_domain }}"),
        Role::AdminToken if !storefront => Some("{{ access_token }}"),
        Role::StorefrontToken if storefront => Some("{{ access_token }}"),
        Role::Scopes => Some("{{ scopes }}"),
        Role::ApiVersion => Some("{{ api_version }}"),
        Role::ExpiresAt => Some("{{ expires_at }}"),
        Role::AdminToken
        | Role::StorefrontToken
        | Role::RefreshToken
        | Role::ClientId
        | Role::ClientSecret
        | Role::Other => None,
    }
}

fn values(secret: &Secret) -> impl Iterator<Item = (String, String)> {
    let data = secret
        .data
        .iter()
        .flatten()
        .map(|(name, value)| (name.clone(), String::from_utf8_lossy(&value.0).trim().to_owned()));
    let text = secret.string_data.iter().flatten().map(|(name, value)| (name.clone(), value.trim().to_owned()));
    data.chain(text)
}

fn key(name: String, value: &str) -> Key {
    let bare = value.trim_start_matches("https://").trim_end_matches('/');
    let shop = bare.strip_suffix(".myshopify.com").filter(|shop| {
        !shop.is_empty() && shop.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    });
    let role = match shop {
        Some(_) if bare != value => Role::ShopUrl,
        Some(_) => Role::Shop,
        None => role(&name.to_lowercase(), value),
    };
    Key { shop: shop.map(|_| bare.to_owned()), name, role }
}

/// By the form of Shopify's values (<https://shopify.dev/docs/apps/build/authentication-authorization/client-secrets>); where
/// that doesn't tell, by what the key is called.
fn role(name: &str, value: &str) -> Role {
    let names = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let bare = value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    match value.split_once('_').map(|(prefix, _)| prefix) {
        Some("shpat" | "shpca" | "shpua" | "shppa") if names(&["storefront"]) && !names(&["admin"]) => {
            Role::StorefrontToken
        }
        Some("shpat" | "shpca" | "shpua" | "shppa") => Role::AdminToken,
        Some("shprt") => Role::RefreshToken,
        Some("shpss") => Role::ClientSecret,
        _ if names(&["refresh"]) => Role::RefreshToken,
        _ if bare && names(&["storefront"]) => Role::StorefrontToken,
        _ if names(&["client_secret", "client-secret", "clientsecret", "api_secret", "api-secret", "apisecret"]) => {
            Role::ClientSecret
        }
        _ if bare && names(&["client", "api_key", "api-key", "apikey"]) => Role::ClientId,
        _ if names(&["scope"]) => Role::Scopes,
        _ if names(&["api_version", "api-version", "apiversion"]) => Role::ApiVersion,
        _ if names(&["expires_at", "expires-at", "expiresat", "expiry"]) => Role::ExpiresAt,
        _ if bare && names(&["access", "admin", "token"]) => Role::AdminToken,
        _ => Role::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef";

    fn options() -> MigrateOptions {
        MigrateOptions { from: "secret/cron".into(), filename: None, shop: None, name: None }
    }

    fn cron(data: &Value) -> Secret {
        serde_json::from_value(json!({"metadata": {"name": "cron", "namespace": "shop"}, "stringData": data})).unwrap()
    }

    fn drafted(data: &Value, options: &MigrateOptions) -> Result<String> {
        let text = draft(&cron(data), options)?.text()?;
        assert!(!text.contains(HEX), "a value is printed: {text}");
        Ok(text)
    }

    #[test]
    fn a_cron_job_with_an_app() {
        let data = json!({
            "SHOPIFY_API_KEY": HEX, "SHOPIFY_API_SECRET": format!("shpss_{HEX}"), "SHOPIFY_ACCESS_TOKEN": format!("shpat_{HEX}"),
            "SHOPIFY_STORE": "acme.myshopify.com", "SHOPIFY_URL": "https://acme.myshopify.com/", "LOG_LEVEL": "debug",
        });
        insta::assert_snapshot!(drafted(&data, &options()).unwrap());
    }

    #[test]
    fn a_pair_whose_keys_fit() {
        let data = json!({
            "client_id": HEX, "client_secret": format!("shpss_{HEX}"), "refresh_token": format!("shprt_{HEX}"),
            "access_token": format!("shpat_{HEX}"), "expires_at": "2026-11-30T09:00:00Z",
        });
        let named =
            MigrateOptions { shop: Some("acme.myshopify.com".into()), name: Some("backoffice".into()), ..options() };
        insta::assert_snapshot!(drafted(&data, &named).unwrap());
    }

    #[test]
    fn a_pasted_token_and_one_of_the_storefront() {
        let admin = json!({"shop": "acme.myshopify.com", "token": format!("shpat_{HEX}")});
        insta::assert_snapshot!(drafted(&admin, &options()).unwrap());
        let both =
            json!({"shop": "acme.myshopify.com", "admin_token": format!("shpca_{HEX}"), "STOREFRONT_TOKEN": HEX});
        insta::assert_snapshot!(drafted(&both, &options()).unwrap());
    }

    #[test]
    fn what_cant_be_migrated_is_told() {
        let failure = drafted(&json!({"token": format!("shpat_{HEX}")}), &options()).unwrap_err();
        assert!(failure.to_string().contains("say it with --shop"), "{failure}");
        let failure = drafted(&json!({"shop": "acme.myshopify.com", "note": "x"}), &options()).unwrap_err();
        assert!(failure.to_string().contains("its keys are note, shop"), "{failure}");
    }
}
