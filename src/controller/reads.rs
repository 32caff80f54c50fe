//! Secrets as they were read last: many tokens of one app share one read of its Secret, and what the operator has written
//! itself it needn't read again. Of bounded size, and nothing here outlives an event that says otherwise.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use tokio::time::Instant;

use super::{
    error::found,
    watch::{health::version, holdings::SecretKey},
};
use crate::shared::Locks;

/// How long a read is shared at most, should the watch fall silent.
const SHARED: Duration = Duration::from_secs(30);
/// Most bytes that are kept, roughly; half of them are the newest.
const KEPT: usize = 4 * 1024 * 1024;
/// What keeping a Secret takes besides its texts, roughly.
const OVERHEAD: usize = 2048;

/// Secrets as they were read or written last. Has no `Debug`: it keeps credentials.
#[derive(Default)]
pub struct Reads {
    one_at_a_time: Locks,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    young: HashMap<SecretKey, Kept>,
    old: HashMap<SecretKey, Kept>,
    /// Bytes of the young ones.
    bytes: usize,
    /// What is being read now, and the version that an event told of meanwhile.
    reading: HashMap<SecretKey, Option<u64>>,
}

#[derive(Clone)]
struct Kept {
    secret: Arc<Secret>,
    version: u64,
    at: Instant,
}

impl Reads {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        // What is kept may be forgotten at any time: a panic elsewhere does no harm.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A Secret, read once for all that ask while the watch tells of no change; live, unless changes are `told`.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub async fn shared(
        &self,
        secrets: &Api<Secret>,
        told: bool,
        (namespace, name): (&str, &str),
    ) -> Result<Option<Arc<Secret>>, kube::Error> {
        if !told {
            return live(secrets, name).await;
        }
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(secret) = self.lock().fresh(&key) {
            return Ok(Some(secret));
        }
        let _turn = self.one_at_a_time.lock(format!("{namespace}/{name}")).await;
        if let Some(secret) = self.lock().fresh(&key) {
            return Ok(Some(secret));
        }
        self.lock().reading.insert(key.clone(), None);
        let read = live(secrets, name).await;
        let mut memory = self.lock();
        let told = memory.reading.remove(&key).flatten();
        if let Ok(Some(secret)) = &read {
            let version = version(secret.resource_version().as_deref());
            // An event that came before the answer may be of a later version.
            if told.is_none_or(|told| told <= version) {
                memory.keep(key, Kept { secret: Arc::clone(secret), version, at: Instant::now() });
            }
        }
        read
    }

    /// A Secret as it was kept, if it is of the version that is known; else live.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub async fn own(
        &self,
        secrets: &Api<Secret>,
        known: Option<u64>,
        (namespace, name): (&str, &str),
    ) -> Result<Option<Arc<Secret>>, kube::Error> {
        if let Some(known) = known
            && let Some(kept) = self.lock().get(&(namespace.to_owned(), name.to_owned()))
            && kept.version == known
        {
            return Ok(Some(kept.secret));
        }
        live(secrets, name).await
    }

    /// Keeps a Secret as the API server has answered a write of it.
    pub fn wrote(&self, secret: &Secret) {
        let key = (secret.namespace().unwrap_or_default(), secret.name_any());
        let version = version(secret.resource_version().as_deref());
        self.lock().keep(key, Kept { secret: Arc::new(pruned(secret.clone())), version, at: Instant::now() });
    }

    /// A watch tells of a Secret, or that it is gone.
    pub fn told(&self, namespace: &str, name: &str, resource_version: Option<&str>) {
        let (key, version) = ((namespace.to_owned(), name.to_owned()), version(resource_version));
        let mut memory = self.lock();
        if let Some(told) = memory.reading.get_mut(&key) {
            *told = (*told).max(Some(version));
        }
        if memory.get(&key).is_some_and(|kept| kept.version < version) {
            memory.forget(&key);
        }
    }

    /// Nothing is known any more of what stands.
    pub fn clear(&self) {
        let mut memory = self.lock();
        let reading = memory.reading.keys().cloned().map(|key| (key, Some(u64::MAX))).collect();
        *memory = Memory { reading, ..Memory::default() };
    }
}

impl Memory {
    fn get(&self, key: &SecretKey) -> Option<Kept> {
        self.young.get(key).or_else(|| self.old.get(key)).cloned()
    }

    fn fresh(&self, key: &SecretKey) -> Option<Arc<Secret>> {
        self.get(key).filter(|kept| kept.at.elapsed() < SHARED).map(|kept| kept.secret)
    }

    fn forget(&mut self, key: &SecretKey) {
        if let Some(kept) = self.young.remove(key) {
            self.bytes -= size(&kept.secret);
        }
        self.old.remove(key);
    }

    fn keep(&mut self, key: SecretKey, kept: Kept) {
        self.forget(&key);
        self.bytes += size(&kept.secret);
        self.young.insert(key, kept);
        if self.bytes > KEPT / 2 {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
    }
}

async fn live(secrets: &Api<Secret>, name: &str) -> Result<Option<Arc<Secret>>, kube::Error> {
    Ok(found(secrets.get(name).await)?.map(|secret| Arc::new(pruned(secret))))
}

/// Nobody reads who has set what of a whole Secret, and a write without it changes nothing of it.
fn pruned(mut secret: Secret) -> Secret {
    secret.metadata.managed_fields = None;
    secret
}

fn size(secret: &Secret) -> usize {
    let data: usize = secret.data.iter().flatten().map(|(key, value)| key.len() + value.0.len()).sum();
    let texts: usize = secret.metadata.annotations.iter().flatten().map(|(key, text)| key.len() + text.len()).sum();
    OVERHEAD + data + texts
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicU64, Ordering},
    };

    use http::{Request, Response};
    use kube::{Client, client::Body};
    use serde_json::json;

    use super::*;
    use crate::controller::context::Context;

    fn secret(name: &str, version: u64) -> Secret {
        let metadata = json!({"namespace": "shop", "name": name, "resourceVersion": version.to_string()});
        serde_json::from_value(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})).unwrap()
    }

    /// An API server whose Secrets have version 10, and how often it was asked.
    fn server(asked: &Arc<AtomicU64>, meanwhile: impl Fn() + Clone + Send + 'static) -> Arc<Context> {
        let asked = Arc::clone(asked);
        let server = tower::service_fn(move |_: Request<Body>| {
            asked.fetch_add(1, Ordering::SeqCst);
            meanwhile();
            let answer = json!(secret("acme", 10)).to_string().into_bytes();
            async { Ok::<_, Infallible>(Response::new(Body::from(answer))) }
        });
        Context::of_client(Client::new(server, "default"))
    }

    #[tokio::test(start_paused = true)]
    async fn one_read_serves_all_until_an_event_or_half_a_minute_later() {
        let asked = Arc::default();
        let context = server(&asked, || ());
        let read = async || context.shared_secret("shop", "acme").await.unwrap().unwrap();
        read().await;
        read().await;
        assert_eq!(asked.load(Ordering::SeqCst), 2, "no watch would tell of a change");
        context.holdings.listed(None, &std::collections::HashSet::new());
        futures::join!(read(), read(), read());
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        context.reads.told("shop", "acme", Some("10"));
        read().await;
        assert_eq!(asked.load(Ordering::SeqCst), 3, "that is the version that was read");
        context.reads.told("shop", "acme", Some("11"));
        read().await;
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        tokio::time::advance(Duration::from_secs(31)).await;
        read().await;
        assert_eq!(asked.load(Ordering::SeqCst), 5);
        context.reads.clear();
        read().await;
        assert_eq!(asked.load(Ordering::SeqCst), 6);
    }

    #[tokio::test]
    async fn what_an_event_told_during_the_read_is_not_overlooked() {
        let (asked, context) = (Arc::default(), Arc::new(std::sync::OnceLock::<Arc<Context>>::new()));
        let told = Arc::clone(&context);
        let served = server(&asked, move || {
            if let Some(context) = told.get() {
                context.reads.told("shop", "acme", Some("11"));
            }
        });
        let context = context.get_or_init(|| served);
        context.holdings.listed(None, &std::collections::HashSet::new());
        for reads in 1..=2 {
            context.shared_secret("shop", "acme").await.unwrap();
            assert_eq!(asked.load(Ordering::SeqCst), reads, "what was read may be the one before");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_newest_stays() {
        let reads = Reads::default();
        for n in 0..10_000_u64 {
            reads.wrote(&secret(&format!("s-{n}"), n));
        }
        let memory = reads.lock();
        assert!((memory.young.len() + memory.old.len()) * OVERHEAD <= KEPT);
        assert!(memory.get(&("shop".into(), "s-9999".into())).is_some());
        assert!(memory.get(&("shop".into(), "s-0".into())).is_none());
    }
}
