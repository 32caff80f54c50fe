//! A GitOps tool applies what a commit says, as `docs/guides/gitops.md` tells it: nobody fights over fields, and nothing that the
//! operator writes is a difference. Argo CD's actions do what their names say.

use std::{fs, io::Write as _, path::PathBuf, process::Stdio};

use dev::GitOps;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use shopify_token_operator::{
    api::{ShopifyApp, ShopifyToken},
    core::vocabulary::OPERATOR,
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::world::{CLIENT_ID, CLIENT_SECRET, World, condition, revision};

const GUIDE: &str = include_str!("../../docs/guides/gitops.md");
const CREATE: &str = "admin.storefrontAccessTokenCreate";
const ROTATE_AT: &str = "tokens.shopify-operator.dev/rotate-at";

/// What the guide has in Git.
fn guides_manifest() -> &'static str {
    GUIDE.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap()
}

/// All that stands in Git: what the guide has, its app, and whatever of others the operator writes into.
fn committed(token: &str) -> String {
    format!(
        r"
apiVersion: v1
kind: Secret
metadata: {{name: acme-app}}
stringData: {{client_id: {CLIENT_ID}, client_secret: {CLIENT_SECRET}}}
---
apiVersion: tokens.shopify-operator.dev/v1alpha1
kind: ShopifyApp
metadata: {{name: acme}}
spec: {{credentialsRef: {{name: acme-app}}}}
---
apiVersion: tokens.shopify-operator.dev/v1alpha1
kind: ShopifyToken
metadata: {{name: admin}}
spec:
  shop: acme.myshopify.com
  source: {{clientCredentials: {{appRef: {{name: acme}}}}}}
  secret: {{name: settings, creationPolicy: Merge}}
---
apiVersion: v1
kind: Secret
metadata: {{name: settings}}
stringData: {{colour: blue}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: web}}]}}
---
{token}"
    )
}

/// How a tool applies.
type Tool = &'static [&'static str];

const ARGO_CD: Tool = &["--server-side", "--field-manager=argocd-controller"];
const FLUX: Tool = &["--server-side", "--field-manager=kustomize-controller"];
/// As Argo CD does without `ServerSideApply=true`.
const CLIENT_SIDE: Tool = &[];

impl World {
    /// What kubectl says to objects: its exit code and its words.
    fn tells(&self, verb: &str, tool: Tool, objects: &str) -> (Option<i32>, String) {
        let mut kubectl = self.cluster.kubectl_command();
        kubectl.args(["-n", &self.namespace, verb]).args(tool).args(["-f", "-"]);
        kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = kubectl.spawn().unwrap();
        child.stdin.take().unwrap().write_all(objects.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (output.status.code(), said)
    }

    /// Applies it. A field that somebody else has set otherwise would be a conflict: nothing is forced.
    fn syncs(&self, tool: Tool, objects: &str) {
        let (code, said) = self.tells("apply", tool, objects);
        assert_eq!(code, Some(0), "{tool:?}: {said}");
    }

    /// A dry run on the server changes nothing. What others write between its two reads, a status for instance, is no
    /// difference a moment later; what is one stays.
    fn is_in_sync(&self, tool: Tool, objects: &str) {
        let mut seen = (0..5).map(|_| self.tells("diff", tool, objects)).skip_while(|(code, _)| *code == Some(1));
        let last = seen.next().unwrap_or_else(|| self.tells("diff", tool, objects));
        assert_eq!(last.0, Some(0), "{tool:?} sees a difference: {}", last.1);
    }

    /// The object as it is, in a file.
    async fn file_of(&self, name: &str) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("object.yaml");
        let mut object = serde_json::to_value(self.tokens().get(name).await.unwrap()).unwrap();
        object["apiVersion"] = json!("tokens.shopify-operator.dev/v1alpha1");
        object["kind"] = json!("ShopifyToken");
        fs::write(&path, object.to_string()).unwrap();
        (dir, path)
    }

    /// What Argo CD, Flux and kstatus say of it.
    async fn judged(&self, name: &str) -> [String; 3] {
        let (_dir, file) = self.file_of(name).await;
        let (judge, files) = (judge().await, [file]);
        let said = [
            judge.health(&GitOps::customizations(), &files),
            judge.flux(&GitOps::kustomizations(), &files),
            judge.kstatus(&files),
        ];
        said.map(|said| said.unwrap().remove(0).status)
    }
}

async fn judge() -> &'static GitOps {
    static JUDGE: OnceCell<GitOps> = OnceCell::const_new();
    JUDGE.get_or_init(async || GitOps::locate(false).await.unwrap()).await
}

/// What of an object the operator has written: nothing but its status and our finalizer.
fn writes_nothing_of_gits(token: &ShopifyToken) {
    let ours = token.managed_fields().iter().filter(|entry| entry.manager.as_deref() == Some(OPERATOR));
    let mut seen = 0;
    for entry in ours {
        seen += 1;
        let fields = &entry.fields_v1.as_ref().unwrap().0;
        let top: Vec<&String> = fields.as_object().unwrap().keys().collect();
        if entry.subresource.as_deref() == Some("status") {
            assert_eq!(top, ["f:status"], "{fields}");
        } else {
            assert_eq!(top, ["f:metadata"], "{fields}");
            let metadata: Vec<&String> = fields["f:metadata"].as_object().unwrap().keys().collect();
            assert_eq!(metadata, ["f:finalizers"], "{fields}");
        }
    }
    assert!(seen > 0, "it has written nothing: {:?}", token.managed_fields());
}

async fn a_commit_drives_a_rotation(name: &str, tool: Tool) {
    let mut world = World::new(name).await;
    world.start().await;
    let first = committed(guides_manifest());
    world.syncs(tool, &first);
    for token in ["admin", "web"] {
        world.ready(token).await;
    }
    world.is_in_sync(tool, &first);
    assert_eq!(world.judged("web").await, ["Healthy", "Current", "Current"]);

    // The commit.
    let second = first.replace("trigger: \"2026-11-22\"", "trigger: \"2026-12-01\"");
    assert_ne!(first, second);
    assert_eq!(world.tells("diff", tool, &second).0, Some(1), "the judge of differences judges");
    world.stop().await;
    world.syncs(tool, &second);
    assert_eq!(world.judged("web").await, ["Progressing", "InProgress", "InProgress"], "nobody takes it for done");
    world.start().await;
    world.until("web", "rotated", |t| revision(t) == 2).await;
    let token = world.ready("web").await;
    assert_eq!(world.judged("web").await, ["Healthy", "Current", "Current"]);
    assert_eq!(world.live().len(), 2, "the one before works for the overlap");
    world.eventually("the Deployment is told", async || world.asked_for("web").await.as_deref() == Some("2")).await;
    world.is_in_sync(tool, &second);
    writes_nothing_of_gits(&token);

    // A tool applies again and again.
    for _ in 0..3 {
        world.syncs(tool, &second);
    }
    // What a person asks for beside Git is no difference, and its end, as Flux has it, asks for nothing.
    world.change("web", json!({"metadata": {"annotations": {ROTATE_AT: "now"}}})).await;
    world.until("web", "rotated", |t| revision(t) == 3).await;
    world.is_in_sync(tool, &second);
    world.change("web", json!({"metadata": {"annotations": {ROTATE_AT: null}}})).await;
    world.a_while().await;
    world.is_in_sync(tool, &second);
    assert_eq!(world.sim.calls(CREATE), 3);

    // Git has nothing of it any more: all of it goes at once.
    let (code, said) = world.tells("delete", &["--wait=false"], &second);
    assert_eq!(code, Some(0), "{said}");
    world.gone("web").await;
    world.gone("admin").await;
    world.eventually("the app is gone", async || !world.exists::<ShopifyApp>("acme").await).await;
    for secret in ["acme-app", "settings", "web"] {
        world.eventually(&format!("Secret {secret}"), async || !world.exists::<Secret>(secret).await).await;
    }
    assert!(world.live().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_drives_a_rotation_with_argo_cd() {
    tokio::join!(
        a_commit_drives_a_rotation("gitops-argocd", ARGO_CD),
        a_commit_drives_a_rotation("gitops-argocd-client", CLIENT_SIDE)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_drives_a_rotation_with_flux() {
    a_commit_drives_a_rotation("gitops-flux", FLUX).await;
}

/// Sends what Argo CD sends for an action.
async fn act(world: &World, action: &str) -> Value {
    let (_dir, file) = world.file_of("web").await;
    let offers = judge().await.actions(&GitOps::customizations(), std::slice::from_ref(&file)).unwrap();
    assert!(offers[0].iter().any(|offer| offer.name == action && !offer.disabled), "{action}: {offers:?}");
    let (_, patch) = judge().await.act(&GitOps::customizations(), action, &file).unwrap();
    let sent: Patch<&Value> = Patch::Merge(&patch);
    world.tokens().patch("web", &PatchParams::default(), &sent).await.unwrap();
    patch
}

#[tokio::test(flavor = "multi_thread")]
async fn argo_cds_actions_do_what_they_say() {
    let world = World::with_storefront("gitops-actions", json!({})).await;
    let patch = act(&world, "rotate").await;
    let value = patch["metadata"]["annotations"][ROTATE_AT].as_str().unwrap();
    assert_eq!(patch, json!({"metadata": {"annotations": {ROTATE_AT: value}}}), "it touches nothing else");
    let token = world.until("web", "rotated", |t| revision(t) == 2).await;
    assert_eq!(token.status.unwrap().last_handled_rotate_at.as_deref(), Some(value));

    act(&world, "reconcile").await;
    let handled = |t: &ShopifyToken| t.status.as_ref().unwrap().last_handled_reconcile_at.is_some();
    world.until("web", "reconciled", handled).await;
    assert_eq!(act(&world, "suspend").await, json!({"spec": {"suspend": true}}));
    world.because("web", "Suspended", "Suspended").await;
    assert_eq!(world.judged("web").await, ["Suspended", "Current", "Current"]);
    assert_eq!(act(&world, "resume").await, json!({"spec": {"suspend": false}}));
    world.until("web", "resumed", |t| condition(t, "Suspended").is_none()).await;
    world.ready("web").await;
    assert_eq!(world.judged("web").await, ["Healthy", "Current", "Current"]);
    assert_eq!(world.sim.calls(CREATE), 2);
}
