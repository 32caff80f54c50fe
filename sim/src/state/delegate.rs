//! Delegate access tokens: children of an admin token, with fewer scopes and a shorter life
//! (<https://shopify.dev/docs/apps/build/authentication-authorization/delegate-api-access>).

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::installation::grants;
use super::{Owner, State};
use crate::error::Unknown;
use crate::switches::{DelegateParents, DestroyedBy, UngrantedScope};

/// A token that an app has made from one of its admin tokens.
#[derive(Clone, Debug)]
pub(crate) struct DelegateToken {
    /// Tokens created later have greater ids.
    pub(crate) id: u64,
    pub(crate) value: String,
    pub(crate) owner: Owner,
    /// The value of the admin token it was made with.
    pub(crate) parent: String,
    /// The client secret that its parent is pinned to, if any.
    minted_by: Option<String>,
    /// As asked for when it was created.
    scopes: BTreeSet<String>,
    pub(crate) created_at: DateTime<Utc>,
    /// None only if its parent never expires, and no lifetime was asked for.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) destroyed: bool,
}

impl DelegateToken {
    /// What is left of its life a moment after its creation, in whole seconds: a live shop answered 299 where 300 were
    /// asked for.
    pub(crate) fn seconds_left(&self) -> Option<i64> {
        let moment = TimeDelta::milliseconds(1);
        self.expires_at.map(|end| (end - self.created_at - moment).num_seconds())
    }
}

/// Why no delegate was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DelegationRefused {
    ByDelegate,
    ParentWithRefreshToken,
    NoScopes,
    NoLifetime,
    /// These scopes, which the app doesn't have.
    UnknownScopes(Vec<String>),
    /// The same, as an error of the whole field.
    AccessDenied,
    ExpiresAfterParent,
}

/// Why no delegate was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DestructionRefused {
    Unknown,
    AdminToken,
    Foreign,
}

impl State {
    /// Makes a delegate of the token `parent`, with which the app called.
    pub(crate) fn create_delegate(
        &mut self,
        owner: &Owner,
        parent: &str,
        asked: &[String],
        expires_in: Option<i32>,
        now: DateTime<Utc>,
    ) -> Result<Result<DelegateToken, DelegationRefused>, Unknown> {
        let Some(admin) = self.access_tokens.get(parent) else {
            return Ok(Err(DelegationRefused::ByDelegate));
        };
        let (minted_by, parent_ends) = (admin.minted_by.clone(), admin.expires_at);
        match self.switches.delegate_parents {
            DelegateParents::WithoutRefreshToken if admin.kind.is_refreshed() => {
                return Ok(Err(DelegationRefused::ParentWithRefreshToken));
            }
            DelegateParents::Any | DelegateParents::WithoutRefreshToken => {}
        }
        if asked.is_empty() {
            return Ok(Err(DelegationRefused::NoScopes));
        }
        if expires_in.is_some_and(|seconds| seconds <= 0) {
            return Ok(Err(DelegationRefused::NoLifetime));
        }
        let granted = &self.installation(owner)?.scopes;
        let ungranted: Vec<String> = asked.iter().filter(|scope| !grants(granted, scope)).cloned().collect();
        if !ungranted.is_empty() {
            return Ok(Err(match self.switches.delegate_ungranted_scope {
                UngrantedScope::UnknownScopes => DelegationRefused::UnknownScopes(ungranted),
                UngrantedScope::AccessDenied => DelegationRefused::AccessDenied,
            }));
        }
        let expires_at = match expires_in {
            Some(seconds) => now.checked_add_signed(TimeDelta::seconds(seconds.into())),
            None => parent_ends,
        };
        if parent_ends.is_some_and(|parent_ends| expires_at.is_none_or(|end| end > parent_ends)) {
            return Ok(Err(DelegationRefused::ExpiresAfterParent));
        }
        let token = DelegateToken {
            id: self.next_id(),
            value: self.mint("shpat_"),
            owner: owner.clone(),
            parent: parent.to_owned(),
            minted_by,
            scopes: asked.iter().cloned().collect(),
            created_at: now,
            expires_at,
            destroyed: false,
        };
        self.delegates.insert(token.value.clone(), token.clone());
        Ok(Ok(token))
    }

    /// Destroys a delegate, as an app asks with the token `caller`.
    pub(crate) fn destroy_own_delegate(
        &mut self,
        owner: &Owner,
        caller: &str,
        value: &str,
        now: DateTime<Utc>,
    ) -> Result<(), DestructionRefused> {
        let here = |of: &Owner| of.shop == owner.shop;
        if let Some(admin) = self.access_tokens.get(value).filter(|token| here(&token.owner)) {
            let own = admin.owner == *owner;
            return Err(if own { DestructionRefused::AdminToken } else { DestructionRefused::Foreign });
        }
        let Some(token) = self.delegates.get(value).filter(|token| here(&token.owner) && self.lives(token, now)) else {
            return Err(DestructionRefused::Unknown);
        };
        let may = match self.switches.delegate_destroyed_by {
            DestroyedBy::App => token.owner == *owner,
            DestroyedBy::Parent => token.parent == caller,
        };
        if !may {
            return Err(DestructionRefused::Foreign);
        }
        self.destroy_delegate(value).map_err(|_| DestructionRefused::Unknown)
    }

    /// Ends a delegate, whoever made it.
    pub(crate) fn destroy_delegate(&mut self, value: &str) -> Result<(), Unknown> {
        let token = self.delegates.get_mut(value).ok_or(Unknown::Token)?;
        token.destroyed = true;
        Ok(())
    }

    /// The delegate of that value, if that shop accepts it.
    pub(crate) fn accepted_delegate(&self, shop: &str, value: &str, now: DateTime<Utc>) -> Option<&DelegateToken> {
        self.delegates.get(value).filter(|token| token.owner.shop == shop && self.lives(token, now))
    }

    /// Whether the Storefront API of that shop accepts the delegate as a private token. Without a scope of it, it
    /// isn't: no source.
    pub(crate) fn is_valid_private(&self, shop: &str, value: &str, now: DateTime<Utc>) -> bool {
        let scopes = self.accepted_delegate(shop, value, now).map(|token| self.scopes_of_delegate(token));
        scopes.is_some_and(|scopes| scopes.iter().any(|scope| scope.starts_with("unauthenticated_")))
    }

    /// The live delegates of an app on a shop, oldest first.
    pub(crate) fn live_delegates(&self, owner: &Owner, now: DateTime<Utc>) -> Vec<&DelegateToken> {
        let own = self.delegates.values().filter(|token| token.owner == *owner && self.lives(token, now));
        let mut live: Vec<_> = own.collect();
        live.sort_by_key(|token| token.id);
        live
    }

    /// What it may still do: "When an app is re-authorized with fewer access scopes, all delegate access tokens lose
    /// the access scopes that are no longer authorized."
    pub(crate) fn scopes_of_delegate(&self, token: &DelegateToken) -> BTreeSet<String> {
        let granted = self.installation(&token.owner).map(|installation| &installation.scopes);
        let authorized = |scope: &&String| granted.as_ref().is_ok_and(|granted| grants(granted, scope));
        token.scopes.iter().filter(authorized).cloned().collect()
    }

    /// The scopes of the token that calls: a delegate's own, else what the app is granted now.
    pub(crate) fn scopes_of_caller(&self, owner: &Owner, value: &str) -> Result<BTreeSet<String>, Unknown> {
        match self.delegates.get(value) {
            Some(token) => Ok(self.scopes_of_delegate(token)),
            None => Ok(self.installation(owner)?.scopes.clone()),
        }
    }

    fn lives(&self, token: &DelegateToken, now: DateTime<Utc>) -> bool {
        let parent_lives = || self.access_tokens.get(&token.parent).is_some_and(|parent| self.is_live(parent, now));
        !token.destroyed
            && token.expires_at.is_none_or(|end| now < end)
            && self.installations.contains_key(&token.owner)
            && self.has_live_secret(&token.owner, token.minted_by.as_deref())
            && (!self.switches.delegate_ends_with_parent || parent_lives())
    }
}
