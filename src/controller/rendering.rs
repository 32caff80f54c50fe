//! Renders what a person's template says outside the runtime's workers: few at a time, each within a time limit, once per generation
//! and credential. What goes by a layout of ours is rendered in place.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::ResourceExt;
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::{
    api::{ShopifyToken, SourceKind},
    core::{
        failure::Failure,
        render::{self, ClientValues, Data, Values},
        vocabulary::Reason,
    },
    time::Timestamp,
};

/// Renderings at a time. Each holds a thread until it ends by itself: nothing can end it.
const AT_A_TIME: usize = 4;
/// Longest a rendering may take. Its work is bounded, far below this: it is for what nobody thought of.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Most bytes of renderings that are kept, of all objects together. Beyond, all are forgotten.
const KEPT: usize = 8 * 1024 * 1024;

/// What keeping a rendering takes besides its data, roughly.
const OVERHEAD: usize = 1024;

/// The one way to render from async code. Has no `Debug`: it keeps credentials.
pub struct Rendering {
    slots: Arc<Semaphore>,
    limit: Duration,
    memory: Mutex<Memory>,
}

/// What is kept, by UID.
#[derive(Default)]
struct Memory {
    kept: HashMap<String, Kept>,
    /// The sum of their sizes.
    bytes: usize,
}

impl Memory {
    fn take(&mut self, uid: &str) -> Option<Kept> {
        let kept = self.kept.remove(uid)?;
        self.bytes -= kept.size();
        Some(kept)
    }

    fn put(&mut self, uid: String, kept: Kept) {
        if self.bytes + kept.size() > KEPT {
            *self = Self::default();
        }
        self.bytes += kept.size();
        self.kept.insert(uid, kept);
    }
}

/// What was rendered for a generation of an object.
#[derive(Default)]
struct Kept {
    generation: Option<i64>,
    checked: Option<Result<(), Failure>>,
    rendered: Option<(Owned, Result<Data, Failure>)>,
}

impl Kept {
    fn size(&self) -> usize {
        let data = match &self.rendered {
            Some((_, Ok(data))) => data.iter().map(|(key, value)| key.len() + value.0.len()).sum(),
            Some((_, Err(_))) | None => 0,
        };
        OVERHEAD + data
    }
}

/// [`Values`] that can be sent to another thread.
#[derive(Clone)]
struct Owned {
    value: SecretString,
    previous_value: Option<SecretString>,
    older_values: Vec<SecretString>,
    shop_domain: String,
    api_version: String,
    scopes: Vec<String>,
    expires_at: Option<Timestamp>,
    session: Option<SecretString>,
    client: Option<ClientValues>,
}

impl Owned {
    fn of(values: &Values<'_>) -> Self {
        Self {
            value: values.value.clone(),
            previous_value: values.previous_value.cloned(),
            older_values: values.older_values.to_vec(),
            shop_domain: values.shop_domain.to_owned(),
            api_version: values.api_version.to_owned(),
            scopes: values.scopes.to_vec(),
            expires_at: values.expires_at,
            session: values.session.cloned(),
            client: values.client.clone(),
        }
    }

    fn values(&self) -> Values<'_> {
        Values {
            value: &self.value,
            previous_value: self.previous_value.as_ref(),
            older_values: &self.older_values,
            shop_domain: &self.shop_domain,
            api_version: &self.api_version,
            scopes: &self.scopes,
            expires_at: self.expires_at,
            session: self.session.as_ref(),
            client: self.client.clone(),
        }
    }

    fn is(&self, values: &Values<'_>) -> bool {
        self.value.expose_secret() == values.value.expose_secret()
            && self.previous_value.as_ref().map(ExposeSecret::expose_secret)
                == values.previous_value.map(ExposeSecret::expose_secret)
            && self
                .older_values
                .iter()
                .map(ExposeSecret::expose_secret)
                .eq(values.older_values.iter().map(ExposeSecret::expose_secret))
            && self.shop_domain == values.shop_domain
            && self.api_version == values.api_version
            && self.scopes == values.scopes
            && self.expires_at == values.expires_at
            && self.session.as_ref().map(ExposeSecret::expose_secret) == values.session.map(ExposeSecret::expose_secret)
            && self.client == values.client
    }
}

impl Default for Rendering {
    fn default() -> Self {
        Self::new(TIME_LIMIT)
    }
}

impl Rendering {
    fn new(limit: Duration) -> Self {
        Self { slots: Arc::new(Semaphore::new(AT_A_TIME)), limit, memory: Mutex::default() }
    }

    /// Whether the Secret of an object can be rendered: see [`render::check`].
    ///
    /// # Errors
    /// `InvalidTemplate`.
    pub async fn check(&self, token: &ShopifyToken, kind: SourceKind) -> Result<(), Failure> {
        if !has_template(token) {
            // What was rendered by one that is gone holds credentials.
            self.forget(&token.uid().unwrap_or_default());
            return render::check(&token.spec, kind);
        }
        if let Some(checked) = self.kept(token, |kept| kept.checked.clone()) {
            return checked;
        }
        let spec = token.spec.clone();
        let checked = self.outside(move || render::check(&spec, kind)).await?;
        self.keep(token, |kept| kept.checked = Some(checked.clone()));
        checked
    }

    /// The data of an object's Secret: see [`render::render`].
    ///
    /// # Errors
    /// `InvalidTemplate`.
    pub async fn render(&self, token: &ShopifyToken, kind: SourceKind, values: &Values<'_>) -> Result<Data, Failure> {
        if !has_template(token) {
            return render::render(&token.spec, kind, values);
        }
        let same = |kept: &Kept| {
            let (of, rendered) = kept.rendered.as_ref()?;
            of.is(values).then(|| rendered.clone())
        };
        if let Some(rendered) = self.kept(token, same) {
            return rendered;
        }
        let (spec, values) = (token.spec.clone(), Owned::of(values));
        let of = values.clone();
        let rendered = self.outside(move || render::render(&spec, kind, &values.values())).await?;
        self.keep(token, |kept| kept.rendered = Some((of, rendered.clone())));
        rendered
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().take(uid);
    }

    /// Runs `job` on a thread that may block. Its slot is taken until it ends, also after the time limit.
    async fn outside<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let job = spawn_blocking(move || {
            let _slot = slot;
            job()
        });
        let refused = |what: String| Failure::new(Reason::InvalidTemplate, format!("spec.secret.template: {what}"));
        match timeout(self.limit, job).await {
            Ok(Ok(made)) => Ok(made),
            // Not kept: the next attempt tries again.
            Err(_elapsed) => {
                Err(refused(format!("it takes longer than {} s to render; make it simpler", self.limit.as_secs())))
            }
            Ok(Err(_panic)) => Err(refused("the operator fails to render it; please report it, without values".into())),
        }
    }

    fn kept<T>(&self, token: &ShopifyToken, find: impl FnOnce(&Kept) -> Option<T>) -> Option<T> {
        let memory = self.lock();
        memory.kept.get(&token.uid()?).filter(|kept| kept.generation == token.metadata.generation).and_then(find)
    }

    fn keep(&self, token: &ShopifyToken, put: impl FnOnce(&mut Kept)) {
        let (Some(uid), generation) = (token.uid(), token.metadata.generation) else { return };
        let mut memory = self.lock();
        let same = memory.take(&uid).filter(|kept| kept.generation == generation);
        let mut kept = same.unwrap_or_else(|| Kept { generation, ..Kept::default() });
        put(&mut kept);
        memory.put(uid, kept);
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // What is kept may be forgotten at any time: a panic elsewhere does no harm.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a person has written something to be rendered: what goes by a layout of ours takes no time, and is made when it is
/// needed.
fn has_template(token: &ShopifyToken) -> bool {
    token.spec.secret.as_ref().is_some_and(|secret| secret.template.is_some())
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicBool, Ordering},
            mpsc,
        },
        thread,
    };

    use k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;

    fn token(uid: &str, generation: i64, template: &str) -> ShopifyToken {
        let secret = json!({"template": {"data": {"K": template}}});
        serde_json::from_value(json!({
            "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyToken",
            "metadata": {"name": "web", "namespace": "shop", "uid": uid, "generation": generation},
            "spec": {"shop": "acme.myshopify.com", "source": {}, "secret": secret},
        }))
        .unwrap()
    }

    async fn rendered(rendering: &Rendering, token: &ShopifyToken, value: &str) -> String {
        let value = SecretString::from(value);
        let values = Values {
            value: &value,
            previous_value: None,
            older_values: &[],
            shop_domain: "acme.myshopify.com",
            api_version: "2026-10",
            scopes: &[],
            expires_at: None,
            session: None,
            client: None,
        };
        let data = rendering.render(token, SourceKind::Custom, &values).await.unwrap();
        String::from_utf8(data["K"].0.clone()).unwrap()
    }

    #[tokio::test]
    async fn once_per_generation_and_credential() {
        let rendering = Rendering::default();
        let (first, second) = (token("a", 1, "1 {{ access_token }}"), token("a", 2, "2 {{ access_token }}"));
        assert_eq!(rendered(&rendering, &first, "x").await, "1 x");
        // The same generation with another template: what is kept shows.
        let kept = token("a", 1, "never {{ rendered }}");
        assert_eq!(rendered(&rendering, &kept, "x").await, "1 x");
        assert_eq!(rendered(&rendering, &first, "y").await, "1 y");
        assert_eq!(rendered(&rendering, &second, "y").await, "2 y");
        assert_eq!(rendered(&rendering, &token("b", 2, "3 {{ access_token }}"), "y").await, "3 y");

        assert!(rendering.check(&second, SourceKind::Custom).await.is_ok());
        assert!(rendering.check(&token("a", 2, "never {{ checked }}"), SourceKind::Custom).await.is_ok());
        assert!(rendering.check(&token("a", 3, "{{ checked }}"), SourceKind::Custom).await.is_err());
        rendering.forget("a");
        rendering.forget("b");
        assert!(rendering.lock().kept.is_empty());
        assert_eq!(rendering.lock().bytes, 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (rendering, value) = (Rendering::default(), SecretString::from("x"));
        let of = Owned {
            value,
            previous_value: None,
            older_values: Vec::new(),
            shop_domain: String::new(),
            api_version: String::new(),
            scopes: vec![],
            expires_at: None,
            session: None,
            client: None,
        };
        let data = Data::from([("K".to_owned(), ByteString(vec![b'x'; 1024 * 1024]))]);
        for n in 0..100 {
            let rendered = Some((of.clone(), Ok(data.clone())));
            rendering.keep(&token(&n.to_string(), 1, "x"), |kept| kept.rendered = rendered);
            let memory = rendering.lock();
            assert!(memory.bytes <= KEPT && memory.kept.contains_key(&n.to_string()));
            assert_eq!(memory.bytes, memory.kept.values().map(Kept::size).sum::<usize>());
        }
    }

    #[tokio::test]
    async fn what_hangs_is_let_go_and_takes_no_more_than_its_slot() {
        let rendering = Rendering::new(Duration::from_millis(50));
        let (end, hang) = mpsc::channel::<()>();
        let stuck = rendering.outside(move || hang.recv().is_err()).await;
        assert_eq!(stuck.unwrap_err().reason, Reason::InvalidTemplate);
        assert_eq!(rendering.slots.available_permits(), AT_A_TIME - 1, "the thread is still held");
        assert_eq!(rendering.outside(|| 1).await, Ok(1), "others go on");
        drop(end);
        while rendering.slots.available_permits() < AT_A_TIME {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn more_than_there_are_slots_for_wait() {
        let rendering = Arc::new(Rendering::default());
        let (end, hang) = mpsc::channel::<()>();
        let hang = Arc::new(Mutex::new(hang));
        for _ in 0..AT_A_TIME {
            let (rendering, hang) = (Arc::clone(&rendering), Arc::clone(&hang));
            tokio::spawn(async move { rendering.outside(move || hang.lock().unwrap().recv().is_ok()).await });
        }
        while rendering.slots.available_permits() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ran = Arc::new(AtomicBool::new(false));
        let late = tokio::spawn({
            let (rendering, ran) = (Arc::clone(&rendering), Arc::clone(&ran));
            async move { rendering.outside(move || ran.store(true, Ordering::Relaxed)).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!ran.load(Ordering::Relaxed));
        end.send(()).unwrap();
        assert_eq!(late.await.unwrap(), Ok(()));
        drop(end);
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_and_the_workers_never_render() {
        let rendering = Rendering::default();
        let panicked = rendering.outside(|| assert_eq!(1, 2, "of a test")).await;
        assert_eq!(panicked.unwrap_err().reason, Reason::InvalidTemplate);
        assert_ne!(rendering.outside(|| thread::current().id()).await, Ok(thread::current().id()));
    }
}
