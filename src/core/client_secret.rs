//! What an observed token has to do with the client secret of its app: which one minted it, and whether it is its turn to get
//! another one.

use super::{
    minted::{self, Rotation, is_minted},
    observed::Observed,
    record::Record,
    secret_rotation::Turn,
    source::Issuer,
};
use crate::time::{self, Timestamp};

impl Observed {
    /// The record of a credential that is about to be published, with what minted it. `same`: it is the one that is
    /// published already.
    #[must_use]
    pub fn minted(&self, record: Record, by: Option<String>, same: bool, now: Timestamp) -> Record {
        if !is_minted(self.kind) {
            return record;
        }
        let before = self.latest();
        let known = before.filter(|b| by.is_some() && b.client_secret == by);
        Record {
            client_secret_since: match known {
                Some(before) => before.client_secret_since,
                None => by.as_ref().map(|_| now),
            },
            old_secret_until: self.old_secret_until(known.is_some() || same, now),
            client_secret: by,
            ..record
        }
    }

    /// Until when applications may use a credential that another secret minted, once a new one is published. `same`: the
    /// one that it replaces is no such one.
    fn old_secret_until(&self, same: bool, now: Timestamp) -> Option<Timestamp> {
        let overlap = now + self.token.spec.overlap();
        let within = |end: Timestamp| end.min(overlap);
        let before = self.latest();
        let replaced = match before {
            Some(_) if same => None,
            Some(before) => Some(within(before.expires_at.unwrap_or(overlap))),
            // The Secret is lost, and with it what minted the credential that was in it.
            None => self.lost_before_rotation().map(within),
        };
        let known = before.and_then(|b| b.old_secret_until);
        replaced.map(time::round_up).into_iter().chain(known).filter(|at| *at > now).max()
    }

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
    /// was issued before the secret changed.
    fn lost_before_rotation(&self) -> Option<Timestamp> {
        let status = self.status()?;
        let issued_at = time::from_kube(status.issued_at.as_ref()?);
        let rotation = self.rotation()?;
        let end = status.expires_at.as_ref().map_or(Timestamp::MAX_UTC, time::from_kube);
        (issued_at < rotation.since).then_some(end)
    }

    /// What its record says of the secret that minted it, for a delegate: by the record of its parent.
    #[must_use]
    pub fn mints_below(&self, parent: Option<&str>) -> Option<String> {
        parent.map(|parent| minted::below(&self.identity.namespace, &self.identity.name, parent))
    }
}

#[cfg(test)]
mod tests;
