//! Leader election on a Lease, so that one instance works at a time.
//!
//! Every write carries the `resourceVersion` that was read, so of two candidates one wins. Whether a holder is dead
//! is told by how long its record hasn't changed on the observer's own monotonic clock, never by comparing clocks.

mod error;
mod identity;
mod verdict;

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, Client, api::ObjectMeta, api::PostParams};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::identity::{host, identity};
pub use self::{
    error::{Error, Lost},
    verdict::{Verdict, evaluate},
};
use crate::{clock::Clock, core::vocabulary::OPERATOR};

/// Limit of a release altogether: a pod that stops has no more.
const RELEASE: Duration = Duration::from_secs(3);

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A record that hasn't changed for so long is anyone's.
    pub lease: Duration,
    /// A holder that couldn't renew for so long gives up.
    pub renew: Duration,
    /// Pause between two rounds.
    pub retry: Duration,
    /// Limit of each call.
    pub call: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew: Duration::from_secs(10),
            retry: Duration::from_secs(2),
            call: Duration::from_secs(5),
        }
    }
}

/// One instance that wants to hold the lease, or does.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    me: String,
    clock: Clock,
    timing: Timing,
    /// The record last read, and since when it hasn't changed.
    seen: Option<(LeaseSpec, Instant)>,
    /// The lease as this candidate last wrote it; `None` when it must be read first.
    written: Option<Lease>,
    /// Whether a write was ever sent: it may have come through, whatever was answered.
    claimed: bool,
    /// When the last write that succeeded was sent.
    renewed_at: Instant,
}

impl Candidate {
    /// A candidate for the lease `name` in `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, clock: Clock) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            me: identity(),
            clock,
            timing: Timing::default(),
            seen: None,
            written: None,
            claimed: false,
            renewed_at: Instant::now(),
        }
    }

    /// The same with another timing, for tests.
    #[must_use]
    pub fn with_timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    /// What the lease's `holderIdentity` is while this candidate holds it.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.me
    }

    /// Returns once the lease is held. Failures are logged and tried again: RBAC may come later than the operator.
    pub async fn acquire(&mut self) {
        loop {
            let pause = match self.round().await {
                Ok(None) => {
                    tracing::info!(lease = self.name, identity = self.me, "acquired the lease");
                    return;
                }
                Ok(Some(until)) => {
                    let left = until.saturating_duration_since(Instant::now());
                    left.min(self.timing.retry)
                }
                Err(error) => {
                    self.report(&error, "the lease can't be acquired");
                    self.timing.retry
                }
            };
            sleep(pause).await;
        }
    }

    /// Takes the lease from whoever holds it, and says how long to wait until that one has surely stopped.
    ///
    /// A holder on this host isn't pushed aside: it may be the process whose container this command runs in, and
    /// would take the command with it when it stops. Should it be dead, its lease is taken when it has run out.
    ///
    /// # Errors
    /// Of Kubernetes, and when the holder runs on this host.
    pub async fn take_over(&mut self) -> Result<Duration, Error> {
        let patience = Instant::now() + self.timing.lease + 2 * self.timing.retry;
        loop {
            let lease = self.call(self.api.get_opt(&self.name)).await?;
            let record = lease.as_ref().and_then(|l| l.spec.clone()).unwrap_or_default();
            let holder = record.holder_identity.clone().unwrap_or_default();
            let lives = self.waits(&record).is_some();
            if lives && host(&holder) == host(&self.me) {
                if Instant::now() > patience {
                    return Err(Error::SameHost(holder));
                }
                sleep(self.timing.retry).await;
                continue;
            }
            match self.write(lease).await {
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
                Ok(()) if lives => {
                    tracing::info!(lease = self.name, holder, "took the lease from the running operator");
                    return Ok(self.timing.renew);
                }
                Ok(()) => return Ok(Duration::ZERO),
            }
        }
    }

    /// Holds the lease for so long from now on, without renewing it: nobody works meanwhile. Where another holds it by now
    /// it stays theirs.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub async fn leave_for(&mut self, time: Duration) -> Result<(), Error> {
        self.timing.lease = time;
        self.round().await.map(drop)
    }

    /// Renews the lease and returns once it is lost: then all work has to stop at once.
    pub async fn keep(&mut self) -> Lost {
        loop {
            sleep(self.timing.retry).await;
            let deadline = self.renewed_at + self.timing.renew;
            match timeout_at(deadline, self.renew()).await {
                Ok(Ok(())) => {}
                Ok(Err(lost)) => return lost,
                Err(_) => return Lost::NotRenewed,
            }
        }
    }

    async fn renew(&mut self) -> Result<(), Lost> {
        loop {
            match self.round().await {
                Ok(None) => return Ok(()),
                Ok(Some(_)) => return Err(Lost::Taken),
                Err(error) => self.report(&error, "the lease can't be renewed"),
            }
            sleep(self.timing.retry).await;
        }
    }

    /// Gives the lease up, if it is held, so that another instance needn't wait.
    pub async fn release(&mut self) -> Result<(), Error> {
        if !self.claimed {
            return Ok(());
        }
        timeout(RELEASE, self.give_up()).await.unwrap_or(Err(Error::Silence(RELEASE)))
    }

    async fn give_up(&mut self) -> Result<(), Error> {
        self.written = None; // A write may have been cut off: only the API server knows.
        loop {
            let Some(mut lease) = self.call(self.api.get_opt(&self.name)).await? else {
                return Ok(());
            };
            let record = lease.spec.get_or_insert_default();
            if record.holder_identity.as_deref() != Some(self.me.as_str()) {
                return Ok(());
            }
            record.holder_identity = Some(String::new());
            record.lease_duration_seconds = Some(1);
            record.renew_time = Some(now(&self.clock));
            match self.replace(&lease).await {
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    tracing::info!(lease = self.name, "gave up the lease");
                    return Ok(());
                }
            }
        }
    }

    /// Takes or renews the lease: `None` when it is held now, else until when another holds it.
    async fn round(&mut self) -> Result<Option<Instant>, Error> {
        let current = match self.written.take() {
            Some(lease) => Some(lease),
            None => self.call(self.api.get_opt(&self.name)).await?,
        };
        let record = current.as_ref().and_then(|l| l.spec.clone()).unwrap_or_default();
        if let Some(until) = self.waits(&record) {
            return Ok(Some(until));
        }
        self.write(current).await?;
        Ok(None)
    }

    /// Until when another holds the lease, if one does.
    fn waits(&mut self, record: &LeaseSpec) -> Option<Instant> {
        let observed_at = self.observe(record);
        match evaluate(record, &self.me, observed_at, Instant::now()) {
            Verdict::Held | Verdict::Takeable => None,
            Verdict::Wait(until) => Some(until),
        }
    }

    /// Writes this candidate into the lease, on top of the version read.
    async fn write(&mut self, current: Option<Lease>) -> Result<(), Error> {
        let exists = current.is_some();
        let lease = self.claim(current.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: None,
        }));
        let sent_at = Instant::now();
        let written = if exists {
            self.replace(&lease).await?
        } else {
            self.call(self.api.create(&parameters(), &lease)).await?
        };
        self.written = Some(written);
        self.renewed_at = sent_at;
        Ok(())
    }

    /// Since when `record` hasn't changed.
    fn observe(&mut self, record: &LeaseSpec) -> Instant {
        match &self.seen {
            Some((seen, since)) if seen == record => *since,
            _ => {
                let holder = record.holder_identity.as_deref().unwrap_or_default();
                let before = self.seen.as_ref().and_then(|(seen, _)| seen.holder_identity.as_deref());
                if ![before.unwrap_or_default(), "", &self.me].contains(&holder) {
                    tracing::info!(lease = self.name, holder, "another instance holds the lease");
                }
                let now = Instant::now();
                self.seen = Some((record.clone(), now));
                now
            }
        }
    }

    /// The lease as it is to be while this candidate holds it.
    fn claim(&mut self, mut lease: Lease) -> Lease {
        self.claimed = true;
        let now = now(&self.clock);
        let record = lease.spec.get_or_insert_default();
        if record.holder_identity.as_deref() != Some(self.me.as_str()) {
            let transitions = record.lease_transitions.map_or(0, |n| n.saturating_add(1));
            record.lease_transitions = Some(transitions);
            record.acquire_time = Some(now.clone());
            record.holder_identity = Some(self.me.clone());
        }
        record.lease_duration_seconds = i32::try_from(self.timing.lease.as_secs()).ok();
        record.renew_time = Some(now);
        lease
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, Error> {
        self.call(self.api.replace(&self.name, &parameters(), lease)).await
    }

    async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
        match timeout(self.timing.call, call).await {
            Ok(answer) => answer.map_err(|e| Error::Kubernetes(Box::new(e))),
            Err(_) => Err(Error::Silence(self.timing.call)),
        }
    }

    fn report(&self, error: &Error, what: &'static str) {
        if error.is_conflict() {
            tracing::debug!(lease = self.name, "another instance was faster");
        } else {
            tracing::warn!(lease = self.name, %error, "{what}");
        }
    }
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() }
}

/// For people who look at the lease; no decision depends on it.
fn now(clock: &Clock) -> MicroTime {
    let micros = clock.now().timestamp_micros();
    MicroTime(jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
pub(crate) mod tests;
