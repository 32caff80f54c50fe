//! Every phase of every source, as the API server has it: `tests/phases/`, on which the verdicts of GitOps tools are tried.
//!
//! `make gitops` records them anew.

mod app;
mod client_credentials;
mod custom;
mod customer_account;
mod delegate;
mod offline;
mod storefront;

use std::{collections::BTreeSet, env, fs, path::PathBuf, sync::LazyLock, time::Duration};

use chrono::TimeDelta;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use regex::Regex;
use serde_json::{Value, json};
use shopify_sim::{Fault, FaultKind, StatusFault};
use shopify_token_operator::{
    api::{ShopifyApp, ShopifyToken},
    controller::Setup,
};
use tokio::time::{Instant, sleep};

use crate::world::World;

/// Set, it has phases recorded anew.
const UPDATE: &str = "UPDATE_PHASES";
const PATIENCE: Duration = Duration::from_secs(40);
/// When it all happens.
const NOW: &str = "2026-11-22T08:00:00Z";
/// Fields whose moments are told apart from the others, wherever these are mentioned; the first that fits counts.
const MOMENTS: [(&str, &str); 5] = [
    ("/status/expiresAt", "2026-11-23T08:00:00Z"),
    ("/status/refreshTokenExpiresAt", "2027-02-20T08:00:00Z"),
    ("/status/renewalTime", "2026-11-23T00:00:00Z"),
    ("/status/previous/0/revokeAt", "2026-11-22T09:00:00Z"),
    ("/status/nextAttemptTime", "2026-11-22T08:00:30Z"),
];
/// What else differs from run to run, and what stands for it.
const CHANCES: [(&str, &str); 4] = [
    (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", NOW),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(-\d{10})?", "0b9c1f0e-0000-4000-8000-000000000001"),
    (r"client secret [0-9a-f]{8}\b", "client secret 0b9c1f0e"),
    (r"sha256:[0-9a-f]{24}", "sha256:0b9c1f0e0b9c1f0e0b9c1f0e"),
];

/// The phases of a source, or of apps.
struct Phases {
    of: &'static str,
    recorded: BTreeSet<String>,
}

impl Phases {
    const fn of(source: &'static str) -> Self {
        Self { of: source, recorded: BTreeSet::new() }
    }

    fn directory(&self) -> PathBuf {
        dev::repository("tests/phases").join(self.of)
    }

    /// The ShopifyToken is in this phase: as it was recorded, or it is recorded.
    async fn token(&mut self, phase: &str, world: &World, name: &str) {
        self.object(phase, world, &ApiResource::erase::<ShopifyToken>(&()), name).await;
    }

    /// The same of a ShopifyApp.
    async fn app(&mut self, phase: &str, world: &World, name: &str) {
        self.object(phase, world, &ApiResource::erase::<ShopifyApp>(&()), name).await;
    }

    async fn object(&mut self, phase: &str, world: &World, resource: &ApiResource, name: &str) {
        let file = self.directory().join(format!("{phase}.yaml"));
        assert!(self.recorded.insert(phase.to_owned()), "{phase} is there twice");
        let api: Api<DynamicObject> = Api::namespaced_with(world.admin.clone(), &world.namespace, resource);
        let seen = async || recorded(api.get(name).await.unwrap(), &world.namespace);
        if env::var_os(UPDATE).is_some() {
            fs::create_dir_all(self.directory()).unwrap();
            fs::write(&file, at_rest(seen).await).unwrap();
            return;
        }
        let wanted = fs::read_to_string(&file).unwrap_or_default();
        let deadline = Instant::now() + PATIENCE;
        let mut times = 0;
        loop {
            let now = seen().await;
            // It stays so, and isn't passing by.
            times = if now == wanted { times + 1 } else { 0 };
            if times == 3 {
                return;
            }
            let file = file.display();
            assert!(
                Instant::now() < deadline,
                "{file} is out of date: run `make gitops`\n--- recorded\n{wanted}\n--- now\n{now}"
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// No file is of a phase that isn't there any more.
    fn end(self) {
        let files = fs::read_dir(self.directory()).unwrap().map(|file| file.unwrap().path());
        let there: BTreeSet<String> =
            files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(there, self.recorded, "tests/phases/{}", self.of);
    }
}

/// What is seen once it doesn't change any more.
async fn at_rest(seen: impl AsyncFn() -> String) -> String {
    let mut before = seen().await;
    let mut same = 0;
    // What is judged of an app stays for three seconds.
    while same < 8 {
        sleep(Duration::from_millis(500)).await;
        let now = seen().await;
        same = if now == before { same + 1 } else { 0 };
        before = now;
    }
    before
}

/// The object without what differs from run to run.
fn recorded(mut object: DynamicObject, namespace: &str) -> String {
    static MASKS: LazyLock<Vec<(Regex, &str)>> =
        LazyLock::new(|| CHANCES.iter().map(|(pattern, with)| (Regex::new(pattern).unwrap(), *with)).collect());
    object.metadata.managed_fields = None;
    object.metadata.resource_version = Some("1".to_owned());
    let mut object = serde_json::to_value(object).unwrap();
    for (field, value) in [
        ("/status/failedAttempts", json!(1)),
        ("/status/failedInputs", json!("0b9c1f0e")),
        ("/status/clientSecret/hash", json!("0b9c1f0e")),
    ] {
        if let Some(found) = object.pointer_mut(field) {
            *found = value;
        }
    }
    let moments: Vec<(String, &str)> =
        MOMENTS.iter().filter_map(|(field, with)| Some((object.pointer(field)?.as_str()?.to_owned(), *with))).collect();
    masked(&mut object, &|text| {
        // Told apart before the others are all the same.
        let mut text = text.replace(namespace, "shop");
        for (n, (moment, _)) in moments.iter().enumerate() {
            text = text.replace(moment, &format!("<{n}>"));
        }
        for (pattern, with) in MASKS.iter() {
            text = pattern.replace_all(&text, *with).into_owned();
        }
        for (n, (_, with)) in moments.iter().enumerate() {
            text = text.replace(&format!("<{n}>"), with);
        }
        text
    });
    // Two that were the same by chance.
    for (field, with) in MOMENTS {
        if let Some(found) = object.pointer_mut(field) {
            *found = json!(with);
        }
    }
    serde_saphyr::to_string(&object).unwrap()
}

fn masked(value: &mut Value, mask: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = mask(text),
        Value::Array(items) => items.iter_mut().for_each(|item| masked(item, mask)),
        Value::Object(fields) => fields.values_mut().for_each(|field| masked(field, mask)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What an operation of Shopify's answers while it is out of order.
fn down(operation: &str) -> Fault {
    Fault::new(operation, FaultKind::Status(StatusFault::new(503)))
}

impl World {
    /// What is missing lasts longer than what was applied at once takes to come.
    async fn missing(&self, name: &str, reason: &str) {
        self.because(name, "Reconciling", reason).await;
        self.pass(TimeDelta::seconds(11));
    }

    /// Changes the spec while no operator runs, and starts one when that was recorded.
    async fn changed(&mut self, phases: &mut Phases, name: &str, spec: Value) {
        self.stop().await;
        self.change(name, json!({"spec": spec})).await;
        phases.token("changed", self, name).await;
        self.start().await;
    }

    /// Deletes it while somebody else's finalizer keeps it, as a GitOps tool's does.
    async fn kept_in_deletion(&self, name: &str) {
        let mut finalizers = self.tokens().get(name).await.unwrap().finalizers().to_vec();
        finalizers.push("example.com/kept".to_owned());
        self.change(name, json!({"metadata": {"finalizers": finalizers}})).await;
        self.delete(name).await;
    }

    /// Deletes it while Shopify is out of order. To the API server, whose clock doesn't jump, that was hours ago: there is time.
    async fn deleted_while_down(&mut self, name: &str) {
        self.stop().await;
        let setup = Setup { revocation_timeout: TimeDelta::days(7), ..self.setup().await };
        self.start_with(setup);
        self.sim.inject(down("admin.*"));
        self.delete(name).await;
        self.because(name, "Reconciling", "BackingOff").await;
    }

    /// Deletes these: who of several asks a shop that doesn't answer is chance.
    async fn leaves_alone(&self, others: &[&str]) {
        for name in others {
            self.delete(name).await;
            self.gone(name).await;
        }
    }

    /// Suspends it, and waits until the operator knows.
    async fn suspend(&self, name: &str) {
        self.change(name, json!({"spec": {"suspend": true}})).await;
        self.because(name, "Suspended", "Suspended").await;
    }

    /// Resumes it, and waits until it is Ready.
    async fn resume(&self, name: &str) {
        self.change(name, json!({"spec": {"suspend": null}})).await;
        self.ready(name).await;
    }

    /// Somebody else has a condition of theirs beside the operator's.
    async fn adds_a_condition(&self, name: &str) {
        let condition = json!({
            "type": "Reviewed", "status": "False", "reason": "NobodyHasLooked", "message": "somebody else's",
            "lastTransitionTime": "2026-11-22T08:00:00Z",
        });
        let status = json!({
            "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyToken",
            "status": {"conditions": [condition]},
        });
        let parameters = PatchParams::apply("reviewer");
        self.tokens().patch_status(name, &parameters, &Patch::Apply(status)).await.unwrap();
    }
}
