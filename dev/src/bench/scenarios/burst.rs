//! Many tokens are applied at once: until all are Ready.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use kube::api::DynamicObject;

use super::WITHIN;
use crate::bench::contents::Contents;
use crate::bench::count::{Counts, until_quiet};
use crate::bench::figures::{Figures, Run};
use crate::bench::floor::Running;
use crate::bench::load;
use crate::bench::meter::Meter;
use crate::bench::percentiles::Percentiles;
use crate::bench::ready::Watch;
use crate::bench::world::{FIRST, World, stop};

/// Silence after which everything is written.
const QUIET: Duration = Duration::from_secs(1);
pub(super) const ISSUE: &str = "oauth.clientCredentials";

pub(super) async fn run(name: String, operator: &Path, tokens: usize, shops: usize) -> Result<Vec<Figures>> {
    let least = floor(tokens, shops, &Contents::Least).await?;
    let world = World::start(shops).await?;
    let process = world.operator("operator", operator, &[]).await?;
    let meter = Meter::start(process.process.id())?;
    let before = Counts::read(process.admin).await?;
    let mut run = apply(&world, &meter, tokens, |_| ()).await?;
    // Events are written behind, and belong to what a token costs.
    run.requests = until_quiet(process.admin, QUIET).await?.since(&before);
    (run.cpu, run.peak_mib) = meter.read()?;
    let contents = Contents::of(&world, FIRST).await?;
    stop(process).await?;
    world.end().await?;
    let as_much = Some(floor(tokens, shops, &contents).await?);
    Ok(vec![Figures { scenario: name, tokens, floor: Some(least), as_much, operator: run }])
}

/// What the floor does of the same.
pub(super) async fn floor(tokens: usize, shops: usize, contents: &Contents) -> Result<Run> {
    let world = World::start(shops).await?;
    let floor = Running::start(&world, contents).await?;
    let meter = Meter::start(floor.pid)?;
    let run = apply(&world, &meter, tokens, |token| floor.there_is(token)).await?;
    drop(floor);
    world.end().await?;
    Ok(run)
}

/// Applies tokens and waits until they are Ready; requests to the API server aside.
pub(super) async fn apply(world: &World, meter: &Meter, tokens: usize, each: impl Fn(&DynamicObject)) -> Result<Run> {
    let (watch, objects) = (Watch::start(world), world.grants(tokens)?);
    let (issues, calls) = (world.sim.calls(ISSUE), world.sim.total_calls());
    let began = Instant::now();
    let created = load::create(&world.tokens(), &objects, each).await?;
    watch.until_ready(tokens, WITHIN).await?;
    let wall = began.elapsed().as_secs_f64();
    let (cpu, peak_mib) = meter.read()?;
    Ok(Run {
        wall,
        cpu,
        peak_mib,
        each: Percentiles::of(watch.since(&created)),
        issues: world.sim.calls(ISSUE) - issues,
        shopify_calls: world.sim.total_calls() - calls,
        ..Run::default()
    })
}
