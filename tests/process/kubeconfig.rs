//! A kubeconfig as kubectl reads it: a list of files, some of which aren't there, and a token in a file of its own.

use std::{env, fs};

use serde_json::{Value, json};

use crate::{
    operator::{ALONE, OPERATOR, Operator},
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
