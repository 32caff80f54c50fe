//! A namespace with storefront tokens is deleted: until nothing of it is left, at Shopify neither.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use serde_json::json;

use super::WITHIN;
use crate::bench::count::Counts;
use crate::bench::figures::{Figures, Run};
use crate::bench::load;
use crate::bench::meter::Meter;
use crate::bench::percentiles::Percentiles;
use crate::bench::ready::Watch;
use crate::bench::world::{CLIENT_ID, NAMESPACE, World, shop, stop, token};

/// Shopify keeps a hundred for an app and shop.
const PER_SHOP: usize = 75;

pub(super) async fn run(name: String, operator: &Path, tokens: usize) -> Result<Vec<Figures>> {
    let shops = tokens.div_ceil(PER_SHOP);
    let world = World::start(shops).await?;
    let process = world.operator("operator", operator, &[]).await?;
    let watch = Watch::start(&world);
    let admin = json!({"clientCredentials": {"appRef": {"name": "acme"}}});
    let admins: Result<Vec<_>> = (0..shops).map(|n| token(&format!("admin-{n}"), &shop(n), &admin)).collect();
    load::create(&world.tokens(), &admins?, |_| ()).await?;
    let objects: Result<Vec<_>> = (0..tokens)
        .map(|n| {
            let of = n % shops;
            let source = json!({"storefront": {"adminTokenRef": {"name": format!("admin-{of}")}}});
            token(&format!("web-{n}"), &shop(of), &source)
        })
        .collect();
    load::create(&world.tokens(), &objects?, |_| ()).await?;
    watch.until_ready(tokens + shops, WITHIN).await?;

    let (meter, before) = (Meter::start(process.process.id())?, Counts::read(process.admin).await?);
    let calls = world.sim.total_calls();
    let began = Instant::now();
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
    watch.until_none(WITHIN).await?;
    let wall = began.elapsed().as_secs_f64();
    let (cpu, peak_mib) = meter.read()?;
    let left: usize = (0..shops).map(|n| world.sim.live_storefront_tokens(&shop(n), CLIENT_ID).len()).sum();
    ensure!(left == 0, "{left} storefront tokens live on at Shopify");
    let run = Run {
        wall,
        cpu,
        peak_mib,
        each: Percentiles::default(),
        issues: 0,
        shopify_calls: world.sim.total_calls() - calls,
        requests: Counts::read(process.admin).await?.since(&before),
    };
    stop(process).await?;
    drop(watch);
    world.end().await?;
    Ok(vec![Figures { scenario: name, tokens, floor: None, operator: run }])
}
