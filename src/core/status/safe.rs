//! Whether a person can revoke what was replaced, of a client of customer accounts: Shopify takes the old pair until then.

use super::{Conditions, Snapshot};
use crate::{
    api::{ShopifyToken, ShopifyTokenStatus, SourceKind},
    core::{
        condition::find,
        record::Record,
        vocabulary::{Reason, conditions},
    },
    time::{self, Timestamp},
};

/// What the condition says.
pub(super) struct Verdict {
    safe: bool,
    message: String,
}

impl Verdict {
    fn not_yet(message: impl Into<String>) -> Self {
        Self { safe: false, message: message.into() }
    }

    pub(super) fn set(&self, conditions: &mut Conditions<'_>) {
        let (status, reason) =
            if self.safe { ("True", Reason::NoTokenOnOldSecret) } else { ("False", Reason::TokensOnOldSecret) };
        conditions.set(conditions::SAFE_TO_REVOKE_OLD_SECRET, status, reason.as_str(), &self.message);
    }
}

/// What there is to say; `None` of other sources, and before anything was published.
pub(super) fn verdict(s: &Snapshot<'_>, before: &ShopifyTokenStatus) -> Option<Verdict> {
    if s.kind != SourceKind::CustomerAccount {
        return None;
    }
    let Some(record) = s.record else {
        let lost = "the Secret has lost what applications use, which is being restored: revoke nothing yet";
        return before.revision.map(|_| Verdict::not_yet(lost));
    };
    if s.unpublished {
        return Some(unpublished(record));
    }
    let until = record.previous.iter().map(|p| p.revoke_at).max();
    let what = until.map_or_else(
        || "no other pair: one that was replaced can be revoked in the Headless or Hydrogen channel".to_owned(),
        |at| {
            let at = time::print(at);
            format!("what it replaced, the latter until {at} and until the rollouts of rolloutRestartTargets are over")
        },
    );
    Some(Verdict { safe: until.is_none(), message: format!("{} and {what}", in_use(record)) })
}

fn in_use(record: &Record) -> String {
    let client = record.issuer.as_deref().unwrap_or_default();
    format!("applications use client {client} of revision {}", record.revision)
}

fn unpublished(record: &Record) -> Verdict {
    Verdict::not_yet(format!("{}: what the credentials Secret holds now isn't published yet", in_use(record)))
}

/// The status of an object whose client is about to be replaced, `record` being what applications have: nothing else of
/// it is another. `None` if it doesn't say that something can be revoked.
#[must_use]
pub fn not_yet_safe(token: &ShopifyToken, record: &Record, now: Timestamp) -> Option<ShopifyTokenStatus> {
    let before = token.status.as_ref()?;
    let said = find(&before.conditions, conditions::SAFE_TO_REVOKE_OLD_SECRET)?;
    if said.status != "True" {
        return None;
    }
    let mut all = Conditions { before, generation: token.metadata.generation, now, all: Vec::new() };
    unpublished(record).set(&mut all);
    let mut status = before.clone();
    status.conditions.retain(|condition| condition.type_ != conditions::SAFE_TO_REVOKE_OLD_SECRET);
    status.conditions.append(&mut all.all);
    Some(status)
}
