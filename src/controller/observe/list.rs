//! Live lists of a kind, page by page.

use kube::{Api, Resource, api::ListParams, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;

use crate::controller::watch::prune;
use crate::kubernetes::Lenient;

const PAGE: u32 = 500;

/// Lists a kind, and the names of what doesn't fit its type.
///
/// # Errors
/// Of Kubernetes.
pub(in crate::controller) async fn list<K>(api: &Api<Lenient<K>>) -> Result<(Vec<K>, Vec<String>), kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    list_pruned(api, |_| ()).await
}

/// The same, of each object no more than `pruned` leaves: page by page, so that not all is in memory at once.
///
/// # Errors
/// Of Kubernetes.
pub(in crate::controller) async fn list_pruned<K>(
    api: &Api<Lenient<K>>,
    pruned: impl Fn(&mut K),
) -> Result<(Vec<K>, Vec<String>), kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = api.list(&page).await?;
        for object in list.items {
            match object.0 {
                Ok(mut object) => {
                    prune(&mut object);
                    pruned(&mut object);
                    readable.push(object);
                }
                Err(invalid) => unreadable.push(invalid.metadata.name.unwrap_or_default()),
            }
        }
        match list.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(next) => page.continue_token = Some(next),
            None => return Ok((readable, unreadable)),
        }
    }
}
