//! Installations of apps on shops, and the scopes granted there.

use std::collections::BTreeSet;

use super::{Owner, State};
use crate::error::Unknown;

/// An app installed on a shop.
#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) id: u64,
    pub(crate) scopes: BTreeSet<String>,
}

impl Installation {
    pub(crate) fn gid(&self) -> String {
        format!("gid://shopify/AppInstallation/{}", self.id)
    }

    /// The scopes a storefront token of this app has: it "inherits all of the
    /// unauthenticated access scopes from the app that creates it"
    /// (<https://shopify.dev/docs/api/admin-rest/latest/resources/storefrontaccesstoken>).
    pub(crate) fn unauthenticated_scopes(&self) -> Vec<String> {
        self.scopes.iter().filter(|scope| scope.starts_with("unauthenticated_")).cloned().collect()
    }
}

/// Scopes as a token answer has them: comma-separated, and without
/// `read_x` where `write_x` implies it.
pub(crate) fn collapse(scopes: &BTreeSet<String>) -> String {
    let kept: Vec<&str> = scopes
        .iter()
        .filter(|scope| scope.strip_prefix("read_").is_none_or(|rest| !scopes.contains(&format!("write_{rest}"))))
        .map(String::as_str)
        .collect();
    kept.join(",")
}

/// Whether scopes hold another one: `write_x` implies `read_x`, of the Storefront API's too.
pub(super) fn grants(scopes: &BTreeSet<String>, scope: &str) -> bool {
    let implied = |prefix: &str| {
        let rest = scope.strip_prefix(prefix)?.strip_prefix("read_")?;
        Some(scopes.contains(&format!("{prefix}write_{rest}")))
    };
    scopes.contains(scope) || implied("").or_else(|| implied("unauthenticated_")).unwrap_or_default()
}

impl State {
    pub(crate) fn installation(&self, owner: &Owner) -> Result<&Installation, Unknown> {
        self.installations
            .get(owner)
            .ok_or_else(|| Unknown::Installation { shop: owner.shop.clone(), client_id: owner.client_id.clone() })
    }

    /// Installs an app, or changes what is granted to it.
    pub(crate) fn install(&mut self, shop: &str, client_id: &str, scopes: BTreeSet<String>) -> Result<(), Unknown> {
        self.shop(shop)?;
        self.app(client_id)?;
        let owner = Owner::new(shop, client_id);
        if let Some(installation) = self.installations.get_mut(&owner) {
            installation.scopes = scopes;
        } else {
            let id = self.next_id();
            self.installations.insert(owner, Installation { id, scopes });
        }
        Ok(())
    }

    /// Uninstalls an app: "A merchant uninstalling your app […] ends all of a
    /// token's access"
    /// (<https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens>).
    pub(crate) fn uninstall(&mut self, owner: &Owner) -> Result<(), Unknown> {
        self.installation(owner)?;
        self.installations.remove(owner);
        for token in self.access_tokens.values_mut() {
            if token.owner == *owner {
                token.revoked = true;
            }
        }
        for token in self.delegates.values_mut() {
            if token.owner == *owner {
                token.destroyed = true;
            }
        }
        self.end_approval(owner);
        if self.switches.sf_uninstall_kills_tokens {
            self.storefront_tokens.remove(owner);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_scope_swallows_its_read_scope() {
        let scopes = ["read_orders", "write_orders", "read_products"];
        let scopes = scopes.into_iter().map(str::to_owned).collect();
        assert_eq!(collapse(&scopes), "read_products,write_orders");
    }

    #[test]
    fn a_write_scope_implies_its_read_scope() {
        let scopes = ["read_products", "write_orders", "unauthenticated_write_checkouts"];
        let scopes = scopes.into_iter().map(str::to_owned).collect();
        for held in ["read_products", "write_orders", "read_orders", "unauthenticated_read_checkouts"] {
            assert!(grants(&scopes, held), "{held}");
        }
        for missing in ["write_products", "read_themes", "read_checkouts", "orders", "unauthenticated_write_x", ""] {
            assert!(!grants(&scopes, missing), "{missing}");
        }
    }
}
