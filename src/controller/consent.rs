//! What the install pages read and write of Kubernetes. Every replica does, whoever leads: it writes the record Secret
//! alone, by compare-and-swap, and asks nothing of Shopify.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt, core::SelectorExt};
use secrecy::SecretString;

use super::{
    act::write,
    context::{Context, Setup},
    error::{Error, Stop, found},
    observe::{app_of, client_of},
    watch::{Stores, Wakes},
};
use crate::{
    api::{Approves, ShopifyToken, SourceRef},
    core::{
        condition::obstacle,
        customer::{CustomerClient, Discovery},
        identity::Identity,
        pair::{self, RecordState, Recorded},
        record::Record,
        source::App,
        vocabulary::Reason,
    },
    kubernetes::Lenient,
    selector,
    shopify::Shop,
};

/// The door to Kubernetes.
pub struct Consent(Arc<Context>);

/// An object that can be approved now.
pub struct Approvable {
    /// The object.
    pub token: ShopifyToken,
    /// Which it is.
    pub object: Identity,
    /// The shop.
    pub shop: Shop,
    /// What is approved.
    pub asked: Asked,
    /// The record Secret, if there is one.
    pub recorded: Option<Box<Recorded>>,
}

/// What is approved, and with what its beginning is signed.
pub enum Asked {
    /// A merchant approves an app.
    App(App),
    /// A customer signs in.
    Session {
        /// The client.
        client_id: String,
        /// Its secret: the session of one without isn't begun here.
        client_secret: SecretString,
        /// Where customers sign in, as the published Secret says.
        discovery: Box<Discovery>,
        /// What for.
        scopes: Vec<String>,
    },
}

/// What a write of the record Secret ended in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Noted {
    /// It is written.
    Written,
    /// Somebody else wrote it meanwhile: read it again.
    Overtaken,
}

impl Consent {
    /// Of an instance.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self(Context::new(setup, Stores::default(), Wakes::default()))
    }

    /// What the instance is made of.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.0.setup
    }

    /// The object of this place, with what its approval takes: at most six reads. `None`, whatever is in the way: it isn't
    /// there, isn't this instance's, asks for no approval, is suspended or deleted, its app or client can't be used, its
    /// client isn't published yet, or another object has the one token of this app and shop.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub async fn approvable(&self, namespace: &str, name: &str) -> Result<Option<Approvable>, Error> {
        let Some(token) = self.token(namespace, name).await? else { return Ok(None) };
        let Some(approves) = approves(&token) else { return Ok(None) };
        let (Some(object), Ok(shop)) = (Identity::of(&token), token.spec.shop.parse()) else { return Ok(None) };
        let asked = match approves {
            Approves::Merchant(source) => app_of(&self.0, &token, &source.app_ref).await.map(Asked::App).map(Some),
            Approves::Customer(source, session) => match client_of(&self.0, &token, source).await {
                Ok(CustomerClient { client_id, client_secret: Some(client_secret), .. }) => {
                    let discovery = self.discovery(&token, &object, &client_id).await?.map(Box::new);
                    let scopes = session.scopes.clone();
                    Ok(discovery.map(|discovery| Asked::Session { client_id, client_secret, discovery, scopes }))
                }
                Ok(CustomerClient { client_secret: None, .. }) => Ok(None),
                Err(ended) => Err(ended),
            },
        };
        let asked = match asked {
            Ok(Some(asked)) => asked,
            Ok(None) | Err(Stop::Failure(_)) => return Ok(None),
            Err(Stop::Kubernetes(error)) => return Err(error),
        };
        let recorded = match self.record(&token, &object, asked.client_id()).await? {
            RecordState::Absent => None,
            RecordState::Ours(recorded) => Some(recorded),
            RecordState::Refused(_) => return Ok(None),
        };
        Ok(Some(Approvable { token, object, shop, asked, recorded }))
    }

    /// Looks at an object again: at most two reads. `None` if it isn't there any more.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub async fn again(&self, of: &Approvable) -> Result<Option<(ShopifyToken, Option<Box<Recorded>>)>, Error> {
        let Identity { namespace, name, uid } = &of.object;
        let token = self.token(namespace, name).await?.filter(|token| token.uid().as_ref() == Some(uid));
        let Some(token) = token else { return Ok(None) };
        Ok(match self.record(&token, &of.object, of.asked.client_id()).await? {
            RecordState::Absent => Some((token, None)),
            RecordState::Ours(recorded) => Some((token, Some(recorded))),
            RecordState::Refused(_) => None,
        })
    }

    /// Notes something in the record Secret, upon the version that was read.
    ///
    /// # Errors
    /// Of Kubernetes, a refusal among them.
    pub async fn note(&self, of: &Approvable, note: impl FnOnce(&mut Secret)) -> Result<Noted, Error> {
        let secret = pair::noted(&of.token, &of.object, of.asked.client_id(), of.recorded.as_deref(), note);
        match write(&self.0, of.recorded.is_some(), &secret).await.map_err(Error::from) {
            Ok(_) => Ok(Noted::Written),
            Err(error) if error.is_conflict() => Ok(Noted::Overtaken),
            Err(error) => Err(error),
        }
    }

    async fn token(&self, namespace: &str, name: &str) -> Result<Option<ShopifyToken>, Error> {
        let Setup { namespaces, selector, .. } = &self.0.setup;
        if !namespaces.is_empty() && !namespaces.iter().any(|watched| watched == namespace) {
            return Ok(None);
        }
        let tokens: Api<Lenient<ShopifyToken>> = Api::namespaced(self.0.client(), namespace);
        let Some(Lenient(Ok(token))) = found(tokens.get(name).await)? else { return Ok(None) };
        let selected = selector
            .as_deref()
            .is_none_or(|text| selector::parse(text).is_ok_and(|selector| selector.matches(token.labels())));
        Ok(Some(token).filter(|_| selected))
    }

    /// Where the client is used that is published.
    async fn discovery(
        &self,
        token: &ShopifyToken,
        me: &Identity,
        client_id: &str,
    ) -> Result<Option<Discovery>, Error> {
        let secrets: Api<Secret> = Api::namespaced(self.0.client(), &me.namespace);
        let published = found(secrets.get(token.secret_name()).await)?;
        let record = published.as_ref().and_then(|secret| Record::parse(secret.annotations()));
        let ours = record.filter(|record| record.token == *me && record.issuer.as_deref() == Some(client_id));
        Ok(ours.and_then(|record| record.discovery))
    }

    async fn record(&self, token: &ShopifyToken, me: &Identity, client_id: &str) -> Result<RecordState, Error> {
        let secrets: Api<Secret> = Api::namespaced(self.0.client(), &me.namespace);
        let live = found(secrets.get(&token.record_secret().unwrap_or_default()).await)?;
        Ok(pair::classify(token, me, client_id, live))
    }
}

impl Approvable {
    /// Whether the leader has looked at the object as it is. Until then it may be the second of two for one app and shop, and
    /// what is approved for it nobody would exchange.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        let observed = self.token.status.as_ref().map(|status| status.observed_generation);
        observed.is_some() && observed == self.token.metadata.generation
    }
}

impl Asked {
    /// The client id of the app or client.
    #[must_use]
    pub fn client_id(&self) -> &str {
        match self {
            Self::App(app) => &app.client_id,
            Self::Session { client_id, .. } => client_id,
        }
    }

    /// The client secrets that a state may be signed with, the current one first.
    #[must_use]
    pub fn client_secrets(&self) -> Vec<&SecretString> {
        match self {
            Self::App(app) => std::iter::once(&app.client_secret).chain(&app.previous_client_secret).collect(),
            Self::Session { client_secret, .. } => vec![client_secret],
        }
    }
}

/// What there is to approve, if anything is now.
fn approves(token: &ShopifyToken) -> Option<Approves<'_>> {
    let source = token.spec.source().and_then(SourceRef::approval)?;
    let conflict = token.status.as_ref().and_then(obstacle) == Some(Reason::SecretConflict);
    let idle = token.spec.suspended() || token.metadata.deletion_timestamp.is_some() || conflict;
    (!idle).then_some(source)
}
