//! Shops that hang, and one that answers late with much to do: a new token of another shop doesn't wait for them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use shopify_sim::{Fault, FaultKind};

use super::WITHIN;
use crate::bench::count::Counts;
use crate::bench::figures::{Figures, Run};
use crate::bench::load;
use crate::bench::meter::Meter;
use crate::bench::percentiles::Percentiles;
use crate::bench::ready::Watch;
use crate::bench::world::{World, shop, stop, token};

const LATENCY: Duration = Duration::from_millis(300);
const NEW: usize = 10;

pub(super) async fn run(name: String, operator: &Path, hanging: usize, late: usize) -> Result<Vec<Figures>> {
    // The shop after those that hang is late, the next one healthy.
    let world = World::start(hanging + 2).await?;
    for n in 0..hanging {
        world.sim.inject(Fault::new("*", FaultKind::Hang).shop(shop(n)));
    }
    world.sim.inject(Fault::new("*", FaultKind::DelayBefore(LATENCY)).shop(shop(hanging)));
    let process = world.operator("operator", operator, &[]).await?;
    let (meter, before) = (Meter::start(process.process.id())?, Counts::read(process.admin).await?);
    let watch = Watch::start(&world);
    let source = json!({"clientCredentials": {"appRef": {"name": "acme"}}});
    let stuck: Result<Vec<_>> = (0..hanging).map(|n| token(&format!("hangs-{n}"), &shop(n), &source)).collect();
    let slow: Result<Vec<_>> = (0..late).map(|n| token(&format!("late-{n}"), &shop(hanging), &source)).collect();
    load::create(&world.tokens(), &[stuck?, slow?].concat(), |_| ()).await?;
    let (began, mut all) = (Instant::now(), Vec::new());
    for n in 0..NEW {
        let name = format!("new-{n}");
        let created = load::create(&world.tokens(), &[token(&name, &shop(hanging + 1), &source)?], |_| ()).await?;
        watch.ready_at(&name, WITHIN).await?;
        all.extend(watch.since(&created));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    watch.until_ready(late + NEW, WITHIN).await?;
    let wall = began.elapsed().as_secs_f64();
    let (cpu, peak_mib) = meter.read()?;
    let run = Run {
        wall,
        cpu,
        peak_mib,
        rest_mib: None,
        each: Percentiles::of(all),
        issues: 0,
        shopify_calls: world.sim.total_calls(),
        requests: Counts::read(process.admin).await?.since(&before),
    };
    world.sim.clear_faults();
    stop(process).await?;
    drop(watch);
    world.end().await?;
    Ok(vec![Figures { scenario: name, tokens: late + NEW, floor: None, operator: run }])
}
