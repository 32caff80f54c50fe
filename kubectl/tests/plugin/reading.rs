//! `status` and `inspect secret`.

use std::{process::Stdio, time::Duration};

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{
    plugin::{command, plugin},
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn status_is_a_table_or_a_life() {
    let world = World::with_storefront("status", json!({"rotation": {"interval": "720h"}})).await;
    let table = plugin(&world, &["status"]).await.done();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "SOURCE", "SHOP", "READY", "REASON", "EXPIRES", "RENEWAL", "AGE"]);
    assert_eq!(lines[1][..6], ["admin", "ClientCredentials", "acme.myshopify.com", "True", "Issued", "in"]);
    assert_eq!(lines[2][..6], ["web", "Storefront", "acme.myshopify.com", "True", "Issued", "never"]);
    assert!(!table.contains('\x1b'), "no colours in a pipe");

    let wide = plugin(&world, &["status", "-A", "-o", "wide", "-l", "!none"]).await.done();
    assert!(wide.starts_with("NAMESPACE"), "{wide}");
    assert!(wide.contains(&world.namespace) && wide.contains("unauthenticated_read_product_listings"), "{wide}");

    let names = plugin(&world, &["status", "-o", "name"]).await.done();
    let kind = "shopifytoken.tokens.shopify-operator.dev";
    assert_eq!(names, format!("{kind}/admin\n{kind}/web\n"));

    let one: Value = serde_json::from_str(&plugin(&world, &["status", "stok/web", "-o", "json"]).await.done()).unwrap();
    assert_eq!((&one["metadata"]["name"], &one["metadata"]["managedFields"]), (&json!("web"), &Value::Null));
    let both: Value = serde_json::from_str(&plugin(&world, &["status", "-o", "json"]).await.done()).unwrap();
    assert_eq!((&both["kind"], both["items"].as_array().unwrap().len()), (&json!("List"), 2));
    let yaml = plugin(&world, &["status", "web", "-o", "yaml"]).await.done();
    assert!(yaml.contains("adminTokenRef:") && yaml.contains("kind: ShopifyToken"), "{yaml}");

    let life = plugin(&world, &["status", "web"]).await.done();
    for part in [
        "▼ now",
        "● ",
        "└ issued",
        "rotation",
        "in 29d",
        "▶",
        "Issued",
        "Secret       web, revision 1",
        "admin token admin",
    ] {
        let part = part.trim();
        assert!(life.contains(part), "{part} isn't in\n{life}");
    }
    plugin(&world, &["status", "-l", "team=none"]).await.done();
}

#[tokio::test(flavor = "multi_thread")]
async fn watched_is_every_change() {
    let world = World::with_admin("watch").await;
    let mut child = command(&world, &["status", "--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().unwrap().starts_with("NAME "));
    assert!(lines.next_line().await.unwrap().unwrap().contains(" Issued "));
    let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
    world.tokens().patch("admin", &PatchParams::default(), &suspend).await.unwrap();
    let changed = async { while !lines.next_line().await.unwrap().unwrap().contains(" Suspended ") {} };
    tokio::time::timeout(Duration::from_secs(20), changed).await.expect("the change is shown");
    child.kill().await.unwrap();

    // One is drawn anew, until it is gone.
    let mut child = command(&world, &["status", "admin", "--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().unwrap().contains("/admin  ClientCredentials of "));
    world.change("admin", json!({"spec": {"suspend": false}})).await;
    let changed = async { while !lines.next_line().await.unwrap().unwrap().contains("  Issued ") {} };
    tokio::time::timeout(Duration::from_secs(20), changed).await.expect("the change is shown");
    world.delete("admin").await;
    let ended = async {
        while lines.next_line().await.unwrap().is_some() {}
        child.wait().await.unwrap()
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it ends").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_without_its_values() {
    let world = World::with_storefront("inspect", json!({"secret": {"preset": "Hydrogen"}})).await;
    let token = world.secret("web").await.unwrap().access_token().to_owned();
    let shown = plugin(&world, &["inspect", "secret", "web"]).await.done();
    for part in [
        "PUBLIC_STOREFRONT_API_TOKEN",
        "access_token",
        "shopify-token-operator",
        "revision",
        "holds revision 1 of ShopifyToken web",
    ] {
        assert!(shown.contains(part), "{part} isn't in\n{shown}");
    }
    assert!(!shown.contains(&token), "{shown}");
    let row = shown.lines().find(|line| line.contains(" access_token ")).unwrap();
    assert!(row.contains(&format!(" {} ", token.len())), "{row}");

    let app = plugin(&world, &["inspect", "secret", "secret/acme-app"]).await.done();
    assert!(app.contains("client_secret") && app.contains("person") && app.contains("no record"), "{app}");

    world.change("web", json!({"spec": {"secret": {"name": "renamed"}}})).await;
    world.eventually("the new Secret is there", async || world.secret("renamed").await.is_some()).await;
    let both = plugin(&world, &["inspect", "secret", "stok/web"]).await.done();
    assert!(both.contains("/renamed  what applications mount") && both.contains("/web  under an older name"), "{both}");
    plugin(&world, &["inspect", "secret", "secret/none"]).await.failed(3, &["/none not found"]);
}
