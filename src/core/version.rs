//! A version of an object: what tells each of its states from every other one.

use std::{fmt, num::NonZeroU64};

use kube::ResourceExt;

use super::digest::digest;

/// A version of an object: hash of its UID and `resourceVersion`. What was restored has another UID, or comes back together with
/// the record that names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Version(NonZeroU64);

impl Version {
    /// That of an object as the API server has it.
    #[must_use]
    pub fn of(object: &impl ResourceExt) -> Option<Self> {
        let hash = digest(&[&object.uid()?, &object.resource_version()?]);
        u64::from_str_radix(hash.get(..16)?, 16).ok().and_then(NonZeroU64::new).map(Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_write_is_another_version() {
        let of = |uid: Option<&str>, version: Option<&str>| {
            let secret = json!({"metadata": {"uid": uid, "resourceVersion": version}});
            Version::of(&serde_json::from_value::<Secret>(secret).unwrap())
        };
        let one = of(Some("a"), Some("1"));
        assert_eq!(one, of(Some("a"), Some("1")));
        let others = [of(Some("a"), Some("2")), of(Some("b"), Some("1")), of(Some("a1"), Some(""))];
        assert!(others.iter().all(|other| other.is_some() && *other != one));
        assert_eq!((of(None, Some("1")), of(Some("a"), None)), (None, None));
        // It is written down, and compared by a later version of the operator.
        assert_eq!(one.unwrap().to_string(), "0e9c3156ac694b08");
    }
}
