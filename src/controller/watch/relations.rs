//! Which tokens have to do with what: what spares a walk over all of them at each event.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

use kube::{core::DeserializeGuard, runtime::watcher::Event};

use crate::api::ShopifyToken;

/// Namespace and name of a token.
pub(super) type Key = (String, String);

/// What a token may have to do with. The first text is a namespace, the second a name.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Relation {
    /// It is in this namespace.
    Namespace(String),
    /// Its credential goes into this Secret.
    Writes(String, String),
    /// It reads or writes this Secret by itself.
    Secret(String, String),
    /// It is issued with this app.
    App(String, String),
    /// It is made with this admin token.
    Admin(String, String),
    /// It is an offline token of this shop.
    Offline(String),
}

impl Relation {
    fn all(token: &ShopifyToken) -> Vec<Self> {
        let here = token.metadata.namespace.clone().unwrap_or_default();
        let secrets = [
            Some(token.secret_name().to_owned()),
            token.credentials_secret().map(str::to_owned),
            token.record_secret(),
        ];
        let mut all = vec![Self::Namespace(here.clone()), Self::Writes(here.clone(), token.secret_name().to_owned())];
        all.extend(secrets.into_iter().flatten().map(|name| Self::Secret(here.clone(), name)));
        all.extend(token.app().map(|(namespace, name)| Self::App(namespace.to_owned(), name.to_owned())));
        all.extend(token.admin_token().map(|name| Self::Admin(here, name.to_owned())));
        all.extend(token.spec.source.offline.as_ref().map(|_| Self::Offline(token.spec.shop.clone())));
        all
    }
}

/// The tokens of a watch by what they have to do with. It follows the same events as the store.
#[derive(Default)]
pub(super) struct Relations(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    current: Index,
    /// What a list has brought so far.
    listed: Index,
}

#[derive(Default)]
struct Index {
    of: HashMap<Key, Vec<Relation>>,
    tokens: HashMap<Relation, HashSet<Key>>,
}

impl Relations {
    /// Takes note of an event, once the store has.
    pub(super) fn note(&self, event: &Event<DeserializeGuard<ShopifyToken>>) {
        // A panic elsewhere leaves it whole: nothing below ends half-way.
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Apply(token) => inner.current.put(token),
            Event::Delete(token) => inner.current.remove(&key(token)),
            Event::Init => inner.listed = Index::default(),
            Event::InitApply(token) => inner.listed.put(token),
            Event::InitDone => inner.current = mem::take(&mut inner.listed),
        }
    }

    /// The tokens that have to do with this.
    pub(super) fn of(&self, relation: &Relation) -> Vec<Key> {
        self.read().current.tokens.get(relation).into_iter().flatten().cloned().collect()
    }

    /// How many there are.
    pub(super) fn count(&self, relation: &Relation) -> usize {
        self.read().current.tokens.get(relation).map_or(0, HashSet::len)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn put(&mut self, token: &DeserializeGuard<ShopifyToken>) {
        let key = key(token);
        let now = token.0.as_ref().map(Relation::all).unwrap_or_default();
        if self.of.get(&key) == Some(&now) {
            return;
        }
        self.remove(&key);
        for relation in &now {
            self.tokens.entry(relation.clone()).or_default().insert(key.clone());
        }
        self.of.insert(key, now);
    }

    fn remove(&mut self, key: &Key) {
        for relation in self.of.remove(key).into_iter().flatten() {
            if let Some(tokens) = self.tokens.get_mut(&relation) {
                tokens.remove(key);
                if tokens.is_empty() {
                    self.tokens.remove(&relation);
                }
            }
        }
    }
}

fn key(token: &DeserializeGuard<ShopifyToken>) -> Key {
    let metadata = match &token.0 {
        Ok(token) => &token.metadata,
        Err(invalid) => &invalid.metadata,
    };
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use kube::core::error_boundary::InvalidObject;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn token(name: &str, spec: &Value) -> DeserializeGuard<ShopifyToken> {
        let mut object = json!({
            "apiVersion": "tokens.shopify-operator.dev/v1alpha1", "kind": "ShopifyToken",
            "metadata": {"name": name, "namespace": "shop"}, "spec": {"shop": "acme.myshopify.com"},
        });
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        DeserializeGuard(Ok(serde_json::from_value(object).unwrap()))
    }

    fn names(relations: &Relations, relation: &Relation) -> Vec<String> {
        let mut names: Vec<String> = relations.of(relation).into_iter().map(|(_, name)| name).collect();
        names.sort_unstable();
        names
    }

    fn here(name: &str) -> (String, String) {
        ("shop".to_owned(), name.to_owned())
    }

    #[test]
    fn a_token_is_found_by_all_it_has_to_do_with_and_by_nothing_that_it_had() {
        let relations = Relations::default();
        let app = |(namespace, name)| Relation::App(namespace, name);
        let grant = json!({"source": {"clientCredentials": {"appRef": {"name": "acme", "namespace": "apps"}}}});
        relations.note(&Event::Apply(token("admin", &grant)));
        assert_eq!(names(&relations, &app(("apps".to_owned(), "acme".to_owned()))), ["admin"]);
        assert!(names(&relations, &app(here("acme"))).is_empty());
        let storefront =
            json!({"source": {"storefront": {"adminTokenRef": {"name": "admin"}}}, "secret": {"name": "s"}});
        relations.note(&Event::Apply(token("web", &storefront)));
        let admin = Relation::Admin("shop".to_owned(), "admin".to_owned());
        assert_eq!(names(&relations, &admin), ["web"]);
        assert_eq!(names(&relations, &Relation::Writes("shop".to_owned(), "s".to_owned())), ["web"]);
        let offline = json!({"source": {"offline": {"appRef": {"name": "acme"}}}});
        relations.note(&Event::Apply(token("web", &offline)));
        assert!(names(&relations, &admin).is_empty());
        for relation in [
            Relation::Offline("acme.myshopify.com".to_owned()),
            Relation::Secret("shop".to_owned(), "web-record".to_owned()),
            app(here("acme")),
        ] {
            assert_eq!(names(&relations, &relation), ["web"], "{relation:?}");
        }
        assert_eq!(names(&relations, &Relation::Namespace("shop".to_owned())), ["admin", "web"]);

        // One that can't be read any more has to do with nothing, and a list takes the place of all before.
        let metadata = token("web", &offline).0.unwrap().metadata;
        let invalid = InvalidObject { error: "odd".to_owned(), metadata };
        relations.note(&Event::Apply(DeserializeGuard(Err(invalid))));
        assert_eq!(names(&relations, &Relation::Namespace("shop".to_owned())), ["admin"]);
        relations.note(&Event::Init);
        relations.note(&Event::InitApply(token("new", &grant)));
        assert_eq!(names(&relations, &Relation::Namespace("shop".to_owned())), ["admin"], "it isn't over yet");
        relations.note(&Event::InitDone);
        assert_eq!(names(&relations, &Relation::Namespace("shop".to_owned())), ["new"]);
    }

    proptest! {
        #[test]
        fn nothing_is_kept_for_what_is_gone(steps in proptest::collection::vec((0..4_u8, 0..4_u8, any::<bool>()), 0..40)) {
            let relations = Relations::default();
            for (name, app, gone) in steps {
                let source = json!({"source": {"clientCredentials": {"appRef": {"name": format!("app-{app}")}}}});
                let object = token(&format!("t-{name}"), &source);
                relations.note(&if gone { Event::Delete(object) } else { Event::Apply(object) });
            }
            for name in 0..4 {
                let source = json!({"source": {"clientCredentials": {"appRef": {"name": "x"}}}});
                relations.note(&Event::Delete(token(&format!("t-{name}"), &source)));
            }
            let inner = relations.read();
            prop_assert!(inner.current.of.is_empty() && inner.current.tokens.is_empty());
        }
    }
}
