//! delegate: a short-lived token with fewer scopes than its parent, minted again before it, or its parent, ends.
//!
//! Shopify lists none: one whose create's answer was lost lives until it expires, which is why each does.

use chrono::TimeDelta;

use super::{Issued, Origin, Refused, Seen, Turn, UnlessWritten, blame, probe};
use crate::{
    core::{
        credential::Credential,
        failure::Failure,
        observed::Observed,
        plan::Why,
        previous::{PreviousValues, id_of},
        record::Previous,
        scopes,
        secret::Whole,
        source::{AdminToken, Parent},
        vocabulary::Reason,
    },
    shopify::ApiError,
    time::{self, Timestamp},
};

/// The shortest life that is worth a call, unless the spec wishes a shorter one.
const SHORTEST: TimeDelta = TimeDelta::minutes(1);

/// Makes a delegate.
pub(super) async fn issue(turn: &Turn<'_>, parent: &Parent, why: Why) -> Result<Issued, Refused> {
    let (observed, admin) = (turn.observed, &parent.admin);
    let Some(token) = &admin.token else {
        let message = format!("ShopifyToken {:?} (adminTokenRef) has no token to use", admin.name);
        return Err(Failure::new(Reason::AdminTokenNotReady, message).into());
    };
    let missing = scopes::missing(&observed.token.spec.required_scopes, &parent.scopes);
    if !missing.is_empty() {
        let missing = missing.join(", ");
        let message =
            format!("spec.requiredScopes names {missing}, and source.delegate.scopes doesn't: add them there");
        return Err(Failure::new(Reason::ScopesMissing, message).into());
    }
    let before = turn.now();
    let lifetime = lifetime(parent, before)?;
    let access = turn.access(admin, token);
    let made = turn.shopify.create_delegate(&access, &parent.scopes, lifetime).await;
    let made = made.map_err(|error| blame(admin, error))?;
    let (previous, previous_values) = previous(observed, why, turn.now());
    Ok(Issued {
        revision: observed.next_revision(),
        origin: Origin::New,
        admin: Some(admin.name.clone()),
        parent: admin.published,
        minted_by: observed.mints_below(admin.client_secret.as_deref()),
        issuer: admin.issuer.clone(),
        served: turn.served(&access, made.served),
        discovery: None,
        session: None,
        previous,
        previous_values,
        renewed: None,
        unless_written: UnlessWritten::Remember,
        credential: Credential {
            token_id: Some(id_of(&made.value)),
            value: made.value,
            scopes: made.scopes,
            issued_at: before,
            // Counted from before the call: never too long.
            expires_at: Some(before + made.lifetime),
            warning: made.warning,
        },
    })
}

/// How long it is to live, in whole seconds.
fn lifetime(parent: &Parent, now: Timestamp) -> Result<TimeDelta, Failure> {
    let allowed = parent.allows(now);
    if allowed < SHORTEST.min(parent.lifetime) {
        let name = &parent.admin.name;
        let message = format!(
            "the token of ShopifyToken {name:?} (adminTokenRef) ends in less than two minutes, and a delegate has to end before; it goes on as soon as that one is renewed"
        );
        return Err(Failure::new(Reason::AdminTokenNotReady, message));
    }
    Ok(allowed)
}

/// The older ones that still live: those in overlap, and the one that is replaced, whose overlap ends with it at the
/// latest.
fn previous(observed: &Observed, why: Why, now: Timestamp) -> (Vec<Previous>, PreviousValues) {
    let Some(record) = observed.latest() else { return (Vec::new(), PreviousValues::default()) };
    let mut list: Vec<Previous> = record.previous.iter().filter(|p| !p.expired(now)).cloned().collect();
    let replaced = record.token_id.as_ref().filter(|_| why != Why::Rejected);
    list.extend(replaced.map(|id| {
        let overlap = observed.token.spec.overlap();
        let end = if overlap.is_zero() { now } else { time::round_up(now + overlap) };
        let revoke_at = record.expires_at.map_or(end, |expiry| end.min(expiry));
        Previous { expires_at: record.expires_at, ..Previous::of(Some(record), id, revoke_at) }
    }));
    list.retain(|p| !p.expired(now));
    let values = PreviousValues::arranged(&list, observed.stored_values().iter());
    (list, values)
}

/// Asks with the delegate itself, which tells its own scopes.
pub(super) async fn verify(turn: &Turn<'_>, admin: &AdminToken, whole: &Whole<'_>) -> Result<Seen, Refused> {
    let recorded = &whole.record.scopes;
    match turn.shopify.token_scopes(&turn.access(admin, whole.value)).await {
        Ok(scopes) => {
            let scopes = if scopes::equivalent(&scopes, recorded) { recorded.clone() } else { scopes };
            Ok(Seen::Working { scopes, strays: Vec::new(), served: None })
        }
        Err(ApiError::Unauthorized(_)) => Err(Refused::Dead(probe::REFUSED)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::SourceKind,
        core::{
            scene::{healthy, hours, issuer, minutes, now},
            source::Issuer,
        },
    };

    fn parent(ends_in: Option<TimeDelta>) -> Parent {
        let Issuer::Delegate(mut parent) = issuer(SourceKind::Delegate) else { unreachable!() };
        parent.admin.expires_at = ends_in.map(|left| now() + left);
        parent
    }

    #[test]
    fn it_ends_before_its_parent() {
        for (ends_in, lives) in [
            (None, Some(hours(1))),
            (Some(hours(24)), Some(hours(1))),
            (Some(minutes(61)), Some(hours(1))),
            (Some(minutes(30)), Some(minutes(29))),
            (Some(minutes(2)), Some(minutes(1))),
            (Some(minutes(2) - TimeDelta::seconds(1)), None),
            (Some(minutes(-5)), None),
        ] {
            let found = lifetime(&parent(ends_in), now()).map_err(|failure| failure.reason);
            assert_eq!(found, lives.ok_or(Reason::AdminTokenNotReady), "{ends_in:?}");
        }
    }

    #[test]
    fn an_overlap_ends_with_the_old_one() {
        let o = healthy(SourceKind::Delegate, serde_json::json!({"rotation": {"overlap": "10m"}}));
        let expiry = o.record().unwrap().expires_at.unwrap();
        let (list, values) = previous(&o, Why::Expiring, now());
        assert_eq!(
            list.iter().map(|p| (p.revoke_at, p.expires_at)).collect::<Vec<_>>(),
            [(now() + minutes(10), Some(expiry))]
        );
        assert!(values.newest.is_some() && values.kept.is_empty());
        let late = expiry - minutes(5);
        let (list, _) = previous(&o, Why::Expiring, late);
        assert_eq!(list[0].revoke_at, expiry);
        assert!(previous(&o, Why::Expiring, expiry).0.is_empty(), "there is nothing left to destroy");
        assert!(previous(&o, Why::Rejected, now()).0.is_empty(), "it is dead");
    }
}
