//! The operator starts in a cluster without tokens.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::bench::figures::{Figures, Run};
use crate::bench::meter::Meter;
use crate::bench::world::{World, stop};

pub(super) async fn run(name: String, operator: &Path) -> Result<Vec<Figures>> {
    let world = World::start(1).await?;
    let began = Instant::now();
    let process = world.operator("operator", operator, &[]).await?;
    let wall = began.elapsed().as_secs_f64();
    let (cpu, peak_mib) = Meter::start(process.process.id())?.read_since_start()?;
    stop(process).await?;
    world.end().await?;
    Ok(vec![Figures {
        scenario: name,
        tokens: 0,
        floor: None,
        as_much: None,
        operator: Run { wall, cpu, peak_mib, ..Run::default() },
    }])
}
