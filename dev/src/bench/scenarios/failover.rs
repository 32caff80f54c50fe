//! The leader is killed: until the other one does its work.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::WITHIN;
use super::burst::apply;
use crate::bench::figures::{Figures, Run};
use crate::bench::load;
use crate::bench::meter::Meter;
use crate::bench::percentiles::Percentiles;
use crate::bench::ready::Watch;
use crate::bench::world::{World, shop, stop, token};

pub(super) async fn run(name: String, operator: &Path, tokens: usize) -> Result<Vec<Figures>> {
    let world = World::start(100).await?;
    let mut leader = world.operator("operator", operator, &[]).await?;
    let other = world.operator("standby", operator, &[]).await?;
    apply(&world, &Meter::start(leader.process.id())?, tokens, |_| ()).await?;
    let (watch, meter) = (Watch::start(&world), Meter::start(other.process.id())?);
    leader.process.kill()?;
    let began = Instant::now();
    let source = json!({"clientCredentials": {"appRef": {"name": "acme"}}});
    load::create(&world.tokens(), &[token("new", &shop(0), &source)?], |_| ()).await?;
    watch.ready_at("new", WITHIN).await?;
    let took = began.elapsed();
    let (cpu, peak_mib) = meter.read()?;
    let run = Run { wall: took.as_secs_f64(), cpu, peak_mib, each: Percentiles::of(vec![took]), ..Run::default() };
    stop(other).await?;
    drop(watch);
    world.end().await?;
    Ok(vec![Figures { scenario: name, tokens, floor: None, as_much: None, operator: run }])
}
