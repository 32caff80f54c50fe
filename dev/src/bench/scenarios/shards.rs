//! Tokens are applied at once to one instance, and to several that share them by a label.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use kube::api::DynamicObject;
use serde_json::json;

use super::WITHIN;
use super::burst::{ISSUE, floor};
use crate::bench::contents::Contents;
use crate::bench::count::{Counts, until_quiet};
use crate::bench::figures::{Figures, Run};
use crate::bench::load;
use crate::bench::meter::Meter;
use crate::bench::percentiles::Percentiles;
use crate::bench::ready::Watch;
use crate::bench::world::{World, shop, stop, token};
use crate::operator::Operator;

const SHOPS: usize = 100;
/// Silence after which everything is written.
const QUIET: Duration = Duration::from_secs(1);
/// The instances, by the value of the label that each serves, which is the name of its lease and of its app, too.
const INSTANCES: [&str; 2] = ["shard-a", "shard-b"];
const LABEL: &str = "shard";

struct Instance {
    name: &'static str,
    process: Operator,
    meter: Meter,
    before: Counts,
}

pub(super) async fn run(operator: &Path, tokens: usize) -> Result<Vec<Figures>> {
    let floor = floor(tokens, SHOPS, &Contents::Least).await?;
    let mut all = Vec::new();
    for count in 1..=INSTANCES.len() {
        all.extend(among(operator, &INSTANCES[..count], tokens, &floor).await?);
    }
    Ok(all)
}

/// What all of these do together, and each of them.
async fn among(operator: &Path, names: &[&'static str], tokens: usize, floor: &Run) -> Result<Vec<Figures>> {
    let world = World::start(SHOPS).await?;
    let mut instances = Vec::new();
    for &name in names {
        world.app(name, &json!({LABEL: name})).await?;
        let (selector, lease) = (format!("--selector={LABEL}={name}"), format!("--lease-name={name}"));
        let process = world.operator(name, operator, &[&selector, &lease]).await?;
        let (meter, before) = (Meter::start(process.process.id())?, Counts::read(process.admin).await?);
        instances.push(Instance { name, process, meter, before });
    }
    let objects: Result<Vec<DynamicObject>> = (0..tokens).map(|n| labelled(n, names[n % names.len()])).collect();
    let (watch, objects) = (Watch::start(&world), objects?);
    let began = Instant::now();
    let created = load::create(&world.tokens(), &objects, |_| ()).await?;
    watch.until_ready(tokens, WITHIN).await?;

    // Events are written behind, and belong to what a token costs.
    let mut quiet = Vec::new();
    for Instance { name, process, meter, before } in instances {
        let requests = until_quiet(process.admin, QUIET).await?.since(&before);
        quiet.push((name, process, meter.read()?, requests));
    }
    let mut figures = Vec::new();
    for (name, process, (cpu, peak_mib), requests) in quiet {
        stop(process).await?;
        let its = |object: &&DynamicObject| {
            object.metadata.labels.as_ref().and_then(|l| l.get(LABEL)).is_some_and(|l| l == name)
        };
        let own: Vec<&str> = objects.iter().filter(its).filter_map(|o| o.metadata.name.as_deref()).collect();
        let own: Vec<_> = created.iter().filter(|(token, _)| own.contains(&token.as_str())).cloned().collect();
        let since_began: Vec<_> = own.iter().map(|(token, _)| (token.clone(), began)).collect();
        let wall = watch.since(&since_began).into_iter().max().unwrap_or_default().as_secs_f64();
        let run = Run { wall, cpu, peak_mib, each: Percentiles::of(watch.since(&own)), requests, ..Run::default() };
        let scenario = format!("{name} of {}", names.len());
        figures.push(Figures { scenario, tokens: own.len(), floor: None, as_much: None, operator: run });
    }
    let (issues, shopify_calls) = (world.sim.calls(ISSUE), world.sim.total_calls());
    let mut together = Run { each: Percentiles::of(watch.since(&created)), issues, shopify_calls, ..Run::default() };
    for Figures { operator, .. } in &figures {
        together.wall = together.wall.max(operator.wall);
        together.cpu += operator.cpu;
        together.peak_mib = together.peak_mib.max(operator.peak_mib);
        for (what, count) in &operator.requests {
            *together.requests.entry(what.clone()).or_default() += count;
        }
    }
    drop(watch);
    world.end().await?;
    let scenario = format!("shards, {} of {SHOPS} shops", names.len());
    figures.insert(0, Figures { scenario, tokens, floor: Some(floor.clone()), as_much: None, operator: together });
    Ok(figures)
}

fn labelled(n: usize, instance: &str) -> Result<DynamicObject> {
    let source = json!({"clientCredentials": {"appRef": {"name": instance}}});
    let mut object = token(&format!("t-{n}"), &shop(n % SHOPS), &source)?;
    object.metadata.labels = Some(BTreeMap::from([(LABEL.to_owned(), instance.to_owned())]));
    Ok(object)
}
