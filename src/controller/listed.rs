//! What live lists have brought, of each object no more than needs are told by.

use crate::{
    api::{ShopifyApp, ShopifyToken},
    core::grant::Labels,
};

/// What is in a namespace.
pub struct Listed {
    /// Its tokens.
    pub tokens: Vec<ShopifyToken>,
    /// Its apps.
    pub apps: Vec<ShopifyApp>,
    /// Names of apps that don't fit their type: nobody knows which Secret they read, or what they grant.
    pub unreadable_apps: Vec<String>,
}

/// The tokens of another namespace that may need an app, and what its grants go by.
pub struct Neighbour {
    /// Those that name an app, and those that have an admin token.
    pub tokens: Vec<ShopifyToken>,
    /// Labels of the namespace.
    pub labels: Labels,
}

/// Takes out of a token what says nothing of what it needs.
pub(super) fn no_more_than_needed(token: &mut ShopifyToken) {
    token.status = None;
    token.spec.rollout_restart_targets = Vec::new();
    if let Some(secret) = &mut token.spec.secret {
        secret.template = None;
    }
}
