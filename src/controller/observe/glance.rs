//! A look at a token that doesn't read its Secret: enough to see that nothing is to be done, and for nothing else. What it is
//! issued with is read as ever, which mostly costs no request.
//!
//! What the watches don't show yet, a change made just now, comes as an event and brings the token back.

use crate::{
    api::{ShopifyToken, SourceKind},
    controller::{context::Context, error::Error},
    core::{
        finalizer::{has_finalizer, needs_finalizer},
        observed::Observed,
        secret::{Held, SecretState},
    },
};

use super::{Protected, credentials, facts, named, protect, secret_slot, settles_at};

/// Whether what the Secret should hold is told by its record alone, not by what a person has put elsewhere.
const fn is_told_by_record(kind: SourceKind) -> bool {
    match kind {
        SourceKind::ClientCredentials | SourceKind::Storefront | SourceKind::Delegate => true,
        SourceKind::Offline | SourceKind::Custom | SourceKind::CustomerAccount => false,
    }
}

/// What is to be seen of a token whose Secret is as the operator wrote it, of this very spec, though nobody reads it now.
/// `None` where that isn't known, or more would have to be read: observe it.
///
/// # Errors
/// Of Kubernetes, and [`Error::Invalid`] for an object that names no source.
pub(in crate::controller) async fn glance(context: &Context, token: &ShopifyToken) -> Result<Option<Observed>, Error> {
    let (source, identity) = named(token)?;
    let (kind, name) = (source.kind(), token.secret_name());
    let Some(record) = context.holdings.untouched(&identity, name).filter(|_| is_told_by_record(kind)) else {
        return Ok(None);
    };
    let reported = token.status.as_ref().map(|s| (Some(s.observed_generation), s.revision));
    let in_use = needs_finalizer(token, kind);
    let needed = in_use || context.stores.needs_token(&identity.namespace, &identity.name);
    let known = reported == Some((token.metadata.generation, Some(record.revision)))
        && token.metadata.deletion_timestamp.is_none()
        // There is something to do, and it goes by what is there this very moment.
        && !credentials::asks(token)
        && context.holdings.of(&identity) == [name]
        // Whether it is needed no more, a live list tells.
        && (needed || !has_finalizer(token))
        && !record.restarts();
    if !known {
        return Ok(None);
    }
    let found = credentials::find(context, token, source).await?;
    let asked = record.asked().to_owned();
    if found.api_version.is_some_and(|version| version != asked) {
        return Ok(None);
    }
    let secret = SecretState::Ours(Box::new(Held::unread(record)));
    let mut observed = facts(context, token, (source, identity), (found.issuer, &found.versions), secret, asked);
    observed.turn = secret_slot::turn(context, &observed);
    observed.settles_at = settles_at(context, &observed);
    observed.unprotected = protect(token, kind, in_use, found.needed).iter().any(Protected::unprotected);
    Ok(Some(observed))
}
