//! What is remembered of a token or an app from one reconcile to the next, and until when.

use std::{borrow::Cow, time::Duration};

use chrono::TimeDelta;
use kube::ResourceExt;
use tokio::time::Instant;

use super::{context::Context, kept::Written, key::ObjectKey, watch::health::version};
use crate::{
    api::{ShopifyToken, ShopifyTokenStatus},
    core::finalizer::has_finalizer,
    time,
};

/// How long a token is left to the end of its namespace. Where that is held up for longer it is kept alive again.
const GOES_ALONG: TimeDelta = TimeDelta::minutes(5);

/// How long what was let go may be shown as it was. Who is shown it for longer is looked at again.
pub(super) const LAG: Duration = Duration::from_secs(10);

impl Context {
    /// The object with the status that was written last, where the watch hasn't shown it yet, or never will because the
    /// API server refuses it: a failure that was recorded a moment ago must not be tried again at once.
    #[must_use]
    pub fn caught_up<'a>(&self, token: &'a ShopifyToken) -> Cow<'a, ShopifyToken> {
        let key = ObjectKey::of_object(token);
        if let Some(written) = self.written.get(&key) {
            return if self.shows(token, &written) {
                Cow::Borrowed(token)
            } else {
                Cow::Owned(ShopifyToken { status: Some(ShopifyTokenStatus::clone(&written.status)), ..token.clone() })
            };
        }
        // Since it was looked up the watch may have shown what was written, which isn't kept from then on.
        let shown = self.stores.newest(&key);
        let newer = |shown: &&ShopifyToken| {
            shown.uid() == token.uid()
                && version(shown.resource_version().as_deref()) > version(token.resource_version().as_deref())
        };
        match shown.as_ref().and_then(|shown| shown.0.as_ref().ok()).filter(newer) {
            Some(shown) => Cow::Owned(shown.clone()),
            None => Cow::Borrowed(token),
        }
    }

    /// Whether an object has the status that was written.
    fn shows(&self, token: &ShopifyToken, written: &Written) -> bool {
        let refused = token.uid().is_some_and(|uid| self.status_refused.get(&uid).is_some());
        !refused && version(token.resource_version().as_deref()) >= written.shown_by
    }

    /// The watch has brought an object. What it shows needn't be kept: of a burst thousands wait to be looked at again.
    pub(super) fn shown(&self, token: &ShopifyToken) {
        let key = ObjectKey::of_object(token);
        if self.written.get(&key).is_some_and(|written| self.shows(token, &written)) {
            self.written.remove(&key);
        }
    }

    /// The same of the newest there is of an object: what the watch has shown needn't be kept. Others may look at one that
    /// is older.
    #[must_use]
    pub fn catch_up<'a>(&self, newest: &'a ShopifyToken) -> Cow<'a, ShopifyToken> {
        let caught_up = self.caught_up(newest);
        if matches!(caught_up, Cow::Borrowed(_)) {
            self.written.remove(&ObjectKey::of_object(newest));
        }
        caught_up
    }

    /// Whether an object is as its own reconcile has left it, which knows when to look again: an app that is counted at
    /// each status of its own would be counted without end while tokens are issued.
    pub(super) fn is_own_write(&self, object: &impl ResourceExt) -> bool {
        let brought = (version(object.resource_version().as_deref()), object.meta().generation);
        // A status that changed nothing was answered with the version of somebody else's change.
        self.own_versions.get(&object.uid().unwrap_or_default()).is_some_and(|own| own == brought && brought.0 > 0)
    }

    /// A token is gone: nothing is kept for it.
    pub fn forget(&self, token: &ObjectKey, uid: &str) {
        self.forget_waiting(token);
        self.pass_on(&self.outages.forget(token, self.now()));
        self.written.remove(token);
        self.suspects.remove(token);
        self.errors.remove(&token.reference::<ShopifyToken>().to_string());
        self.forget_object(uid);
    }

    /// The same of one whose name another one has taken since: what is kept under that is the other's.
    pub(super) fn forget_object(&self, uid: &str) {
        let uid = uid.to_owned();
        self.unpublished.remove(&uid);
        self.unrecorded.remove(&uid);
        self.agreed.remove(&uid);
        self.memory.forget(&uid);
        self.paces.forget(&uid);
        self.bare.remove(&uid);
        self.let_go.remove(&uid);
        self.rendering.forget(&uid);
        self.forget_refusals(&uid);
        self.freed.notify_one();
    }

    /// Our finalizer was taken off a token that is being deleted. The watch may show it with that for a moment longer.
    pub(super) fn was_let_go(&self, uid: &str) {
        // The watch may have been faster: then nobody takes it out.
        self.let_go.retain(|_, since| since.elapsed() < LAG);
        self.let_go.put(uid.to_owned(), Instant::now());
    }

    /// Whether all that is done for a token that goes was done a moment ago, and it is still shown as before: it must not be
    /// done, told and counted again.
    #[must_use]
    pub(super) fn is_let_go(&self, token: &impl ResourceExt) -> bool {
        let goes = token.meta().deletion_timestamp.is_some() && has_finalizer(token);
        goes && self.let_go.get(&token.uid().unwrap_or_default()).is_some_and(|since| since.elapsed() < LAG)
    }

    /// How long a token is left alone because its namespace ends: it is about to be deleted, too, meanwhile all that it needs
    /// goes, and nothing can be made anew. Not one that was made after that, in another namespace of the name; nor one of which
    /// something is in hand that can't be had again: that is written down first.
    #[must_use]
    pub(super) fn goes_along(&self, token: &ShopifyToken) -> Option<Duration> {
        let (metadata, now) = (&token.metadata, self.now());
        let since = self.stores.ends_since(metadata.namespace.as_deref()?)?;
        let newer = metadata.creation_timestamp.as_ref().is_some_and(|made| time::from_kube(made) > since);
        let in_hand = self.unrecorded.get(metadata.uid.as_ref()?).is_some();
        let left = since + GOES_ALONG - now;
        let goes = metadata.deletion_timestamp.is_none() && !newer && !in_hand && left <= GOES_ALONG;
        left.to_std().ok().filter(|left| goes && !left.is_zero())
    }

    /// A token is gone, if there was one: it waits for nothing.
    pub fn forget_waiting(&self, token: &ObjectKey) {
        self.slots.forget(token, std::time::Instant::now());
        self.workers.forget(token);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use kube::{
        api::ObjectMeta,
        runtime::{reflector, watcher::Event},
    };
    use serde_json::json;

    use super::*;
    use crate::{
        api::{ShopifyApp, SourceKind},
        controller::{context::nowhere, watch::Stores},
        core::{pair::Pair, scene::healthy, vocabulary::FINALIZER},
        kubernetes::{Lenient, Metadata},
        sources::Renewed,
    };

    #[tokio::test]
    async fn a_failure_counts_until_the_watch_shows_it_whoever_looks_meanwhile() {
        let context = Context::of_client(nowhere());
        let token = healthy(SourceKind::Storefront, json!({})).token;
        let at = |version: u64| {
            let mut token = token.clone();
            token.metadata.resource_version = Some(version.to_string());
            token
        };
        let (key, fails) = (ObjectKey::of_object(&token), |t: &ShopifyToken| t.status.as_ref()?.failed_attempts);
        let status = ShopifyTokenStatus { failed_attempts: Some(1), ..token.status.clone().unwrap() };
        context.written.put(key.clone(), Written { shown_by: 12, status: Arc::new(status) });
        assert_eq!(fails(&context.caught_up(&at(12))), None, "as somebody else sees it who depends on it");
        assert_eq!(fails(&context.catch_up(&at(10))), Some(1), "its own reconcile lags behind");
        assert_eq!(fails(&context.catch_up(&at(11))), Some(1), "a write of somebody else's came in between");
        assert_eq!(fails(&context.catch_up(&at(12))), None);
        assert!(context.written.get(&key).is_none(), "nothing is kept of what is shown");
    }

    #[tokio::test]
    async fn what_the_watch_shows_is_not_kept_and_who_looked_it_up_before_sees_it_all_the_same() {
        let mut stores = Stores::default();
        let (tokens, _) = stores.add(None);
        let context = Context::of_stores(nowhere(), stores);
        let token = healthy(SourceKind::Storefront, json!({})).token;
        let at = |version: u64, fails: Option<i64>| {
            let mut token = token.clone();
            token.metadata.resource_version = Some(version.to_string());
            token.status.as_mut().unwrap().failed_attempts = fails;
            token
        };
        let (key, uid) = (ObjectKey::of_object(&token), token.uid().unwrap());
        let written = Written { shown_by: 12, status: Arc::new(at(12, Some(1)).status.unwrap()) };
        context.written.put(key.clone(), written.clone());
        context.shown(&at(11, None));
        assert!(context.written.get(&key).is_some());
        context.status_refused.put(uid.clone(), (1, DateTime::UNIX_EPOCH));
        context.shown(&at(12, None));
        assert!(context.written.get(&key).is_some(), "the API server has refused it");
        context.status_refused.remove(&uid);
        let before = at(10, None);
        tokens.note(&Event::Apply(Arc::new(Lenient(Ok(at(12, Some(1)))))));
        context.shown(&at(12, Some(1)));
        assert!(context.written.get(&key).is_none());
        assert_eq!(context.catch_up(&before).status.as_ref().unwrap().failed_attempts, Some(1));
        assert_eq!(context.caught_up(&before).status.as_ref().unwrap().failed_attempts, Some(1), "whoever looks");
        let other = ShopifyToken {
            metadata: ObjectMeta { uid: Some("other".to_owned()), ..before.metadata.clone() },
            ..before
        };
        assert_eq!(context.catch_up(&other).status.as_ref().unwrap().failed_attempts, None, "another of its name");
    }

    #[tokio::test]
    async fn an_apps_own_status_is_no_news_and_whatever_else_comes_is() {
        let context = Context::of_client(nowhere());
        let app = |version: &str, generation: i64| -> ShopifyApp {
            let metadata = json!({"name": "acme", "uid": "1", "resourceVersion": version, "generation": generation});
            let spec = json!({"credentialsRef": {"name": "acme-app"}});
            serde_json::from_value(json!({"apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyApp", "metadata": metadata, "spec": spec})).unwrap()
        };
        assert!(!context.is_own_write(&app("11", 1)));
        context.own_versions.put("1".to_owned(), (11, Some(1)));
        assert!(context.is_own_write(&app("11", 1)));
        assert!(!context.is_own_write(&app("12", 1)) && !context.is_own_write(&app("10", 1)));
        assert!(!context.is_own_write(&app("11", 2)), "the status that changed nothing came after somebody's change");
        context.own_versions.put("1".to_owned(), (0, Some(1)));
        assert!(!context.is_own_write(&app("no number", 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_let_go_is_known_until_the_watch_shows_that_and_not_for_long() {
        let context = Context::of_client(nowhere());
        let lives = healthy(SourceKind::Storefront, json!({})).token;
        let uid = lives.uid().unwrap();
        let mut goes = lives.clone();
        goes.metadata.deletion_timestamp = Some(time::to_kube(DateTime::UNIX_EPOCH));
        goes.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        assert!(!context.is_let_go(&goes));
        context.was_let_go(&uid);
        assert!(context.is_let_go(&goes));
        let kept = ShopifyToken { metadata: ObjectMeta { finalizers: None, ..goes.metadata.clone() }, ..goes.clone() };
        assert!(!context.is_let_go(&kept), "others keep it");
        let back = ShopifyToken {
            metadata: ObjectMeta { finalizers: goes.metadata.finalizers.clone(), ..lives.metadata.clone() },
            ..lives
        };
        assert!(!context.is_let_go(&back), "one that isn't deleted is protected again");
        tokio::time::advance(LAG).await;
        assert!(!context.is_let_go(&goes), "the API server has it as it was");
        context.was_let_go("other");
        assert_eq!(context.let_go.keys(), ["other"]);
        context.forget(&ObjectKey::of_object(&goes), "other");
        assert!(context.let_go.keys().is_empty());
    }

    #[tokio::test]
    async fn what_goes_along_is_left_alone_for_as_long_as_that_harms_nobody() {
        let ((namespaces, mut keeper), mut stores) = (reflector::store(), Stores::default());
        stores.know(Some(namespaces));
        let context = Context::of_stores(nowhere(), stores);
        let at = |minutes: i64| time::to_kube(context.now() + TimeDelta::minutes(minutes));
        let mut ends = |at| {
            let namespace = ObjectMeta { name: Some("shop".into()), deletion_timestamp: at, ..ObjectMeta::default() };
            keeper.apply_watcher_event(&Event::Apply(Metadata::from(namespace)));
        };
        let mut token = healthy(SourceKind::Offline, json!({})).token;
        token.metadata.creation_timestamp = Some(at(-60));
        assert_eq!(context.goes_along(&token), None, "nothing is known of its namespace");
        for (since, left) in [(None, false), (Some(-1), true), (Some(-5), false), (Some(2), false)] {
            ends(since.map(at));
            assert_eq!(context.goes_along(&token).is_some(), left, "{since:?}: the clock may be behind, too");
        }
        ends(Some(at(-1)));
        assert!(context.goes_along(&token).is_some_and(|left| left <= Duration::from_mins(4)));
        let newer = ShopifyToken {
            metadata: ObjectMeta { creation_timestamp: Some(at(0)), ..token.metadata.clone() },
            ..token.clone()
        };
        assert_eq!(context.goes_along(&newer), None, "none can be made where everything ends");
        let uid = token.uid().unwrap();
        let pair = Pair { access: None, refresh: None, previous_refresh: None };
        let came = Renewed { pair, replaces: None, begun: None, spent: None, customer: None };
        context.unrecorded.put(uid.clone(), came);
        assert_eq!(context.goes_along(&token), None, "it is to be written down");
        context.unrecorded.remove(&uid);
        token.metadata.deletion_timestamp = Some(at(0));
        assert_eq!(context.goes_along(&token), None, "its own deletion is its business");
    }
}
