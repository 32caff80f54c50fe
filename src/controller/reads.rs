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

use super::{error::found, key::ObjectKey, shared_list::SharedLists, watch::health::version};
use crate::kubernetes::Lean;

/// How long a read is shared at most, should the watch fall silent.
const SHARED: Duration = Duration::from_secs(30);
/// Most bytes that are kept, roughly; half of them are the newest.
const KEPT: usize = 4 * 1024 * 1024;
/// What keeping a Secret takes besides its texts, roughly.
const OVERHEAD: usize = 4096;
/// The same of one that is kept as JSON.
const PLACE: usize = 256;

/// Secrets as they were read or written last. Has no `Debug`: it keeps credentials.
#[derive(Default)]
pub struct Reads {
    /// Reads under way: whoever waits for one is told what it brings, though it be nothing.
    waited_for: SharedLists<Option<Arc<Secret>>>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    young: HashMap<ObjectKey, Kept>,
    old: HashMap<ObjectKey, Kept>,
    /// Bytes of the young ones.
    bytes: usize,
    /// What the API server is asked about now: a Secret, or, without a name, all of a namespace.
    asked: HashMap<ObjectKey, Asked>,
    /// How often the watch of a namespace, or of all, had to list.
    lists: HashMap<Option<String>, u64>,
}

/// Reads or writes under way.
#[derive(Default)]
struct Asked {
    /// How many there are.
    by: usize,
    /// The versions that events told of meanwhile, by name.
    told: HashMap<String, u64>,
}

#[derive(Clone)]
struct Kept {
    content: Content,
    version: u64,
    at: Instant,
}

#[derive(Clone)]
enum Content {
    /// Of many who read it.
    Shared(Arc<Secret>),
    /// As JSON, for the next who writes: a third of what it takes otherwise.
    Text(Arc<[u8]>),
}

impl Kept {
    fn of(secret: &impl ResourceExt, content: Content) -> Self {
        Self { version: version(secret.resource_version().as_deref()), content, at: Instant::now() }
    }
}

impl Content {
    /// The Secret. What can't be read, which isn't to be, is asked for anew.
    fn secret(&self) -> Option<Arc<Secret>> {
        match self {
            Self::Shared(secret) => Some(Arc::clone(secret)),
            Self::Text(text) => serde_json::from_slice(text).ok().map(Arc::new),
        }
    }

    fn size(&self) -> usize {
        let secret = match self {
            Self::Shared(secret) => secret,
            Self::Text(text) => return PLACE + text.len(),
        };
        let data: usize = secret.data.iter().flatten().map(|(key, value)| key.len() + value.0.len()).sum();
        let texts: usize = secret.metadata.annotations.iter().flatten().map(|(key, text)| key.len() + text.len()).sum();
        OVERHEAD + data + texts
    }
}

impl Reads {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        // What is kept may be forgotten at any time: a panic elsewhere does no harm.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A Secret, read once for all that ask while the watch tells of no change; live, unless it `stands`.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub async fn shared(
        &self,
        secrets: &Api<Lean<Secret>>,
        stands: bool,
        (namespace, name): (&str, &str),
    ) -> Result<Option<Arc<Secret>>, kube::Error> {
        if !stands {
            return live(secrets, name).await;
        }
        let key = ObjectKey::new(namespace, name);
        if let Some(secret) = self.fresh(&key) {
            return Ok(Some(secret));
        }
        let what = format!("{namespace}/{name}");
        let read = self.waited_for.get(&what, async || self.read(secrets, key).await).await?;
        Ok(Option::clone(&read))
    }

    /// Reads a Secret and keeps it, unless another one has meanwhile.
    async fn read(&self, secrets: &Api<Lean<Secret>>, key: ObjectKey) -> Result<Option<Arc<Secret>>, kube::Error> {
        if let Some(secret) = self.fresh(&key) {
            return Ok(Some(secret));
        }
        let asking = self.ask(key.namespace(), key.name());
        let read = live(secrets, key.name()).await?;
        if let Some(secret) = &read {
            let keep = |memory: &mut Memory| memory.keep(key, Kept::of(&**secret, Content::Shared(Arc::clone(secret))));
            asking.unless_told(&**secret, keep);
        }
        Ok(read)
    }

    /// Something is about to be asked about a Secret, or, without a name, about all of a namespace: what events tell of it from
    /// now on counts against the answer.
    pub fn ask(&self, namespace: &str, name: &str) -> Asking<'_> {
        let key = ObjectKey::new(namespace, name);
        let mut memory = self.lock();
        memory.asked.entry(key.clone()).or_default().by += 1;
        Asking { reads: self, lists: Some(memory.lists_of(namespace)), key }
    }

    /// A Secret that was read a moment ago. Nobody waits while its text is read.
    fn fresh(&self, key: &ObjectKey) -> Option<Arc<Secret>> {
        let kept = self.lock().get(key).filter(|kept| kept.at.elapsed() < SHARED)?;
        kept.content.secret()
    }

    /// A Secret as the API server has answered its last write, if it is of the version that is known; else live.
    ///
    /// # Errors
    /// Of Kubernetes.
    pub async fn written(
        &self,
        secrets: &Api<Lean<Secret>>,
        known: Option<u64>,
        (namespace, name): (&str, &str),
    ) -> Result<Option<Arc<Secret>>, kube::Error> {
        let kept = self.lock().get(&ObjectKey::new(namespace, name));
        let kept = kept.filter(|kept| known == Some(kept.version));
        if let Some(secret) = kept.and_then(|kept| kept.content.secret()) {
            return Ok(Some(secret));
        }
        live(secrets, name).await
    }

    /// A watch tells of a Secret, or that it is gone.
    pub fn told(&self, key: &ObjectKey, resource_version: Option<&str>) {
        let (version, mut memory) = (version(resource_version), self.lock());
        for asked in [key, &ObjectKey::new(key.namespace(), "")] {
            if let Some(asked) = memory.asked.get_mut(asked) {
                let told = asked.told.entry(key.name().to_owned()).or_default();
                *told = version.max(*told);
            }
        }
        if memory.get(key).is_some_and(|kept| kept.version < version) {
            memory.forget(key);
        }
    }

    /// The watch of a namespace, or of all, has to list, or has listed: nothing is known any more of what stands there.
    pub fn clear(&self, scope: Option<&str>) {
        let mut memory = self.lock();
        *memory.lists.entry(scope.map(str::to_owned)).or_default() += 1;
        let elsewhere = |key: &ObjectKey| scope.is_some_and(|scope| scope != key.namespace());
        memory.young.retain(|key, _| elsewhere(key));
        memory.old.retain(|key, _| elsewhere(key));
        memory.bytes = memory.young.values().map(|kept| kept.content.size()).sum();
    }
}

/// A read or write of a Secret under way. One that is given up leaves nothing.
pub struct Asking<'a> {
    reads: &'a Reads,
    key: ObjectKey,
    /// How often there had been lists when it began, if lists count against the answer.
    lists: Option<u64>,
}

impl Asking<'_> {
    /// A write was answered: the Secret is noted, and kept without who has set which field, unless an event has told of a later
    /// state meanwhile, which may be that it is gone. Says whether it was.
    pub fn wrote(&self, secret: &mut Secret, note: impl FnOnce(&Secret)) -> bool {
        let (name, version) = (secret.name_any(), version(secret.resource_version().as_deref()));
        let noted = self.unless_later(&name, version, |memory| {
            note(secret);
            secret.metadata.managed_fields = None;
            match serde_json::to_vec(secret) {
                Ok(text) => memory.keep(self.key.clone(), Kept::of(secret, Content::Text(text.into()))),
                Err(_no_json) => memory.forget(&self.key),
            }
        });
        // The next write on top of it goes without them in any case.
        secret.metadata.managed_fields = None;
        noted
    }

    /// A read or list was answered that isn't kept: it is noted on the same terms.
    pub fn read(&self, secret: &impl ResourceExt, note: impl FnOnce()) {
        self.unless_told(secret, |_| note());
    }

    /// Lists of the watch meanwhile don't count against the answer: there is no time to ask again.
    #[must_use]
    pub fn for_good(mut self) -> Self {
        self.lists = None;
        self
    }

    /// A read was answered that nothing is there: that is noted unless an event has told of something meanwhile.
    pub fn missed(&self, note: impl FnOnce()) {
        self.unless_later(self.key.name(), 0, |_| note());
    }

    /// Whether a watch had to list meanwhile, so that nothing of the answer was noted.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.superseded(&self.reads.lock())
    }

    fn superseded(&self, memory: &Memory) -> bool {
        self.lists.is_some_and(|lists| memory.lists_of(self.key.namespace()) != lists)
    }

    fn unless_told(&self, secret: &impl ResourceExt, what: impl FnOnce(&mut Memory)) {
        self.unless_later(&secret.name_any(), version(secret.resource_version().as_deref()), what);
    }

    /// Does `what`, before any other event is heeded, unless one that came before the answer is of a later version.
    /// Says whether it did.
    fn unless_later(&self, name: &str, version: u64, what: impl FnOnce(&mut Memory)) -> bool {
        let mut memory = self.reads.lock();
        let later = |asked: &Asked| asked.told.get(name).is_some_and(|told| version < *told);
        let stands = !self.superseded(&memory) && !memory.asked.get(&self.key).is_some_and(later);
        if stands {
            what(&mut memory);
        }
        stands
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut memory = self.reads.lock();
        if let Some(asked) = memory.asked.get_mut(&self.key) {
            asked.by -= 1;
            if asked.by == 0 {
                memory.asked.remove(&self.key);
            }
        }
    }
}

impl Memory {
    fn get(&self, key: &ObjectKey) -> Option<Kept> {
        self.young.get(key).or_else(|| self.old.get(key)).cloned()
    }

    /// How often there were lists that a namespace was in.
    fn lists_of(&self, namespace: &str) -> u64 {
        let of = |scope: Option<String>| self.lists.get(&scope).copied().unwrap_or_default();
        of(None) + of(Some(namespace.to_owned()))
    }

    fn forget(&mut self, key: &ObjectKey) {
        if let Some(kept) = self.young.remove(key) {
            self.bytes -= kept.content.size();
        }
        self.old.remove(key);
    }

    fn keep(&mut self, key: ObjectKey, kept: Kept) {
        self.forget(&key);
        self.bytes += kept.content.size();
        self.young.insert(key, kept);
        if self.bytes > KEPT / 2 {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
    }
}

async fn live(secrets: &Api<Lean<Secret>>, name: &str) -> Result<Option<Arc<Secret>>, kube::Error> {
    Ok(found(secrets.get(name).await)?.map(|Lean(secret)| Arc::new(secret)))
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicU64, Ordering},
    };

    use futures::future::join_all;
    use http::{Request, Response};
    use kube::{
        Client,
        client::Body,
        runtime::watcher::{Error, Event},
    };
    use serde_json::json;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::{
        api::{ShopifyToken, SourceKind},
        controller::{context::Context, watch::health::Watch},
        core::scene::healthy,
    };

    /// A watch of all Secrets, which has listed them.
    fn watched(context: &Context) -> Watch {
        let watch = context.setup.watches.begin("Secret", None, Instant::now());
        watch.brought(&Ok(Event::<Secret>::InitDone), Instant::now());
        watch
    }

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
        let watch = watched(&context);
        futures::join!(read(), read(), read());
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        context.reads.told(&ObjectKey::new("shop", "acme"), Some("10"));
        read().await;
        assert_eq!(asked.load(Ordering::SeqCst), 3, "that is the version that was read");
        context.reads.told(&ObjectKey::new("shop", "acme"), Some("11"));
        read().await;
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        tokio::time::advance(Duration::from_secs(31)).await;
        read().await;
        assert_eq!(asked.load(Ordering::SeqCst), 5);
        context.reads.clear(None);
        read().await;
        assert_eq!(asked.load(Ordering::SeqCst), 6);
        watch.brought(&Err::<Event<Secret>, _>(Error::NoResourceVersion), Instant::now());
        context.reads.clear(None);
        for reads in 7..=8 {
            read().await;
            assert_eq!(asked.load(Ordering::SeqCst), reads, "nobody tells of a change meanwhile");
        }
        watch.brought(&Ok(Event::<Secret>::Init), Instant::now());
        read().await;
        read().await;
        assert_eq!(asked.load(Ordering::SeqCst), 10, "nor of what went before the list");
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_is_nothing_is_read_unless_it_is_to_be_let_go() {
        let asked = Arc::default();
        let context = server(&asked, || ());
        let mut token = healthy(SourceKind::ClientCredentials, json!({})).token;
        let reads = async |token: &ShopifyToken| {
            let before = asked.load(Ordering::SeqCst);
            context.written_secret(token).await.unwrap();
            asked.load(Ordering::SeqCst) - before
        };
        assert_eq!(reads(&token).await, 1, "no watch would tell of one");
        watched(&context);
        assert_eq!(reads(&token).await, 0);
        let (namespace, name) = (token.namespace().unwrap(), token.secret_name().to_owned());
        context.presence.found(&namespace, &name);
        assert_eq!(reads(&token).await, 0, "of a namespace that no watch covers");
        context.presence.listing(None);
        context.presence.listed(None);
        context.presence.found(&namespace, &name);
        assert_eq!(reads(&token).await, 1, "a create has found it");
        let gone = json!({"metadata": {"namespace": namespace, "name": name}});
        context.presence.note(None, &serde_json::from_value::<Secret>(gone).unwrap(), true);
        assert_eq!(reads(&token).await, 0);
        assert_eq!(reads(&healthy(SourceKind::Storefront, json!({})).token).await, 1, "one too many would never end");
        token.metadata.deletion_timestamp = Some(crate::time::to_kube(context.now()));
        assert_eq!(reads(&token).await, 1, "what isn't found isn't revoked");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_there_is_told_to_all_that_wait_for_it() {
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        let server = tower::service_fn(move |_: Request<Body>| {
            count.fetch_add(1, Ordering::SeqCst);
            async {
                sleep(Duration::from_secs(1)).await;
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound", "message": ""});
                let answer = Response::builder().status(404).body(Body::from(status.to_string().into_bytes()));
                Ok::<_, Infallible>(answer.unwrap())
            }
        });
        let context = Context::of_client(Client::new(server, "default"));
        watched(&context);
        let reads = join_all((0..100).map(|_| context.shared_secret("shop", "acme"))).await;
        assert!(reads.into_iter().all(|read| read.unwrap().is_none()));
        assert!(asked.load(Ordering::SeqCst) <= 2, "{asked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_read_that_is_given_up_nothing_stays() {
        let server = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
        let context = Context::of_client(Client::new(server, "default"));
        watched(&context);
        assert!(timeout(Duration::from_secs(1), context.shared_secret("shop", "acme")).await.is_err());
        assert!(context.reads.lock().asked.is_empty());
    }

    #[tokio::test]
    async fn what_an_event_told_during_the_read_is_not_overlooked() {
        let (asked, context) = (Arc::default(), Arc::new(std::sync::OnceLock::<Arc<Context>>::new()));
        let told = Arc::clone(&context);
        let served = server(&asked, move || {
            if let Some(context) = told.get() {
                context.reads.told(&ObjectKey::new("shop", "acme"), Some("11"));
            }
        });
        let context = context.get_or_init(|| served);
        watched(context);
        for reads in 1..=2 {
            context.shared_secret("shop", "acme").await.unwrap();
            assert_eq!(asked.load(Ordering::SeqCst), reads, "what was read may be the one before");
        }
    }

    #[test]
    fn what_an_event_told_counts_against_every_answer_that_was_asked_for_before_it() {
        let reads = Reads::default();
        let noted = |asking: &Asking<'_>, name: &str, version: u64| {
            let mut noted = false;
            asking.read(&secret(name, version), || noted = true);
            noted
        };
        let missed = |asking: &Asking<'_>| {
            let mut noted = false;
            asking.missed(|| noted = true);
            noted
        };
        let (one, all, elsewhere) = (reads.ask("shop", "acme"), reads.ask("shop", ""), reads.ask("team", ""));
        drop(reads.ask("shop", "acme"));
        assert!(noted(&one, "acme", 10) && missed(&one));
        reads.told(&ObjectKey::new("shop", "acme"), Some("11"));
        for asking in [&one, &all] {
            assert!(!noted(asking, "acme", 10) && noted(asking, "acme", 11) && noted(asking, "acme", 12));
        }
        assert!(!missed(&one) && noted(&all, "other", 10) && noted(&elsewhere, "acme", 10));
        assert!(noted(&reads.ask("shop", "other"), "other", 10));
        assert!(!one.is_superseded());
        reads.clear(Some("shop"));
        assert!([&one, &all].iter().all(|asking| asking.is_superseded() && !noted(asking, "acme", 12)));
        assert!(noted(&elsewhere, "acme", 12), "of another namespace");
        let anew = reads.ask("shop", "");
        assert!(noted(&anew, "other", 12), "who asks anew beside one that is superseded isn't");
        assert!(!noted(&anew, "acme", 10), "what was told before still stands against it");
        reads.clear(None);
        assert!(elsewhere.is_superseded() && anew.is_superseded());
        let settled = anew.for_good();
        assert!(!settled.is_superseded() && noted(&settled, "other", 12));
        drop((one, all, elsewhere, settled));
        assert!(noted(&reads.ask("shop", "acme"), "acme", 1) && reads.lock().asked.is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_newest_stays() {
        let reads = Reads::default();
        for n in 0..30_000_u64 {
            let name = format!("s-{n}");
            reads.ask("shop", &name).wrote(&mut secret(&name, n), |_| ());
        }
        let memory = reads.lock();
        assert!((memory.young.len() + memory.old.len()) * PLACE <= KEPT);
        let newest = memory.get(&ObjectKey::new("shop", "s-29999")).unwrap();
        assert_eq!(*newest.content.secret().unwrap(), secret("s-29999", 29999));
        assert!(memory.get(&ObjectKey::new("shop", "s-0")).is_none());
    }
}
