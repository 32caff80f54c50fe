//! Whether an app's old client secret can be revoked: judged by what the records of all its tokens say.

use chrono::TimeDelta;

use secrecy::SecretString;

use super::{
    bounded::list,
    condition::obstacle,
    identity::Identity,
    minted::{self, Mint, Rotation},
    vocabulary::{Class, Reason},
};
use crate::{
    api::ShopifyToken,
    time::{self, Timestamp},
};

/// The longest that a call which began with the old secret is under way.
pub const IN_FLIGHT: TimeDelta = TimeDelta::minutes(1);
/// Most tokens that a message names.
const NAMED: usize = 5;

/// A token of the app, as the app's owner hears of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Its name, with its namespace where that isn't the app's.
    pub name: String,
    /// What its record says.
    pub mint: Mint,
    /// What the record says if the current client secret has minted it.
    pub current: String,
    /// How long applications use a credential that was replaced.
    pub overlap: TimeDelta,
    /// Why the operator doesn't issue it again, if it doesn't.
    pub rests: Option<Rests>,
}

/// Why a token isn't issued again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rests {
    /// `spec.suspend`.
    Suspended,
    /// It is being deleted.
    Deleted,
    /// Something stands in its way, which its conditions tell.
    Hindered,
    /// It is an access token without a refresh token.
    Lone,
}

/// All of the app's tokens at a moment. Most are on the current client secret and hold nothing of another one: those are
/// counted and not kept, for there may be tens of thousands.
#[derive(Clone, Debug)]
pub struct Standings {
    now: Timestamp,
    /// How many are counted.
    settled: usize,
    /// Since when the newest of them is on the current one.
    newest: Option<Timestamp>,
    /// The others.
    others: Vec<Standing>,
}

/// What was judged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Judgement {
    /// How many credentials the app has issued that are held; those without a refresh token aren't the app's to issue.
    pub total: usize,
    /// How many of them the current secret has minted.
    pub on_current: usize,
    /// Whether the old secret can be revoked.
    pub safe: bool,
    /// Whether Shopify refuses the secret, and the rest wait until it is taken.
    pub stopped: bool,
    /// What there is to say, after the name of the secret.
    pub message: String,
    /// When time alone changes it.
    pub wake_at: Option<Timestamp>,
}

impl Standing {
    /// A token that names an app of `namespace` with this client secret, and what its record says.
    #[must_use]
    pub fn of(token: &ShopifyToken, mint: Mint, secret: &SecretString, namespace: &str) -> Option<Self> {
        let me = Identity::of(token)?;
        let current = minted::by(&me.namespace, &me.name, secret);
        Some(Self {
            name: told(&me, namespace),
            rests: Rests::of(token, &mint),
            mint,
            current,
            overlap: token.spec.overlap(),
        })
    }

    /// A delegate, what its record says, and its parent, of which something else may be known.
    #[must_use]
    pub fn below(
        delegate: &ShopifyToken,
        mint: Mint,
        (parent, known): (&ShopifyToken, Option<&Self>),
        secret: &SecretString,
        namespace: &str,
    ) -> Option<Self> {
        let (me, parent) = (Identity::of(delegate)?, Identity::of(parent)?);
        let of_parent = minted::by(&parent.namespace, &parent.name, secret);
        Some(Self {
            name: told(&me, namespace),
            // It follows its parent.
            rests: Rests::of(delegate, &mint).or(known.and_then(|parent| parent.rests)),
            mint,
            current: minted::below(&me.namespace, &me.name, &of_parent),
            overlap: delegate.spec.overlap(),
        })
    }

    /// A token that doesn't fit its type, of which only the record is known.
    #[must_use]
    pub fn unreadable(namespace: &str, name: &str, mint: Mint, secret: &SecretString) -> Self {
        let current = minted::by(namespace, name, secret);
        let (name, rests) = (name.to_owned(), Some(Rests::Hindered));
        Self { name, mint, current, overlap: TimeDelta::zero(), rests }
    }

    fn is_current(&self) -> bool {
        self.mint.client_secret.as_ref() == Some(&self.current)
    }

    /// Whether what it holds lives, and another secret has minted it, or nobody knows which.
    fn on_another(&self, now: Timestamp) -> Option<&Mint> {
        Some(&self.mint).filter(|mint| !self.is_current() && mint.expires_at.is_none_or(|at| at > now))
    }

    /// When nothing of another secret is in use any more, if it is issued again at `moved`. `None` if it never ends.
    fn free_at(&self, moved: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let older = self.mint.old_until.filter(|at| *at > now).unwrap_or(now);
        let Some(mint) = self.on_another(now) else { return Some(older) };
        let overlap = self.rests.is_none().then(|| moved + self.overlap);
        let end = [overlap, mint.expires_at].into_iter().flatten().min()?;
        Some(end.max(older))
    }
}

impl Standings {
    /// None, at this moment.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self { now, settled: 0, newest: None, others: Vec::new() }
    }

    /// Whether a record says for sure that another secret than the current one is in use.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        let mut on_another = self.others.iter().filter_map(|s| s.on_another(self.now));
        on_another.any(|mint| mint.client_secret.is_some() && !mint.is_brought())
    }
}

impl Extend<Standing> for Standings {
    fn extend<I: IntoIterator<Item = Standing>>(&mut self, all: I) {
        for standing in all {
            let of_another = standing.mint.old_until.is_some_and(|at| at > self.now);
            if standing.is_current() && !of_another && standing.rests != Some(Rests::Lone) {
                self.settled += 1;
                self.newest = self.newest.max(standing.mint.since);
            } else {
                self.others.push(standing);
            }
        }
    }
}

impl Rests {
    fn of(token: &ShopifyToken, mint: &Mint) -> Option<Self> {
        let stalled = |reason: Reason| reason != Reason::CredentialsRejected && reason.class() == Class::Stalled;
        if mint.is_lone(token) {
            Some(Self::Lone)
        } else if token.metadata.deletion_timestamp.is_some() {
            Some(Self::Deleted)
        } else if token.spec.suspended() {
            Some(Self::Suspended)
        } else {
            token.status.as_ref().and_then(obstacle).is_some_and(stalled).then_some(Self::Hindered)
        }
    }
}

fn told(token: &Identity, namespace: &str) -> String {
    if token.namespace == namespace { token.name.clone() } else { format!("{}/{}", token.namespace, token.name) }
}

/// Judges. Before any rotation there is no old secret.
#[must_use]
pub fn judge(standings: &Standings, rotation: Option<&Rotation>, refused: bool) -> Judgement {
    let (now, settled, standings, newest) = (standings.now, standings.settled, &standings.others, standings.newest);
    let counted = || standings.iter().filter(|s| s.rests != Some(Rests::Lone));
    let (total, on_current) = (settled + counted().count(), settled + counted().filter(|s| s.is_current()).count());
    let Some(rotation) = rotation else {
        let message = "no token is on another one".to_owned();
        return Judgement { total, on_current, safe: true, stopped: false, message, wake_at: None };
    };
    let others: Vec<&Standing> = standings.iter().filter(|s| s.on_another(now).is_some()).collect();
    let landed = rotation.since + IN_FLIGHT;
    let ends_by = |moved: Timestamp| {
        let ends: Vec<Option<Timestamp>> = standings.iter().map(|s| s.free_at(moved, now)).collect();
        // One that never ends makes that the answer.
        ends.into_iter().collect::<Option<Vec<_>>>().map(|ends| ends.into_iter().fold(landed.max(now), Timestamp::max))
    };
    let left = standings.iter().filter_map(|s| s.mint.old_until).filter(|at| *at > now);
    let dies = others.iter().filter_map(|s| s.mint.expires_at);
    let wake_at = left.chain(dies).chain([landed]).filter(|at| *at > now).min();
    let free = ends_by(now);
    if others.is_empty() && free == Some(now) {
        let message = format!(
            "no token is on another one: revoke the old one in the Dev Dashboard{}",
            unissued(on_current, total)
        );
        return Judgement { total, on_current, safe: true, stopped: false, message, wake_at: None };
    }
    let moving = others.iter().filter(|s| s.rests.is_none()).count();
    // What has moved shows that it is taken.
    let moved = standings.iter().filter(|s| s.is_current()).map(|s| s.mint.since);
    let taken = moved.chain([newest]).any(|since| since.is_some_and(|at| at >= rotation.since));
    let stopped = refused && moving > 0 && !taken;
    let finished = rotation.since + rotation.within;
    let mut parts = vec![format!("{} on it", tokens_are(on_current, total))];
    if stopped {
        parts.push(
            "Shopify refuses it, and the others stay on the old one until it is taken: see the condition Ready"
                .to_owned(),
        );
    } else if moving > 0 && finished > now {
        parts.push(format!("{moving} {} issued again until about {}", are(moving), time::print(finished)));
    } else if moving > 0 {
        parts.push(format!("{moving} {} issued again as soon as Shopify answers", are(moving)));
    }
    parts.extend(resting(&others, now));
    let free = if stopped { None } else { ends_by(finished.max(now)) };
    // What is yet to be issued makes it an estimate, which isn't told to the second.
    let free = free.map(|at| if moving > 0 { next_minutes(at) } else { time::round_up(at) });
    parts.push(match free {
        Some(at) if moving > 0 => format!("the old one is in use until about {}", time::print(at)),
        Some(at) => format!("applications may use what the old one minted until {}", time::print(at)),
        None => "don't revoke the old one".to_owned(),
    });
    Judgement { total, on_current, safe: false, stopped, message: parts.join("; "), wake_at }
}

fn next_minutes(at: Timestamp) -> Timestamp {
    const STEP: i64 = 600;
    let later = (at.timestamp() + STEP - 1).div_euclid(STEP) * STEP;
    Timestamp::from_timestamp(later, 0).unwrap_or(at)
}

fn unissued(on_current: usize, total: usize) -> String {
    match total - on_current {
        0 => String::new(),
        1 => format!("; 1 of {total} has a credential that has expired"),
        n => format!("; {n} of {total} have a credential that has expired"),
    }
}

/// So many of all, with a verb.
#[must_use]
pub fn tokens_are(some: usize, all: usize) -> String {
    format!("{some} of {all} {} {}", if all == 1 { "token" } else { "tokens" }, are(some))
}

/// What follows so many.
fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// Those that the operator doesn't issue again, and why.
fn resting(others: &[&Standing], now: Timestamp) -> Vec<String> {
    let why = [
        (Rests::Suspended, "suspended (spec.suspend)"),
        (Rests::Deleted, "being deleted"),
        (Rests::Hindered, "held up, as their conditions say"),
        (
            Rests::Lone,
            "without a refresh token, so that the operator can't issue them again, and perhaps of the old one: exchange them (source.offline.migrate), have the app approved again, or make sure of it yourself",
        ),
    ];
    let said = why.into_iter().filter_map(|(rests, why)| {
        let those: Vec<&&Standing> = others.iter().filter(|s| s.rests == Some(rests)).collect();
        let names: Vec<&str> = those.iter().map(|s| s.name.as_str()).collect();
        let ends: Option<Vec<Timestamp>> = those.iter().map(|s| s.free_at(now, now)).collect();
        let until = ends
            .and_then(|ends| ends.into_iter().max())
            .map(|at| format!(", on the old one until {} at most", time::print(time::round_up(at))));
        (!names.is_empty()).then(|| format!("{} {why}{}", list(&names, NAMED), until.unwrap_or_default()))
    });
    said.collect()
}

#[cfg(test)]
mod tests;
