//! What becomes of a Secret that its object leaves: because the object goes, or because the spec names another one.

use crate::api::{
    ShopifyToken,
    token::{CreationPolicy, DeletionPolicy},
};

/// What becomes of a Secret that its object leaves.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Leave {
    /// It goes.
    Delete,
    /// It stays as it is.
    Keep,
    /// It stays without what the operator has written into it.
    Withdraw,
}

impl Leave {
    /// As the policies of the spec want it.
    #[must_use]
    pub fn of(token: &ShopifyToken) -> Self {
        match (token.spec.deletion_policy(), token.spec.creation_policy()) {
            (DeletionPolicy::Revoke, CreationPolicy::Owner) => Self::Delete,
            (DeletionPolicy::Revoke, CreationPolicy::Merge) => Self::Withdraw,
            (DeletionPolicy::Retain, _) | (DeletionPolicy::Revoke, CreationPolicy::Orphan) => Self::Keep,
        }
    }

    /// As the record prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Keep => "Keep",
            Self::Withdraw => "Withdraw",
        }
    }

    /// The inverse of [`Leave::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Delete, Self::Keep, Self::Withdraw].into_iter().find(|leave| leave.as_str() == text)
    }
}
