//! Presets: the environment names that a consumer expects.

use std::collections::BTreeMap;

use super::values::{ACCESS_TOKEN, CLIENT_ID, CLIENT_SECRET, SHOP_DOMAIN};
use crate::{
    api::{SourceKind, token::Preset},
    core::{customer::shop_id, failure::Failure, vocabulary::Reason},
};

/// The values of default keys, by key.
type Known = BTreeMap<&'static str, String>;

/// The environment names that a consumer expects, and their values.
///
/// # Errors
/// A preset that doesn't fit the source.
pub(super) fn data(preset: Preset, kind: SourceKind, values: &Known) -> Result<Known, Failure> {
    if kind == SourceKind::CustomerAccount {
        return of_client(preset, values);
    }
    let (token, shop) = match preset {
        // https://shopify.dev/docs/storefronts/headless/hydrogen/environments
        Preset::Hydrogen if kind == SourceKind::Delegate => ("PRIVATE_STOREFRONT_API_TOKEN", "PUBLIC_STORE_DOMAIN"),
        Preset::Hydrogen if kind != SourceKind::Storefront => {
            return Err(unfit(&format!(
                "Hydrogen publishes the token to browsers (PUBLIC_STOREFRONT_API_TOKEN), which is right for a storefront token alone (and a delegate's to servers), not for {}; choose Node, Ruby or Python, or a template",
                kind.as_str()
            )));
        }
        Preset::Hydrogen => ("PUBLIC_STOREFRONT_API_TOKEN", "PUBLIC_STORE_DOMAIN"),
        Preset::Node => ("SHOPIFY_ACCESS_TOKEN", "SHOPIFY_SHOP"),
        Preset::Ruby => ("SHOPIFY_ACCESS_TOKEN", "SHOPIFY_SHOP_DOMAIN"),
        Preset::Python => ("SHOPIFY_ACCESS_TOKEN", "SHOPIFY_SHOP_URL"),
        Preset::Oidc => {
            return Err(unfit(&format!(
                "OIDC is for a customerAccount alone, not for {}; choose another one, or a template",
                kind.as_str()
            )));
        }
    };
    let version = if preset == Preset::Hydrogen { "PUBLIC_STOREFRONT_API_VERSION" } else { "SHOPIFY_API_VERSION" };
    let of = |key: &str| values.get(key).cloned().unwrap_or_default();
    Ok(BTreeMap::from([(token, of(ACCESS_TOKEN)), (shop, of(SHOP_DOMAIN)), (version, of("api_version"))]))
}

/// Those of a client of the Customer Account API.
fn of_client(preset: Preset, values: &Known) -> Result<Known, Failure> {
    let of = |key: &str| values.get(key).cloned().unwrap_or_default();
    let mut data = match preset {
        // https://shopify.dev/docs/storefronts/headless/hydrogen/environments; the URL is that of older versions
        // (https://shopify.dev/docs/api/hydrogen/2024-04/utilities/createcustomeraccountclient).
        Preset::Hydrogen => {
            let mut data = BTreeMap::from([
                ("PUBLIC_CUSTOMER_ACCOUNT_API_CLIENT_ID", of(CLIENT_ID)),
                ("PUBLIC_STORE_DOMAIN", of(SHOP_DOMAIN)),
            ]);
            if let Some(id) = values.get("issuer").and_then(|issuer| shop_id(issuer)) {
                data.insert("SHOP_ID", id.to_owned());
                data.insert("PUBLIC_CUSTOMER_ACCOUNT_API_URL", format!("https://shopify.com/{id}"));
            }
            return Ok(data);
        }
        // No library reads names of its own: these are what its users write most, in OIDC Discovery's words.
        Preset::Oidc => BTreeMap::from([
            ("OIDC_CLIENT_ID", of(CLIENT_ID)),
            ("OIDC_ISSUER", of("issuer")),
            ("OIDC_AUTHORIZATION_ENDPOINT", of("authorization_endpoint")),
            ("OIDC_TOKEN_ENDPOINT", of("token_endpoint")),
            ("OIDC_END_SESSION_ENDPOINT", of("end_session_endpoint")),
            ("OIDC_JWKS_URI", of("jwks_uri")),
        ]),
        Preset::Node | Preset::Ruby | Preset::Python => {
            let what = "Node, Ruby and Python are for Admin API tokens, which a customerAccount isn't; choose OIDC or Hydrogen, or a template";
            return Err(unfit(what));
        }
    };
    data.extend(values.get(CLIENT_SECRET).map(|secret| ("OIDC_CLIENT_SECRET", secret.clone())));
    Ok(data)
}

fn unfit(what: &str) -> Failure {
    Failure::new(Reason::InvalidTemplate, format!("spec.secret.preset: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(issuer: &str, secret: Option<&str>) -> Known {
        let all = [("client_id", "shp_1"), ("shop_domain", "acme.myshopify.com"), ("issuer", issuer)];
        let all = all.into_iter().chain(secret.map(|secret| (CLIENT_SECRET, secret)));
        all.map(|(key, value)| (key, value.to_owned())).collect()
    }

    #[test]
    fn hydrogen_never_gets_the_secret_of_a_client() {
        let of = |issuer| data(Preset::Hydrogen, SourceKind::CustomerAccount, &known(issuer, Some("canary"))).unwrap();
        let at_shopify = of("https://shopify.com/authentication/365");
        assert_eq!(at_shopify["PUBLIC_CUSTOMER_ACCOUNT_API_CLIENT_ID"], "shp_1");
        assert_eq!(at_shopify["PUBLIC_CUSTOMER_ACCOUNT_API_URL"], "https://shopify.com/365");
        assert_eq!(at_shopify["SHOP_ID"], "365");
        let elsewhere = of("https://account.acme.example/authentication");
        assert!(!elsewhere.contains_key("SHOP_ID") && !elsewhere.contains_key("PUBLIC_CUSTOMER_ACCOUNT_API_URL"));
        for data in [at_shopify, elsewhere] {
            assert!(!data.values().any(|value| value.contains("canary")), "{data:?}");
        }
    }

    #[test]
    fn a_preset_that_does_not_fit_says_which_do() {
        let issuer = "https://shopify.com/authentication/365";
        for (preset, kind, says) in [
            (Preset::Node, SourceKind::CustomerAccount, "OIDC or Hydrogen"),
            (Preset::Oidc, SourceKind::Storefront, "customerAccount alone"),
            (Preset::Hydrogen, SourceKind::Offline, "Node, Ruby or Python"),
        ] {
            let failure = data(preset, kind, &known(issuer, None)).unwrap_err();
            assert_eq!(failure.reason, Reason::InvalidTemplate);
            assert!(failure.message.contains(says), "{}", failure.message);
        }
        let oidc = |secret| data(Preset::Oidc, SourceKind::CustomerAccount, &known(issuer, secret)).unwrap();
        assert_eq!(oidc(Some("s"))["OIDC_CLIENT_SECRET"], "s");
        assert!(!oidc(None).contains_key("OIDC_CLIENT_SECRET"), "of a public client");
    }
}
