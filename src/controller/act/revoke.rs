//! Revokes: what is past its overlap, and everything when the object goes.

use super::{
    protect,
    publish::{leave, publish},
    refused,
};
use crate::{
    controller::{
        context::Context,
        error::{Error, Stop},
        observe::Observation,
        outcome::{Acted, GIVEN_UP, Operation, Outcome, SUCCESS},
    },
    core::{
        failure::Failure,
        observed::Observed,
        plan::Ending,
        record::{Previous, Record},
        vocabulary::{EventReason, Reason},
    },
    sources::{self, Revoked, Target, Turn},
};

const ROLLOUT_NOT_FINISHED: &str = "a rollout of spec.rolloutRestartTargets had not finished one overlap after the overlap; the old token was revoked all the same";

/// Revokes what is past its overlap, then takes it out of the Secret.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn end_overlap(context: &Context, turn: &Turn<'_>) -> Result<Acted, Error> {
    let observed = turn.observed;
    let Some(whole) = observed.whole() else { return Ok(Acted::quietly(Outcome::Unchanged)) };
    let now = context.now();
    let (due, remaining): (Vec<Previous>, Vec<Previous>) =
        whole.record.previous.iter().cloned().partition(|p| observed.overlap_ended(p, now));
    let mut revoked = Vec::new();
    for old in &due {
        if let Err(refusal) = sources::revoke(turn, Target::One(old)).await {
            return Ok(refused(context, observed, refusal, Operation::Revoke).counting(revoked));
        }
        revoked.push(SUCCESS);
    }
    // Only the newest one's value is in the Secret.
    let newest_stays = remaining.last().map(|p| &p.id) == whole.record.previous.last().map(|p| &p.id);
    let record = Record { previous: remaining, ..whole.record.clone() };
    let acted = match publish(context, observed, record, whole.value, whole.previous.filter(|_| newest_stays)).await {
        Ok(record) => {
            let ids: Vec<&str> = due.iter().map(|p| p.id.as_str()).collect();
            let acted = Acted::quietly(Outcome::Published { record: Box::new(record), confirmed: false })
                .with(EventReason::Revoked, format!("revoked after the overlap: {}", ids.join(", ")));
            let late = observed.rolling_out();
            if late { acted.with(EventReason::RolloutNotFinished, ROLLOUT_NOT_FINISHED) } else { acted }
        }
        Err(Stop::Failure(failure)) => Acted::failed(failure, Operation::Issue),
        Err(Stop::Kubernetes(error)) => return Err(error),
    };
    Ok(acted.counting(revoked))
}

/// Finishes a deletion: revokes at Shopify, leaves the Secret as the policies want it, lets go.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn revoke_and_let_go(
    context: &Context,
    observation: &Observation,
    turn: &Turn<'_>,
) -> Result<Acted, Error> {
    let acted = match sources::revoke(turn, Target::All).await {
        Ok(Revoked { left: Some(failure), .. }) => given_up(&observation.observed, &failure),
        Ok(Revoked { count, left: None }) => Acted::quietly(Outcome::LetGo)
            .with(EventReason::Revoked, format!("{count} storefront tokens revoked at {}", turn.shop))
            .counting(vec![SUCCESS]),
        Err(refusal) => return Ok(refused(context, turn.observed, refusal, Operation::Revoke)),
    };
    finish(context, observation, acted).await
}

/// Finishes a deletion without Shopify: nothing to revoke, or no way to.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn let_go(context: &Context, observation: &Observation, ending: Ending) -> Result<Acted, Error> {
    let observed = &observation.observed;
    let acted = match (ending, &observed.issuer) {
        (Ending::NothingToRevoke, _) => Acted::quietly(Outcome::LetGo),
        (Ending::GivenUp, Err(failure)) => given_up(observed, failure),
        (Ending::GivenUp, Ok(_)) => {
            let message = format!("{} let nothing be revoked within --revocation-timeout", observed.token.spec.shop);
            given_up(observed, &Failure::new(Reason::BackingOff, message))
        }
    };
    finish(context, observation, acted).await
}

async fn finish(context: &Context, observation: &Observation, mut acted: Acted) -> Result<Acted, Error> {
    acted.news.extend(leave(context, &observation.observed).await?);
    protect::let_go(context, observation).await?;
    Ok(acted)
}

/// The object goes and a token may stay: a person should know which.
fn given_up(observed: &Observed, failure: &Failure) -> Acted {
    let id = observed.record().and_then(|r| r.token_id.as_deref()).unwrap_or("a token with its marker");
    let note = format!(
        "let go without revoking {id} at {}: {}; delete it in Shopify's admin if it still lives",
        observed.token.spec.shop, failure.message
    );
    Acted::quietly(Outcome::LetGo).with(EventReason::RevocationFailed, note).counting(vec![GIVEN_UP])
}
