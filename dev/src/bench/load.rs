//! Applies objects as fast as the API server takes them.

use std::time::Instant;

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, PostParams};

/// Requests at a time.
const CONCURRENCY: usize = 50;

/// Creates every object; when each was sent, in their order. `each` hears of it as soon as it is there.
pub(super) async fn create(
    api: &Api<DynamicObject>,
    objects: &[DynamicObject],
    each: impl Fn(&DynamicObject),
) -> Result<Vec<(String, Instant)>> {
    let created = objects.iter().map(|object| async {
        let name = object.name_any();
        let began = Instant::now();
        api.create(&PostParams::default(), object).await.with_context(|| format!("cannot create {name}"))?;
        each(object);
        anyhow::Ok((name, began))
    });
    stream::iter(created).buffered(CONCURRENCY).try_collect().await
}
