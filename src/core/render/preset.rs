//! Presets: the environment names that a consumer expects.

use std::collections::BTreeMap;

use super::ACCESS_TOKEN;
use crate::{
    api::{SourceKind, token::Preset},
    core::{failure::Failure, vocabulary::Reason},
};

/// The environment names that a consumer expects, and their values.
///
/// # Errors
/// A preset that doesn't fit the source.
pub(super) fn data(
    preset: Preset,
    kind: SourceKind,
    values: &BTreeMap<&'static str, String>,
) -> Result<BTreeMap<&'static str, String>, Failure> {
    let (token, shop) = match preset {
        // https://shopify.dev/docs/storefronts/headless/hydrogen/environments
        Preset::Hydrogen if kind == SourceKind::Delegate => ("PRIVATE_STOREFRONT_API_TOKEN", "PUBLIC_STORE_DOMAIN"),
        Preset::Hydrogen if kind != SourceKind::Storefront => {
            return Err(Failure::new(
                Reason::InvalidTemplate,
                format!(
                    "spec.secret.preset: Hydrogen publishes the token to browsers (PUBLIC_STOREFRONT_API_TOKEN), which is right for a storefront token alone (and a delegate's to servers), not for {}; choose Node, Ruby or Python, or a template",
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
    let of = |key: &str| values.get(key).cloned().unwrap_or_default();
    Ok(BTreeMap::from([(token, of(ACCESS_TOKEN)), (shop, of("shop_domain")), (version, of("api_version"))]))
}
