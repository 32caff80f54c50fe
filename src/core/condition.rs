//! What conditions say: to read in a status that was written before.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::vocabulary::{Reason, conditions};
use crate::api::ShopifyTokenStatus;

/// A condition, if it is there.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Conditions that somebody else has written beside ours: they stay.
pub fn foreign(all: &[Condition]) -> impl Iterator<Item = &Condition> {
    all.iter().filter(|c| !conditions::ALL.contains(&c.type_.as_str()))
}

/// Whether Shopify refused the credential when it was last asked.
#[must_use]
pub fn is_rejected(status: &ShopifyTokenStatus) -> bool {
    find(&status.conditions, conditions::TOKEN_VALID).is_some_and(|c| c.status == "False")
}

/// Whether the object is Ready.
#[must_use]
pub fn is_ready(status: &ShopifyTokenStatus) -> bool {
    find(&status.conditions, conditions::READY).is_some_and(|c| c.status == "True")
}

/// The reason that stands in the way, and the message, as the conditions say.
#[must_use]
pub fn obstacle_of(status: &ShopifyTokenStatus) -> Option<(Reason, String)> {
    [conditions::STALLED, conditions::RECONCILING]
        .iter()
        .find_map(|type_| find(&status.conditions, type_))
        .and_then(|c| Some((Reason::parse(&c.reason)?, c.message.clone())))
}

/// The reason that stands in the way, as the conditions say.
#[must_use]
pub fn obstacle(status: &ShopifyTokenStatus) -> Option<Reason> {
    obstacle_of(status).map(|(reason, _)| reason)
}
