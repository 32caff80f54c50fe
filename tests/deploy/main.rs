//! What is deployed: the chart and the kustomizations, judged by helm, kubeconform, checkov and a real API server.
//!
//! Generated files: `make rbac` writes the roles, `make chart` the chart's defaults, their table and its renderings.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that goes wrong should end there")]

use std::{env, fs, path::Path};

mod admission;
mod alerts;
mod chart;
mod checkov;
mod conform;
mod dashboard;
mod gathered;
mod health;
mod image;
mod kustomize;
mod pages;
mod policies;
mod release;
mod renderings;
mod roles;
mod users;
mod values;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const OPERATOR: &str = "shopify-token-operator";

/// Compares a committed file with what it should be; writes it where `variable` is set.
fn generated(variable: &str, command: &str, file: &str, wanted: &str) {
    let path = Path::new(ROOT).join(file);
    if env::var_os(variable).is_some() {
        fs::write(&path, wanted).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == wanted, "{file} is out of date: run `{command}`");
}
