//! A machine with IPv6 and nothing else: the API server, Shopify and the operator's own ports are at `[::1]`.

use std::{
    net::{Ipv6Addr, TcpListener},
    sync::Arc,
};

use dev::{LocalCluster, Manifests, Options};
use serde_json::json;
use shopify_sim::Sim;

use crate::{
    operator::{OPERATOR, Operator},
    world::{PUBLIC_URL, World, a_shop},
};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_needs_ipv4() {
    let own = "[::1]:0";
    if TcpListener::bind(own).is_err() {
        dev::skipped("this machine has no IPv6, so nothing is said about [::1]");
        return;
    }
    let crds = vec![Manifests::Path(dev::repository("crds"))];
    let local = LocalCluster::start(Options { crds, ipv6: true, quiet: true, ..Options::default() }).await.unwrap();
    let mut world = World::on(Box::leak(Box::new(dev::Cluster::clone(&local))), "ipv6").await;
    let listen = (Ipv6Addr::LOCALHOST, 0).into();
    world.sim = Arc::new(Sim::start(shopify_sim::Config { listen, ..a_shop() }).await.unwrap());

    let kubeconfig = world.cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await.unwrap();
    assert!(kubeconfig.contains("https://[::1]:"), "{kubeconfig}");
    let to = world.sim.address().to_string();
    let variables =
        [("SHOPIFY_CONNECT_TO", to.as_str()), ("ADMIN_ADDR", own), ("OAUTH_ADDR", own), ("PUBLIC_URL", PUBLIC_URL)];
    let operator = Operator::launch(&world, &kubeconfig, &[], &variables).await;
    let pages = operator.told_address("serves install pages").await;
    assert!(operator.address().is_ipv6() && pages.is_ipv6(), "{} {pages}", operator.address());
    assert!(operator.get_at(pages, "/").await.is_some(), "the install pages answer");

    world.make_app().await;
    world.token("admin", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    world.ready("admin").await;
    assert!(operator.metric("shopify_token_issues_total", &["result=\"success\""]).await > 0.0);
    operator.stop().await;
}
