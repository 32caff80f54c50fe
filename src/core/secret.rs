//! The Secret that applications mount: what it holds, what it should look like.

mod stored;
mod whose;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt, api::ObjectMeta};
use secrecy::{ExposeSecret, SecretString};

pub use self::{stored::altered, whose::classify};
use super::{
    failure::Failure,
    leave::Leave,
    previous::PreviousValues,
    record::{self, Fields, Record},
    render::{
        self, ACCESS_TOKEN, CLIENT_ID, CLIENT_SECRET, Data, OLDER_ACCESS_TOKENS, PREVIOUS_ACCESS_TOKEN,
        PREVIOUS_CLIENT_ID, PREVIOUS_CLIENT_SECRET,
    },
    vocabulary::{MANAGED_BY, OPERATOR},
};
use crate::api::{ShopifyToken, token::CreationPolicy};

const OPAQUE: &str = "Opaque";

/// What stands under the name of the Secret. `Debug` prints nothing that is in it.
#[derive(Clone)]
pub enum SecretState {
    /// Nothing; the operator may make it.
    Absent,
    /// Somebody's Secret without a key of ours, and the policy is Merge.
    Mergeable(Box<Secret>),
    /// Ours.
    Ours(Box<Held>),
    /// Left by a deleted ShopifyToken of the same name: the garbage collector is about to take it.
    Collected,
    /// Not ours to write, or not ours to make.
    Refused(Failure),
}

/// Our Secret and what it holds.
#[derive(Clone)]
pub struct Held {
    /// The object as it is.
    pub live: Secret,
    /// The record, unless it was edited beyond recognition.
    pub record: Option<Record>,
    /// The credential, if it is the one that was published.
    pub value: Option<SecretString>,
    /// Older credentials that are in it.
    pub previous: PreviousValues,
    /// The session of a customer beside a client, if it is the one that was published.
    pub session: Option<SecretString>,
    /// Whether somebody has edited our data.
    pub edited: bool,
    /// Why it can't be written, if it can't.
    pub frozen: Option<Failure>,
}

/// Our Secret with a credential that is whole: what was published, and its record.
#[derive(Clone, Copy)]
pub struct Whole<'a> {
    /// The object as it is.
    pub live: &'a Secret,
    /// What was issued.
    pub record: &'a Record,
    /// The credential.
    pub value: &'a SecretString,
    /// Older credentials that are in it.
    pub previous: &'a PreviousValues,
    /// The session of a customer beside a client.
    pub session: Option<&'a SecretString>,
}

impl std::fmt::Debug for SecretState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Mergeable(_) => f.write_str("Mergeable"),
            Self::Ours(held) => f.debug_tuple("Ours").field(held).finish(),
            Self::Collected => f.write_str("Collected"),
            Self::Refused(failure) => f.debug_tuple("Refused").field(failure).finish(),
        }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held")
            .field("record", &self.record)
            .field("intact", &self.value.is_some())
            .finish_non_exhaustive()
    }
}

fn wanted_type(token: &ShopifyToken) -> &str {
    token.spec.template().and_then(|t| t.type_.as_deref()).unwrap_or(OPAQUE)
}

impl<'a> Whole<'a> {
    /// What stands beside the credential.
    #[must_use]
    pub const fn beside(&self) -> (&'a PreviousValues, Option<&'a SecretString>) {
        (self.previous, self.session)
    }

    /// Whether writing the credential anew, with this record and data, would change the Secret.
    #[must_use]
    pub fn differs(&self, token: &ShopifyToken, record: Record, data: Data) -> bool {
        differs(self.live, &desired(token, Some(self.live), record, data))
    }
}

impl Held {
    /// Our Secret with this record, of which nobody has read the data and nobody else has written any: what is in it is
    /// what the record says, and a value that says nothing stands for it. To be decided upon, and never to be written.
    #[must_use]
    pub fn unread(record: Record) -> Self {
        // What ends of a client is its session.
        let session = record.discovery.as_ref().and(record.expires_at).map(|_| SecretString::default());
        Self {
            live: Secret::default(),
            record: Some(record),
            value: Some(SecretString::default()),
            previous: PreviousValues::default(),
            session,
            edited: false,
            frozen: None,
        }
    }

    /// What is there, if the credential is the one that was published.
    #[must_use]
    pub fn whole(&self) -> Option<Whole<'_>> {
        Some(Whole {
            live: &self.live,
            record: self.record.as_ref()?,
            value: self.value.as_ref()?,
            previous: &self.previous,
            session: self.session.as_ref(),
        })
    }

    /// Reads the credential out of the data if it is the one that was published.
    ///
    /// `rendered` is the data rendered anew from what is stored. Where only other keys were edited, that
    /// tells that the credential is whole: the rest can be restored without Shopify.
    pub fn read(&mut self, rendered: Option<&Data>) {
        let Some(record) = &self.record else { return };
        let Some(data) = &self.live.data else { return };
        let (value, previous) = self.stored();
        let hash = |data: &Data| render::content_hash(&record.token.uid, data, &record.fields.data);
        self.edited = hash(data) != record.content;
        // They were written together: it is the record that was edited, and what it says isn't to be published.
        if !self.edited && !agrees(record, data) {
            self.record = None;
            return;
        }
        if !self.edited || rendered.is_some_and(|data| hash(data) == record.content) {
            (self.value, self.previous) = (value, previous);
            self.session = self.stored_session();
        }
    }

    /// What stands in the data where the credential and its predecessors stand, whoever wrote it.
    #[must_use]
    pub fn stored(&self) -> (Option<SecretString>, PreviousValues) {
        stored(&self.live, self.record.as_ref())
    }

    /// What stands in the data where the session of a customer stands, whoever wrote it.
    #[must_use]
    pub fn stored_session(&self) -> Option<SecretString> {
        self.record.as_ref()?.discovery.as_ref()?;
        text(&self.live, ACCESS_TOKEN)
    }

    /// Resource version of the Secret: a write on top of another one is refused.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        self.live.resource_version()
    }
}

/// Whether the data says of a client what its record says.
fn agrees(record: &Record, data: &Data) -> bool {
    let Some(discovery) = &record.discovery else { return true };
    let is = |key: &str, text: &str| data.get(key).is_some_and(|value| value.0 == text.as_bytes());
    let client_id = record.issuer.as_deref().unwrap_or_default();
    is(CLIENT_ID, client_id) && discovery.by_key().into_iter().all(|(key, endpoint)| is(key, endpoint.as_str()))
}

/// What stands in the data of a Secret with this record where the credential and its predecessors stand, whoever wrote it.
#[must_use]
pub fn stored(live: &Secret, record: Option<&Record>) -> (Option<SecretString>, PreviousValues) {
    let text = |key: &str| text(live, key);
    if record.is_some_and(|record| record.discovery.is_some()) {
        let newest = text(PREVIOUS_CLIENT_SECRET).or_else(|| text(PREVIOUS_CLIENT_ID));
        let value = text(CLIENT_SECRET).or_else(|| text(CLIENT_ID));
        return (value, PreviousValues { newest, kept: Vec::new() });
    }
    let older = text(OLDER_ACCESS_TOKENS);
    let lines = older.iter().flat_map(|text| text.expose_secret().lines());
    let kept = lines.map(SecretString::from).collect();
    (text(ACCESS_TOKEN), PreviousValues { newest: text(PREVIOUS_ACCESS_TOKEN), kept })
}

fn text(live: &Secret, key: &str) -> Option<SecretString> {
    let value = live.data.as_ref()?.get(key)?;
    std::str::from_utf8(&value.0).ok().filter(|v| !v.is_empty()).map(SecretString::from)
}

/// The Secret as it should be: `live` with our fields set and those we no longer set taken out.
///
/// Everything else of it, and its `resourceVersion`, stays: writing it is a compare-and-swap.
#[must_use]
pub fn desired(token: &ShopifyToken, live: Option<&Secret>, mut record: Record, data: Data) -> Secret {
    let mut secret = live.cloned().unwrap_or_else(|| Secret {
        metadata: ObjectMeta {
            name: Some(token.secret_name().to_owned()),
            namespace: token.namespace(),
            ..ObjectMeta::default()
        },
        type_: Some(wanted_type(token).to_owned()),
        ..Secret::default()
    });
    let leave = leave_of(token, &secret);
    let merged = is_merged(&secret) || token.spec.creation_policy() == CreationPolicy::Merge;
    take_out(&mut secret);
    let template = token.spec.template().and_then(|t| t.metadata.as_ref());
    let mut labels: BTreeMap<String, String> = template.map(|m| m.labels.clone()).unwrap_or_default();
    if !merged {
        labels.insert(MANAGED_BY.into(), OPERATOR.into());
    }
    let annotations = template.map(|m| m.annotations.clone()).unwrap_or_default();

    record.fields.data = data.keys().cloned().collect();
    record.fields.labels = labels.keys().cloned().collect();
    record.fields.annotations = annotations.keys().cloned().collect();
    record.content = render::content_hash(&record.token.uid, &data, &record.fields.data);
    record.place.clone_from(&secret.metadata.name);
    record.leave = Some(leave);

    secret.labels_mut().extend(labels);
    secret.annotations_mut().extend(annotations);
    secret.annotations_mut().extend(record.annotations());
    secret.data.get_or_insert_default().extend(data);
    own(token, leave, &mut secret);
    tidy(secret)
}

/// Whether writing `desired` would change `live`.
#[must_use]
pub fn differs(live: &Secret, desired: &Secret) -> bool {
    tidy(live.clone()) != *desired
}

/// Empty maps and lists as the API server stores them: not at all.
fn tidy(mut secret: Secret) -> Secret {
    secret.data = secret.data.filter(|m| !m.is_empty());
    secret.metadata.labels = secret.metadata.labels.filter(|m| !m.is_empty());
    secret.metadata.annotations = secret.metadata.annotations.filter(|m| !m.is_empty());
    secret.metadata.owner_references = secret.metadata.owner_references.filter(|m| !m.is_empty());
    secret
}

/// What becomes of a Secret when its object leaves it: as the policies want it. But one that was merged into stays its
/// maker's, whatever a later policy says: it never goes with the object.
#[must_use]
pub fn leave_of(token: &ShopifyToken, live: &Secret) -> Leave {
    match Leave::of(token) {
        Leave::Delete if is_merged(live) => Leave::Withdraw,
        leave => leave,
    }
}

/// Whether the Secret is one that somebody else made, and we have merged into: of those that we made the record knows
/// the label that says who manages them.
fn is_merged(live: &Secret) -> bool {
    let fields = Fields::parse(live.annotations());
    record::holder(live.annotations()).is_some()
        && fields.is_some_and(|fields| !fields.labels.iter().any(|label| label == MANAGED_BY))
}

/// Sets or takes off our owner reference, as the policies want it. A Retained Secret has none, so
/// that it stays whatever becomes of the object.
fn own(token: &ShopifyToken, leave: Leave, secret: &mut Secret) {
    let uid = token.uid().unwrap_or_default();
    let wanted = leave == Leave::Delete;
    let owners = secret.owner_references_mut();
    let has = owners.iter().any(|o| o.uid == uid);
    if wanted && !has {
        owners.extend(token.controller_owner_ref(&()));
    } else if !wanted && has {
        owners.retain(|o| o.uid != uid);
    }
}

/// The Secret without anything of ours: what Merge leaves behind.
#[must_use]
pub fn withdrawn(live: &Secret) -> Secret {
    let mut secret = live.clone();
    take_out(&mut secret);
    tidy(secret)
}

/// The Secret without our owner reference: what Retain and Orphan leave behind.
#[must_use]
pub fn disowned(token: &ShopifyToken, live: &Secret) -> Secret {
    let mut secret = live.clone();
    let uid = token.uid().unwrap_or_default();
    secret.owner_references_mut().retain(|o| o.uid != uid);
    tidy(secret)
}

/// The Secret without the record, and without the label that says who manages it: it is nobody's business any more.
#[must_use]
pub fn forgotten(live: &Secret) -> Secret {
    let mut secret = live.clone();
    let labels = Fields::parse(secret.annotations()).unwrap_or_default().labels;
    secret.labels_mut().retain(|key, value| key != MANAGED_BY || value != OPERATOR || !labels.contains(key));
    secret.annotations_mut().retain(|key, _| !record::is_ours(key));
    tidy(secret)
}

fn take_out(secret: &mut Secret) {
    let fields = Fields::parse(secret.annotations()).unwrap_or_default();
    if let Some(data) = &mut secret.data {
        data.retain(|key, _| !fields.data.contains(key));
    }
    if let Some(labels) = &mut secret.metadata.labels {
        labels.retain(|key, _| !fields.labels.contains(key));
    }
    if let Some(annotations) = &mut secret.metadata.annotations {
        annotations.retain(|key, _| !fields.annotations.contains(key) && !record::is_ours(key));
    }
}

#[cfg(test)]
mod tests;
