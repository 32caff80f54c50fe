//! customerAccount: a client of the shop's channel, and a customer's session.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shopify_sim::{CustomerClientConfig, CustomerDiscovery};

use super::{Phases, down};
use crate::{
    browser::{Browser, Pages},
    specs::with,
    world::{PUBLIC_URL, SHOP, World, condition},
};

const CLIENT: &str = "shp_0b9c1f0e-phases";
const OLD: &str = "canaryc0ffee00000000000000000001";
const NEW: &str = "canaryc0ffee00000000000000000002";

fn account(more: Value) -> Value {
    let source = with(json!({"credentialsRef": {"name": "headless"}, "clientType": "Confidential"}), more);
    json!({"source": {"customerAccount": source}})
}

#[tokio::test(flavor = "multi_thread")]
async fn of_customer_accounts() {
    let mut world = World::new("phases-customer").await;
    let mut phases = Phases::of("customerAccount");
    let client = CustomerClientConfig::confidential(CLIENT, OLD).redirects_to(format!("{PUBLIC_URL}/oauth/callback"));
    world.sim.add_customer_client(SHOP, client).unwrap();
    world.token("web", with(account(json!({})), json!({"rotation": {"overlap": "1h"}}))).await;
    phases.token("new", &world, "web").await;
    world.start().await;
    world.missing("web", "CredentialsMissing").await;
    phases.token("waiting", &world, "web").await;

    world.sim.inject(down("customer.discovery*"));
    world.secret_of("headless", &[("client_id", CLIENT), ("client_secret", OLD)]).await;
    world.because("web", "Reconciling", "BackingOff").await;
    phases.token("unreachable", &world, "web").await;
    world.sim.clear_faults();
    world.sim.switch(|switches| switches.customer_discovery = CustomerDiscovery::Password);
    world.pass(TimeDelta::minutes(6));
    world.because("web", "Stalled", "DiscoveryInvalid").await;
    phases.token("discovery-invalid", &world, "web").await;
    world.sim.switch(|switches| switches.customer_discovery = CustomerDiscovery::default());
    world.pass(TimeDelta::minutes(11));
    world.ready("web").await;
    phases.token("ready", &world, "web").await;
    world.changed(&mut phases, "web", json!({"verifyInterval": "2h"})).await;
    world.ready("web").await;
    world.suspend("web").await;
    phases.token("suspended", &world, "web").await;
    world.resume("web").await;

    world.secret_of("headless", &[("client_id", CLIENT), ("client_secret", "with a blank")]).await;
    world.because("web", "Stalled", "InvalidCredential").await;
    phases.token("ready-replacement-invalid", &world, "web").await;
    world.sim.add_customer_secret(SHOP, CLIENT, NEW).unwrap();
    world.secret_of("headless", &[("client_id", CLIENT), ("client_secret", NEW)]).await;
    world.ready("web").await;
    phases.token("rotated", &world, "web").await;
    world.kept_in_deletion("web").await;
    phases.token("deleting", &world, "web").await;
    phases.sessions(&world).await;
    phases.end();
}

impl Phases {
    /// A customer signs in, and their session ends.
    async fn sessions(&mut self, world: &World) {
        let session = json!({"session": {"scopes": ["openid", "customer-account-api:full"]}});
        world.token("session", account(session)).await;
        world.because("session", "Stalled", "ConsentRequired").await;
        self.token("session-awaits-customer", world, "session").await;
        let pages = Pages::start(world.setup().await).await;
        let mut browser = Browser::new(world);
        let asked = browser.begins(pages.address, world, "session").await;
        let back = browser.decides(&asked, "approve").await;
        browser.opens(pages.address, back.as_str()).await;
        world.ready("session").await;
        self.token("session", world, "session").await;
        pages.stop().await;

        world.sim.end_customer_sessions(SHOP);
        world.pass(TimeDelta::minutes(41));
        world.because("session", "Stalled", "RefreshTokenDead").await;
        self.token("session-ready-refresh-token-dead", world, "session").await;
        world.pass(TimeDelta::minutes(25));
        let expired = Some(("False".to_owned(), "TokenExpired".to_owned()));
        world.until("session", "expired", |t| condition(t, "Ready") == expired).await;
        self.token("session-refresh-token-dead", world, "session").await;
    }
}
