//! Shops: whether they answer, and how fast.

use serde::{Deserialize, Serialize};

use super::State;
use crate::config::ShopConfig;

/// Whether a shop answers
/// (<https://shopify.dev/docs/api/usage/response-codes>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShopState {
    /// In business.
    #[default]
    Open,
    /// Frozen for unpaid bills: 402.
    Frozen,
    /// Locked for abuse: 423.
    Locked,
    /// Closed, or never there: 404 with an HTML page.
    Closed,
    /// Flagged as fraudulent: 403.
    Fraud,
}

/// A plan: it decides the rate limits
/// (<https://shopify.dev/docs/api/usage/limits>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// 100 points per second; REST 2 calls per second.
    #[default]
    Standard,
    /// 200 points per second; REST 4 calls per second.
    Advanced,
    /// 1000 points per second; REST 20 calls per second.
    Plus,
    /// 2000 points per second; REST 40 calls per second.
    Enterprise,
}

impl Plan {
    fn points_per_second(self) -> u32 {
        match self {
            Self::Standard => 100,
            Self::Advanced => 200,
            Self::Plus => 1000,
            Self::Enterprise => 2000,
        }
    }

    /// REST calls per second.
    pub(crate) fn calls_per_second(self) -> u32 {
        match self {
            Self::Standard => 2,
            Self::Advanced => 4,
            Self::Plus => 20,
            Self::Enterprise => 40,
        }
    }
}

/// A shop.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) organization: String,
    pub(crate) plan: Plan,
    pub(crate) restore_rate: Option<u32>,
    pub(crate) state: ShopState,
    pub(crate) domain: String,
    pub(crate) primary_domain: Option<String>,
    pub(crate) account_domain: Option<String>,
}

impl Shop {
    /// GraphQL points per second.
    pub(crate) fn restore_rate(&self) -> u32 {
        self.restore_rate.unwrap_or_else(|| self.plan.points_per_second())
    }

    /// The domain that its storefront is at.
    pub(crate) fn site(&self) -> &str {
        self.primary_domain.as_ref().unwrap_or(&self.domain)
    }

    /// Where its customers sign in: at a domain of its own, or at `shopify.com`
    /// under its id. Both have been seen.
    pub(crate) fn accounts(&self) -> String {
        match &self.account_domain {
            Some(domain) => format!("https://{domain}/authentication"),
            None => format!("https://shopify.com/authentication/{}", self.id),
        }
    }

    pub(crate) fn gid(&self) -> String {
        format!("gid://shopify/Shop/{}", self.id)
    }
}

/// Whether a path is one of those that a shop serves to its customers: under its
/// primary domain too, and under that of their accounts.
fn is_for_customers(path: &str) -> bool {
    ["/.well-known/", "/authentication/", "/customer/", "/password"].iter().any(|start| path.starts_with(start))
}

impl State {
    /// Adds a shop, or changes the one of that domain.
    pub(crate) fn put_shop(&mut self, config: ShopConfig) {
        let domain = config.domain.to_ascii_lowercase();
        let id = match self.shops.get(&domain) {
            Some(shop) => shop.id,
            None => self.next_id(),
        };
        let name =
            if config.name.is_empty() { domain.split('.').next().unwrap_or_default().to_owned() } else { config.name };
        let shop = Shop {
            id,
            name,
            organization: config.organization,
            plan: config.plan,
            restore_rate: config.restore_rate,
            state: config.state,
            domain: domain.clone(),
            primary_domain: config.primary_domain.map(|domain| domain.to_ascii_lowercase()),
            account_domain: config.account_domain.map(|domain| domain.to_ascii_lowercase()),
        };
        self.shops.insert(domain.clone(), shop);
        for client in config.customer_clients {
            self.put_customer_client(&domain, client);
        }
    }

    /// The permanent domain of the shop that a call is for: customers come to
    /// others, too. The host itself if there is no such shop.
    pub(crate) fn shop_of(&self, host: &str, path: &str) -> String {
        let is_at = |shop: &&Shop| {
            let at_shopify = || path.strip_prefix("/authentication/")?.split('/').next()?.parse().ok();
            match host {
                "shopify.com" => shop.account_domain.is_none() && at_shopify() == Some(shop.id),
                host => [&shop.primary_domain, &shop.account_domain].into_iter().flatten().any(|domain| domain == host),
            }
        };
        let shop = is_for_customers(path).then(|| self.shops.values().find(is_at)).flatten();
        shop.map_or(host, |shop| &shop.domain).to_owned()
    }
}
