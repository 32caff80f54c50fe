//! Among many Ready tokens: nothing happens for a while, new ones come one at a time, the operator starts over.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use kube::api::{DeleteParams, DynamicObject};

use super::WITHIN;
use super::burst::{ISSUE, apply};
use crate::bench::contents::Contents;
use crate::bench::count::{Counts, until_quiet};
use crate::bench::figures::{Figures, Run};
use crate::bench::floor::Running;
use crate::bench::load;
use crate::bench::meter::Meter;
use crate::bench::percentiles::Percentiles;
use crate::bench::ready::Watch;
use crate::bench::world::{World, shop, stop, token};

const SHOPS: usize = 100;
/// What the names of the floor's tokens begin with.
const FLOOR: &str = "floor";
/// Without a reconcile for this long all is done.
const QUIET: Duration = Duration::from_secs(2);

pub(super) async fn run(operator: &Path, tokens: usize, seconds: u64, added: usize) -> Result<Vec<Figures>> {
    let world = World::start(SHOPS).await?;
    let mut process = world.operator("operator", operator, &[]).await?;
    let meter = Meter::start(process.process.id())?;
    apply(&world, &meter, tokens, |_| ()).await?;
    until_quiet(process.admin, QUIET).await?;

    let nothing = idle(&world, process.process.id(), process.admin, seconds).await?;
    let one_by_one = one_by_one(&world, &process, added).await?;
    let by_floor = one_by_one_by_floor(&world, added).await?;
    // What the operator would see at its start isn't of its own making.
    for n in 0..added {
        world.tokens().delete(&format!("{FLOOR}-{n}"), &DeleteParams::default()).await?;
    }
    // Its app counts them a millisecond for each after the last.
    until_quiet(process.admin, QUIET + Duration::from_millis(u64::try_from(tokens)?)).await?;

    stop(process).await?;
    let calls = (world.sim.calls(ISSUE), world.sim.total_calls());
    let began = Instant::now();
    process = world.operator("operator", operator, &[]).await?;
    let wall = began.elapsed().as_secs_f64();
    let meter = Meter::start(process.process.id())?;
    let counts = until_quiet(process.admin, QUIET).await?;
    let quiet = began.elapsed().saturating_sub(QUIET).as_secs_f64();
    let (cpu, peak_mib) = meter.read_since_start()?;
    let restart = Run {
        wall,
        cpu,
        peak_mib,
        rest_mib: None,
        each: Percentiles { p50: quiet, p99: quiet, max: quiet },
        issues: world.sim.calls(ISSUE) - calls.0,
        shopify_calls: world.sim.total_calls() - calls.1,
        requests: counts.since(&Counts::default()),
    };
    stop(process).await?;
    world.end().await?;
    let figures = |scenario: &str, tokens, floor, operator| Figures {
        scenario: scenario.to_owned(),
        tokens,
        floor,
        as_much: None,
        operator,
    };
    Ok(vec![
        figures("idle", tokens, None, nothing),
        figures("one among many", added, Some(by_floor), one_by_one),
        figures("restart", tokens, None, restart),
    ])
}

async fn idle(world: &World, pid: u32, admin: SocketAddr, seconds: u64) -> Result<Run> {
    let (meter, before) = (Meter::start(pid)?, Counts::read(admin).await?);
    let calls = world.sim.total_calls();
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (cpu, peak_mib) = meter.read()?;
    Ok(Run {
        wall: began.elapsed().as_secs_f64(),
        cpu,
        peak_mib,
        rest_mib: Some(meter.resident()?),
        shopify_calls: world.sim.total_calls() - calls,
        requests: Counts::read(admin).await?.since(&before),
        ..Run::default()
    })
}

async fn one_by_one(world: &World, process: &crate::operator::Operator, added: usize) -> Result<Run> {
    let (meter, before) = (Meter::start(process.process.id())?, Counts::read(process.admin).await?);
    let mut run = each_alone(world, &meter, "new", added, |_| ()).await?;
    run.requests = Counts::read(process.admin).await?.since(&before);
    Ok(run)
}

/// The floor's tokens are suspended: the operator has nothing to do with them.
async fn one_by_one_by_floor(world: &World, added: usize) -> Result<Run> {
    let floor = Running::start(world, &Contents::Least).await?;
    let meter = Meter::start(floor.pid)?;
    each_alone(world, &meter, FLOOR, added, |token| floor.there_is(token)).await
}

async fn each_alone(
    world: &World,
    meter: &Meter,
    prefix: &str,
    added: usize,
    each: impl Fn(&DynamicObject),
) -> Result<Run> {
    let watch = Watch::start(world);
    let (issues, calls) = (world.sim.calls(ISSUE), world.sim.total_calls());
    let (began, mut all) = (Instant::now(), Vec::new());
    for n in 0..added {
        let (name, shop) = (format!("{prefix}-{n}"), shop(n % SHOPS));
        let mut object = token(&name, &shop, &serde_json::json!({"clientCredentials": {"appRef": {"name": "acme"}}}))?;
        if prefix == FLOOR {
            object.data["spec"]["suspend"] = serde_json::json!(true);
        }
        let created = load::create(&world.tokens(), &[object], &each).await?;
        watch.ready_at(&name, WITHIN).await?;
        all.extend(watch.since(&created));
    }
    let (cpu, peak_mib) = meter.read()?;
    Ok(Run {
        wall: began.elapsed().as_secs_f64(),
        cpu,
        peak_mib,
        each: Percentiles::of(all),
        issues: world.sim.calls(ISSUE) - issues,
        shopify_calls: world.sim.total_calls() - calls,
        ..Run::default()
    })
}
