//! What can go wrong with calls, where, and how often.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::operation::{Call, Surface};

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
    /// Only calls to this part of Shopify.
    #[serde(default)]
    pub surface: Option<Surface>,
    /// Only calls of the app with this client id: with its credentials at the
    /// token endpoint, else with a token of it.
    #[serde(default)]
    pub app: Option<String>,
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
        Self { operation: operation.into(), shop: None, surface: None, app: None, kind, times: None, skip: 0 }
    }

    /// A fault of every call to a part of Shopify.
    #[must_use]
    pub fn on(surface: Surface, kind: FaultKind) -> Self {
        Self { surface: Some(surface), ..Self::new("*", kind) }
    }

    /// Only calls to this shop.
    #[must_use]
    pub fn shop(mut self, shop: impl Into<String>) -> Self {
        self.shop = Some(shop.into());
        self
    }

    /// Only calls of the app with this client id.
    #[must_use]
    pub fn app(mut self, client_id: impl Into<String>) -> Self {
        self.app = Some(client_id.into());
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

    pub(crate) fn is_for(&self, call: &Call) -> bool {
        call.is(&self.operation)
            && self.shop.as_ref().is_none_or(|shop| *shop == call.shop)
            && self.surface.is_none_or(|surface| call.surface() == Some(surface))
            && self.app.as_ref().is_none_or(|app| call.app.as_ref() == Some(app))
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
    /// The TCP connection is reset before anything happens. Other calls on it
    /// end as well.
    Reset,
    /// HTTP/2: the stream is refused (`REFUSED_STREAM`), and nothing happens.
    /// HTTP/1: as `RefuseBefore`.
    RefusedStream,
    /// HTTP/2: the connection is said to end (`GOAWAY`), the stream is refused,
    /// and nothing happens; other streams are answered to their end. HTTP/1:
    /// as `RefuseBefore`.
    GoAway,
    /// A page of something between client and Shopify, and nothing happens.
    Page(PageFault),
    /// Committed; the real answer, if it is JSON, with these edits.
    Edited(Vec<Edit>),
    /// Committed; the real answer compressed with gzip, asked for or not.
    Gzip,
    /// Committed; the real answer after a byte order mark of UTF-8.
    Bom,
}

impl FaultKind {
    /// The real answer with null at a JSON pointer, such as
    /// `/data/currentAppInstallation`.
    #[must_use]
    pub fn null(at: impl Into<String>) -> Self {
        Self::Edited(vec![Edit::Set { at: at.into(), to: Value::Null }])
    }

    /// The real answer without what a JSON pointer points to.
    #[must_use]
    pub fn without(at: impl Into<String>) -> Self {
        Self::Edited(vec![Edit::Remove(at.into())])
    }

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
            Self::Reset => "reset",
            Self::RefusedStream => "refused_stream",
            Self::GoAway => "go_away",
            Self::Page(_) => "page",
            Self::Edited(_) => "edited",
            Self::Gzip => "gzip",
            Self::Bom => "bom",
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

/// A page in place of the real answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageFault {
    /// The HTTP status: any, 200 too.
    pub code: u16,
    /// Whose page it is.
    pub page: Page,
}

impl PageFault {
    /// A page with that status.
    #[must_use]
    pub fn new(code: u16, page: Page) -> Self {
        Self { code, page }
    }
}

/// Whose page stands in place of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// Cloudflare's challenge in front of Shopify, in HTML.
    BotWall,
    /// A proxy's between client and Shopify, in HTML.
    Proxy,
    /// The status in words, as plain text.
    PlainText,
}

/// A change of a JSON answer. Where its pointer leads nowhere, the answer
/// stays as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    /// Another value, or one where there was none.
    Set {
        /// A JSON pointer (RFC 6901).
        at: String,
        /// The value.
        to: Value,
    },
    /// Without what this JSON pointer points to.
    Remove(String),
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
