//! An operator that was away while thousands of credentials fell due, shops that hang, one that is throttled, and one that answers late
//! with much to do: a new token of another shop doesn't wait for them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use kube::api::DynamicObject;
use serde_json::json;
use shopify_sim::{Fault, FaultKind};
use tokio::time::{sleep, timeout};

use super::WITHIN;
use super::burst::ISSUE;
use crate::bench::count::Counts;
use crate::bench::figures::{Figures, Run};
use crate::bench::load;
use crate::bench::meter::Meter;
use crate::bench::percentiles::Percentiles;
use crate::bench::ready::Watch;
use crate::bench::world::{CLIENT_ID, World, shop, stop, token};

const LATENCY: Duration = Duration::from_millis(300);
const NEW: usize = 10;
/// Shops that are well.
const HEALTHY: usize = 100;
/// Of what falls due: renewed when a tenth of it has passed.
const LIFETIME: Duration = Duration::from_mins(10);

pub(super) async fn run(
    name: String,
    operator: &Path,
    hanging: usize,
    late: usize,
    due: usize,
) -> Result<Vec<Figures>> {
    // Those that hang come first, then the one that is late, the one that is throttled, and those that are well.
    let world = World::start(hanging + 2 + HEALTHY).await?;
    world.sim.set_token_lifetime(CLIENT_ID, LIFETIME)?;
    let (at_late, at_throttled) = (shop(hanging), shop(hanging + 1));
    let healthy = |n: usize| shop(hanging + 2 + n % HEALTHY);
    let mut process = world.operator("operator", operator, &[]).await?;
    let watch = Watch::start(&world);
    let renewed: Result<Vec<_>> = (0..due).map(|n| grant(&format!("due-{n}"), &healthy(n))).collect();
    load::create(&world.tokens(), &renewed?, |_| ()).await?;
    watch.until_ready(due, WITHIN).await?;
    if due > 0 {
        stop(process).await?;
        sleep(LIFETIME / 10).await;
        process = world.operator("operator", operator, &[]).await?;
    }
    for n in 0..hanging {
        world.sim.inject(Fault::new("*", FaultKind::Hang).shop(shop(n)));
    }
    world.sim.inject(Fault::new("*", FaultKind::DelayBefore(LATENCY)).shop(at_late.clone()));
    world.sim.inject(Fault::new("*", FaultKind::Throttled).shop(at_throttled.clone()));
    let (meter, before) = (Meter::start(process.process.id())?, Counts::read(process.admin).await?);
    let (issues, calls) = (world.sim.calls(ISSUE), world.sim.total_calls());
    let stuck = (0..hanging).map(|n| grant(&format!("hangs-{n}"), &shop(n)));
    let throttled = [grant("throttled", &at_throttled)].into_iter();
    let slow = (0..late).map(|n| grant(&format!("late-{n}"), &at_late));
    let objects: Result<Vec<_>> = stuck.chain(throttled).chain(slow).collect();
    load::create(&world.tokens(), &objects?, |_| ()).await?;
    let (began, mut all) = (Instant::now(), Vec::new());
    // Until it has listed what there is, everybody waits.
    until_issued(&world, issues + u64::try_from(due / 100)?).await?;
    for n in 0..NEW {
        let name = format!("new-{n}");
        let created = load::create(&world.tokens(), &[grant(&name, &healthy(n))?], |_| ()).await?;
        watch.ready_at(&name, WITHIN).await?;
        all.extend(watch.since(&created));
        sleep(Duration::from_millis(500)).await;
    }
    watch.until_ready(due + late + NEW, WITHIN).await?;
    until_issued(&world, issues + u64::try_from(due + late + NEW)?).await?;
    let wall = began.elapsed().as_secs_f64();
    let (cpu, peak_mib) = meter.read()?;
    let run = Run {
        wall,
        cpu,
        peak_mib,
        rest_mib: None,
        each: Percentiles::of(all),
        issues: world.sim.calls(ISSUE) - issues,
        shopify_calls: world.sim.total_calls() - calls,
        requests: Counts::read(process.admin).await?.since(&before),
    };
    world.sim.clear_faults();
    stop(process).await?;
    drop(watch);
    world.end().await?;
    Ok(vec![Figures { scenario: name, tokens: due + late + NEW, floor: None, as_much: None, operator: run }])
}

/// Waits until the simulated Shopify has issued so many.
async fn until_issued(world: &World, count: u64) -> Result<()> {
    let issued = async {
        while world.sim.calls(ISSUE) < count {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(WITHIN, issued).await.with_context(|| format!("after {WITHIN:?} not {count} credentials are issued"))
}

fn grant(name: &str, shop: &str) -> Result<DynamicObject> {
    let mut object = token(name, shop, &json!({"clientCredentials": {"appRef": {"name": "acme"}}}))?;
    object.data["spec"]["renewBeforePercentage"] = json!(90);
    Ok(object)
}
