//! Processor time and memory of another process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::task::JoinHandle;
use tokio::time::sleep;

const EVERY: Duration = Duration::from_millis(100);
const MIB: f64 = 1024.0 * 1024.0;

/// Measures a process from its start on.
#[derive(Debug)]
pub(super) struct Meter {
    pid: Pid,
    cpu_before: Duration,
    peak: Arc<AtomicU64>,
    sampling: JoinHandle<()>,
}

impl Meter {
    pub(super) fn start(pid: u32) -> Result<Self> {
        let pid = Pid::from_u32(pid);
        let (cpu_before, memory) = look(&mut System::new(), pid).context("the process is gone")?;
        let peak = Arc::new(AtomicU64::new(memory));
        let highest = Arc::clone(&peak);
        let sampling = tokio::spawn(async move {
            let mut system = System::new();
            while let Some((_, memory)) = look(&mut system, pid) {
                highest.fetch_max(memory, Ordering::Relaxed);
                sleep(EVERY).await;
            }
        });
        Ok(Self { pid, cpu_before, peak, sampling })
    }

    /// As [`Meter::read`], since the process began.
    pub(super) fn read_since_start(&self) -> Result<(f64, f64)> {
        let (cpu, peak) = self.read()?;
        Ok((cpu + self.cpu_before.as_secs_f64(), peak))
    }

    /// What is resident now, in MiB.
    pub(super) fn resident(&self) -> Result<f64> {
        let (_, memory) = look(&mut System::new(), self.pid).context("the process is gone")?;
        Ok(mib(memory))
    }

    /// Seconds of processor time since the start, and the most memory (MiB) that was resident.
    pub(super) fn read(&self) -> Result<(f64, f64)> {
        let (cpu, memory) = look(&mut System::new(), self.pid).context("the process is gone")?;
        let peak = self.peak.fetch_max(memory, Ordering::Relaxed).max(memory);
        Ok((cpu.saturating_sub(self.cpu_before).as_secs_f64(), mib(peak)))
    }
}

#[allow(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.sampling.abort();
    }
}

/// Processor time since the process began, and the memory (bytes) that is resident.
fn look(system: &mut System, pid: Pid) -> Option<(Duration, u64)> {
    let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    let process = system.process(pid)?;
    Some((Duration::from_millis(process.accumulated_cpu_time()), process.memory()))
}
