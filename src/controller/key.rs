//! The key of an object: its namespace and name, as one text that its copies share.

use std::{cmp::Ordering, fmt, sync::Arc};

use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};

use crate::core::identity::Identity;

/// No namespace has it in its name.
const BETWEEN: char = '/';

/// Namespace and name of an object whose kind is known. Of tens of thousands each is kept in many places: a copy takes no memory.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// The key of an object of this name.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        let mut text = String::with_capacity(namespace.len() + BETWEEN.len_utf8() + name.len());
        text.push_str(namespace);
        text.push(BETWEEN);
        text.push_str(name);
        Self(text.into())
    }

    /// The key of a token.
    #[must_use]
    pub fn of(token: &Identity) -> Self {
        Self::new(&token.namespace, &token.name)
    }

    /// The key of an object; of one that hasn't got its name yet, with how that begins.
    #[must_use]
    pub fn of_object(object: &impl ResourceExt) -> Self {
        let meta = object.meta();
        let name = meta.name.as_ref().or(meta.generate_name.as_ref());
        Self::new(meta.namespace.as_deref().unwrap_or_default(), name.map_or("", String::as_str))
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.parts().0
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.parts().1
    }

    /// Its namespace and its name.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once(BETWEEN).unwrap_or_default()
    }

    /// The object as its store knows it.
    #[must_use]
    pub fn reference<K: Resource<DynamicType = ()>>(&self) -> ObjectRef<K> {
        ObjectRef::new(self.name()).within(self.namespace())
    }
}

/// By namespace, then by name.
impl Ord for ObjectKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl PartialOrd for ObjectKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `namespace/name`.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<K: Resource> From<ObjectRef<K>> for ObjectKey {
    fn from(object: ObjectRef<K>) -> Self {
        Self::new(object.namespace.as_deref().unwrap_or_default(), &object.name)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_has_a_namespace_and_a_name_whatever_is_missing() {
        let key =
            |metadata| ObjectKey::of_object(&serde_json::from_value::<Secret>(json!({"metadata": metadata})).unwrap());
        assert_eq!(key(json!({"namespace": "shop", "name": "web"})).parts(), ("shop", "web"));
        assert_eq!(key(json!({"name": "web"})).parts(), ("", "web"));
        assert_eq!(key(json!({"namespace": "shop"})).parts(), ("shop", ""));
        assert_eq!(key(json!({"namespace": "shop", "generateName": "web-"})).parts(), ("shop", "web-"));
        let key = ObjectKey::new("shop", "web");
        assert_eq!(ObjectKey::from(key.reference::<Secret>()), key);
        assert_eq!(key.to_string(), "shop/web");
        let copy = key.clone();
        assert!(Arc::ptr_eq(&copy.0, &key.0) && size_of::<ObjectKey>() == 16);
        assert!(key < ObjectKey::new("shop", "web-2") && key < ObjectKey::new("shop-eu", "a"));
    }
}
