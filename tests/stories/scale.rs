//! What many tokens cost together: counted in requests, for these don't depend on the machine.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use shopify_sim::{Fault, FaultKind, ShopConfig};
use shopify_token_operator::{
    api::{ShopifyApp, ShopifyToken},
    controller::Setup,
    shopify::{self, ConnectTo, Observer},
};

use crate::{
    counts::since,
    specs::{client_credentials, with},
    webhook::{Verdict, Webhook},
    world::{CLIENT_ID, SCOPES, SHOP, World, condition},
};

impl World {
    /// Requests to the API server since, of one kind.
    fn asked(&self, before: &std::collections::BTreeMap<String, u64>, verb: &str, resource: &str) -> u64 {
        let kind = format!("verb=\"{verb}\",resource=\"{resource}\"");
        since(before, self.requests()).iter().filter(|(labels, _)| labels.contains(&kind)).map(|(_, count)| count).sum()
    }

    /// Applies so many tokens at once, named `<prefix>-<n>`.
    async fn many(&self, prefix: &str, count: usize, spec: &Value) -> Vec<String> {
        let names: Vec<String> = (0..count).map(|n| format!("{prefix}-{n}")).collect();
        join_all(names.iter().map(|name| self.token(name, spec.clone()))).await;
        names
    }

    async fn all_ready(&self, names: &[String]) {
        for name in names {
            self.ready(name).await;
        }
    }

    /// A client that waits longer than a story does for anything.
    fn patient_client(&self) -> Arc<shopify::Client> {
        let options = shopify::Options {
            connect_to: Some(ConnectTo::Address(self.sim.address())),
            ca_pem: Some(self.sim.ca_pem().as_bytes().to_vec()),
            timeout: Duration::from_secs(50),
            ..shopify::Options::default()
        };
        Arc::new(shopify::Client::new(options, Arc::new(Observer::default())).unwrap())
    }

    fn add_shop(&self, shop: &str) {
        self.sim.add_shop(ShopConfig::new(shop));
        self.sim.install(shop, CLIENT_ID, SCOPES.iter().copied()).unwrap();
    }
}

/// Tokens that nothing verifies meanwhile.
fn quiet() -> Value {
    with(client_credentials(), json!({"verifyInterval": "0s"}))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_app_share_its_reads_and_a_restart_reads_none_of_them() {
    let mut world = World::with_app("scale-shared").await;
    world.ready_app("acme").await;
    world.a_while().await;
    let before = world.requests();
    let names = world.many("web", 20, &quiet()).await;
    world.all_ready(&names).await;
    let secrets = world.asked(&before, "get", "secrets");
    // The app's for all, and for the app when it counts; where none is yet, none is read.
    assert!(secrets <= 10, "{secrets} Secrets were read");
    for read in ["shopifyapps", "shopifytokens"] {
        assert_eq!(world.asked(&before, "get", read), 0, "{read} are known by their watch");
    }
    world.a_while().await;

    world.stop().await;
    let (calls, writes, before, reconciles) =
        (world.sim.total_calls(), world.writes().len(), world.requests(), world.reconciles());
    world.start().await;
    world.eventually("all are looked at", async || world.reconciles() >= reconciles + 20).await;
    world.a_while().await;
    let secrets = world.asked(&before, "get", "secrets");
    assert!(secrets <= 4, "{secrets} Secrets were read for an app and 20 healthy tokens");
    assert_eq!(world.asked(&before, "get", "shopifyapps") + world.asked(&before, "get", "shopifytokens"), 0);
    assert_eq!((world.sim.total_calls(), &world.writes()[writes..]), (calls, &[][..] as &[String]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_edited_while_nobody_looked_is_found_by_who_wrote_it() {
    let mut world = World::with_app("scale-edited").await;
    let names = world.many("web", 5, &quiet()).await;
    world.all_ready(&names).await;
    let mut before = Vec::new();
    for name in &names {
        before.push(world.secret(name).await.unwrap());
    }
    world.a_while().await;
    world.stop().await;
    let edit = async |name: &str, patch: Value| {
        world.api::<Secret>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    };
    edit(&names[0], json!({"data": {"shop_domain": "ZXZpbC5leGFtcGxl"}})).await;
    edit(&names[1], json!({"data": {"api_version": null}})).await;
    edit(&names[2], json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}})).await;
    edit(&names[3], json!({"data": {"theirs": "aGVycw=="}})).await;
    // By a server-side apply of `stringData`, which takes no field over.
    world.secret_of(&names[4], &[("shop_domain", "evil.example")]).await;
    let calls = world.sim.total_calls();
    world.start().await;
    for (name, before) in names.iter().zip(&before).filter(|(name, _)| **name != names[3]) {
        world
            .eventually(&format!("{name} is restored"), async || {
                let now = world.api::<Secret>().get(name).await.unwrap();
                let managed = now.metadata.labels.as_ref().and_then(|l| l.get("app.kubernetes.io/managed-by"));
                managed.is_some_and(|by| by == "shopify-token-operator")
                    && world.secret(name).await.unwrap().data == before.data
            })
            .await;
    }
    world.a_while().await;
    assert!(world.secret(&names[3]).await.unwrap().data.contains_key("theirs"), "what is others' stays");
    assert_eq!(world.sim.total_calls(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_slow_shop_reads_nothing_meanwhile() {
    let world = World::with_app("scale-one-shop").await;
    world.ready_app("acme").await;
    world.sim.inject(Fault::new("*", FaultKind::DelayBefore(Duration::from_millis(300))));
    world.a_while().await;
    let (before, reconciles) = (world.requests(), world.reconciles());
    let names = world.many("web", 40, &quiet()).await;
    world.all_ready(&names).await;
    let (secrets, reconciles) = (world.asked(&before, "get", "secrets"), world.reconciles() - reconciles);
    assert!(secrets <= 20, "{:?}", since(&before, world.requests()));
    // Once to be told to wait, once to be issued, and once when both are written.
    assert!(reconciles <= 160, "{reconciles} reconciles for 40 tokens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_is_free_for_the_next_as_soon_as_it_has_answered() {
    let world = World::with_app("scale-permit").await;
    world.ready_app("acme").await;
    let webhook = Webhook::new(&world, "", "v1", &["secrets"], Verdict::Hold("web")).await;
    let names = world.many("web", 6, &quiet()).await;
    // More than may be called at a time, though none is written yet.
    world.eventually("all are about to be written", async || webhook.held() == names.len()).await;
    webhook.answers(Verdict::Allow);
    world.all_ready(&names).await;
    assert_eq!(world.sim.calls("oauth.clientCredentials"), 6, "each was asked for once");
    webhook.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_whose_secrets_cannot_be_written_leaves_workers_to_others() {
    let mut world = World::new("scale-unwritten").await;
    world.add_shop("other.myshopify.com");
    let setup = Setup { concurrency: 4, ..world.setup().await };
    world.start_with(setup);
    world.make_app().await;
    world.ready_app("acme").await;
    let webhook = Webhook::new(&world, "", "v1", &["secrets"], Verdict::Hold("web")).await;
    let names = world.many("web", 8, &quiet()).await;
    world.eventually("some are about to be written", async || webhook.held() == 3).await;
    world.token("free", with(quiet(), json!({"shop": "other.myshopify.com"}))).await;
    world.ready("free").await;
    assert_eq!(webhook.held(), 3);
    webhook.answers(Verdict::Allow);
    world.all_ready(&names).await;
    webhook.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_shop_waits_for_shops_that_hang() {
    let mut world = World::new("scale-hanging").await;
    let hanging: Vec<String> = (0..40).map(|n| format!("hangs-{n}.myshopify.com")).collect();
    for shop in &hanging {
        world.add_shop(shop);
        world.sim.inject(Fault::new("*", FaultKind::Hang).shop(shop));
    }
    let shopify = world.patient_client();
    // Of those that wait there are many more than of those that work.
    let setup = Setup { shopify, concurrency: 2, ..world.setup().await };
    world.start_with(setup);
    world.make_app().await;
    world.ready_app("acme").await;
    for (n, shop) in hanging.iter().enumerate() {
        world.token(&format!("hangs-{n}"), with(quiet(), json!({"shop": shop}))).await;
    }
    world.eventually("all hang", async || world.sim.calls("oauth.clientCredentials") >= 40).await;
    world.token("web", quiet()).await;
    world.ready("web").await;
    let hangs = world.tokens().get("hangs-0").await.unwrap();
    assert!(condition(&hangs, "Ready").is_none_or(|(status, _)| status == "False"), "{hangs:?}");
    world.sim.clear_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_asks_nothing_of_a_busy_shop_does_not_wait_for_it() {
    let mut world = World::new("scale-retained").await;
    let setup = Setup { shopify: world.patient_client(), ..world.setup().await };
    world.start_with(setup);
    world.make_app().await;
    world.admin_token("admin").await;
    world.ready("admin").await;
    let storefront = json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}, "verifyInterval": "0s"});
    world.token("kept", with(storefront, json!({"deletionPolicy": "Retain"}))).await;
    world.ready("kept").await;
    world.a_while().await;
    // As many as may call a shop at a time, and more that wait for them.
    let calls = world.sim.calls("oauth.clientCredentials");
    world.sim.inject(Fault::new("*", FaultKind::Hang));
    world.many("web", 8, &quiet()).await;
    world.eventually("calls hang", async || world.sim.calls("oauth.clientCredentials") > calls).await;
    world.a_while().await;
    world.delete("kept").await;
    world.gone("kept").await;
    assert_eq!(world.live().len(), 1, "it lives on");
    world.sim.clear_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_are_deleted_at_once_share_their_lists() {
    let world = World::with_admin("scale-deleted").await;
    let storefront = json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}, "verifyInterval": "0s"});
    let names = world.many("web", 30, &storefront).await;
    world.all_ready(&names).await;
    world.a_while().await;
    let before = world.requests();
    // As a namespace does that ends: all of them, what they need included.
    world.tokens().delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    let none = async || world.tokens().list(&ListParams::default()).await.unwrap().items.is_empty();
    world.eventually("all are gone", none).await;
    let lists = world.asked(&before, "list", "shopifytokens");
    assert!(lists <= 12, "{lists} lists for 30 storefront tokens and their admin token");
    assert!(world.live().is_empty(), "and nothing is left at Shopify");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_condition_is_one_field_to_the_api_server() {
    let mut world = World::new("scale-status").await;
    world.start().await;
    world.make_app().await;
    world.token("web", quiet()).await;
    let token = world.ready("web").await;
    world.ready_app("acme").await;
    let app = world.api::<ShopifyApp>();
    world
        .eventually("its tokens are counted", async || {
            of_status(&app.get("acme").await.unwrap()).get("f:tokens").is_some()
        })
        .await;
    let whole = json!({});
    for mut fields in [of_status(&token), of_status(&app.get("acme").await.unwrap())] {
        let conditions = fields.remove("f:conditions").unwrap();
        let conditions = conditions.as_object().unwrap();
        assert!(conditions.contains_key(r#"k:{"type":"Ready"}"#), "{conditions:?}");
        for (field, within) in conditions.iter().chain(&fields) {
            assert_eq!(*within, whole, "{field}: each is compared, stored and sent to all who watch");
        }
    }
}

/// The fields of the status, as `managedFields` lists them.
fn of_status(object: &impl ResourceExt) -> serde_json::Map<String, Value> {
    let entry = object.managed_fields().iter().find(|entry| entry.subresource.as_deref() == Some("status")).unwrap();
    entry.fields_v1.as_ref().unwrap().0["f:status"].as_object().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_issue_and_a_renewal_cost_no_more_requests_than_they_must() {
    let world = World::with_admin("scale-price").await;
    world.a_while().await;
    let storefront = json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}, "verifyInterval": "0s"});
    // What all that are made with an admin token need is protected once.
    world.token("first", storefront.clone()).await;
    world.ready("first").await;
    world.a_while().await;
    for (name, spec) in [("cc", quiet()), ("sf", storefront)] {
        let before = world.requests();
        world.token(name, spec).await;
        world.ready(name).await;
        world.a_while().await;
        let all = since(&before, world.requests());
        let of_the_token: u64 = all.iter().filter(|(kind, _)| !kind.contains("shopifyapps")).map(|(_, n)| n).sum();
        // Of those at most two are of the app, which counts its tokens, and one read serves both.
        assert!(of_the_token <= 6, "{name}: {all:?}");
    }
    world.change("admin", json!({"spec": {"verifyInterval": "0s"}})).await;
    world.a_while().await;
    for name in ["first", "sf"] {
        world.delete(name).await;
        world.gone(name).await;
    }
    world.a_while().await;
    let before = world.requests();
    let revision = |t: &ShopifyToken| t.status.as_ref().and_then(|s| s.revision);
    world.pass(chrono::TimeDelta::hours(17));
    world.until("cc", "renewed", |t| revision(t) == Some(2)).await;
    world.until("admin", "renewed", |t| revision(t) == Some(2)).await;
    world.a_while().await;
    let all = since(&before, world.requests());
    let of_tokens: u64 = all.iter().filter(|(kind, _)| !kind.contains("shopifyapps")).map(|(_, n)| n).sum();
    // Secret, status and event of both, and one read of the app's Secret for both and for the app that counts.
    assert!(of_tokens <= 9, "{all:?}");
    assert_eq!(SHOP, world.tokens().get("cc").await.unwrap().spec.shop);
}
