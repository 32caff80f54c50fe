//! delegate: fewer scopes than its parent, a short life, and nothing left behind.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::{
    specs::with,
    world::{CLIENT_ID, SHOP, World, condition, message, revision},
};

const CREATE: &str = "admin.delegateAccessTokenCreate";
const DESTROY: &str = "admin.delegateAccessTokenDestroy";

pub(crate) fn delegate() -> Value {
    json!({"source": {"delegate": {"adminTokenRef": {"name": "admin"}, "scopes": ["read_products"]}}})
}

impl World {
    /// An admin token that never expires, and a Ready delegate `web` of it.
    pub(crate) async fn with_delegate(name: &str, more: Value) -> Self {
        let world = Self::with_custom_admin(name).await;
        world.token("web", with(delegate(), more)).await;
        world.ready("web").await;
        world
    }

    /// Values of the delegates that live, oldest first.
    pub(crate) fn delegates(&self) -> Vec<String> {
        self.sim.live_delegates(SHOP, CLIENT_ID).into_iter().map(|delegate| delegate.value).collect()
    }

    /// What the Secret `web` holds: the current one, the newest older one, and those that are only kept.
    pub(crate) async fn held(&self) -> (String, Option<String>, Vec<String>) {
        let mut secret = self.secret("web").await.expect("a Secret");
        let mut take = |key: &str| secret.data.remove(key);
        let kept = take("older_access_tokens").unwrap_or_default();
        (take("access_token").unwrap(), take("previous_access_token"), kept.lines().map(str::to_owned).collect())
    }

    pub(crate) async fn trigger(&self, text: &str, reaches: i64) {
        self.change("web", json!({"spec": {"rotation": {"trigger": text}}})).await;
        self.until("web", "rotated", |t| revision(t) == reaches).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn through_its_whole_life() {
    let world = World::with_delegate("delegate", json!({})).await;
    let secret = world.secret("web").await.unwrap();
    let first = secret.access_token().to_owned();
    assert_eq!(world.delegates(), std::slice::from_ref(&first));
    assert_eq!((secret.data["scopes"].as_str(), secret.record("parent-revision")), ("read_products", Some("1")));
    let expires = |s: &crate::world::SecretView| s.data["expires_at"].parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let left = expires(&secret) - world.clock.now();
    assert!(left > TimeDelta::minutes(58) && left <= TimeDelta::hours(1), "{left}");

    // Renewed before it ends; applications have until then to take the new one up.
    world.pass(TimeDelta::minutes(45));
    world.until("web", "renewed", |t| revision(t) == 2).await;
    let (second, previous, kept) = world.held().await;
    assert_eq!((previous.as_ref(), kept.len()), (Some(&first), 0));
    assert_eq!(world.delegates(), [first.clone(), second.clone()]);
    // The old one ends by itself: nothing is asked of Shopify.
    world.pass(TimeDelta::minutes(16));
    world.eventually("the old one is forgotten", async || world.held().await.1.is_none()).await;
    assert_eq!((world.delegates(), world.sim.calls(DESTROY)), (vec![second], 0));
    world.ready("web").await;

    world.delete("web").await;
    world.gone("web").await;
    assert!(world.delegates().is_empty());
    assert_eq!((world.sim.calls(CREATE), world.sim.calls(DESTROY)), (2, 1));
    world.told("web", &["Issued", "Renewed", "Revoked"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlap_ends_with_its_destruction() {
    let overlap = json!({"rotation": {"trigger": "1", "overlap": "10m"}});
    let world = World::with_delegate("delegate-overlap", overlap).await;
    let first = world.held().await.0;
    world.trigger("2", 2).await;
    let second = world.held().await.0;
    assert_eq!(world.delegates(), [first, second.clone()]);
    world.pass(TimeDelta::minutes(10));
    world.eventually("the old one is destroyed", async || world.delegates() == [second.clone()]).await;
    world.eventually("it is out of the Secret", async || world.held().await == (second.clone(), None, vec![])).await;
    assert_eq!(world.sim.calls(DESTROY), 1);
    world.told("web", &["Issued", "Rotated", "Revoked"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_in_overlap_are_kept_and_destroyed() {
    let world = World::with_delegate("delegate-many", json!({"rotation": {"trigger": "1", "overlap": "30m"}})).await;
    let mut values = vec![world.held().await.0];
    for n in 2..=4_i64 {
        world.pass(TimeDelta::minutes(1));
        world.trigger(&n.to_string(), n).await;
        values.push(world.held().await.0);
    }
    let (current, previous, kept) = world.held().await;
    assert_eq!(world.delegates(), values);
    assert_eq!((&current, previous.as_ref()), (&values[3], Some(&values[2])));
    assert_eq!(kept, [values[1].clone(), values[0].clone()]);
    // The oldest goes when its overlap ends, the others stay what they are.
    world.pass(TimeDelta::minutes(28) + TimeDelta::seconds(30));
    world.eventually("the oldest is destroyed", async || world.delegates().len() < 4).await;
    world.until("web", "at rest", |t| condition(t, "Reconciling").is_none()).await;
    assert_eq!(world.delegates().first(), Some(&values[1]));
    world.delete("web").await;
    world.gone("web").await;
    assert!(world.delegates().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_parent_has_a_new_delegate_within_seconds() {
    let world = World::with_admin("delegate-parent").await;
    world
        .token(
            "web",
            with(
                delegate(),
                json!({"source": {"delegate": {
                    "adminTokenRef": {"name": "admin"}, "scopes": ["read_products"], "lifetime": "48h",
                }}}),
            ),
        )
        .await;
    world.ready("web").await;
    let end = |secret: crate::world::SecretView| {
        secret.record("expires-at").unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap()
    };
    let of_parent = end(world.secret("admin").await.unwrap());
    let left = of_parent - end(world.secret("web").await.unwrap());
    assert!(left >= TimeDelta::seconds(60) && left < TimeDelta::seconds(75), "a minute before its parent: {left}");

    world.change("admin", json!({"metadata": {"annotations": {"tokens.shopify-operator.dev/rotate-at": "now"}}})).await;
    world.until("admin", "rotated", |t| revision(t) == 2).await;
    world.until("web", "made anew", |t| revision(t) == 2).await;
    assert_eq!(world.secret("web").await.unwrap().record("parent-revision"), Some("2"));
    assert_eq!(world.delegates().len(), 2, "the old one has its overlap");
    world.told("web", &["Issued", "Rotated"]).await;
    // By the clock the parent is renewed first, and its delegate with it.
    world.pass(TimeDelta::hours(17));
    world.until("web", "made anew", |t| revision(t) == 3).await;
    world.a_while().await;
    assert_eq!((world.sim.calls(CREATE), revision(&world.tokens().get("web").await.unwrap())), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_parent_may_not_is_said_and_heals() {
    let world = World::with_custom_admin("delegate-scopes").await;
    let themes = json!({"delegate": {"adminTokenRef": {"name": "admin"}, "scopes": ["read_themes"]}});
    world.token("web", json!({"source": themes})).await;
    let token = world.because("web", "Stalled", "ScopesMissing").await;
    assert!(message(&token, "Stalled").contains("read_themes"), "{}", message(&token, "Stalled"));
    assert!(world.secret("web").await.is_none());
    world.token("web", delegate()).await;
    world.ready("web").await;
    // What its own spec contradicts needs no call to be refused.
    let calls = world.sim.total_calls();
    world.token("other", with(delegate(), json!({"requiredScopes": ["write_orders"]}))).await;
    let token = world.because("other", "Stalled", "ScopesMissing").await;
    assert!(message(&token, "Stalled").contains("source.delegate.scopes"), "{}", message(&token, "Stalled"));
    assert_eq!(world.sim.total_calls(), calls);
    // A delegate is nobody's parent.
    let spec = json!({"delegate": {"adminTokenRef": {"name": "web"}, "scopes": ["read_products"]}});
    world.token("below", json!({"source": spec})).await;
    world.because("below", "Stalled", "InvalidCredential").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_gone_is_replaced() {
    let world = World::with_delegate("delegate-gone", json!({"rotation": {"overlap": "10m"}})).await;
    let first = world.held().await.0;
    world.sim.destroy_delegate(&first).unwrap();
    world.pass(TimeDelta::minutes(2));
    world.change("web", json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "1"}}})).await;
    world.until("web", "replaced", |t| revision(t) == 2).await;
    let (second, previous, _) = world.held().await;
    assert_eq!((world.delegates(), previous), (vec![second.clone()], None));
    // And one whose Secret is gone: nobody can read its value again.
    world.remove::<Secret>("web").await;
    world.until("web", "made anew", |t| revision(t) == 3).await;
    let third = world.held().await.0;
    assert_eq!(world.delegates(), [second, third]);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_another_name_the_old_one_has_its_overlap() {
    let world = World::with_delegate("delegate-renamed", json!({"rotation": {"overlap": "10m"}})).await;
    let first = world.held().await.0;
    world.change("web", json!({"spec": {"secret": {"name": "new"}}})).await;
    world
        .until("web", "renamed", |t| t.status.as_ref().unwrap().secret.as_ref().is_some_and(|s| s.name == "new"))
        .await;
    let secret = world.secret("new").await.unwrap();
    assert_eq!(secret.data.get("previous_access_token"), Some(&first));
    world.told("web", &["Issued", "Rotated", "Leaving"]).await;
    world.pass(TimeDelta::minutes(11));
    world.eventually("the old one is destroyed", async || world.delegates() == [secret.access_token()]).await;
    world.eventually("its Secret is gone", async || !world.exists::<Secret>("web").await).await;
}
