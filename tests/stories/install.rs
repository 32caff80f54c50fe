//! Install pages: what a merchant approves in a browser becomes a token, once, whatever happens on the way.

use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use reqwest::{Url, header::LOCATION};
use secrecy::SecretString;
use serde_json::{Value, json};
use shopify_sim::{Fault, FaultKind};
use shopify_token_operator::{
    core::{
        approvals::{self, Approvals, Code, Outcome},
        identity::Identity,
        pair::{self, RecordState},
    },
    shopify::{Approval, Callback},
};

use crate::world::{CLIENT_ID, PUBLIC_URL, SHOP, World, condition, message, revision};

const EXCHANGE: &str = "oauth.code";

fn offline(more: Value) -> Value {
    crate::specs::with(json!({"source": {"offline": {"appRef": {"name": "acme"}}}}), more)
}

impl World {
    /// A world with an app, and an offline token `web` that nobody has approved.
    async fn unapproved(name: &str) -> Self {
        let world = Self::with_app(name).await;
        world.token("web", offline(json!({}))).await;
        world.because("web", "Stalled", "ConsentRequired").await;
        world
    }

    /// A merchant's browser approves the app at Shopify: what it comes back with.
    async fn approved_at_shopify(&self, state: &str) -> Callback {
        let redirect_uri = format!("{PUBLIC_URL}/oauth/callback");
        let approval = Approval { client_id: CLIENT_ID, scopes: &[], redirect_uri: &redirect_uri, state };
        let asked = approval.url(&SHOP.parse().unwrap());
        let shopify = reqwest::Client::builder()
            .resolve(SHOP, self.sim.address())
            .add_root_certificate(reqwest::Certificate::from_pem(self.sim.ca_pem().as_bytes()).unwrap())
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let answer = shopify.post(asked).form(&[("decision", "approve")]).send().await.unwrap();
        let location = Url::parse(answer.headers()[LOCATION].to_str().unwrap()).unwrap();
        Callback::parse(location.query().unwrap()).unwrap()
    }

    /// Puts a code into the record Secret of `web`, as any replica may.
    async fn store(&self, state: &str) {
        let value = self.approved_at_shopify(state).await.code().unwrap();
        self.store_code(&Code { value, state: state.to_owned() }).await;
    }

    async fn store_code(&self, code: &Code) {
        let token = self.tokens().get("web").await.unwrap();
        let me = Identity::of(&token).unwrap();
        let live = self.api::<Secret>().get_opt("web-record").await.unwrap();
        let exists = live.is_some();
        let recorded = match pair::classify(&token, &me, CLIENT_ID, live) {
            RecordState::Absent => None,
            RecordState::Ours(recorded) => Some(recorded),
            RecordState::Refused(failure) => panic!("{failure:?}"),
        };
        let now = self.clock.now();
        let secret = pair::noted(&token, &me, CLIENT_ID, recorded.as_deref(), |secret| {
            approvals::approve(secret, code, now, now);
        });
        let new = PostParams::default();
        if exists {
            self.api::<Secret>().replace("web-record", &new, &secret).await.unwrap();
        } else {
            self.api::<Secret>().create(&new, &secret).await.unwrap();
        }
    }

    async fn record(&self) -> std::collections::BTreeMap<String, String> {
        self.secret("web-record").await.unwrap().data
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_stored_is_exchanged_as_any_other_step() {
    let mut world = World::unapproved("install-step").await;
    assert_eq!(world.sim.total_calls(), 0, "nothing is asked before it is approved");
    world.stop().await;
    world.store("first").await;
    // Whoever leads next finds it.
    world.start().await;
    world.ready("web").await;
    assert!(!world.record().await.contains_key("authorization_code"));
    assert!(world.record().await.contains_key("refresh_token"));
    assert_eq!(world.sim.calls(EXCHANGE), 1);
    world.told("web", &["IssueFailed", "Issued"]).await;
    let secret = world.secret("web").await.unwrap();
    assert!(world.sim.is_valid_admin(SHOP, secret.access_token()));
    assert!(!secret.data.keys().any(|key| key.contains("refresh") || key.contains("authorization")));

    // Over a pair that lives it is a new beginning.
    let before = world.record().await["refresh_token"].clone();
    world.store("second").await;
    world.until("web", "replaced", |t| revision(t) == 2).await;
    world.ready("web").await;
    assert_ne!(world.record().await["refresh_token"], before);
    world.told("web", &["IssueFailed", "Issued", "Rotated"]).await;
    world.pass(chrono::TimeDelta::minutes(41));
    world.until("web", "refreshed", |t| revision(t) == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_brings_nothing_is_forgotten_and_said() {
    let world = World::unapproved("install-dead").await;
    let value = SecretString::from("canaryc0ffee0123456789");
    world.store_code(&Code { value, state: "unknown".into() }).await;
    world
        .until("web", "told why", |t| {
            condition(t, "Stalled").is_some() && message(t, "Stalled").contains("brought nothing")
        })
        .await;
    world.because("web", "Stalled", "ConsentRequired").await;
    assert!(!world.record().await.contains_key("authorization_code"));
    world.a_while().await;
    assert_eq!(world.sim.calls(EXCHANGE), 1, "it isn't asked again");

    // An answer that was lost can't be had again, and what comes next counts.
    world.sim.inject(Fault::new(EXCHANGE, FaultKind::CommitThenDrop).times(1));
    world.store("lost").await;
    world
        .eventually("its code is forgotten", async || {
            let record = world.secret("web-record").await.unwrap();
            let approvals = Approvals::parse(&record.annotations);
            matches!(approvals.outcome("lost"), Some(Outcome::Refused(why)) if why.contains("can't be had again"))
        })
        .await;
    world.store("again").await;
    world.ready("web").await;
}
