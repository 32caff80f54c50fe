//! Leaves Secrets that older specs named: says until when they are kept, and then does what the policy of their time wants.

use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
};

use super::publish::{overdue, write};
use crate::{
    controller::{
        context::Context,
        error::{Error, Stop, found},
        outcome::{Acted, News, Outcome},
    },
    core::{leave::Leave, observed::Observed, older::Older, vocabulary::EventReason},
    time,
};

/// Marks those that are new to it, and leaves those whose overlap is over.
///
/// # Errors
/// Of Kubernetes, a conflict among them.
pub(super) async fn leave(context: &Context, observed: &Observed) -> Result<Acted, Error> {
    let (now, mut acted) = (context.now(), Acted::quietly(Outcome::Unchanged));
    for (older, at) in observed.to_mark(now) {
        let then = match older.leave {
            Leave::Delete => "deleted",
            Leave::Keep => "left as it is",
            Leave::Withdraw => "the operator's keys are taken out",
        };
        let (name, new) = (older.name(), observed.token.secret_name());
        let note = format!(
            "Secret {name:?} is kept until {}, then {then}; let your applications read {new:?}",
            time::print(at)
        );
        match turn_into(context, observed, older, Some(&older.marked(at))).await {
            Ok(()) => acted.news.push(news(older, EventReason::Leaving, note)),
            Err(stop) => acted.news.extend(Acted::warned(&stop.failure()?).news),
        }
    }
    for older in observed.to_leave(now) {
        match leave_one(context, observed, older).await {
            Ok(news) => acted.news.push(news),
            Err(stop) => acted.news.extend(Acted::warned(&stop.failure()?).news),
        }
    }
    Ok(acted)
}

/// Leaves all of them, because their object goes. Says what became of each.
///
/// # Errors
/// A failure when the API server refuses that and there is time left; else of Kubernetes, a conflict among them.
pub(super) async fn leave_all(context: &Context, observed: &Observed) -> Result<Vec<News>, Stop> {
    let mut all = Vec::new();
    for older in &observed.older {
        all.push(match leave_one(context, observed, older).await {
            Err(Stop::Failure(failure)) if overdue(context, observed) => {
                let note = format!("Secret {:?} is left as it is: {}", older.name(), failure.message);
                news(older, EventReason::RevocationFailed, note)
            }
            left => left?,
        });
    }
    Ok(all)
}

async fn leave_one(context: &Context, observed: &Observed, older: &Older) -> Result<News, Stop> {
    turn_into(context, observed, older, older.left(&observed.token).as_ref()).await?;
    let name = older.name();
    let note = match older.leave {
        Leave::Delete => format!("Secret {name:?} is deleted: it was written under an older spec.secret.name"),
        Leave::Keep => format!("Secret {name:?} is left as it is, and is nobody's: delete it when nobody reads it"),
        Leave::Withdraw => format!("the operator's keys are taken out of Secret {name:?}"),
    };
    Ok(news(older, EventReason::Left, note))
}

/// News of an older Secret, as it was: each change of one is told.
fn news(older: &Older, reason: EventReason, note: String) -> News {
    let about = ObjectReference { resource_version: older.live.resource_version(), ..older.live.object_ref(&()) };
    News { about: Some(about.into()), ..News::of(reason, note) }
}

/// Writes an older Secret, or deletes it: on top of what was observed and nothing else.
async fn turn_into(context: &Context, observed: &Observed, older: &Older, wanted: Option<&Secret>) -> Result<(), Stop> {
    let (me, name) = (&observed.identity, older.name());
    let done = if let Some(wanted) = wanted {
        found(write(context, true, wanted).await).map(drop)
    } else {
        let secrets: Api<Secret> = Api::namespaced(context.client(), &me.namespace);
        let seen = Preconditions { uid: older.live.uid(), resource_version: older.live.resource_version() };
        let parameters = DeleteParams { preconditions: Some(seen), ..DeleteParams::default() };
        found(secrets.delete(&name, &parameters).await).map(drop)
    };
    done.map_err(|error| context.unwritten(&me.uid, &format!("Secret {name:?}"), error))
}
