//! Which ShopifyToken: namespace, name and UID. Made once, at the door of a reconcile.

use std::{fmt, str::FromStr};

use kube::ResourceExt;

/// A ShopifyToken as nothing but itself can be: another of the same name has another UID.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Identity {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
}

impl Identity {
    /// The identity of an object that the API server holds; `None` if it lacks one of the three, as no such object does.
    #[must_use]
    pub fn of(object: &impl ResourceExt) -> Option<Self> {
        let meta = object.meta();
        Some(Self { namespace: meta.namespace.clone()?, name: meta.name.clone()?, uid: meta.uid.clone()? })
    }

    /// Whether both have the same place: then they differ in nothing, or one succeeds the other.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        (&self.namespace, &self.name) == (&other.namespace, &other.name)
    }
}

/// As the record keeps it: `namespace/name/uid`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.name, self.uid)
    }
}

/// The text isn't `namespace/name/uid`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoIdentity;

impl FromStr for Identity {
    type Err = NoIdentity;

    fn from_str(text: &str) -> Result<Self, NoIdentity> {
        let [namespace, name, uid] = parts(text).ok_or(NoIdentity)?;
        Ok(Self { namespace: namespace.into(), name: name.into(), uid: uid.into() })
    }
}

/// Namespace, name and UID of an identity's text.
pub(super) fn parts(text: &str) -> Option<[&str; 3]> {
    let mut parts = text.split('/');
    let all = [parts.next()?, parts.next()?, parts.next()?];
    (parts.next().is_none() && !all.contains(&"")).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_identity_are_inverse() {
        let identity = Identity { namespace: "shop".into(), name: "web".into(), uid: "0a1b".into() };
        assert_eq!(identity.to_string().parse(), Ok(identity));
        for text in ["", "web/0a1b", "shop/web/", "/web/0a1b", "a/b/c/d", "shop//0a1b"] {
            assert_eq!(text.parse::<Identity>(), Err(NoIdentity), "{text}");
        }
    }
}
