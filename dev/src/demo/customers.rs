//! A client of customer accounts is rotated by hand, and the operator says when the old secret can go.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::Demo;
use super::stage::{CUSTOMER_CLIENT, SHOP};

/// Of the sample, as short as can be watched.
const OVERLAP: &str = r#"{"spec":{"rotation":{"overlap":"5s"}}}"#;

impl Demo {
    pub(super) async fn customers(&mut self) -> Result<()> {
        self.screen.chapter("A person rotates the client of the customer accounts")?;
        self.show(&["patch", "stok/customers", "--type=merge", "--patch", OVERLAP]).await?;
        let old = self.credentials.customer_secret.clone();
        let new = format!("{old}2");
        self.stage.sim.add_customer_secret(SHOP, CUSTOMER_CLIENT, &new)?;
        let patch = Patch::Merge(json!({ "stringData": { "client_secret": &new } }));
        let _: Secret = self.secrets().await?.patch("headless-client", &PatchParams::default(), &patch).await?;
        self.screen
            .say("\"Generate new credentials\" in the Headless channel, and the secret into Secret headless-client:")?;
        self.until("the new secret is published", async |demo| {
            let secret = demo.secret("customers-shopify").await?;
            ensure!(secret.get("client_secret") == Some(&new), "the Secret holds the old client_secret");
            ensure!(secret.get("previous_client_secret") == Some(&old), "the Secret has no previous_client_secret");
            Ok(())
        })
        .await?;
        self.screen.done("customers-shopify holds the new one, and the old one as previous_client_secret\n")?;
        self.show(&["wait", "stok/customers", "--for=condition=SafeToRevokeOldSecret", "--timeout=60s"]).await?;
        let secret = self.secret("customers-shopify").await?;
        ensure!(!secret.contains_key("previous_client_secret"), "the old secret is still in the Secret");
        self.stage.sim.revoke_customer_secret(SHOP, CUSTOMER_CLIENT, &old).context("the old secret isn't there")?;
        self.screen.done("the person revokes the old one in the channel: nothing holds it any more")
    }
}
