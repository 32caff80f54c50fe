//! An admission webhook of a story's namespace: a real one, asked by the API server over HTTPS.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::post,
};
use k8s_openapi::{ByteString, api::admissionregistration::v1::MutatingWebhookConfiguration};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::world::World;

/// How it answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Allow,
    /// As most do: without a code. Its message quotes the whole object.
    Deny,
    /// It writes another `shop_domain` and `access_token` into a Secret.
    Rewrite,
    /// It fails itself.
    Broken,
    /// It allows what has a name that begins so once it is told to answer otherwise.
    Hold(&'static str),
}

/// What it is to answer, and what it is asked.
struct Asked {
    verdict: Mutex<Verdict>,
    held: AtomicUsize,
}

/// A question that isn't answered yet.
struct Held<'a>(&'a Asked);

impl Asked {
    fn verdict(&self) -> Verdict {
        *self.verdict.lock().unwrap()
    }

    fn hold(&self) -> Held<'_> {
        self.held.fetch_add(1, Ordering::SeqCst);
        Held(self)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A webhook that is in force.
pub(crate) struct Webhook {
    name: String,
    asked: Arc<Asked>,
    configurations: Api<MutatingWebhookConfiguration>,
}

impl Webhook {
    /// Asked for what the operator writes of `resources` (such as `secrets` or `shopifytokens/status`).
    pub(crate) async fn new(world: &World, group: &str, version: &str, resources: &[&str], verdict: Verdict) -> Self {
        let (ca_pem, tls) = identity();
        let timeout = if matches!(verdict, Verdict::Hold(_)) { 20 } else { 5 };
        let asked = Arc::new(Asked { verdict: Mutex::new(verdict), held: AtomicUsize::new(0) });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&asked));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = TlsListener { listener, acceptor: TlsAcceptor::from(Arc::new(tls)) };
        tokio::spawn(async move { axum::serve(tls, router).await });
        let name = format!("deny.{}.example.com", world.namespace);
        let webhook = json!({"metadata": {"name": name}, "webhooks": [{
            "name": name,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "timeoutSeconds": timeout,
            "failurePolicy": "Fail",
            "clientConfig": {"url": format!("https://{address}/"), "caBundle": ByteString(ca_pem.into_bytes())},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
            "matchConditions": [{
                "name": "operator",
                "expression": "request.userInfo.username == 'system:serviceaccount:shopify-token-operator:shopify-token-operator'",
            }],
            "rules": [{"apiGroups": [group], "apiVersions": [version], "operations": ["CREATE", "UPDATE"], "resources": resources}],
        }]});
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(world.admin.clone());
        configurations.create(&PostParams::default(), &serde_json::from_value(webhook).unwrap()).await.unwrap();
        // The API server takes notice of its configuration within a second or so.
        tokio::time::sleep(Duration::from_secs(3)).await;
        Self { name, asked, configurations }
    }

    pub(crate) fn answers(&self, verdict: Verdict) {
        *self.asked.verdict.lock().unwrap() = verdict;
    }

    /// How many writes wait for its answer.
    pub(crate) fn held(&self) -> usize {
        self.asked.held.load(Ordering::SeqCst)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) async fn remove(self) {
        self.configurations.delete(&self.name, &DeleteParams::default()).await.unwrap();
    }
}

async fn answer(State(asked): State<Arc<Asked>>, review: Bytes) -> impl IntoResponse {
    let review: Value = serde_json::from_slice(&review).unwrap();
    let name = review["request"]["name"].as_str().unwrap_or_default();
    let holds = || matches!(asked.verdict(), Verdict::Hold(prefix) if name.starts_with(prefix));
    if holds() {
        let _held = asked.hold();
        while holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let verdict = asked.verdict();
    let allowed = matches!(verdict, Verdict::Allow | Verdict::Rewrite | Verdict::Hold(_));
    let mut response = json!({"uid": review["request"]["uid"], "allowed": allowed});
    if verdict == Verdict::Deny {
        response["status"] = json!({"message": format!("not like this: {}", review["request"]["object"])});
    }
    if verdict == Verdict::Rewrite {
        let evil = ByteString(b"evil.example.com".into());
        let patch = ["shop_domain", "access_token"]
            .map(|key| json!({"op": "add", "path": format!("/data/{key}"), "value": evil}));
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(ByteString(json!(patch).to_string().into_bytes()));
    }
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    let code = if verdict == Verdict::Broken { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    (code, [(CONTENT_TYPE, "application/json")], answer.to_string())
}

/// A certificate authority (PEM), and a server for the loopback address signed by it.
fn identity() -> (String, ServerConfig) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca_key = KeyPair::generate().unwrap();
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf_key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&leaf_key, &Issuer::new(ca, ca_key)).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], key)
        .unwrap();
    (ca_pem, config)
}

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.listener.accept().await
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
