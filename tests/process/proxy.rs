//! The way through a proxy, as companies have them: to Shopify, to the API server, and around it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{
    operator::{ALONE, OPERATOR, Operator, command},
    tunnel::Tunnel,
    world::{SHOP, World},
};

/// A name of the API server that only the proxy knows.
const API: &str = "api.example:6443";

fn shopify() -> String {
    format!("{SHOP}:443")
}

/// The operator's kubeconfig, with more said of the cluster.
async fn kubeconfig(world: &World, more: &Value) -> String {
    let text = world.cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await.unwrap();
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
    let cluster = kubeconfig["clusters"][0]["cluster"].as_object_mut().unwrap();
    cluster.extend(more.as_object().unwrap().clone());
    kubeconfig.to_string()
}

async fn api_server(world: &World) -> SocketAddr {
    let kubeconfig: Value = serde_saphyr::from_str(&kubeconfig(world, &json!({})).await).unwrap();
    let server = kubeconfig["clusters"][0]["cluster"]["server"].as_str().unwrap();
    server.strip_prefix("https://").unwrap().parse().unwrap()
}

async fn tunnel(world: &World) -> Tunnel {
    let api = api_server(world).await;
    Tunnel::to(&[(&shopify(), world.sim.address()), (API, api), (&api.to_string(), api)]).await
}

fn only(namespace: &str) -> String {
    format!("--watch-namespaces={namespace}")
}

async fn issues(world: &World) {
    world.make_app().await;
    issue(world, "admin").await;
}

async fn issue(world: &World, name: &str) {
    world.token(name, json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    world.ready(name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environments_proxy_leads_to_shopify_and_to_the_api_server() {
    let world = World::new("proxy").await;
    let tunnel = tunnel(&world).await;
    let kubeconfig =
        kubeconfig(&world, &json!({"server": format!("https://{API}"), "tls-server-name": "localhost"})).await;
    let operator =
        Operator::launch(&world, &kubeconfig, &[&only(&world.namespace)], &[("HTTPS_PROXY", &tunnel.http())]).await;
    issues(&world).await;
    assert!(tunnel.asked_for(&shopify()) > 0);
    assert!(tunnel.asked_for(API) > 0);
    let log = operator.log();
    assert!(log.contains("reaches the API server through a proxy"), "{log}");
    assert!(!log.contains("p%40ss") && !log.contains("p@ss"), "{log}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_any_kind_leads_to_shopify() {
    let world = World::new("proxy-kinds").await;
    world.make_app().await;
    let kubeconfig = kubeconfig(&world, &json!({})).await;
    let servers = [(&*shopify(), world.sim.address())];
    let (over_tls, certificate) = Tunnel::over_tls(&servers).await;
    let plain = Tunnel::to(&servers).await;
    let dir = tempfile::tempdir().unwrap();
    let authorities = dir.path().join("ca.pem");
    std::fs::write(&authorities, format!("{}{certificate}", world.sim.ca_pem())).unwrap();
    for (kind, tunnel, url) in [("https", &over_tls, over_tls.https()), ("socks", &plain, plain.socks())] {
        let variables = [("HTTPS_PROXY", url.as_str()), ("SHOPIFY_CA_FILE", authorities.to_str().unwrap())];
        let operator = Operator::launch(&world, &kubeconfig, &[ALONE, &only(&world.namespace)], &variables).await;
        issue(&world, kind).await;
        assert_eq!(tunnel.asked(), [shopify()], "{kind}");
        operator.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_proxy_names_goes_direct() {
    let world = World::new("proxy-no").await;
    let tunnel = tunnel(&world).await;
    let kubeconfig = kubeconfig(&world, &json!({})).await;
    let variables = [("https_proxy", tunnel.http()), ("no_proxy", "10.0.0.0/8, .svc,".to_owned())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let operator = Operator::launch(&world, &kubeconfig, &[ALONE, &only(&world.namespace)], &variables).await;
    issues(&world).await;
    assert_eq!(tunnel.asked(), [shopify()], "this machine's API server goes direct");
    operator.stop().await;

    let asked = tunnel.asked_for(&shopify());
    let variables = [("HTTPS_PROXY", tunnel.http()), ("NO_PROXY", ".myshopify.com".to_owned())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let operator = Operator::launch(&world, &kubeconfig, &[ALONE, &only(&world.namespace)], &variables).await;
    world.token("other", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    operator
        .until("refused", async |it| it.metric("shopify_api_requests_total", &["code=\"error\""]).await > 0.0)
        .await;
    assert_eq!(tunnel.asked_for(&shopify()), asked);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_to_goes_direct() {
    let world = World::new("proxy-connect-to").await;
    let tunnel = tunnel(&world).await;
    let kubeconfig = kubeconfig(&world, &json!({})).await;
    let to = format!("--shopify-connect-to={}", world.sim.address());
    let flags = [ALONE, &only(&world.namespace), &to];
    let operator = Operator::launch(&world, &kubeconfig, &flags, &[("HTTPS_PROXY", &tunnel.http())]).await;
    issues(&world).await;
    assert_eq!(tunnel.asked(), Vec::<String>::new());
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfigs_proxy_is_always_taken() {
    let world = World::new("proxy-url").await;
    let api = api_server(&world).await.to_string();
    let to = world.sim.address().to_string();
    for socks in [false, true] {
        let tunnel = tunnel(&world).await;
        let url = if socks { tunnel.socks() } else { tunnel.http() };
        let kubeconfig = kubeconfig(&world, &json!({"proxy-url": url})).await;
        let variables = [("SHOPIFY_CONNECT_TO", to.as_str()), ("NO_PROXY", "127.0.0.1")];
        let operator = Operator::launch(&world, &kubeconfig, &[ALONE, &only(&world.namespace)], &variables).await;
        issues(&world).await;
        assert_eq!(tunnel.asked(), [api.as_str()]);
        operator.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uninstall_takes_the_proxy_too() {
    let world = World::new("proxy-uninstall").await;
    let tunnel = tunnel(&world).await;
    let kubeconfig = kubeconfig(&world, &json!({})).await;
    let proxy = tunnel.http();
    let operator =
        Operator::launch(&world, &kubeconfig, &[ALONE, &only(&world.namespace)], &[("HTTPS_PROXY", &proxy)]).await;
    issues(&world).await;
    world.token("web", json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}})).await;
    world.ready("web").await;
    operator.stop().await;
    assert_eq!(world.live().len(), 1);

    let own = kubeconfig.replace(&format!("https://{}", api_server(&world).await), &format!("https://{API}"));
    let mut own: Value = serde_json::from_str(&own).unwrap();
    own["clusters"][0]["cluster"]["tls-server-name"] = json!("localhost");
    let dir = tempfile::tempdir().unwrap();
    let mut command = command(&world, &dir, &own.to_string());
    let ended = command.args(["uninstall", ALONE, &only(&world.namespace)]).env("https_proxy", &proxy).status().await;
    assert!(ended.unwrap().success(), "{}", std::fs::read_to_string(dir.path().join("stderr")).unwrap());
    assert_eq!(world.live(), []);
    assert!(tunnel.asked_for(API) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_isnt_a_proxy_ends_the_operator_by_name() {
    let world = World::new("proxy-wrong").await;
    let kubeconfig = kubeconfig(&world, &json!({})).await;
    let dir = tempfile::tempdir().unwrap();
    let mut command = command(&world, &dir, &kubeconfig);
    let ended = command.args(["run", ALONE]).env("HTTPS_PROXY", "ftp://user:canary@proxy").status().await.unwrap();
    assert!(!ended.success());
    let log = std::fs::read_to_string(dir.path().join("stderr")).unwrap();
    assert!(log.contains("HTTPS_PROXY: isn't the URL of a proxy") && !log.contains("canary"), "{log}");
}
