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
