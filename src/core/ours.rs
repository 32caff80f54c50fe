//! Which of the storefront tokens that Shopify lists are ours, which can be adopted, and what becomes of the others.

use chrono::TimeDelta;
use secrecy::SecretString;

use super::{
    marker::Marker,
    observed::Observed,
    plan::Why,
    record::{Previous, Record},
};
use crate::time::{self, Timestamp};

/// A storefront token as Shopify shows it.
#[derive(Clone, Debug)]
pub struct StorefrontToken {
    /// `gid://shopify/StorefrontAccessToken/…`, with either API.
    pub id: String,
    /// Its value: a list tells it again.
    pub value: SecretString,
    /// Its title, the only free field.
    pub title: String,
    /// Its scopes, sorted: all `unauthenticated_*` scopes of the app at its creation.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// How long what was created may not be listed yet. No page of Shopify's says that it is listed at once; reports of
/// lists that lag behind speak of seconds.
pub const LISTED_WITHIN: TimeDelta = TimeDelta::seconds(30);

/// The tokens of a list that carry an object's marker, or are in its record; oldest revision first.
#[derive(Debug)]
pub struct Ours<'a> {
    observed: &'a Observed,
    tokens: Vec<(i64, &'a StorefrontToken)>,
}

/// What is published.
#[derive(Clone, Copy, Debug)]
pub struct Current<'a> {
    /// Shopify's id of the token that is published.
    pub id: &'a str,
    /// Its revision.
    pub revision: i64,
    /// Whether it was made with another admin token than its predecessor: then the list may be another app's.
    pub moved: bool,
}

impl<'a> Ours<'a> {
    /// Finds ours in a list.
    #[must_use]
    pub fn among(listed: &'a [StorefrontToken], observed: &'a Observed) -> Self {
        let mut tokens: Vec<_> = listed.iter().filter_map(|t| Some((owned_revision(observed, t)?, t))).collect();
        tokens.sort_by_key(|(revision, _)| *revision);
        Self { observed, tokens }
    }

    /// Their ids.
    pub fn ids(&self) -> impl Iterator<Item = &'a str> {
        self.tokens.iter().map(|(_, token)| token.id.as_str())
    }

    /// The revision after every one that is known of.
    #[must_use]
    pub fn next_revision(&self) -> i64 {
        let newest = self.tokens.last().map_or(0, |(revision, _)| *revision);
        newest.saturating_add(1).max(self.observed.next_revision())
    }

    /// What can be published instead of creating another one, and its revision.
    #[must_use]
    pub fn candidate(&self, why: Why) -> Option<(i64, &'a StorefrontToken)> {
        let suits = |t: &StorefrontToken| self.observed.lacks_scopes(&t.scopes).is_none();
        let newest = self.tokens.iter().rfind(|(_, t)| suits(t) && !self.revoking(&t.id)).copied()?;
        let Some(record) = self.observed.latest() else { return Some(newest) };
        let newer = (newest.0 > record.revision).then_some(newest);
        match why {
            // The value is gone, the token is not.
            Why::First | Why::Lost | Why::Renamed => {
                let recorded =
                    self.tokens.iter().find(|(_, t)| suits(t) && Some(&t.id) == record.token_id.as_ref()).copied();
                let (revision, token) = newer.or(recorded).unwrap_or(newest);
                // What is published for a new name is never behind what is under the old one.
                let least = if why == Why::Renamed { record.revision } else { revision };
                Some((revision.max(least), token))
            }
            // Only one that an interrupted attempt of this very rotation has left, or that was published before an older
            // one was put back.
            Why::Rejected
            | Why::InputsChanged
            | Why::ParentChanged
            | Why::ScopesMissing
            | Why::SecretChanged
            | Why::Expiring
            | Why::Requested
            | Why::Interval
            | Why::Replaced
            | Why::Approved => newer,
        }
    }

    /// Every other token of ours that may live: those known to be in overlap keep their time, the one
    /// that is replaced gets a whole overlap from now, and so do strays that may have been published.
    ///
    /// What isn't listed isn't forgotten: a list may lag behind, or be another app's. Revoking what is gone is a success.
    #[must_use]
    pub fn previous(&self, current: Current<'_>, now: Timestamp) -> Vec<Previous> {
        let until = self.overlap_end(now);
        let record = self.observed.latest();
        let known = record.map_or(&[][..], |r| &r.previous);
        let recorded = record.and_then(|r| r.token_id.as_ref());
        let older = |id: &str, revoke_at| Previous::of(record, id, revoke_at);
        let unlisted = known.iter().filter(|p| p.id != current.id && !self.lists(&p.id));
        let mut all: Vec<Previous> = unlisted.cloned().collect();
        // Not listed: it belongs to another app, or is too young. What has left its own app's list was deleted there.
        let young = record.is_some_and(|r| r.issued_at + LISTED_WITHIN > now);
        let unlisted = |id: &&String| **id != current.id && !self.lists(id) && (current.moved || young);
        all.extend(recorded.filter(unlisted).map(|id| older(id, until)));
        all.extend(self.tokens.iter().filter(|(_, t)| t.id != current.id).map(|(revision, token)| {
            let never_published = *revision > current.revision.max(self.observed.newest_published());
            let known = known.iter().find(|p| p.id == token.id).cloned();
            known.unwrap_or_else(|| older(&token.id, if never_published { now } else { until }))
        }));
        all
    }

    /// Those that neither are current nor in overlap: what an interrupted attempt left behind.
    #[must_use]
    pub fn strays(&self, record: &Record, now: Timestamp) -> Vec<Previous> {
        let known = |id: &String| Some(id) == record.token_id.as_ref() || record.previous.iter().any(|p| p.id == *id);
        let strays = self.tokens.iter().filter(|(_, t)| !known(&t.id)).map(|(revision, token)| {
            // A later revision than any that was published: nobody holds it.
            let held = *revision <= self.observed.newest_published();
            let until = if held { self.overlap_end(now) } else { now };
            Previous::of(Some(record), &token.id, until)
        });
        strays.collect()
    }

    /// When an overlap that begins now ends: in whole seconds, as status says it, and never early. One of zero ends now.
    fn overlap_end(&self, now: Timestamp) -> Timestamp {
        let overlap = self.observed.token.spec.overlap();
        if overlap.is_zero() { now } else { time::round_up(now + overlap) }
    }

    fn lists(&self, id: &str) -> bool {
        self.tokens.iter().any(|(_, t)| t.id == id)
    }

    /// Whether its revocation has begun: then nobody may take it up again.
    fn revoking(&self, id: &str) -> bool {
        let previous = self.observed.latest().map_or(&[][..], |r| &r.previous);
        previous.iter().any(|p| p.id == id && p.revoking.is_some())
    }
}

/// The revision of a listed token, if it is this object's.
fn owned_revision(observed: &Observed, token: &StorefrontToken) -> Option<i64> {
    let marker = Marker::parse(&token.title);
    if let Some(marker) = marker.as_ref().filter(|m| m.uid == observed.identity.uid) {
        return Some(marker.revision);
    }
    // After a restore from a backup the object has another UID: the record still knows its tokens.
    let record = observed.latest()?;
    if record.token_id.as_ref() == Some(&token.id) {
        return Some(record.revision);
    }
    let older = record.previous.iter().any(|p| p.id == token.id);
    older.then(|| marker.map_or(record.revision.saturating_sub(1), |m| m.revision))
}

#[cfg(test)]
mod tests;
