//! When the tokens of an app are issued again after its client secret has changed: one first, then the others, spread evenly.
//!
//! Everything is read from what is written down (the app's status, the records, the tokens' statuses), so that another
//! process goes on where this one ended.

use std::collections::HashMap;

use chrono::TimeDelta;

use super::{
    condition::obstacle,
    identity::Identity,
    minted::{self, Mint},
    observed::Observed,
    renewal::renewal_time,
    source::{App, Issuer},
    vocabulary::Reason,
};
use crate::{
    api::ShopifyToken,
    time::{self, Timestamp},
};

/// That an app's client secret has taken the place of another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rotation {
    /// When the operator found it.
    pub since: Timestamp,
    /// The time over which the app's tokens are spread.
    pub within: TimeDelta,
}

/// A token of the app.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Which.
    pub token: Identity,
    /// What of it matters.
    pub state: State,
}

/// Where a token stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It is on the current secret, since then.
    Moved(Timestamp),
    /// It is on the current secret, which was the app's before: nothing is to be done.
    There,
    /// It waits for its turn.
    Waits {
        /// When it would be renewed.
        due: Timestamp,
        /// Its last attempt failed for a reason of its own: it says nothing of the secret, and can't be the first.
        hindered: bool,
    },
    /// The operator leaves it alone, or has nothing to replace.
    Rests,
}

/// When a token's turn is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// From then on.
    At(Timestamp),
    /// When another one has shown that Shopify takes the secret.
    AfterFirst,
}

/// The turns of all tokens that wait.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Schedule {
    /// When each one's is.
    pub turns: HashMap<Identity, Turn>,
    /// Whether all but the first wait for the first.
    pub stopped: bool,
}

impl Member {
    /// A token that names the app, and what its record says; `None` for an object that is none.
    #[must_use]
    pub fn of(token: &ShopifyToken, mint: Option<&Mint>, app: &App, rotation: &Rotation) -> Option<Self> {
        let me = Identity::of(token)?;
        let rests = token.spec.suspended() || token.metadata.deletion_timestamp.is_some();
        let state = match mint.filter(|mint| !rests && !mint.is_brought()) {
            None => State::Rests,
            Some(mint) if mint.client_secret == Some(app.mints(&me)) => match mint.since {
                Some(at) if at >= rotation.since => State::Moved(at),
                Some(_) | None => State::There,
            },
            Some(mint) => State::Waits {
                due: mint
                    .expires_at
                    .map_or(Timestamp::MAX_UTC, |end| renewal_time(&token.spec, &me.uid, mint.issued_at, end)),
                hindered: token
                    .status
                    .as_ref()
                    .and_then(obstacle)
                    .is_some_and(|reason| reason != Reason::CredentialsRejected),
            },
        };
        Some(Self { token: me, state })
    }
}

impl Schedule {
    /// The turns: soonest due first, and no two closer together than the spread wants. What fell behind, because the
    /// operator or Shopify was away until `resumed`, is made up for at twice the pace.
    #[must_use]
    pub fn of(members: &[Member], rotation: &Rotation, resumed: Timestamp) -> Self {
        let mut waiting: Vec<(&Timestamp, &Identity, bool)> = Vec::new();
        let mut moved: Vec<Timestamp> = Vec::new();
        for Member { token, state } in members {
            match state {
                State::Moved(at) => moved.push(*at),
                State::Waits { due, hindered } => waiting.push((due, token, *hindered)),
                State::There | State::Rests => {}
            }
        }
        waiting.sort_unstable();
        let (Some(began), Some(last)) = (moved.iter().min(), moved.iter().max()) else {
            let first = waiting.iter().position(|(_, _, hindered)| !hindered);
            let turn = |n: usize| if Some(n) == first { Turn::At(rotation.since) } else { Turn::AfterFirst };
            let turns = waiting.iter().enumerate().map(|(n, (_, token, _))| ((*token).clone(), turn(n)));
            return Self { turns: turns.collect(), stopped: true };
        };
        let all = moved.len() + waiting.len();
        let share = |n: usize| times(rotation.within, n, all);
        let resumed = if resumed > *began { resumed.max(*last) } else { *last };
        let turn = |n: usize| (*began + share(moved.len() + n)).max(resumed + share(n + 1) / 2);
        let turns = waiting.iter().enumerate().map(|(n, (_, token, _))| ((*token).clone(), Turn::At(turn(n))));
        Self { turns: turns.collect(), stopped: false }
    }
}

/// `n` parts of a duration that is cut into `all`.
fn times(whole: TimeDelta, n: usize, all: usize) -> TimeDelta {
    let (n, all) = (i64::try_from(n).unwrap_or(i64::MAX), i64::try_from(all).unwrap_or(i64::MAX).max(1));
    TimeDelta::milliseconds(whole.num_milliseconds().saturating_mul(n) / all)
}

impl Observed {
    /// The rotation of the client secret that it is issued with, if that has taken the place of another one.
    #[must_use]
    pub fn rotation(&self) -> Option<&Rotation> {
        self.issuer.as_ref().ok().and_then(Issuer::app)?.rotation.as_ref()
    }

    /// What its record says if the current client secret has minted it.
    #[must_use]
    pub fn current_secret(&self) -> Option<String> {
        Some(self.issuer.as_ref().ok()?.app()?.mints(&self.identity))
    }

    /// Whether another client secret than the current one has minted what applications hold, or what the next one is had
    /// with, as far as the operator can replace it.
    #[must_use]
    pub fn on_old_secret(&self) -> bool {
        let (Some(record), Some(current)) = (self.record(), self.current_secret()) else { return false };
        let minted = |by: &Option<String>| by.as_deref() == Some(current.as_str());
        match self.offline().and_then(|offline| offline.pair()) {
            // A person has brought it: nothing to have another one with.
            Some(pair) if pair.refresh.is_none() => false,
            Some(pair) => {
                let pair = pair.access.as_ref().is_none_or(|access| minted(&access.minted_by));
                !(pair && minted(&record.client_secret))
            }
            None => !minted(&record.client_secret),
        }
    }

    /// Whether it is this token's turn to be issued again with another client secret.
    #[must_use]
    pub fn secret_changed(&self, now: Timestamp) -> bool {
        matches!(self.turn, Some(Turn::At(at)) if at <= now)
    }

    /// When its turn comes, if that is known.
    #[must_use]
    pub fn turn_at(&self) -> Option<Timestamp> {
        match self.turn {
            Some(Turn::At(at)) => Some(at),
            Some(Turn::AfterFirst) | None => None,
        }
    }

    /// The end of a credential that is lost and that an older client secret may have minted, as far as the status knows: it
    /// was issued before the secret changed. The inner `None`: it has no end.
    #[must_use]
    pub(super) fn lost_before_rotation(&self) -> Option<Option<Timestamp>> {
        let status = self.status()?;
        let issued_at = time::from_kube(status.issued_at.as_ref()?);
        let rotation = self.rotation()?;
        (issued_at < rotation.since).then(|| status.expires_at.as_ref().map(time::from_kube))
    }

    /// What its record says of the secret that minted it, for a delegate: by the record of its parent.
    #[must_use]
    pub fn mints_below(&self, parent: Option<&str>) -> Option<String> {
        parent.map(|parent| minted::below(&self.identity.namespace, &self.identity.name, parent))
    }
}
