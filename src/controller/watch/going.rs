//! Secrets that are being deleted and wait for our finalizer: let go, or told why they wait.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Resource, ResourceExt};

use crate::{
    controller::{
        act::protect,
        context::Context,
        error::{Error, Stop, found},
        key::ObjectKey,
        outcome::News,
        report::publish_all,
    },
    core::{finalizer::has_finalizer, pair, vocabulary::EventReason},
    kubernetes::Metadata,
    time,
};

/// How often a Secret that waits for our finalizer is looked at, should no event tell.
const WAITING: Duration = Duration::from_mins(1);

/// How long those that go at the same time are waited for.
const TOGETHER: Duration = Duration::from_secs(1);

/// How long it takes a namespace that goes to reach the tokens in it.
const RECORD_STAYS: Duration = Duration::from_secs(10);

/// Notices a Secret that waits for our finalizer: it may be one that no app or token names any more.
pub(super) fn going(context: &Context, secret: &Metadata<Secret>) {
    let key = ObjectKey::of_object(secret);
    if secret.metadata.deletion_timestamp.is_none() || !has_finalizer(secret) {
        context.going.remove(&key);
        return;
    }
    context.going.change(key, |_| ());
    context.freed.notify_one();
}

/// Lets a Secret go, if nobody needs it. Says whether to look again in a moment.
async fn release(context: &Context, key: &ObjectKey) -> bool {
    let (namespace, name) = key.parts();
    let secrets: Api<Metadata<Secret>> = Api::namespaced(context.client(), namespace);
    let secret = match found(secrets.get(name).await) {
        // Gone, perhaps with its namespace: nothing waits any more.
        Ok(None) => {
            context.going.remove(key);
            return false;
        }
        Ok(Some(secret)) => secret,
        Err(error) => return cannot_let_go(key, &error.into()),
    };
    let gone_since = secret.metadata.deletion_timestamp.as_ref().map(time::from_kube);
    let young = gone_since.is_some_and(|at| (context.now() - at).to_std().unwrap_or_default() < RECORD_STAYS);
    if young && pair::holder(secret.annotations()).is_some() {
        return true;
    }
    let (needed_by, note) = match protect::let_secret_go(context, namespace, name).await {
        Ok(needed_by) if needed_by.is_empty() => return false,
        Ok(needed_by) => {
            let note = needed(name, &needed_by);
            (needed_by, note)
        }
        Err(error) => {
            let uid = secret.uid().unwrap_or_default();
            match context.unwritten(&uid, &format!("to take our finalizer off Secret {name:?}"), error) {
                Stop::Failure(refused) => (Vec::new(), format!("Secret {name:?} was deleted, and {}", refused.message)),
                Stop::Kubernetes(error) => return cannot_let_go(key, &error),
            }
        }
    };
    if let Some(untold) = context.going.change(key.clone(), |told| told.news(&note, needed_by)) {
        tell(context, &secret, &untold, note).await;
    }
    false
}

fn cannot_let_go(key: &ObjectKey, error: &Error) -> bool {
    let (namespace, name) = key.parts();
    tracing::warn!(namespace, name, %error, "the Secret can't be let go; trying again");
    false
}

fn needed(name: &str, by: &[String]) -> String {
    format!(
        "Secret {name:?} was deleted, and is kept until the tokens that need it to be revoked are: {}; delete those, let them name other credentials, or withdraw what the app grants to their namespaces, and make the Secret anew when it is gone",
        by.join(", ")
    )
}

/// Tells whoever looks at a Secret that a person has deleted, or at a token that needs it, why it is still there.
async fn tell(context: &Context, secret: &Metadata<Secret>, tokens: &[String], note: String) {
    let news = [News::of(EventReason::DeletionWaits, note)];
    let regarding = Secret { metadata: secret.metadata.clone(), ..Secret::default() }.object_ref(&());
    publish_all(context, &regarding, &news).await;
    let namespace = secret.namespace().unwrap_or_default();
    for token in tokens.iter().filter_map(|name| context.stores.token(&namespace, name)) {
        publish_all(context, &token.object_ref(&()), &news).await;
    }
}

/// Looks at the Secrets that wait for our finalizer, should no event tell. Apart from all else: each look is a call.
pub(in crate::controller) async fn waiting(context: Arc<Context>) {
    let mut ticks = tokio::time::interval(WAITING);
    let mut soon = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = tokio::time::sleep(RECORD_STAYS), if soon => {}
            // What goes together is looked at together.
            () = context.freed.notified() => tokio::time::sleep(TOGETHER).await,
        }
        soon = false;
        for secret in context.going.keys() {
            soon |= release(&context, &secret).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response, StatusCode};
    use kube::{Client, client::Body};
    use serde_json::json;

    use super::*;
    use crate::controller::kept::Going;

    /// A Secret `shop/acme` that waits, and an API server that answers everything with this.
    async fn waits_after(status: StatusCode) -> bool {
        let answer = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(), "reason": "", "message": ""});
        let server = tower::service_fn(move |_: Request<Body>| {
            let answer = Response::builder().status(status).body(Body::from(answer.to_string().into_bytes()));
            async { Ok::<_, Infallible>(answer.unwrap()) }
        });
        let context = Context::of_client(Client::new(server, "default"));
        let key = ObjectKey::new("shop", "acme");
        context.going.put(key.clone(), Going::default());
        release(&context, &key).await;
        context.going.get(&key).is_some()
    }

    #[tokio::test]
    async fn what_is_gone_with_its_namespace_is_forgotten() {
        assert!(!waits_after(StatusCode::NOT_FOUND).await);
        assert!(waits_after(StatusCode::SERVICE_UNAVAILABLE).await, "nothing is known of it");
    }
}
