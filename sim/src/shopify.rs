//! The platform behind the listener: state, clock, faults and call log together.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use http::StatusCode;

use crate::calls::CallLog;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::StartError;
use crate::fault::FaultKind;
use crate::faults::Faults;
use crate::operation::Call;
use crate::state::State;

/// The simulated Shopify. Clones are the same one.
#[derive(Clone)]
pub struct Shopify {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    state: Mutex<State>,
    faults: Mutex<Faults>,
    calls: Mutex<CallLog>,
}

/// Says nothing of the state: it is full of tokens.
impl fmt::Debug for Shopify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shopify").finish_non_exhaustive()
    }
}

impl Shopify {
    pub(crate) fn new(config: Config) -> Result<Self, StartError> {
        if let Some(canary) = &config.canary {
            let fits = (1..=24).contains(&canary.len());
            if !fits || !canary.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(StartError::Canary);
            }
        }
        if config.api_versions.is_empty() {
            return Err(StartError::NoApiVersion);
        }
        let mut state = State {
            switches: config.switches,
            api_versions: config.api_versions,
            canary: config.canary,
            ..State::default()
        };
        for shop in config.shops {
            state.put_shop(shop);
        }
        for app in config.apps {
            state.put_app(app)?;
        }
        Ok(Self {
            inner: Arc::new(Inner {
                clock: Clock::new(),
                state: Mutex::new(state),
                faults: Mutex::default(),
                calls: Mutex::default(),
            }),
        })
    }

    /// The clock everything here goes by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Now, in virtual time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.inner.clock.now()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.inner.state)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.inner.faults)
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, CallLog> {
        lock(&self.inner.calls)
    }

    /// Takes a call in: its number in the log, and the fault that strikes it.
    pub(crate) fn begin(&self, call: &Call) -> (usize, Option<FaultKind>) {
        let fault = self.faults().strike(call);
        let name = fault.as_ref().map(FaultKind::name);
        let number = self.log().begin(call, self.now(), name);
        (number, fault)
    }

    pub(crate) fn answered(&self, number: usize, call: &Call, status: StatusCode) {
        tracing::debug!(operation = call.operation, shop = call.shop, status = status.as_u16(), "answered");
        self.log().answered(number, status.as_u16());
    }
}

/// A panic in one call must not take the others down.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
