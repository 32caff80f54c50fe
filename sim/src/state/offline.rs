//! Offline tokens: acquired by an approval or a migration, refreshed in rotating pairs
//! (<https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/offline-access-tokens>).

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{AccessToken, Owner, State, TokenKind, is_over};
use crate::error::Unknown;
use crate::switches::{RefreshGrace, RefreshReplay, RetiredAccessToken};

/// How long a replaced refresh token can be sent again, at most
/// (<https://shopify.dev/changelog/more-resilient-refreshes-for-expiring-offline-access-tokens>).
const LONGEST_GRACE: Duration = Duration::from_hours(30 * 24);

/// The same until August 2026.
const FORMER_GRACE: Duration = Duration::from_hours(1);

/// How long a migrated token can be sent again
/// (<https://shopify.dev/changelog/more-resilient-token-exchanges-when-migrating-tokens-without-a-user-session>).
const MIGRATION_GRACE: Duration = Duration::from_hours(7 * 24);

/// What is remembered of offline tokens beside the access tokens.
#[derive(Debug, Default)]
pub(crate) struct Offline {
    /// By value; the dead are kept.
    pub(crate) refresh_tokens: HashMap<String, RefreshToken>,
    /// Authorization codes that weren't redeemed, by value.
    codes: HashMap<String, Owner>,
    /// By the value of the token that was migrated.
    migrations: HashMap<String, Migration>,
    counts: HashMap<Owner, OfflineCounts>,
}

/// A refresh token, and the access token that came with it.
#[derive(Clone, Debug)]
pub(crate) struct RefreshToken {
    /// Tokens issued later have greater ids.
    pub(crate) id: u64,
    pub(crate) value: String,
    pub(crate) owner: Owner,
    /// The value of its access token.
    pub(crate) access: String,
    /// The secret it is pinned to, as its access token is.
    pub(crate) minted_by: String,
    pub(crate) issued_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    /// When it was used, and the value of the one that came of it.
    pub(crate) used: Option<(DateTime<Utc>, String)>,
    /// Replaced by one that the app has used since, or has acquired.
    pub(crate) retired: bool,
}

#[derive(Debug)]
struct Migration {
    /// The value of the refresh token that came of it.
    refresh: String,
    at: DateTime<Utc>,
}

/// An access token that expires, and the refresh token beside it.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) access: AccessToken,
    pub(crate) refresh: RefreshToken,
}

/// What became of an app's offline tokens on a shop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflineCounts {
    /// Authorization codes redeemed.
    pub acquired: u64,
    /// Refreshes that brought a new pair.
    pub refreshed: u64,
    /// Non-expiring tokens exchanged for a pair.
    pub migrated: u64,
    /// Refreshes and migrations that brought the pair of an earlier one again.
    pub replayed: u64,
}

impl State {
    /// A code, as an approval brings one to the app.
    pub(crate) fn grant_code(&mut self, owner: &Owner) -> Result<String, Unknown> {
        self.installation(owner)?;
        let code = self.mint("");
        self.offline.codes.insert(code.clone(), owner.clone());
        Ok(code)
    }

    /// Whether there was such a code. Now there is none.
    pub(crate) fn redeem_code(&mut self, owner: &Owner, code: &str) -> bool {
        let redeemed = self.offline.codes.get(code) == Some(owner);
        if redeemed {
            self.offline.codes.remove(code);
            self.count(owner).acquired += 1;
        }
        redeemed
    }

    /// Acquires a pair: "One refreshable expiring offline token per app and store".
    pub(crate) fn acquire_pair(&mut self, owner: &Owner, secret: &str, now: DateTime<Utc>) -> Result<Pair, Unknown> {
        let pair = self.mint_pair(owner, secret, now)?;
        self.retire_all_but(owner, &[&pair.refresh.value]);
        self.end_access_tokens_but(owner, &pair.access.value);
        Ok(pair)
    }

    /// Acquires a token that never expires: the one there is, if there is one.
    pub(crate) fn acquire_non_expiring(
        &mut self,
        owner: &Owner,
        secret: &str,
        now: DateTime<Utc>,
    ) -> Result<AccessToken, Unknown> {
        let is_it = |token: &&AccessToken| {
            token.owner == *owner && token.kind == TokenKind::Offline && self.is_live(token, now)
        };
        match self.access_tokens.values().find(is_it) {
            Some(token) => Ok(token.clone()),
            None => self.mint_access_token(owner, secret, TokenKind::Offline, None, now),
        }
    }

    /// Refreshes. `None`: the refresh token is dead.
    pub(crate) fn refresh(
        &mut self,
        owner: &Owner,
        value: &str,
        secret: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Pair>, Unknown> {
        let known = self.offline.refresh_tokens.get(value);
        let Some(token) = known.filter(|token| token.owner == *owner && self.is_active(token, now)) else {
            return Ok(None);
        };
        if let Some((_, successor)) = &token.used
            && self.switches.refresh_replay != RefreshReplay::NewPair
        {
            let successor = successor.clone();
            return self.again(owner, &successor, now);
        }
        let used_at = token.used.as_ref().map_or(now, |(at, _)| *at);
        let pair = self.mint_pair(owner, secret, now)?;
        // The one before this is retired now that this one is used.
        self.retire_all_but(owner, &[value, &pair.refresh.value]);
        self.end_access_tokens_but(owner, &pair.access.value);
        if let Some(token) = self.offline.refresh_tokens.get_mut(value) {
            token.used = Some((used_at, pair.refresh.value.clone()));
        }
        self.count(owner).refreshed += 1;
        Ok(Some(pair))
    }

    /// Exchanges a non-expiring token for a pair, which revokes it. `None`: it is dead, or no such token.
    pub(crate) fn migrate(
        &mut self,
        owner: &Owner,
        subject: &str,
        secret: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Pair>, Unknown> {
        if let Some(refresh) = self.migrated(owner, subject, now) {
            return self.again(owner, &refresh, now);
        }
        let known = self.access_tokens.get(subject);
        let lives = known
            .is_some_and(|token| token.owner == *owner && token.kind == TokenKind::Offline && self.is_live(token, now));
        if !lives {
            return Ok(None);
        }
        let pair = self.acquire_pair(owner, secret, now)?;
        if let Some(token) = self.access_tokens.get_mut(subject) {
            token.revoked = true;
        }
        let migration = Migration { refresh: pair.refresh.value.clone(), at: now };
        self.offline.migrations.insert(subject.to_owned(), migration);
        self.count(owner).migrated += 1;
        Ok(Some(pair))
    }

    /// The refresh token that a token was migrated to, as long as it is neither used nor replaced.
    fn migrated(&self, owner: &Owner, subject: &str, now: DateTime<Utc>) -> Option<String> {
        let migration = self.offline.migrations.get(subject)?;
        let refresh = self.offline.refresh_tokens.get(&migration.refresh)?;
        let answers = refresh.owner == *owner
            && refresh.used.is_none()
            && self.is_active(refresh, now)
            && !is_over(MIGRATION_GRACE, migration.at, now);
        answers.then(|| refresh.value.clone())
    }

    /// A pair that was answered before. If its access token is over, another one takes its place.
    fn again(&mut self, owner: &Owner, refresh: &str, now: DateTime<Utc>) -> Result<Option<Pair>, Unknown> {
        let Some(mut refresh) = self.offline.refresh_tokens.get(refresh).cloned() else {
            return Ok(None);
        };
        let known = self.access_tokens.get(&refresh.access);
        let access = match known.filter(|token| self.is_live(token, now)) {
            Some(token) => token.clone(),
            None => self.mint_expiring(owner, &refresh.minted_by, now)?,
        };
        refresh.access.clone_from(&access.value);
        self.offline.refresh_tokens.insert(refresh.value.clone(), refresh.clone());
        self.count(owner).replayed += 1;
        Ok(Some(Pair { access, refresh }))
    }

    /// Whether a refresh token can be used, for the first time or again.
    pub(crate) fn is_active(&self, token: &RefreshToken, now: DateTime<Utc>) -> bool {
        let grace = match self.switches.refresh_grace {
            RefreshGrace::UntilReplacementUsed => LONGEST_GRACE,
            RefreshGrace::OneHour => FORMER_GRACE,
            RefreshGrace::None => Duration::ZERO,
        };
        !token.retired
            && now < token.expires_at
            && token.used.as_ref().is_none_or(|(at, _)| !is_over(grace, *at, now))
            && self.installations.contains_key(&token.owner)
            && self.apps.get(&token.owner.client_id).is_some_and(|app| app.has_live_secret(&token.minted_by))
    }

    /// Ends what was approved: at the uninstallation.
    pub(crate) fn end_approval(&mut self, owner: &Owner) {
        self.retire_all_but(owner, &[]);
        self.offline.codes.retain(|_, of| of != owner);
    }

    pub(crate) fn offline_counts(&self, owner: &Owner) -> OfflineCounts {
        self.offline.counts.get(owner).copied().unwrap_or_default()
    }

    fn count(&mut self, owner: &Owner) -> &mut OfflineCounts {
        self.offline.counts.entry(owner.clone()).or_default()
    }

    fn retire_all_but(&mut self, owner: &Owner, kept: &[&str]) {
        for token in self.offline.refresh_tokens.values_mut() {
            if token.owner == *owner && !kept.contains(&token.value.as_str()) {
                token.retired = true;
            }
        }
    }

    /// "Retired access tokens stay valid until their `expires_in` duration ends": unless the switch says otherwise.
    fn end_access_tokens_but(&mut self, owner: &Owner, kept: &str) {
        match self.switches.retired_access_token {
            RetiredAccessToken::ValidUntilExpiry => {}
            RetiredAccessToken::DiesAtOnce => {
                for token in self.access_tokens.values_mut() {
                    if token.owner == *owner && token.kind == TokenKind::ExpiringOffline && token.value != kept {
                        token.revoked = true;
                    }
                }
            }
        }
    }

    fn mint_pair(&mut self, owner: &Owner, secret: &str, now: DateTime<Utc>) -> Result<Pair, Unknown> {
        let access = self.mint_expiring(owner, secret, now)?;
        let lifetime = self.app(&owner.client_id)?.refresh_lifetime;
        let lifetime = TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX);
        let refresh = RefreshToken {
            id: self.next_id(),
            value: self.mint("shprt_"),
            owner: owner.clone(),
            access: access.value.clone(),
            minted_by: secret.to_owned(),
            issued_at: now,
            expires_at: now.checked_add_signed(lifetime).unwrap_or(DateTime::<Utc>::MAX_UTC),
            used: None,
            retired: false,
        };
        self.offline.refresh_tokens.insert(refresh.value.clone(), refresh.clone());
        Ok(Pair { access, refresh })
    }

    fn mint_expiring(&mut self, owner: &Owner, secret: &str, now: DateTime<Utc>) -> Result<AccessToken, Unknown> {
        let lifetime = self.app(&owner.client_id)?.offline_lifetime;
        self.mint_access_token(owner, secret, TokenKind::ExpiringOffline, Some(lifetime), now)
    }
}
