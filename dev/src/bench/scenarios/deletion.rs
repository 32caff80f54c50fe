//! A namespace with storefront tokens is deleted: until nothing of it is left, at Shopify neither.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;

use super::WITHIN;
use crate::bench::contents::Contents;
use crate::bench::count::Counts;
use crate::bench::figures::{Figures, Run};
use crate::bench::floor::Running;
use crate::bench::load;
use crate::bench::meter::Meter;
use crate::bench::ready::Watch;
use crate::bench::world::{CLIENT_ID, NAMESPACE, World, shop, stop, token};

/// Shopify keeps a hundred for an app and shop.
const PER_SHOP: usize = 75;

pub(super) async fn run(name: String, operator: &Path, tokens: usize) -> Result<Vec<Figures>> {
    let floor = Some(floor(operator, tokens).await?);
    let shops = tokens.div_ceil(PER_SHOP);
    let world = World::start(shops).await?;
    let process = world.operator("operator", operator, &[]).await?;
    let watch = Watch::start(&world);
    issue(&world, &watch, tokens).await?;

    let (meter, before) = (Meter::start(process.process.id())?, Counts::read(process.admin).await?);
    let mut run = delete(&world, &watch, &meter, shops).await?;
    run.requests = Counts::read(process.admin).await?.since(&before);
    stop(process).await?;
    drop(watch);
    world.end().await?;
    Ok(vec![Figures { scenario: name, tokens, floor, as_much: None, operator: run }])
}

/// What the floor does of the same, with what the operator has issued.
async fn floor(operator: &Path, tokens: usize) -> Result<Run> {
    let shops = tokens.div_ceil(PER_SHOP);
    let world = World::start(shops).await?;
    let process = world.operator("operator", operator, &[]).await?;
    let watch = Watch::start(&world);
    issue(&world, &watch, tokens).await?;
    stop(process).await?;
    drop(watch);

    let of_shop = |n| (shop(n), world.sim.live_storefront_tokens(&shop(n), CLIENT_ID));
    let mut ids: HashMap<String, (String, String)> = HashMap::new();
    for (shop, token) in (0..shops).map(of_shop).flat_map(|(shop, all)| all.into_iter().map(move |t| (shop.clone(), t)))
    {
        // The operator's mark at the end of each title.
        let marker = token.title.rsplit_once("#stok:").and_then(|(_, marker)| marker.split_once(':'));
        let (uid, _) = marker.context("a storefront token without a marker")?;
        ids.insert(uid.to_owned(), (shop, token.id));
    }
    let objects = world.tokens().list(&ListParams::default()).await?;
    let known = objects.iter().filter_map(|token| {
        let (shop, id) = ids.get(&token.uid()?).cloned().unwrap_or_else(|| (shop(0), String::new()));
        Some((token.name_any(), (shop, id)))
    });
    let known: HashMap<String, (String, String)> = known.collect();
    let floor = Running::start(&world, &Contents::Least).await?;
    let meter = Meter::start(floor.pid)?;
    let watch = Watch::telling(&world, move |name| {
        if let Some((shop, id)) = known.get(name) {
            floor.goes(name, shop, id);
        }
    });
    watch.until_ready(tokens + shops, WITHIN).await?;
    let run = delete(&world, &watch, &meter, shops).await?;
    drop(watch);
    world.end().await?;
    Ok(run)
}

/// Storefront tokens, spread over the shops, each with an admin token.
async fn issue(world: &World, watch: &Watch, tokens: usize) -> Result<()> {
    let shops = tokens.div_ceil(PER_SHOP);
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
    watch.until_ready(tokens + shops, WITHIN).await
}

async fn delete(world: &World, watch: &Watch, meter: &Meter, shops: usize) -> Result<Run> {
    let calls = world.sim.total_calls();
    let (began, (cpu_before, _)) = (Instant::now(), meter.read()?);
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
    watch.until_none(WITHIN).await?;
    let wall = began.elapsed().as_secs_f64();
    let (cpu, peak_mib) = meter.read()?;
    let left: usize = (0..shops).map(|n| world.sim.live_storefront_tokens(&shop(n), CLIENT_ID).len()).sum();
    ensure!(left == 0, "{left} storefront tokens live on at Shopify");
    Ok(Run { wall, cpu: cpu - cpu_before, peak_mib, shopify_calls: world.sim.total_calls() - calls, ..Run::default() })
}
