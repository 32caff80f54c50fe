//! Gathers everything that a decision needs: all reads that decide something are here.

pub(super) mod abroad;
mod credentials;
mod glance;
pub(super) mod list;
mod needs;
pub(super) mod older;
pub(super) mod secret_slot;
mod workloads;

use std::{collections::BTreeMap, sync::Arc};

pub(super) use self::{
    credentials::{app_credentials, app_of, client_of},
    glance::{agree, glance},
    needs::{Needs, Protected, ProtectedKind},
    workloads::annotation,
};
use super::{context::Context, error::Error, key::ObjectKey};
use crate::{
    api::{ShopifyToken, SourceKind, SourceRef, app::NEWEST_API_VERSION},
    core::{
        failure::Failure,
        finalizer::{has_finalizer, needs_finalizer, revocable},
        identity::Identity,
        observed::{Former, Observed, ShopState},
        ours::LISTED_WITHIN,
        plan::demand::issue,
        record::Record,
        render::Values,
        secret::{Held, SecretState, classify},
        source::{Issuer, Nature, dependencies, different_issuers, inputs, nature},
    },
    time::Timestamp,
};

/// What was observed, and which finalizers that asks for.
pub(super) struct Observation {
    /// What the decision goes by.
    pub observed: Observed,
    /// What must have our finalizer before anything is created at Shopify.
    pub protect: Vec<Protected>,
    /// Whether the object has our finalizer, and nothing needs it any more.
    pub unneeded: bool,
    /// Whether nobody but this object, if anybody, needs the Secret that a person fills for it.
    pub frees_secret: bool,
    /// Whether only what the object has made goes, and the object stays: the operator is uninstalled.
    pub stays: bool,
}

/// Gathers everything a decision needs.
///
/// # Errors
/// Of Kubernetes, and [`Error::Invalid`] for an object that names no source.
pub(super) async fn observe(context: &Context, token: &ShopifyToken) -> Result<Observation, Error> {
    let (source, identity) = named(token)?;
    let kind = source.kind();
    let live = context.written_secret(token).await?;
    let found = credentials::find(context, token, source).await?;

    let mut secret = classify(token, &identity, live.map(Arc::unwrap_or_clone));
    let recorded = match &secret {
        SecretState::Ours(held) => held.record.as_ref(),
        SecretState::Absent | SecretState::Mergeable(_) | SecretState::Collected | SecretState::Refused(_) => None,
    };
    let before = recorded.map(|r| r.asked().to_owned());
    let api_version = found.api_version.or(before).unwrap_or_else(|| NEWEST_API_VERSION.to_owned());
    let drifted = match &mut secret {
        SecretState::Ours(held) => read(context, token, kind, held, &api_version).await,
        SecretState::Absent | SecretState::Mergeable(_) | SecretState::Collected | SecretState::Refused(_) => false,
    };
    let deleting = token.metadata.deletion_timestamp.is_some();
    let in_use = needs_finalizer(token, kind);
    let older = older::older(context, token, &identity, deleting || (has_finalizer(token) && !in_use)).await?;
    let in_use = in_use || older.iter().any(|o| o.needs_object(token));
    let uses = uses(context, token, &identity, in_use).await?;
    let needed = found.needed;
    let mut observed = Observed {
        template: context.rendering.check(token, kind).await,
        drifted,
        needed_by: uses.needed_by,
        older,
        admin_renews: found.admin_renews,
        filled: found.filled,
        ..facts(context, token, (source, identity), (found.issuer, &found.versions), secret, api_version)
    };
    observed.turn = secret_slot::turn(context, &observed);
    if observed.record().is_some_and(Record::restarts) {
        observed.workloads = workloads::read(context, token, &observed.identity).await?;
    }
    observed.settles_at = settles_at(context, &observed);
    observed.former = former(context, &observed, context.now()).await?;
    let protect = protect(token, kind, in_use, needed);
    observed.unprotected = uses.unneeded || protect.iter().any(Protected::unprotected);
    Ok(Observation { protect, unneeded: uses.unneeded, frees_secret: uses.frees_secret, stays: false, observed })
}

/// Its source, and which object it is.
fn named(token: &ShopifyToken) -> Result<(SourceRef<'_>, Identity), Error> {
    let source = token.spec.source().ok_or_else(|| {
        Error::Invalid("spec.source names none or several of the six sources; name exactly one".to_owned())
    })?;
    let identity = Identity::of(token).ok_or_else(|| Error::Invalid("it has no namespace, name or UID".to_owned()))?;
    Ok((source, identity))
}

/// What is known without asking anybody, beside what was found.
fn facts(
    context: &Context,
    token: &ShopifyToken,
    (source, identity): (SourceRef<'_>, Identity),
    (issuer, versions): (Result<Issuer, Failure>, &[String]),
    secret: SecretState,
    api_version: String,
) -> Observed {
    Observed {
        kind: source.kind(),
        template: Ok(()),
        drifted: false,
        inputs: inputs(token, source),
        dependencies: dependencies(token, &context.salt, versions),
        suspect: context.suspects.get(&ObjectKey::of(&identity)),
        shop: shop_state(context, &ObjectKey::of(&identity)),
        turn: None,
        rival: context.stores.rival(token),
        needed_by: Vec::new(),
        workloads: Vec::new(),
        former: BTreeMap::new(),
        settles_at: None,
        admin_renews: false,
        filled: None,
        unprotected: false,
        revocation_timeout: context.setup.revocation_timeout,
        install_url: context.install_url(token),
        token: token.clone(),
        identity,
        secret,
        older: Vec::new(),
        issuer,
        api_version,
    }
}

/// What must have our finalizer before anything is created at Shopify, of what was found: what a revocation needs.
fn protect(token: &ShopifyToken, kind: SourceKind, in_use: bool, needed: Vec<Protected>) -> Vec<Protected> {
    let needed = needed.into_iter().filter(|_| revocable(token, kind));
    let protect = std::iter::once(Protected::token(token)).chain(needed);
    protect.filter(|_| in_use).collect()
}

/// Reads the credential out of our Secret. Says whether the Secret differs from what it should be.
async fn read(context: &Context, token: &ShopifyToken, kind: SourceKind, held: &mut Held, api_version: &str) -> bool {
    let (Some(record), (Some(value), previous)) = (held.record.clone(), held.stored()) else {
        held.read(None);
        return false;
    };
    let session = held.stored_session();
    let rendered = async |record: &Record| {
        let values = Values { session: session.as_ref(), ..Values::of(&token.spec.shop, record, &value, &previous) };
        context.rendering.render(token, kind, &values).await.ok()
    };
    let wanted = record.clone().asking(api_version);
    held.read(rendered(&record).await.as_ref());
    let Some(data) = rendered(&wanted).await else { return false };
    held.whole().is_some_and(|whole| whole.differs(token, wanted, data))
}

/// What the live lists say of an object that has our finalizer.
#[derive(Default)]
struct Uses {
    needed_by: Vec<String>,
    unneeded: bool,
    frees_secret: bool,
}

async fn uses(context: &Context, token: &ShopifyToken, identity: &Identity, in_use: bool) -> Result<Uses, kube::Error> {
    let deleting = token.metadata.deletion_timestamp.is_some();
    // The watch's view is a hint that saves a list; the live list decides.
    let needed = in_use || context.stores.needs_token(&identity.namespace, &identity.name);
    if !has_finalizer(token) || (needed && !deleting) {
        return Ok(Uses::default());
    }
    // What can't be anybody's admin token, and reads no Secret of a person's, nobody needs.
    if token.spec.source().is_some_and(|s| !nature(s.kind()).is_admin) && token.credentials_secret().is_none() {
        return Ok(Uses { unneeded: !needed && !deleting, ..Uses::default() });
    }
    // An app of the same Secret may be used from elsewhere.
    let needs = match token.credentials_secret() {
        Some(_) => Needs::from_anywhere(context, &identity.namespace).await?,
        None => Needs::of(context, &identity.namespace).await?,
    };
    let needed_by = needs.token(&identity.name);
    Ok(Uses {
        unneeded: !needed && !deleting && needed_by.is_empty(),
        frees_secret: needed_by.is_empty()
            && token.credentials_secret().is_some_and(|name| needs.secret(name).is_empty()),
        needed_by: if deleting { needed_by } else { Vec::new() },
    })
}

/// Until when a create may have been made that nobody knows of, and that isn't listed yet: its answer was lost, or the
/// process that made it has died.
fn settles_at(context: &Context, o: &Observed) -> Option<Timestamp> {
    let uid = &o.identity.uid;
    let Nature { revocable, by_value, .. } = nature(o.kind);
    let listed = revocable && !by_value;
    if listed && !has_finalizer(&o.token) {
        context.bare.put(uid.clone(), ());
    }
    // Before anything is created there is a finalizer.
    let inherited = listed && has_finalizer(&o.token) && context.bare.get(uid).is_none();
    let wanted = inherited && issue(o, context.now()).is_some();
    let crashed = wanted.then(|| context.started_at + LISTED_WITHIN);
    context.memory.settles_at(uid).max(crashed)
}

/// What created the credentials that are to be revoked now, where that isn't what the spec names now.
async fn former(context: &Context, o: &Observed, now: Timestamp) -> Result<BTreeMap<String, Former>, Error> {
    let deleting = o.token.metadata.deletion_timestamp.is_some();
    let record = if deleting { o.latest() } else { o.record() };
    let (Some(record), Some(admin)) = (record, o.issuer.as_ref().ok().and_then(Issuer::admin_token)) else {
        return Ok(BTreeMap::new());
    };
    let ended = record.previous.iter().filter(|p| (deleting || o.overlap_ended(p, now)) && !p.expired(now));
    let ended = ended.map(|p| (&p.id, p.admin.as_ref(), p.issuer.as_deref(), p.revoke_at));
    let current = record.token_id.iter().filter(|_| deleting);
    let current = current.map(|id| (id, record.admin.as_ref(), record.issuer.as_deref(), now));
    let mut former = BTreeMap::new();
    for (id, name, issuer, revoke_at) in ended.chain(current) {
        let elsewhere = name.is_some_and(|name| *name != admin.name);
        // The same app's token does, whatever its name.
        let same = issuer.is_some() && issuer == admin.issuer.as_deref();
        if same || !(elsewhere || different_issuers(issuer, admin.issuer.as_deref())) {
            continue;
        }
        // A deletion has a time limit of its own.
        let waits = deleting || now < revoke_at + o.revocation_timeout;
        let found = credentials::find_former(context, &o.token, name.filter(|_| elsewhere), issuer, waits).await?;
        // Gone for good: the current one may belong to the same app.
        if matches!(found, Former::Gone) && !different_issuers(issuer, admin.issuer.as_deref()) {
            continue;
        }
        former.insert(id.clone(), found);
    }
    Ok(former)
}

fn shop_state(context: &Context, token: &ObjectKey) -> ShopState {
    if context.outages.waits(token) {
        ShopState::Down { own: context.outages.fell_silent(token) }
    } else {
        ShopState::Up { since: context.outages.released(token).unwrap_or(context.started_at) }
    }
}
