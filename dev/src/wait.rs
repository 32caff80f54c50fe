//! Waiting for a child process to do its work.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::time::{Instant, sleep, timeout};

use crate::process::Process;

/// Generous: a machine that compiles at the same time is slow.
const WITHIN: Duration = Duration::from_mins(2);
const ATTEMPT_WITHIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until `check` succeeds; fails early when one of `processes` has ended.
pub(crate) async fn wait_until(
    what: &str,
    processes: &mut [&mut Process],
    mut check: impl AsyncFnMut() -> Result<()>,
) -> Result<()> {
    let deadline = Instant::now() + WITHIN;
    loop {
        let error = match timeout(ATTEMPT_WITHIN, check()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => anyhow!("no answer within {ATTEMPT_WITHIN:?}"),
        };
        for process in processes.iter_mut() {
            process.ensure_running()?;
        }
        if Instant::now() >= deadline {
            return Err(error).with_context(|| format!("waited {WITHIN:?} in vain until {what}"));
        }
        sleep(PAUSE).await;
    }
}
