//! The log of calls: what was asked of which shop, never with what.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::operation::{Call, matches};

/// A call that reached the simulation. No header values, no bodies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedCall {
    /// Such as `oauth.clientCredentials`.
    pub operation: String,
    /// The `Host` asked.
    pub shop: String,
    /// The client id of the app that called: whose credentials came to the
    /// token endpoint, else whose token came. None if Shopify knows no such app.
    #[serde(default)]
    pub app: Option<String>,
    /// When it came in, in virtual time.
    pub at: DateTime<Utc>,
    /// The HTTP status answered; none while unanswered and if cut off.
    pub status: Option<u16>,
    /// The fault that struck.
    pub fault: Option<String>,
}

/// All calls, in the order in which they came in.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    calls: Vec<LoggedCall>,
}

impl CallLog {
    /// Writes a call down; the number names it.
    pub(crate) fn begin(&mut self, call: &Call, at: DateTime<Utc>, fault: Option<&'static str>) -> usize {
        self.calls.push(LoggedCall {
            operation: call.operation.clone(),
            shop: call.shop.clone(),
            app: call.app.clone(),
            at,
            status: None,
            fault: fault.map(str::to_owned),
        });
        self.calls.len() - 1
    }

    pub(crate) fn answered(&mut self, number: usize, status: u16) {
        if let Some(call) = self.calls.get_mut(number) {
            call.status = Some(status);
        }
    }

    pub(crate) fn all(&self) -> &[LoggedCall] {
        &self.calls
    }

    pub(crate) fn count(&self, operation: &str, counts: impl Fn(&LoggedCall) -> bool) -> u64 {
        let calls = self.calls.iter().filter(|call| matches(operation, &call.operation) && counts(call));
        calls.count() as u64
    }
}
