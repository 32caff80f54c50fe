//! What is demanded of a credential: why another one is issued, and when it is verified.

use chrono::TimeDelta;

use super::{REFUSALS_APART, Why};
use crate::{
    core::{
        credential::same,
        observed::{Doubt, Observed},
        record::Record,
        renewal::{renewal_of, rotation_of},
        scopes,
        secret::Whole,
        source::{Issuer, Offline, Parent},
    },
    time::{self, Timestamp},
};

/// A credential that was confirmed this long ago may be doubted again.
const SETTLED: TimeDelta = TimeDelta::minutes(1);

/// Why a credential must be issued now, if it must.
#[must_use]
pub fn issue(o: &Observed, now: Timestamp) -> Option<Why> {
    if o.renamed() {
        // What else is asked for isn't forgotten over the new name.
        let demanded = o.latest().and_then(|record| demanded(o, record, now));
        return Some(demanded.unwrap_or(Why::Renamed));
    }
    if o.held().is_none() {
        return Some(if o.status().and_then(|s| s.revision).is_some() { Why::Lost } else { Why::First });
    }
    let Some(Whole { record, value, .. }) = o.whole() else { return Some(Why::Lost) };
    let wanted = o.issuer.as_ref().ok().and_then(Issuer::wanted);
    let replaced = o.client_replaced(record);
    let approved = o.keeper().is_some_and(|keeper| keeper.code().is_some());
    // A session can't be begun without its pages: what was approved waits for them.
    let possible = o.session().is_none_or(|session| session.public.is_some());
    if approved && possible && !replaced {
        Some(Why::Approved)
    } else if wanted.is_some_and(|wanted| !same(wanted, value)) || replaced || o.session_replaced(now) {
        Some(Why::Replaced)
    } else {
        demanded(o, record, now)
    }
}

/// Why another credential than this one is asked for, if it is.
fn demanded(o: &Observed, record: &Record, now: Timestamp) -> Option<Why> {
    match () {
        () if o.rejected(record) => Some(Why::Rejected),
        () if record.inputs != o.inputs || o.moved(record) => Some(Why::InputsChanged),
        () if o.offline().is_some_and(Offline::migrates) => Some(Why::InputsChanged),
        () if expiring(o, record, now) || o.offline().is_some_and(|offline| offline.cools(now)) => Some(Why::Expiring),
        () if o.session_missing(record) => Some(Why::Expiring),
        () if parent_changed(o, record) => Some(Why::ParentChanged),
        () if o.secret_changed(now) => Some(Why::SecretChanged),
        () if o.rotation_requested(record) => Some(Why::Requested),
        () if rotation_of(&o.token, o.kind, record).is_some_and(|at| at <= now) => Some(Why::Interval),
        () if !scopes::missing(&o.token.spec.required_scopes, &record.scopes).is_empty() => Some(Why::ScopesMissing),
        () => None,
    }
}

/// Whether what it was made of has been replaced: it may end with that.
fn parent_changed(o: &Observed, record: &Record) -> bool {
    let parent = parent(o).and_then(|parent| parent.admin.published);
    parent.is_some_and(|parent| record.parent.is_none_or(|made_of| made_of.differs(parent)))
}

fn parent(o: &Observed) -> Option<&Parent> {
    o.issuer.as_ref().ok().and_then(Issuer::parent)
}

/// Whether a credential expires soon. Not even its record is believed once the clock was set back
/// by more than the renewal comes early: then it expires earlier than written.
fn expiring(o: &Observed, record: &Record, now: Timestamp) -> bool {
    let (Some(expiry), Some(renewal)) = (record.expires_at, renewal_of(&o.token, o.kind, record)) else { return false };
    // A renewal of its parent brings another one; one of the same parent would end no later.
    if now < expiry && parent(o).is_some_and(|parent| !parent.outlasts(expiry, now)) {
        return false;
    }
    // What is at hand would be published again and again: a person can bring another one until it ends.
    if now < expiry && o.offline().is_some_and(Offline::is_lone) {
        return false;
    }
    // The same holds for a session that nothing can come of.
    if now < expiry && o.session().is_some_and(|session| session.public.is_none() || session.refresh().is_none()) {
        return false;
    }
    // What lives shorter than a renewal must wait is renewed after its expiry.
    renewal <= now || record.issued_at - now > (expiry - renewal).max(TimeDelta::zero())
}

/// When the credential is verified next: by the clock, and soon after somebody was refused with it. Not
/// at once: where Shopify confirms a credential and refuses it to others, they would chase each other.
pub(super) fn verification_time(o: &Observed, now: Timestamp) -> Option<Timestamp> {
    let record = o.record().filter(|_| o.value().is_some())?;
    let status = o.status().filter(|s| s.revision == Some(record.revision));
    let verified = status.and_then(|s| s.last_verified_time.as_ref()).map(time::from_kube);
    let last = verified.unwrap_or(record.issued_at);
    let suspected = match o.suspect {
        Some(Doubt::RefusedOnce(at)) => return Some(at + REFUSALS_APART),
        Some(Doubt::Stray) => return Some(now),
        _ if o.restored() || o.put_back() => return Some(now),
        Some(Doubt::Refused) => Some(SETTLED),
        // Known already: it is issued anew.
        Some(Doubt::Moved) | None => None,
    };
    let interval = o.token.spec.verify_interval().into_iter().chain(suspected).min()?;
    // What lies further in the future than that was written before the clock was set back.
    Some(if last - now > interval { now } else { last + interval })
}
