//! What reconciles share: clients, clock, and where the little is that is kept in memory.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, Resource, ResourceExt, runtime::reflector::ObjectRef};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    events::Events,
    kept::{Going, Judged, Scheduled, Unpublished, Written},
    key::ObjectKey,
    listed::{Listed, Neighbour},
    paces::Paces,
    reads::Reads,
    rendering::Rendering,
    shared_list::SharedLists,
    watch::{
        health::Watches,
        holdings::{Holdings, Noted},
        presence::Presence,
        stores::Stores,
        wake::Wakes,
    },
};
use crate::{
    api::{ShopifyApp, ShopifyToken, SourceRef},
    clock::Clock,
    core::{observed::Doubt, public_url::PublicUrl, source::nature, urgency::Urgency},
    metrics::Metrics,
    shared::Shared,
    shopify::{self, Outages, Shop},
    slots::Slots,
    sources::{Memory, Renewed},
    time::Timestamp,
    workers::Workers,
};

/// Calls at a time to one shop.
const CALLS_TO_A_SHOP: usize = 4;

/// How long an app waits for further tokens to be issued before it counts them.
const COUNTED_TOGETHER: Duration = Duration::from_millis(500);
/// And how much longer for each token that it has: what is counted grows with them, and so does the time between.
const A_TOKEN: Duration = Duration::from_millis(1);

/// Who gets a worker first: for whom a slot is held at its shop, then who came first. Who has a credential counts as if it came
/// five minutes later.
pub type Turn = (Reverse<bool>, std::time::Instant);

/// So a new token doesn't wait for thousands that are renewed, and however many new ones hang, others wait this much longer at most.
pub(super) const BEHIND: Duration = Duration::from_mins(5);

/// Everything a controller is made of.
#[derive(Clone)]
pub struct Setup {
    /// Client of the API server.
    pub client: Client,
    /// Client of Shopify.
    pub shopify: Arc<shopify::Client>,
    /// The time of day.
    pub clock: Clock,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// How the watches are doing.
    pub watches: Arc<Watches>,
    /// Namespaces to watch; empty for all.
    pub namespaces: Vec<String>,
    /// Label selector of the objects to serve.
    pub selector: Option<String>,
    /// Reconciles at a time.
    pub concurrency: u16,
    /// How long a revocation is retried after the deletion timestamp.
    pub revocation_timeout: TimeDelta,
    /// Under which URL the install pages are served, where they are.
    pub public_url: Option<PublicUrl>,
}

/// What reconciles share.
pub struct Context {
    /// What the controller is made of.
    pub setup: Setup,
    /// When this process began: what failed before says nothing of a shop any more.
    pub started_at: Timestamp,
    /// Random, for hashes of credentials that are compared within this process and can be guessed by nobody.
    pub salt: String,
    /// Writes events.
    pub(super) events: Arc<Events>,
    /// Reconciles of tokens at a time, over all namespaces.
    pub workers: Workers<ObjectKey, Turn>,
    /// What the watches hold.
    pub stores: Stores,
    /// Which Secrets say that they hold a token's credential.
    pub holdings: Holdings,
    /// Which Secrets there are at all, and in which version.
    pub presence: Presence,
    /// Live lists of namespaces, as far as needs are told by them.
    pub lists: SharedLists<Listed>,
    /// Live lists of the namespaces that use an app of one.
    pub neighbours: SharedLists<BTreeMap<String, Neighbour>>,
    /// Secrets as they were read last.
    pub reads: Reads,
    /// Asks for reconciles.
    pub wakes: Wakes,
    /// Shops that don't answer.
    pub outages: Outages<ObjectKey>,
    /// Calls at a time to one shop.
    pub slots: Slots<Shop, ObjectKey, Urgency>,
    /// Secrets being written at a time with what one shop has issued, while that is asked for more: together with the one that
    /// keeps it busy three quarters of the workers, should the writes hang.
    pub publishing: Slots<Shop, (), ()>,
    /// What the sources keep in memory.
    pub memory: Memory,
    /// Renders Secrets.
    pub rendering: Rendering,
    /// Issued, but the Secret write failed: published by the next attempt instead of issuing again.
    pub unpublished: Shared<String, Unpublished>,
    /// Pairs that came and couldn't be written down, by UID: written before anything else is asked.
    pub unrecorded: Shared<String, Renewed>,
    /// Of tokens, by UID, whose records name older versions of Secrets: with which ones they were found to agree.
    pub agreed: Shared<String, String>,
    /// The status last written for a token: the watch may lag behind it.
    pub written: Shared<ObjectKey, Written>,
    /// What has to be verified soon, and why.
    pub suspects: Shared<ObjectKey, Doubt>,
    /// How many reconciles of an object have ended in an error, one after the other.
    pub errors: Shared<String, u32>,
    /// How many writes of an object, by UID, or of a part of it, the API server has refused, one after the other.
    pub refused: Shared<String, u32>,
    /// Statuses that the API server refuses, by the object's UID: how often, and when to try again.
    pub status_refused: Shared<String, (u32, Timestamp)>,
    /// The pace of each object, by UID.
    pub paces: Paces,
    /// Tokens, by UID, that this process has seen without our finalizer, of kinds whose credentials are listed: no process before
    /// has created anything for them.
    pub bare: Shared<String, ()>,
    /// What of each app was last seen that its tokens depend on.
    pub apps_seen: Shared<ObjectKey, String>,
    /// The same of each admin token that others name.
    pub admins_seen: Shared<ObjectKey, String>,
    /// Of each app, by UID, the version with the status that was written last, and the generation that this was written
    /// for: that the watch brings it is no news.
    pub own_versions: Shared<String, (u64, Option<i64>)>,
    /// When the tokens of an app, by its namespace and name, are issued again with another client secret.
    pub schedules: Shared<String, Arc<Scheduled>>,
    /// Apps that are about to count their tokens.
    pub counting: Arc<Shared<String, ()>>,
    /// What was last judged of each app's client secret, by the app's UID.
    pub judged: Shared<String, Judged>,
    /// Secrets (namespace and name) that are being deleted and wait for our finalizer, and what was told of that.
    pub going: Shared<ObjectKey, Going>,
    /// Tokens that are being deleted, by UID, and when our finalizer was taken off them.
    pub(super) let_go: Shared<String, Instant>,
    /// Something is gone that a Secret may have waited for.
    pub freed: Notify,
}

/// How many of the workers may write for a shop that is asked for more meanwhile, so that a quarter stays for others.
fn beside(workers: u16) -> usize {
    usize::from(workers.saturating_sub((workers / 4).max(1) + 1))
}

impl Context {
    /// A context with empty memory.
    #[must_use]
    pub fn new(setup: Setup, stores: Stores, wakes: Wakes) -> Arc<Self> {
        Self::until(CancellationToken::new(), setup, stores, wakes)
    }

    /// The same, of which the workers begin nothing any more once `ended` is cancelled.
    #[must_use]
    pub fn until(ended: CancellationToken, setup: Setup, stores: Stores, wakes: Wakes) -> Arc<Self> {
        let wake = || {
            let wakes = wakes.clone();
            move |token: ObjectKey| wakes.at_once(token)
        };
        Arc::new(Self {
            started_at: setup.clock.now(),
            salt: format!("{:x}{:x}", random(), random()),
            events: Arc::new(Events::new(setup.client.clone(), Arc::clone(&setup.metrics))),
            workers: Workers::until(ended, setup.concurrency.into(), wake()),
            stores,
            holdings: Holdings::default(),
            presence: Presence::default(),
            lists: SharedLists::default(),
            neighbours: SharedLists::default(),
            reads: Reads::default(),
            slots: Slots::new(CALLS_TO_A_SHOP, wake()),
            publishing: Slots::new(beside(setup.concurrency), |()| ()),
            wakes,
            outages: Outages::default(),
            memory: Memory::default(),
            rendering: Rendering::default(),
            unpublished: Shared::default(),
            unrecorded: Shared::default(),
            agreed: Shared::default(),
            written: Shared::default(),
            suspects: Shared::default(),
            errors: Shared::default(),
            refused: Shared::default(),
            status_refused: Shared::default(),
            paces: Paces::default(),
            bare: Shared::default(),
            apps_seen: Shared::default(),
            admins_seen: Shared::default(),
            own_versions: Shared::default(),
            schedules: Shared::default(),
            counting: Arc::default(),
            judged: Shared::default(),
            going: Shared::default(),
            let_go: Shared::default(),
            freed: Notify::new(),
            setup,
        })
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.setup.clock.now()
    }

    /// Takes note of a Secret that is there, or just was, and wakes the app whose client secret has a part in what changed.
    pub fn note(&self, secret: &impl ResourceExt, gone: bool) -> Noted {
        let noted = self.holdings.note(secret, gone);
        if noted.minted {
            for holder in noted.before.iter().chain(&noted.now) {
                if let Some(app) = self.stores.app_above(&holder.namespace, &holder.name) {
                    self.count_soon(app);
                }
            }
        }
        noted
    }

    /// Wakes an app that has to count its tokens anew: after a moment, in which others may be issued too.
    pub(super) fn count_soon(&self, app: ObjectRef<ShopifyApp>) {
        let key = app.to_string();
        if self.counting.put(key.clone(), ()).is_some() {
            return;
        }
        let tokens = self.stores.count_of_app(app.namespace.as_deref().unwrap_or_default(), &app.name);
        let pause = COUNTED_TOGETHER + A_TOKEN * u32::try_from(tokens).unwrap_or(u32::MAX);
        let (counting, wakes) = (Arc::clone(&self.counting), self.wakes.clone());
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            counting.remove(&key);
            wakes.app(app);
        });
    }

    /// Wakes those whose turn it is now to ask where nobody gets an answer.
    pub fn pass_on(&self, next: &[ObjectKey]) {
        for token in next {
            self.wakes.token(token.clone());
        }
    }

    /// Where the merchant approves what a token asks for, if that is to be approved and there are install pages.
    #[must_use]
    pub fn install_url(&self, token: &ShopifyToken) -> Option<String> {
        let public =
            self.setup.public_url.as_ref().filter(|_| token.spec.source().and_then(SourceRef::approval).is_some())?;
        Some(public.install(&token.namespace()?, &token.name_any()))
    }

    /// Whether a watch tells of every change of a kind in a namespace: what it has brought is what is there.
    pub(super) fn stands<K: Resource<DynamicType = ()>>(&self, namespace: &str) -> bool {
        self.setup.watches.stands(&K::kind(&()), namespace, Instant::now())
    }

    /// A Secret that others fill, read once for all that ask while the watch stands and tells of no change; else live.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub async fn shared_secret(&self, namespace: &str, name: &str) -> Result<Option<Arc<Secret>>, kube::Error> {
        let secrets = Api::namespaced(self.client(), namespace);
        self.reads.shared(&secrets, self.stands::<Secret>(namespace), (namespace, name)).await
    }

    /// A Secret of a token's, as the operator has written it last, if that is the version that the watch knows; else live.
    /// Whoever writes on top of it does so by compare-and-swap, and whoever makes one where the watch knows of none finds
    /// out. Who would leave something behind reads: a deletion what it doesn't find, and an issue a credential that never ends.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub async fn written_secret(&self, token: &ShopifyToken) -> Result<Option<Arc<Secret>>, kube::Error> {
        let (namespace, name) = (&*token.namespace().unwrap_or_default(), token.secret_name());
        let known = self.holdings.version(namespace, name);
        let ends = token.spec.source().is_some_and(|source| nature(source.kind()).expires);
        let goes = token.metadata.deletion_timestamp.is_some();
        let lacks = || self.stands::<Secret>(namespace) && self.presence.lacks(namespace, name);
        if known.is_none() && ends && !goes && lacks() {
            return Ok(None);
        }
        let secrets = Api::namespaced(self.client(), namespace);
        self.reads.written(&secrets, known, (namespace, name)).await
    }

    /// Client of the API server.
    #[must_use]
    pub fn client(&self) -> Client {
        self.setup.client.clone()
    }

    /// Client of Shopify.
    #[must_use]
    pub fn shopify(&self) -> &shopify::Client {
        &self.setup.shopify
    }
}

/// 64 random bits: the keys of a `HashMap` come from the system's random source.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A client for tests of an API server that nobody asks.
#[cfg(test)]
pub(super) fn nowhere() -> Client {
    Client::try_from(kube::Config::new(http::Uri::from_static("http://127.0.0.1:1"))).unwrap()
}

#[cfg(test)]
impl Context {
    /// A context for the tests of a part of the controller: no watches, and a Shopify that nobody asks.
    pub(super) fn of_client(client: Client) -> Arc<Self> {
        Self::of_stores(client, Stores::default())
    }

    /// The same with what watches have brought.
    pub(super) fn of_stores(client: Client, stores: Stores) -> Arc<Self> {
        Self::of_parts(client, stores, Wakes::default())
    }

    /// The same with those who are woken.
    pub(super) fn of_parts(client: Client, stores: Stores, wakes: Wakes) -> Arc<Self> {
        let setup = Setup {
            client,
            shopify: Arc::new(shopify::Client::new(shopify::Options::default(), Arc::default()).unwrap()),
            clock: Clock::system(),
            metrics: Arc::new(Metrics::new()),
            watches: Arc::default(),
            namespaces: Vec::new(),
            selector: None,
            concurrency: 1,
            revocation_timeout: TimeDelta::hours(1),
            public_url: None,
        };
        Self::new(setup, stores, wakes)
    }
}
