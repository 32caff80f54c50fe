//! Everything Shopify remembers: shops, apps, installations, tokens.

mod app;
mod customer;
mod delegate;
mod installation;
mod mint;
mod offline;
mod shop;
mod storefront;
mod throttle;
mod token;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::Unknown;
use crate::switches::Switches;

pub(crate) use app::App;
pub(crate) use customer::{CustomerClient, CustomerCode, CustomerSession};
pub(crate) use delegate::{DelegateToken, DelegationRefused, DestructionRefused};
pub(crate) use installation::{Installation, collapse};
use offline::Offline;
pub use offline::OfflineCounts;
pub(crate) use offline::Pair;
pub(crate) use shop::Shop;
pub use shop::{Plan, ShopState};
pub(crate) use storefront::{CreateRefused, STOREFRONT_TOKEN_LIMIT, StorefrontToken, TITLE_LIMIT};
use throttle::Buckets;
pub(crate) use throttle::{Api, MAX_QUERY_COST, ThrottleStatus};
pub(crate) use token::AccessToken;
pub use token::TokenKind;

/// An app on a shop: what installations, storefront tokens and rate limits belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Owner {
    pub(crate) shop: String,
    pub(crate) client_id: String,
}

impl Owner {
    pub(crate) fn new(shop: &str, client_id: &str) -> Self {
        Self { shop: shop.to_owned(), client_id: client_id.to_owned() }
    }
}

/// One lock guards it all, so that every call is one transaction.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) switches: Switches,
    pub(crate) api_versions: Vec<String>,
    pub(crate) canary: Option<String>,
    pub(crate) shops: BTreeMap<String, Shop>,
    pub(crate) apps: BTreeMap<String, App>,
    pub(crate) installations: BTreeMap<Owner, Installation>,
    /// By value; the dead are kept, so that a test can ask who minted them.
    pub(crate) access_tokens: HashMap<String, AccessToken>,
    /// By value, the dead included, as above.
    pub(crate) delegates: HashMap<String, DelegateToken>,
    pub(crate) offline: Offline,
    pub(crate) storefront_tokens: BTreeMap<Owner, Vec<StorefrontToken>>,
    pub(crate) customer_clients: BTreeMap<Owner, CustomerClient>,
    /// By value; a code is taken out when it is used.
    pub(crate) customer_codes: HashMap<String, CustomerCode>,
    /// Oldest first; one that was ended is taken out.
    pub(crate) customer_sessions: Vec<CustomerSession>,
    pub(crate) buckets: Buckets,
    pub(crate) last_id: u64,
}

impl State {
    /// The next id: resource ids are unique and grow.
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        1_003_304_000 + self.last_id
    }

    pub(crate) fn shop(&self, domain: &str) -> Result<&Shop, Unknown> {
        self.shops.get(domain).ok_or_else(|| Unknown::Shop(domain.to_owned()))
    }

    pub(crate) fn shop_mut(&mut self, domain: &str) -> Result<&mut Shop, Unknown> {
        self.shops.get_mut(domain).ok_or_else(|| Unknown::Shop(domain.to_owned()))
    }

    pub(crate) fn app(&self, client_id: &str) -> Result<&App, Unknown> {
        self.apps.get(client_id).ok_or_else(|| Unknown::App(client_id.to_owned()))
    }

    pub(crate) fn app_mut(&mut self, client_id: &str) -> Result<&mut App, Unknown> {
        self.apps.get_mut(client_id).ok_or_else(|| Unknown::App(client_id.to_owned()))
    }
}

/// Whether a delay that began then is over. None at all is, even if the clock was set back meanwhile.
fn is_over(delay: Duration, began: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    delay.is_zero() || TimeDelta::from_std(delay).is_ok_and(|delay| now - began >= delay)
}
