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
    let mut attempt = 0;
    loop {
        attempt += 1;
        let asking = context.reads.ask(namespace, "");
        let asking = if attempt == ATTEMPTS { asking.for_good() } else { asking };
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = secrets.list(&page).await?;
            for secret in &list.items {
                asking.read(secret, || drop(context.note(secret, false)));
            }
            match list.metadata.continue_.filter(|c| !c.is_empty()) {
                Some(next) => page.continue_token = Some(next),
                None => break,
            }
        }
        if !asking.is_superseded() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc, OnceLock,
            atomic::{AtomicU32, Ordering},
        },
    };

    use http::{Request, Response};
    use kube::{Client, client::Body};
    use serde_json::json;

    use super::*;

    /// A watch has to list again and again meanwhile.
    #[tokio::test]
    async fn a_list_that_is_superseded_is_made_anew_and_not_without_end() {
        for (superseded, lists) in [(0, 1), (1, 2), (100, ATTEMPTS)] {
            let (context, asked) = (Arc::new(OnceLock::<Arc<Context>>::new()), Arc::new(AtomicU32::new(0)));
            let (told, counted) = (Arc::clone(&context), Arc::clone(&asked));
            let server = tower::service_fn(move |_: Request<Body>| {
                if counted.fetch_add(1, Ordering::SeqCst) < superseded {
                    told.get().unwrap().reads.clear(Some("shop"));
                }
                let annotations = json!({"tokens.shopify-operator.dev/token": "shop/web/1", "tokens.shopify-operator.dev/secret": "a"});
                let secret = json!({"metadata": {"namespace": "shop", "name": "a", "resourceVersion": "9", "annotations": annotations}});
                let list = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "items": [secret]});
                async move { Ok::<_, Infallible>(Response::new(Body::from(list.to_string().into_bytes()))) }
            });
            let context = context.get_or_init(|| Context::of_client(Client::new(server, "default")));
            list(context, "shop").await.unwrap();
            assert_eq!(asked.load(Ordering::SeqCst), lists, "{superseded}");
            assert_eq!(context.holdings.version("shop", "a"), Some(9), "{superseded}: the last one counts");
        }
    }
}
