//! Obtains a credential and publishes it: in this order, whatever its source.

use k8s_openapi::api::core::v1::Secret;

use super::{
    Permit, pair,
    publish::{Written, live, publish, replaced_version},
    refused, unpublished,
};
use crate::{
    api::SourceKind,
    controller::{
        context::Context,
        error::{Error, Stop},
        kept::Unpublished,
        key::ObjectKey,
        outcome::{Acted, News, Operation, Outcome},
        report::report_not_yet_safe,
    },
    core::{
        condition::is_rejected,
        credential::Credential,
        failure::Failure,
        keeper::Keeper,
        observed::{Doubt, Observed},
        plan::{Why, unpublishable},
        record::Record,
        renewal,
        vocabulary::EventReason,
    },
    sources::{self, Issued, Origin, Refused, Target, Turn, UnlessWritten},
};

/// Obtains a credential and publishes it. Others have the permit as soon as what can't be had again is written, unless many are
/// being published.
///
/// # Errors
/// Of Kubernetes. What Shopify refuses is in the outcome.
pub(super) async fn issue(
    context: &Context,
    turn: &Turn<'_>,
    why: Why,
    permit: &mut Permit<'_>,
) -> Result<Acted, Error> {
    let observed = turn.observed;
    let in_hand = match unpublished::take(context, turn).await {
        Ok(in_hand) => in_hand,
        Err(refusal) => return Ok(refused(context, observed, refusal, Operation::Revoke)),
    };
    let issued = match in_hand {
        Some(issued) => issued,
        None => match sources::issue(turn, why).await {
            Ok(issued) => issued,
            Err(refusal) => {
                if let (Refused::CodeDead(failure), Some(keeper)) = (&refusal, observed.keeper()) {
                    if let Err(stop) = pair::forget(context, observed, keeper, failure).await {
                        return Acted::unwritten(stop);
                    }
                    // Anybody can bring a code that is none: what lives suffers nothing for it.
                    let unsigned = matches!(keeper, Keeper::Session(..));
                    if unsigned && keeper.pair().is_some_and(|pair| pair.lives(context.now())) {
                        let refused = Acted::quietly(Outcome::CodeRefused(failure.clone()));
                        return Ok(refused.warning(EventReason::IssueFailed, failure));
                    }
                }
                return Ok(refused(context, observed, refusal, Operation::Issue));
            }
        },
    };
    let me = &observed.identity;
    let mut recorded = None;
    if let (Some(renewed), Some(keeper)) = (&issued.renewed, observed.keeper()) {
        match pair::record(context, observed, keeper, renewed).await {
            Ok(written) => recorded = Some(written),
            Err(stop) => return Acted::unwritten(stop),
        }
    }
    // Nothing can be created in a namespace that goes.
    let goes = observed.token.metadata.deletion_timestamp.is_some() && live(observed).is_none();
    if goes || unpublishable(observed).is_some() {
        let record = observed.token.record_secret().unwrap_or_default();
        let note = format!("another one came, and is kept in Secret {record:?}: it can't be published now");
        return Ok(Acted::quietly(Outcome::Kept).with(EventReason::Renewed, note));
    }
    if let Some(failure) = observed.lacks_scopes(&issued.credential.scopes) {
        // One that was kept from before must not be tried again: the next one may have the scope.
        context.unpublished.remove(&me.uid);
        return Ok(withdraw(context, turn, &issued, failure).await);
    }
    let beside = context.publishing.free(turn.shop);
    if beside.is_some() {
        permit.give_back();
    }
    put(context, observed, &issued, recorded, told(observed.kind, why, issued.origin)).await
}

/// An event of a credential that was published, without its revision.
type Told = (EventReason, &'static str);

/// Publishes a credential that is in hand, and tells of it unless it is the one that was there. `recorded` is the record
/// Secret, if it was written for it.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn put(
    context: &Context,
    observed: &Observed,
    issued: &Issued,
    recorded: Option<Secret>,
    told: Told,
) -> Result<Acted, Error> {
    let me = &observed.identity;
    if issued.unless_written == UnlessWritten::Remember {
        // From here on the credential isn't lost if the Secret can't be written for a while.
        let kept = Unpublished { inputs: observed.inputs.clone(), issued: issued.clone() };
        context.unpublished.put(me.uid.clone(), kept);
    }
    let next = observed.next_record(&issued.credential, issued.revision);
    let at_hand = observed.keeper().and_then(Keeper::pair);
    let pair = issued.renewed.as_ref().map(|renewed| &renewed.pair).or(at_hand);
    let record = Record {
        refresh_expires_at: pair.and_then(|pair| pair.refresh.as_ref()).and_then(|refresh| refresh.expires_at),
        admin: issued.admin.clone(),
        parent: issued.parent,
        issuer: issued.issuer.clone().or(next.issuer),
        discovery: issued.discovery.clone(),
        previous: issued.previous.clone(),
        ..next
    }
    .answered(&observed.api_version, issued.served.as_deref());
    let mut record = observed.minted(record, issued.minted_by.clone(), issued.origin == Origin::Same, context.now());
    let (value, session) = (&issued.credential.value, issued.session.as_ref());
    record.made_of = observed.about_to_be_made_of(&record, (value, session), recorded);
    if observed.record().is_some_and(|record| record.token_id != issued.credential.token_id) {
        report_not_yet_safe(context, observed).await?;
    }
    match publish(context, observed, live(observed), record, value, (&issued.previous_values, session)).await {
        Ok(Written { record, .. }) => {
            context.unpublished.remove(&me.uid);
            context.suspects.remove(&ObjectKey::of(me));
            // What Shopify refused when it was last asked, or nobody knows of it, isn't taken to work because it was at hand.
            let trusted = observed.status().is_some_and(|status| !is_rejected(status));
            if issued.origin == Origin::Recorded && !trusted {
                context.suspects.put(ObjectKey::of(me), Doubt::Refused);
            }
            Ok(published(record, observed, issued, told))
        }
        Err(stop) => {
            let conflict = matches!(&stop, Stop::Kubernetes(error) if error.is_conflict());
            if conflict && issued.unless_written == UnlessWritten::DoubtStray {
                // Somebody else may have published another one meanwhile: verification finds out.
                context.suspects.put(ObjectKey::of(me), Doubt::Stray);
            }
            Acted::unwritten(stop)
        }
    }
}

/// A credential without a required scope is never published. One that was made now, against what the app is granted,
/// nobody holds: it is revoked where that is possible, and the next attempt makes its own.
async fn withdraw(context: &Context, turn: &Turn<'_>, issued: &Issued, failure: Failure) -> Acted {
    if issued.origin == Origin::New
        && let Err(refusal) = sources::revoke(turn, Target::Made(&issued.credential)).await
    {
        return refused(context, turn.observed, refusal, Operation::Issue);
    }
    Acted::failed(failure, Operation::Issue)
}

fn told(kind: SourceKind, why: Why, origin: Origin) -> Told {
    match (why, origin) {
        (Why::Approved, _) if kind == SourceKind::CustomerAccount => {
            (EventReason::Issued, "the customer has signed in, and the session is published")
        }
        (_, Origin::Migrated) => (EventReason::Migrated, "exchanged for a token that expires, with a refresh token"),
        (Why::First, Origin::Adopted) => (EventReason::Adopted, "found at Shopify and published"),
        (Why::Lost, Origin::Adopted) => {
            (EventReason::Repaired, "the Secret had lost its credential; found at Shopify and published")
        }
        (Why::Renamed, Origin::Adopted) => {
            (EventReason::Adopted, "found at Shopify and published under the Secret's new name")
        }
        (Why::Renamed, _) => (EventReason::Rotated, "published under the Secret's new name"),
        (Why::First, _) => (EventReason::Issued, "issued"),
        (Why::Lost, _) => (EventReason::Repaired, "the Secret had lost its credential; issued anew"),
        (Why::Rejected, _) => (EventReason::ReplacedAtShopify, "Shopify had the credential no more; replaced"),
        (Why::Expiring, _) => (EventReason::Renewed, "renewed"),
        (Why::SecretChanged, _) => (EventReason::Rotated, "rotated, because the client secret of its app changed"),
        (Why::InputsChanged, _) => (EventReason::Rotated, "rotated, because the spec changed"),
        (Why::ScopesMissing, _) => (EventReason::Rotated, "rotated, to gain required scopes"),
        (Why::Requested, _) => (EventReason::Rotated, "rotated on request"),
        (Why::ParentChanged, _) => (EventReason::Rotated, "made anew, because its parent changed"),
        (Why::Interval, _) => (EventReason::Rotated, "rotated on schedule"),
        (Why::Approved, _) => (EventReason::Rotated, "replaced, because the merchant approved the app once more"),
        (Why::Replaced, _) => (EventReason::Rotated, "republished, because its source was replaced"),
    }
}

/// The outcome and the events of a credential that was published.
fn published(record: Record, observed: &Observed, issued: &Issued, (reason, text): Told) -> Acted {
    let revision = record.revision;
    let replaced = replaced_version(&record, observed.record());
    let mut acted = Acted::published(record, issued.origin != Origin::Recorded);
    acted.news.extend(replaced);
    if issued.origin == Origin::Same {
        return acted;
    }
    let note = format!("{text}: revision {revision} in Secret {:?}", observed.token.secret_name());
    let mut acted = acted.with(reason, note);
    acted.news.extend(warnings(observed, &issued.credential));
    acted
}

fn warnings(observed: &Observed, credential: &Credential) -> Vec<News> {
    let unusual = credential.warning.clone().map(|note| News::of(EventReason::UnusualLifetime, note));
    let lifetime = credential.expires_at.map(|at| at - credential.issued_at);
    let ignored = lifetime.filter(|l| renewal::renew_before(&observed.token.spec, *l).1).map(|l| {
        let note = format!(
            "spec.renewBefore isn't shorter than the lifetime of {} s; a third of it is used instead",
            l.num_seconds()
        );
        News::of(EventReason::RenewBeforeIgnored, note)
    });
    unusual.into_iter().chain(ignored).collect()
}
