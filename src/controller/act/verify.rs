//! Asks Shopify whether the credential is what we think it is, and corrects the record.

use super::{
    issue,
    publish::{publish, replaced_version},
    refused,
};
use crate::{
    controller::{
        context::Context,
        error::Error,
        key::ObjectKey,
        outcome::{Acted, News, Operation, Outcome},
    },
    core::{record::Record, vocabulary::EventReason},
    sources::{self, Seen, Turn},
};

/// Verifies the credential.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn verify(context: &Context, turn: &Turn<'_>) -> Result<Acted, Error> {
    let observed = turn.observed;
    let Some(whole) = observed.whole() else { return Ok(Acted::quietly(Outcome::Unchanged)) };
    let (scopes, strays, served) = match sources::verify(turn, &whole).await {
        Ok(Seen::Working { scopes, strays, served }) => (scopes, strays, served),
        Ok(Seen::Moved(issued)) => {
            let told =
                (EventReason::Rotated, "published anew, because the shop serves its customer accounts elsewhere");
            return issue::put(context, observed, &issued, None, told).await;
        }
        Ok(Seen::Doubtful(doubt)) => {
            context.suspects.put(ObjectKey::of(&observed.identity), doubt);
            return Ok(Acted::quietly(Outcome::Unchanged));
        }
        Err(refusal) => return Ok(refused(context, observed, refusal, Operation::Verify)),
    };
    context.suspects.remove(&ObjectKey::of(&observed.identity));
    let previous = strays.into_iter().chain(whole.record.previous.iter().cloned()).collect();
    // What was there before the object is its own from here on.
    let token = observed.identity.clone();
    let seen = Record { token, scopes, previous, ..whole.record.clone() };
    let put_back = observed.put_back();
    // What applications hold is newer than what is in the Secret by now: to them this is another one.
    let next = observed.next_revision();
    let seen = if put_back { Record { revision: next, rollout: Some(next), ..seen } } else { seen };
    let seen = match &served {
        Some(served) => seen.answered(&observed.api_version, Some(served)),
        None => seen,
    };
    if seen == *whole.record {
        return Ok(Acted::quietly(Outcome::Verified));
    }
    match publish(context, observed, Some(whole.live), seen, whole.value, whole.beside()).await {
        Ok(written) => {
            let replaced = replaced_version(&written.record, Some(whole.record));
            let mut acted = Acted::published(written.record, true);
            acted.news.extend(replaced);
            if put_back {
                let (old, kept) = (whole.record.revision, "what was published since is in overlap");
                let note =
                    format!("the Secret held revision {old} again, which Shopify confirms: revision {next}; {kept}");
                acted.news.push(News::of(EventReason::Repaired, note));
            }
            Ok(acted)
        }
        Err(stop) => Acted::unwritten(stop),
    }
}
