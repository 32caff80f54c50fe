//! When the tokens of an app are issued again after its client secret has changed: one first, then the others, spread evenly.
//!
//! Everything is read from what is written down (the app's status, the records, the tokens' statuses), so that another
//! process goes on where this one ended.

use std::collections::HashMap;

use chrono::TimeDelta;

use super::{
    condition::{find, obstacle},
    identity::Identity,
    minted::{Mint, Rotation},
    renewal::renewal_time,
    vocabulary::{Reason, conditions::STALLED},
};
use crate::{
    api::ShopifyToken,
    time::{Timestamp, from_kube},
};

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
        /// Whether something else stands in its way.
        hindered: Hindered,
    },
    /// The operator leaves it alone, or has nothing to replace.
    Rests,
}

/// Whether something else than the app's secret stands in a token's way: then it can't show whether Shopify takes that.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Hindered {
    /// Nothing is known to.
    No,
    /// Its credentials were rejected before the secret changed: it is the first only where no other can be.
    Perhaps,
    /// Its last attempt failed for a reason of its own.
    Yes,
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
    /// A token that names the app, what its record says, and what that says of the current secret; `None` for an object that
    /// is none.
    #[must_use]
    pub fn of(
        token: &ShopifyToken,
        mint: Option<&Mint>,
        current: impl FnOnce(&Identity) -> String,
        rotation: &Rotation,
    ) -> Option<Self> {
        let me = Identity::of(token)?;
        let rests = token.spec.suspended() || token.metadata.deletion_timestamp.is_some();
        let state = match mint.filter(|mint| !rests && !mint.is_lone(token)) {
            None => State::Rests,
            Some(mint) if mint.client_secret == Some(current(&me)) => match mint.since {
                Some(at) if at >= rotation.since => State::Moved(at),
                Some(_) | None => State::There,
            },
            Some(mint) => State::Waits {
                due: mint
                    .expires_at
                    .map_or(Timestamp::MAX_UTC, |end| renewal_time(&token.spec, &me.uid, mint.issued_at, end)),
                hindered: match token.status.as_ref().and_then(obstacle) {
                    // Shopify refused it before the secret changed: at its shop the app may be gone, say.
                    Some(Reason::CredentialsRejected) if refused_before(token, rotation.since) => Hindered::Perhaps,
                    Some(Reason::CredentialsRejected) | None => Hindered::No,
                    Some(_) => Hindered::Yes,
                },
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
        let mut waiting: Vec<(&Timestamp, &Identity, Hindered)> = Vec::new();
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
            let soonest = |wanted| waiting.iter().position(|(_, _, hindered)| *hindered == wanted);
            let first = soonest(Hindered::No).or_else(|| soonest(Hindered::Perhaps));
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

fn refused_before(token: &ShopifyToken, since: Timestamp) -> bool {
    let stalled = token.status.as_ref().and_then(|status| find(&status.conditions, STALLED));
    stalled.is_some_and(|condition| from_kube(&condition.last_transition_time) < since)
}

/// `n` parts of a duration that is cut into `all`.
fn times(whole: TimeDelta, n: usize, all: usize) -> TimeDelta {
    let (n, all) = (i64::try_from(n).unwrap_or(i64::MAX), i64::try_from(all).unwrap_or(i64::MAX).max(1));
    TimeDelta::milliseconds(whole.num_milliseconds().saturating_mul(n) / all)
}

#[cfg(test)]
mod tests;
