//! A faithful local Shopify.
