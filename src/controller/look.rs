//! Looks at the objects of a kind as each is due: one look at each at a time, and so many at all of them.

use std::{fmt::Debug, future::Future, panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use kube::{
    Resource, ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{context::Context, error::Error, kept::ObjectKey, watch::Objects};
use crate::{
    core::renewal,
    kubernetes::Lenient,
    queue::{Again, Taken},
};

/// What is done for the objects of a kind.
pub(super) struct Work<K, F> {
    pub(super) reconcile: fn(Arc<Lenient<K>>, Arc<Context>) -> F,
    /// How many at a time, in one namespace or in all.
    pub(super) under_way: usize,
    /// Called for one that was to be reconciled, and isn't there.
    pub(super) on_missing: fn(&Context, &ObjectKey),
}

impl<K, F> Clone for Work<K, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, F> Copy for Work<K, F> {}

/// Looks at what is due, once it was listed, until `shutdown` is cancelled and the reconciles under way have ended.
pub(super) async fn look<K, F>(
    context: &Arc<Context>,
    objects: &Objects,
    store: Store<Lenient<K>>,
    work: Work<K, F>,
    shutdown: &CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    F: Future<Output = Result<Again, Error>> + Send + 'static,
{
    // What was never listed has nothing under way, and would wait for its list for ever.
    if shutdown.run_until_cancelled(store.wait_until_ready()).await.is_none() {
        return;
    }
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = under_way.join_next() => {}
            due = objects.next(), if under_way.len() < work.under_way => {
                under_way.spawn(once(Arc::clone(context), store.clone(), due, work));
            }
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// Reconciles an object, and says when to do that again.
async fn once<K, F>(context: Arc<Context>, store: Store<Lenient<K>>, due: Taken<ObjectKey>, work: Work<K, F>)
where
    K: Resource<DynamicType = ()> + Clone + Debug,
    F: Future<Output = Result<Again, Error>>,
{
    let key = due.what();
    let reference = key.reference::<Lenient<K>>();
    let Some(object) = store.get(&reference) else {
        context.errors.remove(&reference.to_string());
        (work.on_missing)(&context, key);
        return due.done(Again::OnChange);
    };
    let reconciled = AssertUnwindSafe((work.reconcile)(Arc::clone(&object), Arc::clone(&context))).catch_unwind();
    // Of what is guarded none gets here.
    let reconciled = reconciled.await.unwrap_or(Err(Error::Panicked));
    let again = reconciled.unwrap_or_else(|error| {
        log::<K>(key, &error);
        retry(&context, &object, &error)
    });
    due.done(again);
}

fn retry<K: Resource<DynamicType = ()>>(context: &Context, object: &Lenient<K>, error: &Error) -> Again {
    let uid = object.uid().unwrap_or_default();
    let count = context.errors.change(ObjectRef::from_obj(object).to_string(), |count| {
        *count = count.saturating_add(1);
        *count
    });
    error.retry_after(count, renewal::share(&uid)).map_or(Again::OnChange, Again::After)
}

fn log<K: Resource<DynamicType = ()>>(ObjectKey { namespace, name }: &ObjectKey, error: &Error) {
    if error.is_conflict() {
        tracing::debug!(kind = %K::kind(&()), namespace, name, %error, "another's write came first");
    } else {
        tracing::warn!(kind = %K::kind(&()), namespace, name, %error, "reconcile ended early");
    }
}
