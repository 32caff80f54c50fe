//! Faults: what goes wrong, where, and how often.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::operation::Call;

/// Something that goes wrong with calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// An operation such as `admin.storefrontAccessTokenCreate`, a family
    /// (`admin.*`), or `*`.
    pub operation: String,
    /// Only calls to this shop.
    #[serde(default)]
    pub shop: Option<String>,
    /// What goes wrong.
    pub kind: FaultKind,
    /// How often; for ever if absent.
    #[serde(default)]
    pub times: Option<u32>,
    /// How many matching calls pass before the first that goes wrong.
    #[serde(default)]
    pub skip: u32,
}

impl Fault {
    /// A fault of every call of an operation.
    #[must_use]
    pub fn new(operation: impl Into<String>, kind: FaultKind) -> Self {
        Self { operation: operation.into(), shop: None, kind, times: None, skip: 0 }
    }

    /// Only calls to this shop.
    #[must_use]
    pub fn shop(mut self, shop: impl Into<String>) -> Self {
        self.shop = Some(shop.into());
        self
    }

    /// Only so many calls.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Not the first so many calls.
    #[must_use]
    pub fn skip(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }
}

/// What goes wrong with a call. "Committed" means that Shopify's state has
/// changed as if all had gone well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The connection is closed before anything happens.
    RefuseBefore,
    /// Committed, then the connection is closed without an answer.
    CommitThenDrop,
    /// Committed at once, answered later.
    Delay(#[serde(with = "crate::duration")] Duration),
    /// Committed and answered later, even if the client has gone by then.
    DelayBefore(#[serde(with = "crate::duration")] Duration),
    /// This answer, and nothing happens.
    Status(StatusFault),
    /// Committed, then this answer: Cloudflare's 520 in place of the real one.
    StatusAfterCommit(StatusFault),
    /// The throttled answer of the API in question, and nothing happens.
    Throttled,
    /// Committed; 200 with a body that isn't JSON.
    Garbage,
    /// Committed; the connection is closed after half of the body.
    Truncated,
    /// Committed; a body that never ends.
    Endless,
    /// Accepted, never answered, and nothing happens.
    Hang,
    /// Committed, never answered.
    CommitThenHang,
}

impl FaultKind {
    /// The name as it stands in the call log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::RefuseBefore => "refuse_before",
            Self::CommitThenDrop => "commit_then_drop",
            Self::Delay(_) => "delay",
            Self::DelayBefore(_) => "delay_before",
            Self::Status(_) => "status",
            Self::StatusAfterCommit(_) => "status_after_commit",
            Self::Throttled => "throttled",
            Self::Garbage => "garbage",
            Self::Truncated => "truncated",
            Self::Endless => "endless",
            Self::Hang => "hang",
            Self::CommitThenHang => "commit_then_hang",
        }
    }
}

/// An answer in place of the real one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusFault {
    /// The HTTP status.
    pub code: u16,
    /// `Retry-After`, in seconds.
    #[serde(default)]
    pub retry_after: Option<u32>,
    /// The body; `{"errors":"…"}` if absent.
    #[serde(default)]
    pub body: Option<String>,
}

impl StatusFault {
    /// An answer with that status and a generic body.
    #[must_use]
    pub fn new(code: u16) -> Self {
        Self { code, ..Self::default() }
    }
}

/// How a call is cut off in a sweep over all calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutMode {
    /// Closed before anything happens.
    BeforeSend,
    /// Committed, then closed without an answer.
    AfterCommit,
    /// Committed, never answered.
    Timeout,
}

impl From<CutMode> for FaultKind {
    fn from(mode: CutMode) -> Self {
        match mode {
            CutMode::BeforeSend => Self::RefuseBefore,
            CutMode::AfterCommit => Self::CommitThenDrop,
            CutMode::Timeout => Self::CommitThenHang,
        }
    }
}

/// Names a fault, so that it can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(u64);

/// The faults in force, and the one cut of a sweep.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    last_id: u64,
    armed: Vec<(FaultId, Fault)>,
    cut: Option<(u64, CutMode)>,
    since_mark: u64,
}

impl Faults {
    pub(crate) fn arm(&mut self, fault: Fault) -> FaultId {
        self.last_id += 1;
        let id = FaultId(self.last_id);
        self.armed.push((id, fault));
        id
    }

    pub(crate) fn disarm(&mut self, id: FaultId) {
        self.armed.retain(|(armed, _)| *armed != id);
    }

    pub(crate) fn disarm_all(&mut self) {
        self.armed.clear();
        self.cut = None;
    }

    pub(crate) fn armed(&self) -> Vec<(FaultId, Fault)> {
        self.armed.clone()
    }

    /// Counts calls from zero again.
    pub(crate) fn mark(&mut self) {
        self.since_mark = 0;
        self.cut = None;
    }

    pub(crate) fn cut_nth(&mut self, n: u64, mode: CutMode) {
        self.mark();
        self.cut = Some((n, mode));
    }

    pub(crate) fn calls_since_mark(&self) -> u64 {
        self.since_mark
    }

    /// What goes wrong with this call, which is counted.
    pub(crate) fn strike(&mut self, call: &Call) -> Option<FaultKind> {
        let n = self.since_mark;
        self.since_mark += 1;
        if let Some((_, mode)) = self.cut.take_if(|(at, _)| *at == n) {
            return Some(mode.into());
        }
        for (_, fault) in &mut self.armed {
            let matches = call.is(&fault.operation) && fault.shop.as_ref().is_none_or(|shop| *shop == call.shop);
            if !matches || fault.times == Some(0) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if let Some(times) = &mut fault.times {
                *times -= 1;
            }
            return Some(fault.kind.clone());
        }
        None
    }
}
