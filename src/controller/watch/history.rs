//! Notices when the API server's history goes back, as after etcd was restored.

use std::{fmt::Debug, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Resource, api::ListParams, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{api, health::version};
use crate::{api::ShopifyToken, controller::context::Context};

/// How often the end of the history is looked at.
const PAUSE: Duration = Duration::from_secs(15);

/// Makes every watch start over when the history went back: they would wait for versions that may come in weeks. A list
/// tells how far it goes.
pub(in crate::controller) async fn history(context: Arc<Context>) {
    let mut ticks = tokio::time::interval(PAUSE);
    let (mut tokens, mut secrets) = (0, 0);
    loop {
        ticks.tick().await;
        let went_back = [
            goes_back::<ShopifyToken>(&context, "ShopifyToken", &mut tokens).await,
            goes_back::<Secret>(&context, "Secret", &mut secrets).await,
        ];
        if went_back.contains(&true) {
            tracing::warn!("the API server's history went back (was etcd restored?): every watch starts over");
            context.written.clear();
            context.apps_seen.clear();
            context.admins_seen.clear();
            context.own_versions.clear();
            context.agreed.clear();
            context.setup.watches.start_over(Instant::now());
        }
    }
}

/// Whether the history of a kind ends before what was seen of it.
async fn goes_back<K>(context: &Context, kind: &str, newest: &mut u64) -> bool
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    // Before the list: what is seen meanwhile may be newer than it.
    let seen = context.setup.watches.newest(kind).max(*newest);
    let namespaces = &context.setup.namespaces;
    let scopes = namespaces.iter().map(|n| Some(n.as_str())).chain(namespaces.is_empty().then_some(None));
    for scope in scopes {
        let api: Api<K> = api(context.client(), scope);
        // Where it can't be listed, the watch says so; the history is that of all namespaces.
        if let Ok(list) = api.list_metadata(&ListParams::default().limit(1)).await {
            *newest = version(list.metadata.resource_version.as_deref());
            return 0 < *newest && *newest < seen;
        }
    }
    false
}
