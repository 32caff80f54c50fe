//! A kubeconfig as kubectl reads it: a list of files, some of which aren't there, a token in a file of its own or of a plugin, and
//! an API server below a path.

use std::{env, fs, os::unix::fs::PermissionsExt};

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header::HOST},
    response::IntoResponse,
};
use chrono::TimeDelta;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use shopify_token_operator::time;

use crate::{
    operator::{ALONE, OPERATOR, Operator, command},
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn absent_files_say_nothing_and_a_token_file_ends_in_a_newline() {
    let world = World::new("kubeconfig").await;
    let text = world.cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await.unwrap();
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
    let user = &mut kubeconfig["users"][0]["user"];
    let token = format!("{}\n", user["token"].as_str().unwrap());
    *user = json!({"tokenFile": "token"});

    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    fs::write(file("token"), token).unwrap();
    // The file that chooses comes last, and none of them says everything.
    let choice = json!({"current-context": kubeconfig["current-context"].take()});
    fs::write(file("clusters"), kubeconfig.to_string()).unwrap();
    fs::write(file("choice"), choice.to_string()).unwrap();
    let list = env::join_paths(["absent", "clusters", "also-absent", "choice"].map(file)).unwrap();

    let to = world.sim.address().to_string();
    let variables = [("KUBECONFIG", list.to_str().unwrap()), ("SHOPIFY_CONNECT_TO", &to)];
    let namespace = format!("--watch-namespaces={}", world.namespace);
    let operator = Operator::launch(&world, &text, &[ALONE, &namespace], &variables).await;
    world.make_app().await;
    world.token("admin", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    world.ready("admin").await;
    operator.stop().await;
}

/// What managed clusters' kubeconfigs have: a program that says the token, which ends soon.
#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_says_who_one_is_and_is_asked_again_before_that_ends() {
    let world = World::new("kubeconfig-exec").await;
    let text = world.cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await.unwrap();
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
    let version = "client.authentication.k8s.io/v1";
    let user = &mut kubeconfig["users"][0]["user"];
    let token = user["token"].take();
    // Relative to the kubeconfig, as kubectl takes it.
    let variables = json!([{"name": "ACCOUNT", "value": "shop"}]);
    *user = json!({"exec": {
        "apiVersion": version, "command": "./plugin", "args": ["token"], "env": variables,
        "interactiveMode": "Never", "provideClusterInfo": true,
    }});

    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let ends = time::print(world.clock.now() + TimeDelta::seconds(30));
    let status = json!({"token": token, "expirationTimestamp": ends});
    let credential = json!({"apiVersion": version, "kind": "ExecCredential", "status": status});
    fs::write(file("credential"), credential.to_string()).unwrap();
    let script = "#!/bin/sh\necho \"$1 $ACCOUNT $KUBERNETES_EXEC_INFO\" >>\"$0.asked\"\ncat \"${0%/*}/credential\"\n";
    fs::write(file("plugin"), script).unwrap();
    fs::set_permissions(file("plugin"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(file("config"), kubeconfig.to_string()).unwrap();

    let to = world.sim.address().to_string();
    let config = file("config");
    let variables = [("KUBECONFIG", config.to_str().unwrap()), ("SHOPIFY_CONNECT_TO", &to)];
    let namespace = format!("--watch-namespaces={}", world.namespace);
    let operator = Operator::launch(&world, &text, &[ALONE, &namespace], &variables).await;
    issues(&world, "admin").await;
    let asked = fs::read_to_string(file("plugin.asked")).unwrap();
    let server = kubeconfig["clusters"][0]["cluster"]["server"].as_str().unwrap();
    assert!(asked.lines().count() > 1, "{asked}");
    assert!(asked.lines().all(|line| line.starts_with("token shop ") && line.contains(server)), "{asked}");
    assert!(!operator.log().contains(token.as_str().unwrap()));
    operator.stop().await;
}

/// Neither its variables nor what it printed is told, at the start or later.
#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_fails_is_told_by_its_exit_alone() {
    const CANARY: &str = "canary-of-a-plugin";
    let world = World::new("kubeconfig-exec-fails").await;
    let text = world.cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await.unwrap();
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
    let version = "client.authentication.k8s.io/v1";
    let user = &mut kubeconfig["users"][0]["user"];
    let ends = time::print(world.clock.now() + TimeDelta::seconds(30));
    let status = json!({"token": user["token"].take(), "expirationTimestamp": ends});
    let credential = json!({"apiVersion": version, "kind": "ExecCredential", "status": status});
    let variables = json!([{"name": "PASSWORD", "value": CANARY}]);
    *user =
        json!({"exec": {"apiVersion": version, "command": "./plugin", "env": variables, "interactiveMode": "Never"}});
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    fs::write(file("credential"), credential.to_string()).unwrap();
    // Works once.
    let script = format!(
        "#!/bin/sh\nif [ -e \"$0.asked\" ]; then echo {CANARY}; exit 3; fi\n: >\"$0.asked\"\ncat \"${{0%/*}}/credential\"\n"
    );
    fs::write(file("plugin"), script).unwrap();
    fs::set_permissions(file("plugin"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(file("config"), kubeconfig.to_string()).unwrap();

    let config = file("config");
    let variables = [("KUBECONFIG", config.to_str().unwrap())];
    let later = Operator::begin(&world, &text, &[ALONE], &variables).await;
    later.until("refused by its plugin", async |it| it.log().contains("exit status: 3")).await;
    let log = later.log();
    later.kill().await;
    let told = tempfile::tempdir().unwrap();
    let mut command = command(&world, &told, &kubeconfig.to_string());
    let ended = command.arg("run").env("KUBECONFIG", &config).status().await.unwrap();
    assert!(!ended.success());
    let at_start = fs::read_to_string(told.path().join("stderr")).unwrap()
        + &fs::read_to_string(told.path().join("stdout")).unwrap();
    for log in [log, at_start] {
        assert!(log.contains("exit status: 3") && !log.contains(CANARY) && !log.contains("99, 97, 110"), "{log}");
    }
}

/// As Rancher and other gateways have it: `https://host/k8s/clusters/c-1`.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_may_be_below_a_path() {
    const BELOW: &str = "/k8s/clusters/c-1";
    let world = World::new("kubeconfig-path").await;
    world.make_app().await;
    let text = world.cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await.unwrap();
    let api = kube::Client::try_from(world.operator_config().await).unwrap();
    let gateway = async move |request: Request| {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().unwrap().as_str().strip_prefix(BELOW).map(str::to_owned);
        let Some(path) = path.filter(|path| !path.starts_with("//")) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        head.uri = path.parse().unwrap();
        head.headers.remove(HOST);
        let body = body.collect().await.unwrap().to_bytes();
        let answer = api.send(http::Request::from_parts(head, body.to_vec().into())).await.unwrap();
        answer.map(axum::body::Body::new).into_response()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(gateway)).await });

    let to = world.sim.address().to_string();
    let namespace = format!("--watch-namespaces={}", world.namespace);
    for (name, end) in [("plain", ""), ("slash", "/")] {
        let mut kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
        kubeconfig["clusters"][0]["cluster"] = json!({"server": format!("http://{address}{BELOW}{end}")});
        let variables = [("SHOPIFY_CONNECT_TO", to.as_str())];
        let operator = Operator::launch(&world, &kubeconfig.to_string(), &[ALONE, &namespace], &variables).await;
        token(&world, name).await;
        let seen = operator.metric("kubernetes_requests_total", &["resource=\"secrets\"", "code=\"200\""]).await;
        assert!(seen > 0.0, "calls are counted by what they are for");
        operator.stop().await;
    }
    serving.abort();
}

async fn issues(world: &World, name: &str) {
    world.make_app().await;
    token(world, name).await;
}

async fn token(world: &World, name: &str) {
    world.token(name, json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    world.ready(name).await;
}
