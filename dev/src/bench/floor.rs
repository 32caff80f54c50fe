//! The floor: for each token one POST to Shopify, one Secret, one patch of the status, and nothing else; for each that goes one
//! POST and one patch that takes its finalizer off. What it writes is as little as it can be, or as much as the operator's.
//!
//! It is a process of its own, as the operator is, and is told by its standard input what there is to do.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, stdin, stdout};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Mutex, OnceCell, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::contents::{Contents, Token};
use super::world::{CLIENT_ID, CLIENT_SECRET, NAMESPACE, World, tokens};

/// Tokens at a time: the fastest of those that were tried.
const CONCURRENCY: usize = 64;
const API_VERSION: &str = "2026-10";
/// What its process says once it can begin.
const READY: &str = "ready";

/// What the floor's process is started with.
#[derive(Args, Clone, Debug)]
pub struct Floor {
    /// The kubeconfig to use
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Where Shopify is
    #[arg(long)]
    shopify: SocketAddr,
    /// Its certificate authority, as PEM
    #[arg(long)]
    ca: PathBuf,
    /// What it writes of a token, as JSON
    #[arg(long)]
    contents: PathBuf,
}

/// What there is to do: a line of its standard input, as JSON.
#[derive(Debug, Serialize, Deserialize)]
enum Ask {
    /// A token that is there.
    Issue(Token),
    /// A token that goes, and with it the storefront token of this id; with "" nothing of Shopify's.
    Revoke { name: String, shop: String, id: String },
}

/// The floor's process, killed on drop.
pub(super) struct Running {
    pub(super) pid: u32,
    asked: mpsc::UnboundedSender<Ask>,
    _child: Child,
}

impl Running {
    /// Once it has a client, as the operator has when it is ready.
    pub(super) async fn start(world: &World, contents: &Contents) -> Result<Self> {
        let (ca, written) = (world.cluster.dir().join("floor-ca.pem"), world.cluster.dir().join("floor-contents.json"));
        std::fs::write(&ca, world.sim.ca_pem())?;
        std::fs::write(&written, serde_json::to_vec(contents)?)?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("floor")
            .arg(format!("--kubeconfig={}", world.cluster.kubeconfig_path().display()))
            .arg(format!("--shopify={}", world.sim.address()))
            .arg(format!("--ca={}", ca.display()))
            .arg(format!("--contents={}", written.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the floor can't start")?;
        let input = child.stdin.take().context("the floor has no standard input")?;
        let output = child.stdout.take().context("the floor has no standard output")?;
        let said = BufReader::new(output).lines().next_line().await?;
        ensure!(said.as_deref() == Some(READY), "the floor has ended");
        let pid = child.id().context("the floor has ended")?;
        let (asked, told) = mpsc::unbounded_channel();
        tokio::spawn(tell(input, told));
        Ok(Self { pid, asked, _child: child })
    }

    /// There is this token.
    pub(super) fn there_is(&self, token: &DynamicObject) {
        self.ask(Ask::Issue(Token::of(token)));
    }

    /// This token goes, and with it the storefront token of this id; with "" nothing of Shopify's.
    pub(super) fn goes(&self, name: &str, shop: &str, id: &str) {
        self.ask(Ask::Revoke { name: name.to_owned(), shop: shop.to_owned(), id: id.to_owned() });
    }

    fn ask(&self, ask: Ask) {
        // Should it have ended, nothing becomes Ready, which is noticed.
        self.asked.send(ask).unwrap_or_default();
    }
}

async fn tell(mut input: ChildStdin, mut told: mpsc::UnboundedReceiver<Ask>) {
    while let Some(ask) = told.recv().await {
        if let Err(error) = input.write_all(format!("{}\n", json!(ask)).as_bytes()).await {
            tracing::warn!(%error, "the floor has ended");
            return;
        }
    }
}

/// The floor's process: until its standard input ends.
pub async fn serve(options: &Floor) -> Result<()> {
    let client = Arc::new(Client::new(options).await?);
    let mut output = stdout();
    output.write_all(format!("{READY}\n").as_bytes()).await?;
    output.flush().await?;
    let (free, mut all) = (Arc::new(Semaphore::new(CONCURRENCY)), JoinSet::new());
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let (client, permit) = (Arc::clone(&client), Arc::clone(&free).acquire_owned().await?);
        all.spawn(async move {
            let _permit = permit;
            match serde_json::from_str(&line)? {
                Ask::Issue(token) => client.issue(&token).await,
                Ask::Revoke { name, shop, id } => client.revoke(&name, &shop, &id).await,
            }
        });
        while let Some(done) = all.try_join_next() {
            done??;
        }
    }
    while let Some(done) = all.join_next().await {
        done??;
    }
    Ok(())
}

struct Client {
    http: reqwest::Client,
    secrets: Api<Secret>,
    tokens: Api<DynamicObject>,
    contents: Contents,
    /// What each shop's storefront tokens are deleted with.
    access: Mutex<HashMap<String, Arc<OnceCell<String>>>>,
}

impl Client {
    async fn new(options: &Floor) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(&options.kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = kube::Client::try_from(config)?;
        Ok(Self {
            http: http(options.shopify, &options.ca)?,
            contents: serde_json::from_slice(&std::fs::read(&options.contents)?)?,
            secrets: Api::namespaced(client.clone(), NAMESPACE),
            tokens: Api::namespaced_with(client, NAMESPACE, &tokens()),
            access: Mutex::default(),
        })
    }

    async fn grant(&self, shop: &str) -> Result<Value> {
        let form = [("grant_type", "client_credentials"), ("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
        let url = format!("https://{shop}/admin/oauth/access_token");
        Ok(self.http.post(url).form(&form).send().await?.error_for_status()?.json().await?)
    }

    async fn revoke(&self, name: &str, shop: &str, id: &str) -> Result<()> {
        if !id.is_empty() {
            self.delete(shop, id).await?;
        }
        let bare = json!({"metadata": {"finalizers": null}});
        self.tokens.patch_metadata(name, &PatchParams::default(), &Patch::Merge(bare)).await?;
        Ok(())
    }

    async fn delete(&self, shop: &str, id: &str) -> Result<()> {
        let access = Arc::clone(self.access.lock().await.entry(shop.to_owned()).or_default());
        let granted = async || {
            let grant = self.grant(shop).await?;
            Ok::<_, anyhow::Error>(grant["access_token"].as_str().context("an access token")?.to_owned())
        };
        let access = access.get_or_try_init(granted).await?;
        let mutation = "mutation ($input: StorefrontAccessTokenDeleteInput!) { storefrontAccessTokenDelete(input: $input) \
            { deletedStorefrontAccessTokenId userErrors { field message } } }";
        let call = json!({"query": mutation, "variables": {"input": {"id": id}}});
        let post = self.http.post(format!("https://{shop}/admin/api/{API_VERSION}/graphql.json"));
        let answer = post.header("X-Shopify-Access-Token", access).json(&call).send().await?.error_for_status()?;
        let answer: Value = answer.json().await?;
        let deleted = answer.pointer("/data/storefrontAccessTokenDelete/deletedStorefrontAccessTokenId");
        ensure!(deleted.is_some_and(Value::is_string), "the simulated Shopify doesn't delete {id}: {answer}");
        Ok(())
    }

    async fn issue(&self, token: &Token) -> Result<()> {
        let grant = self.grant(&token.shop).await?;
        self.secrets.create(&PostParams::default(), &self.contents.secret(token, &grant)?).await?;
        let status = json!({"status": self.contents.status()});
        self.tokens.patch_status(&token.name, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }
}

/// A client of Shopify that finds every shop in the simulation.
fn http(shopify: SocketAddr, ca: &Path) -> Result<reqwest::Client> {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(ca)?)?;
    let client = reqwest::Client::builder().no_proxy().https_only(true).dns_resolver(At(shopify));
    Ok(client.tls_certs_merge([ca]).build()?)
}

/// Every name is here.
#[derive(Clone, Copy)]
struct At(SocketAddr);

impl Resolve for At {
    fn resolve(&self, _: Name) -> Resolving {
        let here: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(here)))
    }
}
