//! Reconciles one namespace step by step, so that every call can be counted, and a crash is exact.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, api::ListParams};
use shopify_sim::CutMode;
use shopify_token_operator::{
    api::{ShopifyApp, ShopifyToken},
    controller::{
        Setup, app,
        context::Context,
        reconcile,
        watch::{Stores, Wakes},
    },
    core::{
        approval::Claimed,
        approvals::{Approvals, Outcome},
        marker::Marker,
        record::Record,
    },
    kubernetes, shopify,
    shopify::{ConnectTo, Observer},
};

use crate::{
    browser::{APART, Browser, Pages},
    cut::{Counted, Cuts, Cutting, Side},
    world::{CLIENT_ID, SHOP, SecretView, World},
};

/// The client secret that the app gets in its life.
const NEW_SECRET: &str = "shpss_canaryc0ffeefedcba9876543210fedcba";

/// The other name of the Secret of token `web`.
pub(crate) const RENAMED: &str = "renamed";

/// Where a fault strikes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Kubernetes(Side, Counted),
    Shopify(CutMode),
}

/// What becomes of the process then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Process {
    /// It sees an error and goes on.
    LivesOn,
    /// It dies at that moment, and another one starts with nothing in memory.
    Dies,
}

/// A call that isn't reached.
pub(crate) const NEVER: u64 = u64::MAX / 2;

/// What became of a run.
pub(crate) struct Ran {
    /// Whether the fault has struck.
    pub(crate) struck: bool,
    calls: u64,
    writes: u64,
    asked: u64,
}

impl Ran {
    /// How many calls there were for a fault to strike.
    pub(crate) fn of(&self, fault: Fault) -> u64 {
        match fault {
            Fault::Kubernetes(_, Counted::All) => self.calls,
            Fault::Kubernetes(_, Counted::Writes) => self.writes,
            Fault::Shopify(_) => self.asked,
        }
    }
}

/// Reconciles one namespace, step by step.
pub(crate) struct Driver {
    pub(crate) world: World,
    pub(crate) cuts: Arc<Cuts>,
    setup: Setup,
    context: Arc<Context>,
    armed: Option<(u64, Fault, Process)>,
    /// The ShopifyTokens that are reconciled; the last is the one that is checked.
    pub(crate) tokens: &'static [&'static str],
    /// Whether the app is reconciled too, and not only when it goes.
    pub(crate) judges: bool,
    /// Whether the fault has struck.
    pub(crate) struck: bool,
}

impl Driver {
    pub(crate) async fn new() -> Self {
        let world = World::new("sweep").await;
        world.make_app().await;
        let cuts = Arc::new(Cuts::default());
        let client = kubernetes::client_with_layer(
            world.operator_config().await,
            Arc::clone(&world.metrics),
            16,
            &Cutting(Arc::clone(&cuts)),
        );
        let options = shopify::Options {
            connect_to: Some(ConnectTo::Address(world.sim.address())),
            ca_pem: Some(world.sim.ca_pem().as_bytes().to_vec()),
            timeout: Duration::from_millis(400),
            ..shopify::Options::default()
        };
        let shopify = shopify::Client::new(options, Arc::new(Observer::default())).unwrap();
        let setup = Setup {
            client: client.unwrap(),
            shopify: Arc::new(shopify),
            // The API server stamps deletions with its own clock, which no test can move.
            revocation_timeout: TimeDelta::days(2),
            ..world.setup().await
        };
        let context = Context::new(setup.clone(), Stores::default(), Wakes::default());
        Self { world, cuts, setup, context, armed: None, tokens: &[], judges: false, struck: false }
    }

    /// An admin token that never expires, Ready.
    pub(crate) async fn with_admin(&mut self) {
        let admin = self.world.sim.create_admin_token(SHOP, CLIENT_ID).unwrap();
        self.world.secret_of("by-hand", &[("token", &admin)]).await;
        let source = serde_json::json!({"custom": {"tokenRef": {"name": "by-hand", "key": "token"}}});
        self.world.token("admin", serde_json::json!({"source": source, "verifyInterval": 0})).await;
        self.tokens = &["admin"];
        self.settle().await;
    }

    /// Gives the app another client secret, which Shopify takes as well as the one before.
    pub(crate) async fn change_secret(&mut self) {
        // So that it is known to be another one.
        self.judges = true;
        self.settle().await;
        self.world.sim.add_secret(CLIENT_ID, NEW_SECRET).unwrap();
        self.world.secret_of("acme-app", &[("client_id", CLIENT_ID), ("client_secret", NEW_SECRET)]).await;
    }

    /// What token `web` holds was minted by the new secret, and the app says that the old one is in use.
    pub(crate) async fn check_secret(&self) {
        let secret = self.world.secret("web").await.unwrap();
        let minted_by = self.world.sim.minted_by(secret.access_token());
        assert_eq!(minted_by.as_deref(), Some(NEW_SECRET), "{:?}", self.armed);
        assert!(secret.record("old-secret-until").is_some(), "{:?}", self.armed);
        let status = self.world.api::<ShopifyApp>().get("acme").await.unwrap().status.unwrap();
        let safe = status.conditions.iter().find(|c| c.type_ == "SafeToRevokeOldSecret").unwrap();
        assert_eq!(safe.status, "False", "{:?}", self.armed);
    }

    /// Lets a fault strike at the n-th call from now.
    pub(crate) fn arm(&mut self, n: u64, fault: Fault, process: Process) {
        self.world.sim.mark();
        self.cuts.mark();
        match fault {
            Fault::Kubernetes(side, counted) => self.cuts.arm(n, side, counted),
            Fault::Shopify(mode) => self.world.sim.cut_nth(n, mode),
        }
        self.armed = Some((n, fault, process));
    }

    /// What became of it since [`Self::arm`].
    pub(crate) fn ran(&self) -> Ran {
        let (calls, writes) = (self.cuts.calls(), self.cuts.writes());
        Ran { struck: self.struck, calls, writes, asked: self.world.sim.calls_since_mark() }
    }

    /// What was armed, for messages.
    pub(crate) fn armed(&self) -> impl std::fmt::Debug {
        self.armed
    }

    fn strikes(&self) -> bool {
        match self.armed {
            Some((_, Fault::Kubernetes(..), _)) => self.cuts.hit(),
            Some((n, Fault::Shopify(_), _)) => self.world.sim.calls_since_mark() > n,
            None => false,
        }
    }

    /// Reconciles everything until nothing is written any more, however often that takes.
    pub(crate) async fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 60, "it doesn't settle: {:?}", self.armed);
            let before = self.cuts.writes();
            let quiet = Box::pin(self.round()).await;
            if quiet && before == self.cuts.writes() {
                return;
            }
            // Back-offs end.
            self.world.pass(TimeDelta::seconds(11));
        }
    }

    /// Reconciles every object once; says whether nothing is left to retry.
    async fn round(&mut self) -> bool {
        // The watch of Secrets tells this.
        for secret in self.world.api::<Secret>().list(&ListParams::default()).await.unwrap().items {
            self.context.holdings.note(&secret, false);
        }
        let mut quiet = true;
        for name in self.tokens {
            let Some(token) = self.world.tokens().get_opt(name).await.unwrap() else { continue };
            let context = Arc::clone(&self.context);
            quiet &= self.guarded(Box::pin(reconcile::once(&context, &token))).await;
        }
        let tokens = self.world.tokens().list(&ListParams::default()).await.unwrap().items;
        let ours = |name: &str| tokens.iter().find(|token| token.name_any() == name);
        quiet &= self.tokens.iter().filter_map(|name| ours(name)).all(is_quiet);
        if let Some(token) = self.tokens.last().and_then(|name| ours(name)) {
            self.check_holdings(token).await;
        }
        if let Some(app) = self.world.api::<ShopifyApp>().get_opt("acme").await.unwrap()
            && (self.judges || app.metadata.deletion_timestamp.is_some())
        {
            let context = Arc::clone(&self.context);
            quiet &= self.guarded(app::once(&context, &app)).await;
        }
        quiet
    }

    /// One reconcile, which may be the process's last. Says whether it ended well.
    async fn guarded<T, E>(&mut self, reconcile: impl Future<Output = Result<T, E>>) -> bool {
        let struck_before = self.struck;
        let dies = matches!(self.armed, Some((_, _, Process::Dies))) && !struck_before;
        let death = async {
            while !(dies && self.strikes()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // What the simulator was told to commit, it commits.
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let ended = tokio::select! {
            biased;
            () = death => None,
            ended = reconcile => Some(ended.is_ok()),
        };
        self.struck |= self.strikes();
        if self.struck && !struck_before && dies {
            self.context = Context::new(self.setup.clone(), Stores::default(), Wakes::default());
            return false;
        }
        ended.unwrap_or(false)
    }

    /// Reconciles until the merchant, or the customer, is asked: nobody is sent to approve what wasn't looked at.
    pub(crate) async fn asks(&mut self) {
        for round in 0.. {
            assert!(round < 10, "nobody is asked");
            Box::pin(self.round()).await;
            let status = self.world.tokens().get("web").await.unwrap().status;
            if status.is_some_and(|status| status.install_url.is_some()) {
                return;
            }
        }
    }

    /// A merchant approves the app at the install pages, or a customer signs in, as often as it takes: a browser whose answer is lost is loaded
    /// again, and an exchange whose answer is lost can't be had again.
    pub(crate) async fn approved(&mut self) {
        for attempt in 0.. {
            assert!(attempt < 5, "it isn't approved: {:?}", self.armed);
            let Some(state) = self.comes_back().await else { continue };
            for round in 0.. {
                assert!(round < 60, "the code isn't exchanged: {:?}", self.armed);
                Box::pin(self.round()).await;
                let record = self.world.secret("web-record").await.expect("a record");
                match Approvals::parse(&record.annotations).outcome(&state) {
                    Some(Outcome::Exchanged) => return,
                    Some(Outcome::Refused(_)) => break,
                    other => assert_eq!(other, Some(&Outcome::Waiting)),
                }
                self.world.pass(TimeDelta::seconds(11));
            }
        }
    }

    /// A browser begins, decides and comes back, to a replica of its own, a while after the one before: the state that counts.
    async fn comes_back(&mut self) -> Option<String> {
        self.world.pass(APART);
        let pages = Pages::start(self.setup.clone()).await;
        let mut browser = Browser::new(&self.world);
        let url = format!("/oauth/install/{}/web", self.world.namespace);
        let shown = browser.opens(pages.address, &url).await;
        self.struck |= self.strikes();
        if shown.status != 303 {
            assert_eq!(shown.status, 503, "{:?}", self.armed);
            return None;
        }
        let back = browser.tries_to_decide(&shown.location(), "approve").await;
        self.struck |= self.strikes();
        let back = back?;
        let shown = browser.opens(pages.address, back.as_str()).await;
        self.struck |= self.strikes();
        pages.stop().await;
        let (_, state) = back.query_pairs().find(|(name, _)| name == "state")?;
        // What was written and not answered counts: the browser is told that it was used when it is loaded again.
        assert!(matches!(shown.status, 303 | 503), "{}: {:?}", shown.status, self.armed);
        let state = Claimed::read(&state)?.fingerprint();
        let record = self.world.secret("web-record").await?;
        Approvals::parse(&record.annotations).outcome(&state).is_some().then_some(state)
    }

    /// I1, I3: what a token's Secrets hold works at Shopify, at every moment.
    async fn check_holdings(&self, token: &ShopifyToken) {
        if token.metadata.deletion_timestamp.is_some() {
            return;
        }
        let safe = token.status.iter().flat_map(|s| &s.conditions);
        let safe = safe.clone().any(|c| c.type_ == "SafeToRevokeOldSecret" && c.status == "True");
        let secrets = self.world.api::<Secret>().list(&ListParams::default()).await.unwrap().items;
        for secret in secrets.into_iter().map(SecretView::from) {
            if [&token.name_any(), RENAMED].contains(&secret.name.as_str()) {
                self.check_holding(&secret, safe);
            }
        }
    }

    fn check_holding(&self, secret: &SecretView, safe: bool) {
        let name = &secret.name;
        let left = secret
            .record("leave-at")
            .is_some_and(|at| at.parse::<chrono::DateTime<chrono::Utc>>().unwrap() <= self.world.clock.now());
        if left {
            return;
        }
        // Whoever holds an older pair of customer accounts mustn't be told that it can be revoked.
        let older = secret.data.contains_key("previous_client_secret");
        assert!(!(older && safe), "Secret {name} holds a pair that is said to be safe to revoke: {:?}", self.armed);
        let record = Record::parse(&secret.annotations);
        let overlap = record.is_some_and(|r| r.previous.iter().any(|p| p.revoke_at > self.world.clock.now()));
        // Whether a customer's access token outlives its refresh nobody says: that is looked at once all is settled.
        let session = secret.data.contains_key("client_id");
        let keys = [("access_token", !session), ("previous_access_token", overlap)];
        for (key, value) in keys.iter().filter(|(_, lives)| *lives).filter_map(|(k, _)| Some((k, secret.data.get(*k)?)))
        {
            let sim = &self.world.sim;
            let lives = sim.is_valid_admin(SHOP, value) || sim.is_valid_storefront(SHOP, value);
            assert!(lives, "{key} of Secret {name} is dead: {:?}", self.armed);
        }
    }

    /// I2: what lives at Shopify with a marker is what the Secrets hold and know to be in overlap.
    pub(crate) async fn check_live(&self, name: &str) {
        let live = self.world.live();
        let secret = self.world.secret(name).await;
        let record = secret.as_ref().and_then(|s| Record::parse(&s.annotations));
        let mut known: Vec<String> = record.iter().flat_map(|r| r.previous.iter().map(|p| p.id.clone())).collect();
        known.extend(record.and_then(|r| r.token_id));
        let mut ids: Vec<String> = live.iter().map(|t| t.id.clone()).collect();
        ids.sort();
        known.sort();
        assert_eq!(
            ids,
            known,
            "{:?}: {:?}",
            self.armed,
            live.iter().map(|t| Marker::parse(&t.title)).collect::<Vec<_>>()
        );
    }

    /// I5: a settled namespace costs nothing.
    pub(crate) async fn check_idle(&mut self) {
        let (calls, writes) = (self.world.sim.total_calls(), self.cuts.writes());
        Box::pin(self.round()).await;
        self.context = Context::new(self.setup.clone(), Stores::default(), Wakes::default());
        Box::pin(self.round()).await;
        assert_eq!((self.world.sim.total_calls(), self.cuts.writes()), (calls, writes), "not idle: {:?}", self.armed);
    }
}

fn is_quiet(token: &ShopifyToken) -> bool {
    let Some(status) = &token.status else { return false };
    let ready = status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
    ready && !status.conditions.iter().any(|c| matches!(c.type_.as_str(), "Reconciling" | "Stalled"))
}
