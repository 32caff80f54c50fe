//! `check`, `install-url`, `migrate` and `completion`.

use std::{fs, os::unix::fs::PermissionsExt};

use dev::Manifests;
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use shopify_sim::{Fault, FaultKind, StatusFault};
use shopify_token_operator::{clock::Clock, lease::Candidate};

use crate::{
    plugin::{BINARY, command, of, plugin, run, unbroken},
    world::{CLIENT_ID, CLIENT_SECRET, PUBLIC_URL, SHOP, World},
};

/// An operator's Deployment with this image; no node runs its pods.
async fn deployment(world: &World, image: &str) {
    let labels = json!({"app.kubernetes.io/name": "shopify-token-operator"});
    let template =
        json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "operator", "image": image}]}});
    let spec = json!({"replicas": 2, "selector": {"matchLabels": labels}, "template": template});
    let metadata = json!({"name": "operator", "labels": labels});
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec});
    let patch = Patch::Apply(object);
    world.api::<Deployment>().patch("operator", &PatchParams::apply("person").force(), &patch).await.unwrap();
}

/// What `check` prints: each line is `ok`, or followed by what to do.
fn checked(told: &str) -> &str {
    let lines: Vec<_> = told.lines().collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.starts_with([' ', 'o'])) {
        let below: Vec<_> = lines[at + 1..].iter().take_while(|line| line.starts_with(' ')).collect();
        assert!(below.iter().any(|line| line.trim_start().starts_with("do: ")), "{line}\nsays nothing to do:\n{told}");
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_needed_is_looked_at() {
    let world = World::with_storefront("check", json!({})).await;
    let flags = ["check", "--operator-namespace", &world.namespace, "--lease-name", "operator"];
    let told = plugin(&world, &flags).await.failed(4, &["one thing is wrong"]);
    assert!(
        checked(&told.out).contains("?      Shopify       no operator works, so nobody asks it; it confirmed a token")
    );

    let mut operator = Candidate::new(world.admin.clone(), &world.namespace, "operator", Clock::system());
    operator.acquire().await;
    let told = plugin(&world, &flags).await.done();
    for (grade, said) in [
        ("ok", "v1."),
        ("ok", "ShopifyApp and ShopifyToken are served as tokens.shopify-operator.dev/v1alpha1"),
        ("ok", "shopifytokens.tokens.shopify-operator.dev is that of this release"),
        ("ok", "every command may be used in namespace check-"),
        ("ok", "works: it holds lease check-"),
        ("ok", "has confirmed 2 of 2 tokens in namespace check-"),
    ] {
        let line = checked(&told)
            .lines()
            .find(|line| line.contains(said))
            .unwrap_or_else(|| panic!("{said:?} isn't in\n{told}"));
        assert!(line.starts_with(grade), "{line}");
    }

    deployment(&world, "registry.example.com/shopify-token-operator:9.9.9").await;
    let told = plugin(&world, &flags).await.failed(4, &["one thing is wrong"]);
    assert!(checked(&told.out).contains("wrong  operator      0 of 2 replicas of Deployment"), "{told:#?}");
    let describe =
        format!("kubectl describe pods -n {} -l app.kubernetes.io/name=shopify-token-operator", world.namespace);
    assert!(unbroken(&told.out).contains(&describe), "{told:#?}");
    assert!(told.out.contains("and operator 9.9.9 differ by more than a patch"), "{told:#?}");

    // Who holds it has gone without letting go of it.
    let stale = json!({"spec": {"renewTime": "2020-01-01T00:00:00.000000Z"}});
    world.api::<Lease>().patch("operator", &PatchParams::default(), &Patch::Merge(stale)).await.unwrap();
    let told = plugin(&world, &flags).await;
    assert_eq!(told.code, 4, "{told:#?}");
    assert!(checked(&told.out).contains("and hasn't renewed it for"), "{told:#?}");
    assert!(told.out.contains("no operator works, so nobody asks it"), "{told:#?}");

    deployment(&world, "registry.example.com/shopify-token-operator:latest").await;
    let told = plugin(&world, &flags).await;
    let runs = format!("do: kubectl exec -n {} deployment/operator --", world.namespace);
    assert!(checked(&told.out).contains(&runs), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ok_of_which_nothing_is_known() {
    let world = World::new("check-new").await;
    let flags = ["check", "--operator-namespace", &world.namespace, "--lease-name", "operator"];
    let mut operator = Candidate::new(world.admin.clone(), &world.namespace, "operator", Clock::system());
    operator.acquire().await;
    for said in ["there is no token in namespace check-new-", "has confirmed no token of 1 in namespace check-new-"] {
        let told = plugin(&world, &flags).await.done();
        assert!(checked(&told).contains(&format!("?      Shopify       {said}")), "{told}");
        // Nobody looks at it.
        world.admin_token("admin").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_are_named_with_their_role() {
    let world = World::with_admin("check-rights").await;
    let view = json!([{"apiGroups": ["tokens.shopify-operator.dev"], "resources": ["shopifytokens", "shopifyapps"], "verbs": ["get", "list", "watch"]}]);
    drop(world.setup_with_rights(view).await);
    let account = format!("system:serviceaccount:{}:other-rights", world.namespace);
    let told = plugin(&world, &["check", "--as", &account, "--as-group", "system:authenticated"]).await.done();
    for said in [
        "look   your rights   you may not patch shopifytokens",
        "do: ask for the ClusterRole edit in that namespace",
        "you may not get secrets in namespace check-rights-",
        "needed by inspect secret and migrate",
        "?      CRDs          you may not get customresourcedefinitions",
        "?      operator      you may not get leases in namespace shopify-token-operator",
        "?      releases      you may not list deployments",
        "has confirmed 1 of 1 token in namespace check-rights-",
    ] {
        assert!(unbroken(checked(&told)).contains(&unbroken(said)), "{said:?} isn't in\n{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_isnt_there_is_told() {
    let world = World::with_admin("check-nowhere").await;
    let nowhere = ["check", "-n", "nowhere", "--operator-namespace", &world.namespace, "--lease-name", "operator"];
    let mut operator = Candidate::new(world.admin.clone(), &world.namespace, "operator", Clock::system());
    operator.acquire().await;
    let command = of(&world.cluster.kubeconfig_path(), &nowhere);
    let told = run(command).await.failed(4, &["one thing is wrong"]);
    assert!(checked(&told.out).contains("wrong  namespace     there is no namespace nowhere"), "{told:#?}");
    assert!(!told.out.contains("your rights"), "{told:#?}");

    // Of every namespace none is needed: a context may name one that has gone.
    let everywhere = [nowhere.as_slice(), &["-A"]].concat();
    let told = run(of(&world.cluster.kubeconfig_path(), &everywhere)).await;
    assert!(!checked(&told.out).contains("there is no namespace"), "{told:#?}");
    assert!(told.out.contains("ok     your rights   every command may be used in every namespace"), "{told:#?}");

    // Who may not read namespaces isn't told of them.
    let account = format!("system:serviceaccount:{}:default", world.namespace);
    let mut command = of(&world.cluster.kubeconfig_path(), &nowhere);
    command.args(["--as", &account, "--as-group", "system:authenticated"]);
    let told = run(command).await;
    assert!(!checked(&told.out).contains("there is no namespace"), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_shopify_answers_is_told_and_how() {
    for (kind, code, line) in [
        (FaultKind::RefuseBefore, 4, "wrong  Shopify       gave the operator no answer for 1 of 1 token in"),
        (
            FaultKind::Status(StatusFault::new(302)),
            4,
            "wrong  Shopify       answers with a redirect, or somebody does in its place, for 1 of 1 token",
        ),
        (FaultKind::Throttled, 0, "look   Shopify       asks the operator to wait (rate limit) for 1 of 1 token in"),
        (
            FaultKind::Status(StatusFault::new(503)),
            0,
            "look   Shopify       answers the operator with a fault of its own for 1 of 1 token in",
        ),
    ] {
        let world = World::with_app("check-shopify").await;
        let mut operator = Candidate::new(world.admin.clone(), &world.namespace, "operator", Clock::system());
        operator.acquire().await;
        world.sim.inject(Fault::new("*", kind));
        world.admin_token("admin").await;
        world.because("admin", "Reconciling", "BackingOff").await;
        let told =
            plugin(&world, &["check", "--operator-namespace", &world.namespace, "--lease-name", "operator"]).await;
        assert_eq!(told.code, code, "{told:#?}");
        assert!(checked(&told.out).contains(line), "{line:?} isn't in {told:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_to_approve_is_printed_and_opened() {
    let world = World::with_app("install-url").await;
    world.token("backoffice", json!({"source": {"offline": {"appRef": {"name": "acme"}}}})).await;
    world.because("backoffice", "Stalled", "ConsentRequired").await;
    let url = format!("{PUBLIC_URL}/oauth/install/{}/backoffice", world.namespace);
    assert_eq!(plugin(&world, &["install-url", "backoffice"]).await.done(), format!("{url}\n"));

    // The first of the programs that a Linux desktop opens addresses with.
    let dir = tempfile::tempdir().unwrap();
    let (browser, opened) = (dir.path().join("xdg-open"), dir.path().join("opened"));
    fs::write(&browser, format!("#!/bin/sh\necho \"$1\" > {}\n", opened.display())).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = command(&world, &["install-url", "backoffice", "--open"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()));
    run(command).await.done();
    world
        .eventually("it was opened", async || fs::read_to_string(&opened).is_ok_and(|text| text == format!("{url}\n")))
        .await;

    world.admin_token("admin").await;
    world.ready("admin").await;
    plugin(&world, &["install-url", "admin"]).await.failed(3, &["/admin needs no approval"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_jobs_secret_becomes_an_app_and_a_token() {
    let world = World::new("migrate").await;
    world
        .secret_of(
            "cron",
            &[
                ("SHOPIFY_CLIENT_ID", CLIENT_ID),
                ("SHOPIFY_CLIENT_SECRET", CLIENT_SECRET),
                ("SHOPIFY_TOKEN", "shpat_canaryc0ffee0123456789abcdef01234567"),
                ("SHOPIFY_STORE", SHOP),
            ],
        )
        .await;
    let yaml = plugin(&world, &["migrate", "secret/cron"]).await.done();
    assert!(!yaml.contains(CLIENT_ID), "{yaml}");
    // The reader's first step, then what was written as it is.
    let comments = yaml.lines().take_while(|line| line.starts_with('#')).map(|line| line[1..].trim_start());
    let first = comments.skip_while(|line| !line.starts_with("kubectl create")).take_while(|line| !line.is_empty());
    let first = first.collect::<Vec<_>>().join("\n");
    let kubectl = world.cluster.kubectl();
    let path = format!("{}:/usr/bin:/bin", kubectl.parent().unwrap().display());
    let made = std::process::Command::new("bash")
        .args(["-ec", &first])
        .env("PATH", path)
        .env("KUBECONFIG", world.cluster.kubeconfig_path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{first}\n{made:?}");
    world.cluster.apply(&Manifests::Yaml(yaml), &world.namespace).await.unwrap();
    let mut world = world;
    world.start().await;
    world.ready("cron").await;
    let secret = world.secret("cron-shopify").await.unwrap();
    assert_eq!(secret.data["SHOPIFY_TOKEN"], secret.data["access_token"]);
    assert_eq!(secret.data["SHOPIFY_STORE"], SHOP);
    let list = format!("`kubectl get secrets -n {}` lists what is there", world.namespace);
    plugin(&world, &["migrate", "secret/none"]).await.failed(3, &["/none not found", &list]);
    plugin(&world, &["migrate", "cron"]).await.failed(2, &["secret/NAME, or webhook/NAME"]);
}

/// The kinds of External Secrets, as far as their names go: what stands in them is free.
fn external_secrets() -> Manifests {
    let definition = |group: &str, plural: &str, kind: &str, version: &str| {
        let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        serde_json::from_value(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
                "versions": [{"name": version, "served": true, "storage": true, "schema": schema}]},
        }))
        .unwrap()
    };
    Manifests::Objects(vec![
        definition("generators.external-secrets.io", "webhooks", "Webhook", "v1alpha1"),
        definition("external-secrets.io", "externalsecrets", "ExternalSecret", "v1"),
    ])
}

fn generator() -> [Value; 2] {
    let body = "grant_type=client_credentials&client_id={{ .app.client_id }}&client_secret={{ .app.client_secret }}";
    let source = json!({"sourceRef": {"generatorRef": {"apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "Webhook", "name": "shopify"}}});
    [
        json!({"apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "Webhook", "metadata": {"name": "shopify"}, "spec": {
            "url": format!("https://{SHOP}/admin/oauth/access_token"), "method": "POST", "body": body, "result": {"jsonPath": "$"},
            "secrets": [{"name": "app", "secretRef": {"name": "acme-app"}}],
        }}),
        json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": "web"}, "spec": {
            "refreshInterval": "12h", "dataFrom": [source],
            "target": {"name": "web-env", "template": {"data": {"SHOPIFY_TOKEN": "{{ .access_token }}"}}},
        }}),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generator_of_external_secrets_becomes_an_app_and_a_token() {
    let world = World::with_app("migrate-eso").await;
    world.cluster.apply(&external_secrets(), &world.namespace).await.unwrap();
    let objects = generator().map(|object| serde_json::from_value(object).unwrap()).to_vec();
    world.cluster.apply(&Manifests::Objects(objects), &world.namespace).await.unwrap();
    let yaml = plugin(&world, &["migrate", "webhook/shopify"]).await.done();

    // The same from a file, without a cluster.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("objects.yaml");
    fs::write(&file, generator().map(|object| object.to_string()).join("\n---\n")).unwrap();
    let mut command = tokio::process::Command::new(BINARY);
    command.env_clear().args(["migrate", "webhook/shopify", "-f", file.to_str().unwrap()]);
    let of_file = run(command).await.done();
    assert_eq!(of_file, yaml.replace(&format!("  namespace: {}\n", world.namespace), ""));

    world.cluster.apply(&Manifests::Yaml(yaml), &world.namespace).await.unwrap();
    world.ready("web").await;
    let secret = world.secret("web-env-shopify").await.unwrap();
    assert_eq!(secret.data["SHOPIFY_TOKEN"], secret.data["access_token"]);
    plugin(&world, &["migrate", "webhook/none"])
        .await
        .failed(3, &["Webhook none not found", "`kubectl get webhooks.generators.external-secrets.io -n "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_for_completion_is_printed() {
    let mut command = tokio::process::Command::new(BINARY);
    command.env_clear().arg("completion");
    let script = fs::read_to_string(dev::repository("kubectl/kubectl_complete-shopify_token")).unwrap();
    assert_eq!(run(command).await.done(), script);
}
