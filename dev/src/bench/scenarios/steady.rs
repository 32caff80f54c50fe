//! Tokens of short lives, applied evenly or all at once: how late each renewal is, and what it costs.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::WITHIN;
use super::burst::ISSUE;
use crate::bench::count::{Counts, until_quiet};
use crate::bench::figures::{Figures, Run};
use crate::bench::load;
use crate::bench::meter::Meter;
use crate::bench::percentiles::Percentiles;
use crate::bench::ready::Watch;
use crate::bench::world::{CLIENT_ID, World, stop};

/// Renewed when a third of it is left.
const LIFETIME: Duration = Duration::from_mins(1);

/// How they are applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Applied {
    /// Evenly over half a life: the first are due when all are there.
    Evenly,
    /// All at once, and so they are due.
    AtOnce,
}

pub(super) async fn run(
    name: String,
    operator: &Path,
    tokens: usize,
    seconds: u64,
    applied: Applied,
) -> Result<Vec<Figures>> {
    let world = World::start(100).await?;
    world.sim.set_token_lifetime(CLIENT_ID, LIFETIME)?;
    let process = world.operator("operator", operator, &[]).await?;
    let over = if applied == Applied::Evenly { LIFETIME / 2 } else { Duration::ZERO };
    let first = Watch::start(&world);
    load::spread(&world.tokens(), &world.grants(tokens)?, over, |_| ()).await?;
    first.until_ready(tokens, WITHIN).await?;
    drop(first);
    let (watch, meter) = (Watch::start(&world), Meter::start(process.process.id())?);
    let before = match applied {
        Applied::Evenly => Counts::read(process.admin).await?,
        // What is written behind belongs to the first issue.
        Applied::AtOnce => until_quiet(process.admin, Duration::from_secs(1)).await?,
    };
    let (issues, calls) = (world.sim.calls(ISSUE), world.sim.total_calls());
    let began = Instant::now();
    // The first are due after two thirds of the life.
    tokio::time::sleep(LIFETIME * 2 / 3 + Duration::from_secs(seconds)).await;
    let (cpu, peak_mib) = meter.read()?;
    let run = Run {
        wall: began.elapsed().as_secs_f64(),
        cpu,
        peak_mib,
        rest_mib: None,
        each: Percentiles::of(watch.late()),
        issues: world.sim.calls(ISSUE) - issues,
        shopify_calls: world.sim.total_calls() - calls,
        requests: Counts::read(process.admin).await?.since(&before),
    };
    let renewed = watch.late().len();
    stop(process).await?;
    drop(watch);
    world.end().await?;
    Ok(vec![Figures { scenario: name, tokens: renewed, floor: None, as_much: None, operator: run }])
}
