//! Kubeconfig files.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::certificates::{CA_CERTIFICATE, Identity};

/// A kubeconfig for the holder of a certificate in `dir`.
pub(crate) fn with_certificate(dir: &Path, server: &str, identity: Identity) -> Result<String> {
    let user = json!({
        "client-certificate": dir.join(identity.certificate()),
        "client-key": dir.join(identity.key()),
    });
    render(dir, server, identity.name, &user, "default")
}

/// A kubeconfig for the holder of a bearer token, with `namespace` as its default.
pub(crate) fn with_token(dir: &Path, server: &str, name: &str, token: &str, namespace: &str) -> Result<String> {
    render(dir, server, name, &json!({ "token": token }), namespace)
}

fn render(dir: &Path, server: &str, name: &str, user: &serde_json::Value, namespace: &str) -> Result<String> {
    let cluster = json!({
        "server": server,
        "certificate-authority": dir.join(CA_CERTIFICATE),
    });
    serde_saphyr::to_string(&json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "local", "cluster": cluster }],
        "users": [{ "name": name, "user": user }],
        "contexts": [{
            "name": "local",
            "context": { "cluster": "local", "user": name, "namespace": namespace },
        }],
        "current-context": "local",
    }))
    .context("cannot write a kubeconfig")
}
