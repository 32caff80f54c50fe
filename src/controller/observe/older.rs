//! Reads the Secrets that older specs of a token named.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::ListParams};

use crate::{
    api::ShopifyToken,
    controller::{context::Context, error::found},
    core::{identity::Identity, older::Older},
    kubernetes::Metadata,
};

/// Most Secrets that a reconcile looks at: the others have their turn when these are left.
const MOST: usize = 16;
const PAGE: u32 = 500;
/// Lists at most, one after the other: the last one counts in any case.
const ATTEMPTS: u32 = 3;

/// Reads them, each live. The watch says which there may be; where their absence decides something for good (`for_good`)
/// and the watch hasn't listed the namespace yet, or there is none, a list does.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn older(
    context: &Context,
    token: &ShopifyToken,
    me: &Identity,
    for_good: bool,
) -> Result<Vec<Older>, kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(context.client(), &me.namespace);
    if for_good && !context.holdings.knows(&me.namespace) {
        list(context, &me.namespace).await?;
    }
    let most = if for_good { usize::MAX } else { MOST };
    let names = context.holdings.of(me).into_iter().filter(|name| name != token.secret_name());
    let mut older = Vec::new();
    for name in names.take(most) {
        let asking = context.reads.ask(&me.namespace, &name);
        let read = found(secrets.get(&name).await)?;
        match &read {
            Some(live) => asking.read(live, || drop(context.note(live, false))),
            None => asking.missed(|| context.holdings.gone(&me.namespace, &name)),
        }
        older.extend(read.and_then(|live| Older::read(token, me, live)));
    }
    Ok(older)
}

/// Lists the Secrets of a namespace, and takes note of whose they are; again, if a watch had to list meanwhile, but not without
/// end.
pub(in crate::controller) async fn list(context: &Context, namespace: &str) -> Result<(), kube::Error> {
    let secrets: Api<Metadata<Secret>> = Api::namespaced(context.client(), namespace);
    for attempt in 1.. {
        let mut asking = context.reads.ask(namespace, "");
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = secrets.list(&page).await?;
            if attempt == ATTEMPTS {
                asking = asking.settled();
            }
            for secret in &list.items {
                asking.read(secret, || drop(context.note(secret, false)));
            }
            match list.metadata.continue_.filter(|c| !c.is_empty()) {
                Some(next) => page.continue_token = Some(next),
                None => break,
            }
        }
        if attempt == ATTEMPTS || !asking.is_superseded() {
            break;
        }
    }
    Ok(())
}
