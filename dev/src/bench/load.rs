//! Applies objects: as fast as the API server takes them, or spread over a while.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, PostParams};

use super::figures::count;

/// Requests at a time.
const CONCURRENCY: usize = 50;

/// Creates every object; when each was sent, in their order. `each` hears of it, as the API server has it, as soon as it is there.
pub(super) async fn create(
    api: &Api<DynamicObject>,
    objects: &[DynamicObject],
    each: impl Fn(&DynamicObject),
) -> Result<Vec<(String, Instant)>> {
    spread(api, objects, Duration::ZERO, each).await
}

/// The same, evenly over this while.
pub(super) async fn spread(
    api: &Api<DynamicObject>,
    objects: &[DynamicObject],
    over: Duration,
    each: impl Fn(&DynamicObject),
) -> Result<Vec<(String, Instant)>> {
    let (first, each) = (tokio::time::Instant::now(), &each);
    let created = objects.iter().enumerate().map(|(n, object)| async move {
        tokio::time::sleep_until(first + over.mul_f64(count(n) / count(objects.len()))).await;
        let name = object.name_any();
        let began = Instant::now();
        let created =
            api.create(&PostParams::default(), object).await.with_context(|| format!("cannot create {name}"))?;
        each(&created);
        anyhow::Ok((name, began))
    });
    stream::iter(created).buffered(CONCURRENCY).try_collect().await
}
