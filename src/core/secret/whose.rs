//! Whose Secret it is: ours, somebody else's to merge into, or neither, and why.

use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::ResourceExt;

use super::{Held, OPAQUE, SecretState, wanted_type};
use crate::{
    api::{ShopifyToken, token::CreationPolicy},
    core::{
        failure::Failure,
        identity::Identity,
        previous::PreviousValues,
        record::{self, Fields, Record},
        render,
        vocabulary::{MANAGED_BY, Reason},
    },
};

/// Whose Secret is it? `live` is what the API server holds under the token's Secret name; `me` is the token.
#[must_use]
pub fn classify(token: &ShopifyToken, me: &Identity, live: Option<Secret>) -> SecretState {
    let policy = token.spec.creation_policy();
    if token.credentials_secret() == Some(token.secret_name()) {
        return SecretState::Refused(own_credentials(token));
    }
    // The schema refuses that name; an object that was stored before it did, or a session that was added, may have it.
    if token.record_secret().as_deref() == Some(token.secret_name()) {
        return SecretState::Refused(own_record(token));
    }
    let Some(live) = live else {
        return match policy {
            CreationPolicy::Owner | CreationPolicy::Orphan => SecretState::Absent,
            CreationPolicy::Merge => SecretState::Refused(Failure::new(
                Reason::CredentialsMissing,
                format!(
                    "Secret {:?} isn't there; creationPolicy Merge writes into a Secret that somebody else makes",
                    token.secret_name()
                ),
            )),
        };
    };
    let holder = record::holder(live.annotations());
    let owner = live.owner_references().iter().find(|o| o.controller == Some(true));
    let mine = owner.is_some_and(|o| o.uid == me.uid);
    match (owner, holder) {
        (Some(owner), _) if is_token(owner) && owner.name == me.name && owner.uid != me.uid => {
            return SecretState::Collected;
        }
        (Some(owner), _) if !mine && policy != CreationPolicy::Merge => {
            return conflict(token, &format!("is controlled by {} {:?}", owner.kind, owner.name));
        }
        (_, Some(holder)) if !holder.same_place(me) => {
            let place = if holder.namespace == me.namespace {
                String::new()
            } else {
                format!(" of namespace {:?}", holder.namespace)
            };
            return conflict(token, &format!("belongs to ShopifyToken {:?}{place}", holder.name));
        }
        (_, None) if !mine => {
            return match policy {
                CreationPolicy::Merge => match unmergeable(token, &live, &Fields::default()) {
                    Some(failure) => SecretState::Refused(failure),
                    None => SecretState::Mergeable(Box::new(live)),
                },
                CreationPolicy::Owner | CreationPolicy::Orphan => {
                    let maker =
                        live.labels().get(MANAGED_BY).map(|m| format!(", managed by {m:?}")).unwrap_or_default();
                    conflict(token, &format!("was there before{maker}"))
                }
            };
        }
        _ => {}
    }
    SecretState::Ours(Box::new(Held {
        record: Record::parse(live.annotations()),
        value: None,
        previous: PreviousValues::default(),
        session: None,
        edited: false,
        frozen: frozen(token, &live),
        live,
    }))
}

/// Why a Secret of ours can't be written, if it can't: what it holds goes on working all the same.
fn frozen(token: &ShopifyToken, live: &Secret) -> Option<Failure> {
    if live.immutable == Some(true) {
        return Some(immutable(token));
    }
    if token.spec.creation_policy() == CreationPolicy::Merge {
        return Fields::parse(live.annotations()).and_then(|fields| unmergeable(token, live, &fields));
    }
    let (is, wanted) = (live.type_.as_deref().unwrap_or(OPAQUE), wanted_type(token));
    (is != wanted).then(|| {
        Failure::new(
            Reason::SecretConflict,
            format!(
                "Secret {:?} has type {is:?}, which Kubernetes can't change to {wanted:?}; delete the Secret and it is written again, or set spec.secret.template.type to {is:?}",
                token.secret_name()
            ),
        )
    })
}

/// Why keys can't be added to somebody else's Secret, if they can't; `ours` is what was added before.
fn unmergeable(token: &ShopifyToken, live: &Secret, ours: &Fields) -> Option<Failure> {
    if live.immutable == Some(true) {
        return Some(immutable(token));
    }
    let conflict = |what: String| {
        let name = token.secret_name();
        Some(Failure::new(Reason::SecretConflict, format!("Secret {name:?} {what}")))
    };
    let is = live.type_.as_deref().unwrap_or(OPAQUE);
    if is != OPAQUE {
        return conflict(format!(
            "has type {is:?}, and creationPolicy Merge takes Opaque Secrets only; choose another spec.secret.name"
        ));
    }
    let kind = token.spec.source()?.kind();
    let theirs = |key: &String| live.data.as_ref().is_some_and(|d| d.contains_key(key)) && !ours.data.contains(key);
    let key = render::keys(&token.spec, kind).into_iter().find(theirs)?;
    conflict(format!(
        "has a key {key:?} that somebody else wrote, and it is left alone; take that key out of the Secret, or choose another spec.secret.name"
    ))
}

/// A person's own value is never the operator's to write over or to take out.
fn own_credentials(token: &ShopifyToken) -> Failure {
    let message = format!(
        "Secret {:?} holds the credentials that spec.source names, and nothing else is written into it; choose another spec.secret.name",
        token.secret_name()
    );
    Failure::new(Reason::SecretConflict, message)
}

/// Applications never see a refresh token.
fn own_record(token: &ShopifyToken) -> Failure {
    let message = format!(
        "Secret {:?} is where the operator keeps the refresh token, apart from the one that applications mount; choose another spec.secret.name",
        token.secret_name()
    );
    Failure::new(Reason::SecretConflict, message)
}

fn conflict(token: &ShopifyToken, what: &str) -> SecretState {
    SecretState::Refused(Failure::new(
        Reason::SecretConflict,
        format!(
            "Secret {:?} {what} and is left alone; choose another spec.secret.name, delete that Secret, or set spec.secret.creationPolicy: Merge to add keys to it",
            token.secret_name()
        ),
    ))
}

fn immutable(token: &ShopifyToken) -> Failure {
    Failure::new(
        Reason::SecretConflict,
        format!(
            "Secret {:?} is immutable: true and can't be written; delete it, or choose another spec.secret.name",
            token.secret_name()
        ),
    )
}

fn is_token(owner: &OwnerReference) -> bool {
    owner.kind == "ShopifyToken" && owner.api_version.starts_with(crate::api::GROUP)
}
