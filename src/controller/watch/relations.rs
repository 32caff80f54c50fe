//! What tokens and apps have to do with.

use std::borrow::Cow;

use kube::Resource;

use crate::api::{ShopifyApp, ShopifyToken};
use crate::kubernetes::Lenient;

/// What an object may have to do with. Of two texts the first is a namespace, the second a name.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::controller) enum Relation<'a> {
    /// It is in this namespace.
    Namespace(&'a str),
    /// It reads or writes this Secret by itself.
    Secret(&'a str, Cow<'a, str>),
    /// It is a token that is issued with this app.
    App(&'a str, &'a str),
    /// It is a token that is made with this admin token.
    Admin(&'a str, &'a str),
    /// It is an offline token of this shop.
    Offline(&'a str),
    /// It is an app that grants something.
    Grants,
}

/// What a store holds.
pub(in crate::controller) trait Stored: Resource<DynamicType = ()> {
    /// All that it has to do with.
    fn relations(&self) -> Vec<Relation<'_>>;

    /// Gives up room for what it doesn't have: a list that is read has some.
    fn shrink(&mut self);
}

impl Stored for ShopifyToken {
    fn relations(&self) -> Vec<Relation<'_>> {
        let here = self.metadata.namespace.as_deref().unwrap_or_default();
        let mut secrets = vec![Cow::Borrowed(self.secret_name())];
        secrets.extend(self.credentials_secret().map(Cow::Borrowed));
        secrets.extend(self.record_secret().map(Cow::Owned));
        let mut all = vec![Relation::Namespace(here)];
        all.extend(secrets.into_iter().map(|name| Relation::Secret(here, name)));
        all.extend(self.app().map(|(namespace, name)| Relation::App(namespace, name)));
        all.extend(self.admin_token().map(|name| Relation::Admin(here, name)));
        all.extend(self.spec.source.offline.as_ref().map(|_| Relation::Offline(&self.spec.shop)));
        all
    }

    fn shrink(&mut self) {
        self.metadata.finalizers.iter_mut().for_each(Vec::shrink_to_fit);
        if let Some(status) = &mut self.status {
            status.conditions.shrink_to_fit();
            status.scopes.shrink_to_fit();
        }
    }
}

impl Stored for ShopifyApp {
    fn relations(&self) -> Vec<Relation<'_>> {
        let here = self.metadata.namespace.as_deref().unwrap_or_default();
        let mut all =
            vec![Relation::Namespace(here), Relation::Secret(here, Cow::Borrowed(&self.spec.credentials_ref.name))];
        all.extend((!self.spec.grants.is_empty()).then_some(Relation::Grants));
        all
    }

    /// There are few.
    fn shrink(&mut self) {}
}

/// What an object that may be beyond reading has to do with: then with nothing but its namespace.
pub(super) fn of_guarded<K: Stored>(object: &Lenient<K>) -> Vec<Relation<'_>> {
    let here = object.meta().namespace.as_deref().unwrap_or_default();
    object.0.as_ref().map_or_else(|_| vec![Relation::Namespace(here)], K::relations)
}
