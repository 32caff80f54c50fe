//! Reads the Secrets that older specs of a token named.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::ListParams};

use crate::{
    api::ShopifyToken,
    controller::{context::Context, error::found},
    core::{identity::Identity, older::Older},
};

/// Most Secrets that a reconcile looks at: the others have their turn when these are left.
const MOST: usize = 16;
const PAGE: u32 = 500;

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
        list(context, &secrets).await?;
    }
    let most = if for_good { usize::MAX } else { MOST };
    let names = context.holdings.of(me).into_iter().filter(|name| name != token.secret_name());
    let mut older = Vec::new();
    for name in names.take(most) {
        match found(secrets.get(&name).await)? {
            Some(live) => {
                context.note(&live, false);
                older.extend(Older::read(token, me, live));
            }
            None => context.holdings.gone(&me.namespace, &name),
        }
    }
    Ok(older)
}

/// Lists Secrets, and takes note of whose they are.
pub(in crate::controller) async fn list(context: &Context, secrets: &Api<Secret>) -> Result<(), kube::Error> {
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = secrets.list_metadata(&page).await?;
        for secret in &list.items {
            context.note(secret, false);
        }
        match list.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(next) => page.continue_token = Some(next),
            None => return Ok(()),
        }
    }
}
