//! The demo: a cluster, a simulated Shopify, the operator and the samples, and a tour of what it does.

mod approval;
mod customers;
mod ready;
mod screen;
mod stage;
mod storefront;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

pub use self::screen::Screen;
pub use self::stage::Credentials;
use self::stage::{CLIENT_ID, NAMESPACE, SHOP, Stage};
use self::storefront::{Answer, Storefront};
use crate::Manifests;
use crate::operator::{self, Operator};

const WITHIN: Duration = Duration::from_mins(1);
/// Short enough to be watched, long enough to show both tokens at work.
const OVERLAP: Duration = Duration::from_secs(10);

/// What the demo needs.
#[derive(Default)]
pub struct Options {
    /// The operator's binary.
    pub operator: PathBuf,
    /// What is put where the samples' Secrets are empty.
    pub credentials: Credentials,
    /// Show no progress of the cluster's start.
    pub quiet: bool,
}

/// A running demo. Everything ends when it is dropped.
pub struct Demo {
    stage: Stage,
    screen: Screen,
    credentials: Credentials,
    started: Instant,
}

impl fmt::Debug for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demo").field("screen", &self.screen).finish_non_exhaustive()
    }
}

impl Demo {
    /// Starts everything but the samples.
    pub async fn start(options: Options, mut screen: Screen) -> Result<Self> {
        let started = Instant::now();
        let Options { operator, credentials, quiet } = options;
        screen.chapter("A cluster, a Shopify, and the operator")?;
        let cluster = operator::cluster(NAMESPACE, quiet).await?;
        // What is shown can be typed as it is, and isn't about some other cluster.
        let set = ["config", "set-context", "--current", "--namespace", NAMESPACE];
        kubectl(&cluster, &set).await?;
        screen.done(&format!("a Kubernetes control plane at {}, without containers", cluster.server()?))?;
        let pages = operator::free_address(8081)?;
        let public_url = format!("http://{pages}");
        let sim = stage::shopify(&credentials, &public_url).await?;
        screen.done(&format!("a simulated Shopify at https://{}, for https://{SHOP}", sim.address()))?;
        let pages_at = [&*format!("--public-url={public_url}"), &*format!("--oauth-addr={pages}")];
        let operator = Operator::start("operator", &operator, &cluster, &sim, &pages_at).await?;
        screen.done("the operator, a process with exactly the rights of deploy/base")?;
        let approved = sim.create_offline_pair(SHOP, stage::CLIENT_ID).context("the merchant approves nothing")?;
        let stage = Stage { operator, sim, refresh_token: approved.refresh_token, cluster };
        Ok(Self { stage, screen, credentials, started })
    }

    /// Whether the cluster collects what has lost its owner, which a control plane of yours may not.
    #[must_use]
    pub fn collects(&self) -> bool {
        self.stage.cluster.has_controller_manager()
    }

    /// Shows what the operator does, each step of it checked.
    pub async fn tour(&mut self) -> Result<()> {
        self.issue().await?;
        self.approve().await?;
        let storefront = self.use_token().await?;
        self.repair().await?;
        self.rotate(&storefront).await?;
        self.customers().await?;
        self.delete(&storefront).await?;
        let calls = self.stage.sim.total_calls() - self.stage.sim.calls("storefront.probe");
        let seconds = self.started.elapsed().as_secs();
        self.screen.chapter(&format!("That was it: {seconds} seconds, and {calls} calls to Shopify altogether."))
    }

    async fn issue(&mut self) -> Result<()> {
        self.screen.chapter("The samples: YAML in, Secrets out")?;
        let samples = stage::samples(&self.credentials, &self.stage.refresh_token)?;
        self.stage.cluster.apply(&Manifests::Objects(samples), NAMESPACE).await?;
        self.screen.say("deploy/samples is applied, all at once and in no order that would help:\n")?;
        self.until_ready().await?;
        kubectl(&self.stage.cluster, &["wait", "sapp/acme", "--for=condition=Ready", "--timeout=60s"]).await?;
        self.screen.say("")?;
        self.show(&["get", "shopifyapps,shopifytokens"]).await?;
        self.screen.say("What an application mounts, and the record the operator goes by (no values here):\n")?;
        self.show(&["describe", "secret", "web-shopify"]).await
    }

    async fn use_token(&mut self) -> Result<Storefront> {
        self.screen.chapter("The token at work, as Hydrogen would use it")?;
        let secret = self.secret("web-shopify").await?;
        let value = |key: &str| secret.get(key).with_context(|| format!("Secret web-shopify has no key {key}"));
        let shop = value("PUBLIC_STORE_DOMAIN")?;
        let storefront = Storefront::new(&self.stage.sim, shop, value("PUBLIC_STOREFRONT_API_VERSION")?)?;
        self.screen.say(&format!("POST {}  {{ shop {{ name }} }}", storefront.url()))?;
        self.expect(&storefront, "PUBLIC_STOREFRONT_API_TOKEN", value("PUBLIC_STOREFRONT_API_TOKEN")?, true).await?;
        Ok(storefront)
    }

    async fn repair(&mut self) -> Result<()> {
        self.screen.chapter("Somebody deletes the Secret")?;
        let before = self.secret("web-shopify").await?;
        self.show(&["delete", "secret", "web-shopify"]).await?;
        let after = self.until("the Secret is back", async |demo| demo.secret("web-shopify").await).await?;
        ensure!(after == before, "the Secret came back with other data");
        let created = self.stage.sim.calls("admin.storefrontAccessTokenCreate");
        ensure!(created == 1, "{created} storefront tokens were created");
        self.screen.done("it is back with the same token: found at Shopify, nothing was issued anew")
    }

    async fn rotate(&mut self, storefront: &Storefront) -> Result<()> {
        self.screen.chapter("A rotation: change the trigger, as a commit to your repository would")?;
        let before = self.secret("web-shopify").await?;
        let patch = format!(r#"{{"spec":{{"rotation":{{"trigger":"demo","overlap":"{}s"}}}}}}"#, OVERLAP.as_secs());
        self.show(&["patch", "stok/web", "--type=merge", "--patch", &patch]).await?;
        let after = self
            .until("the rotation is done", async |demo| {
                let after = demo.secret("web-shopify").await?;
                ensure!(after["access_token"] != before["access_token"], "the Secret still holds the first token");
                Ok(after)
            })
            .await?;
        self.screen.say("The Secret holds the new token, and until the overlap is over the old one works too:")?;
        self.expect(storefront, "access_token", &after["access_token"], true).await?;
        let old = after.get("previous_access_token").context("the Secret has no previous_access_token")?;
        ensure!(*old == before["access_token"], "previous_access_token isn't the first token");
        self.expect(storefront, "previous_access_token", old, true).await?;
        self.screen.say(&format!("\n{} seconds later (24 h unless the spec says otherwise):", OVERLAP.as_secs()))?;
        self.until("the old token is revoked", async |demo| {
            let secret = demo.secret("web-shopify").await?;
            ensure!(!secret.contains_key("previous_access_token"), "the Secret still has previous_access_token");
            // It leaves the Secret first.
            ensure!(
                !matches!(storefront.ask(old).await?, Answer::Shop(_)),
                "the Storefront API still takes the old token"
            );
            Ok(())
        })
        .await?;
        self.expect(storefront, "the new token", &after["access_token"], true).await?;
        self.expect(storefront, "the old token", old, false).await?;
        self.screen.say("")?;
        let events = ["events", "--for=shopifytoken/web"];
        self.until("the revocation is told", async |demo| {
            let told = kubectl(&demo.stage.cluster, &events).await?;
            ensure!(told.contains("Revoked"), "no event tells of it");
            Ok(())
        })
        .await?;
        self.show(&events).await
    }

    async fn delete(&mut self, storefront: &Storefront) -> Result<()> {
        self.screen.chapter("A deletion: nothing stays behind")?;
        let secret = self.secret("web-shopify").await?;
        self.show(&["delete", "stok/web", "--timeout=60s"]).await?;
        self.expect(storefront, "the token", &secret["access_token"], false).await?;
        let left = self.stage.sim.live_storefront_tokens(SHOP, CLIENT_ID).len();
        ensure!(left == 0, "{left} storefront tokens are still live at Shopify");
        self.screen.done("Shopify lists no storefront token of the app any more")?;
        if self.collects() {
            let secrets = self.secrets().await?;
            self.until("the Secret is collected", async |_| {
                ensure!(secrets.get_opt("web-shopify").await?.is_none(), "the Secret is still there");
                Ok(())
            })
            .await?;
            self.screen.done("the Secret is gone with its owner")?;
        }
        Ok(())
    }

    /// Puts back what the tour deleted, and says what else there is to see.
    pub async fn invite(&mut self) -> Result<()> {
        let samples = stage::samples(&self.credentials, &self.stage.refresh_token)?;
        self.stage.cluster.apply(&Manifests::Objects(samples), NAMESPACE).await?;
        kubectl(
            &self.stage.cluster,
            &["delete", "stok/partner", "secret/partner-record", "secret/partner", "--ignore-not-found"],
        )
        .await?;
        let install = self.ask_for_approval().await?;
        let Stage { cluster, sim, operator: Operator { admin, .. }, .. } = &self.stage;
        let (dir, kubectl) = (cluster.dir().display(), cluster.kubectl());
        let text = format!(
            "{title}\n\n  \
             export KUBECONFIG={kubeconfig}\n  \
             alias kubectl={kubectl}\n\n  \
             kubectl get stok --watch\n  \
             kubectl delete secret web-shopify        # comes back, with the same token\n  \
             kubectl annotate stok/web tokens.shopify-operator.dev/rotate-at=\"$(date)\" --overwrite\n  \
             kubectl describe stok/web\n  \
             curl -s http://{admin}/metrics | grep ^shopify_\n  \
             tail -f {dir}/operator.log\n\n\
             ShopifyToken partner waits for a merchant. Be it, in a browser that finds the simulated shop:\n\n  \
             chromium --user-data-dir={dir}/chromium --ignore-certificate-errors \\\n    \
             --host-resolver-rules=\"MAP {SHOP} {sim}\" {install}\n\n\
             Everything that reached the simulated Shopify, and a fault for the next call (sim/README.md has more):\n\n  \
             alias shopify='curl -s --cacert {dir}/shopify-ca.pem --connect-to ::{sim}'\n  \
             shopify https://localhost/_sim/calls\n  \
             shopify https://localhost/_sim/faults -H 'content-type: application/json' \\\n    \
             -d '{{\"operation\": \"*\", \"kind\": \"throttled\", \"times\": 3}}'\n\n\
             The samples of deploy/samples that bring a Secret have empty values: applied here, they take the app's away.\n\n\
             Ctrl-C ends all of it and leaves nothing behind.",
            title = self.screen.bold("It stays up for you to play with. In another terminal:"),
            kubeconfig = cluster.kubeconfig_path().display(),
            kubectl = kubectl.display(),
            sim = sim.address(),
        );
        self.screen.say(&text)
    }

    /// Returns when the operator has ended by itself, with the reason.
    pub async fn broken(&mut self) -> anyhow::Error {
        loop {
            if let Err(error) = self.stage.operator.process.ensure_running() {
                return error;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Ends everything, and says so.
    pub async fn end(mut self) -> Result<()> {
        self.stage.end().await?;
        self.screen.say("Everything is stopped, and its files are gone.")
    }

    /// Says what a token is good for, after checking that it is so.
    async fn expect(&mut self, storefront: &Storefront, name: &str, token: &str, accepted: bool) -> Result<()> {
        let answer = storefront.ask(token).await?;
        ensure!(
            accepted == matches!(answer, Answer::Shop(_)),
            "the Storefront API should {} {name}, and answers {answer}",
            if accepted { "accept" } else { "refuse" }
        );
        self.screen.done(&format!("{name}: {answer}"))
    }

    /// Runs kubectl and shows command and output.
    async fn show(&mut self, arguments: &[&str]) -> Result<()> {
        let output = kubectl(&self.stage.cluster, arguments).await?;
        self.screen.command(arguments, &output)
    }

    async fn secrets(&self) -> Result<Api<Secret>> {
        Ok(Api::namespaced(self.stage.cluster.client().await?, NAMESPACE))
    }

    /// Data of a Secret as text.
    async fn secret(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let secret = self.secrets().await?.get(name).await.with_context(|| format!("cannot read Secret {name}"))?;
        let text = |(key, value): (String, k8s_openapi::ByteString)| Ok((key, String::from_utf8(value.0)?));
        secret.data.unwrap_or_default().into_iter().map(text).collect()
    }

    async fn get(&self, arguments: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&kubectl(&self.stage.cluster, arguments).await?)?)
    }

    /// Waits until something is so.
    async fn until<T>(&mut self, what: &str, mut check: impl AsyncFnMut(&Self) -> Result<T>) -> Result<T> {
        let since = Instant::now();
        loop {
            self.stage.operator.process.ensure_running()?;
            match check(self).await {
                Ok(found) => return Ok(found),
                Err(error) if since.elapsed() > WITHIN => {
                    return Err(error).with_context(|| format!("waited {WITHIN:?} in vain until {what}"));
                }
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Runs kubectl as the administrator and returns what it printed.
async fn kubectl(cluster: &crate::Cluster, arguments: &[&str]) -> Result<String> {
    let mut command = Command::from(cluster.kubectl_command());
    let output = command.args(arguments).kill_on_drop(true).output().await.context("cannot run kubectl")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(anyhow!("{}", said.trim().to_owned()).context(format!("kubectl {} failed", arguments.join(" "))));
    }
    Ok(String::from_utf8(output.stdout)?)
}
