//! Objects as the API server sends them, without what nobody asks of them: who has set which field is half of it.

use std::{
    borrow::Cow,
    fmt::{self, Debug},
    marker::PhantomData,
    ops::Deref,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, core::error_boundary::InvalidObject};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error},
};
use serde_json::value::RawValue;

/// An object without `metadata.managedFields`. Written back without them it leaves them as they are.
#[derive(Clone, Debug)]
pub struct Lean<K>(pub K);

/// The same of one that may not fit its type: of such a one its metadata is all that is known.
#[derive(Clone, Debug)]
pub struct Lenient<K>(pub Result<K, InvalidObject>);

/// The metadata of an object, who has set which field included, and nothing else of it: of what is listed or watched nothing
/// else is sent.
pub struct Metadata<K> {
    /// Who and what it is.
    pub metadata: ObjectMeta,
    of: PhantomData<fn() -> K>,
}

/// As much of an object as every kind has.
#[derive(Deserialize)]
struct Object {
    metadata: ObjectMeta,
}

impl<K> Clone for Metadata<K> {
    fn clone(&self) -> Self {
        Self::from(self.metadata.clone())
    }
}

impl<K> Debug for Metadata<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.metadata.fmt(f)
    }
}

impl<K> From<ObjectMeta> for Metadata<K> {
    fn from(metadata: ObjectMeta) -> Self {
        Self { metadata, of: PhantomData }
    }
}

impl<'de, K> Deserialize<'de> for Metadata<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::deserialize(deserializer).map(|Object { metadata }| Self::from(metadata))
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Lean<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        serde_json::from_str(&without_managers(text.get())).map(Self).map_err(Error::custom)
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Lenient<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let text = without_managers(text.get());
        let read = serde_json::from_str(&text).map(Ok).or_else(|error| {
            let Object { metadata } = serde_json::from_str(&text).map_err(Error::custom)?;
            Ok(Err(InvalidObject { error: said(&error), metadata }))
        });
        read.map(Self)
    }
}

/// What didn't fit, without the place in a text that nobody has.
fn said(error: &serde_json::Error) -> String {
    let (text, place) = (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// The text of an object without `metadata.managedFields`. What can't be read is left as it is: its type says what is wrong.
fn without_managers(text: &str) -> Cow<'_, str> {
    #[derive(Default, Deserialize)]
    struct Meta<'a> {
        #[serde(borrow, default, rename = "managedFields")]
        managers: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(borrow, default)]
        metadata: Meta<'a>,
    }
    let Ok(Object { metadata: Meta { managers: Some(managers) } }) = serde_json::from_str(text) else {
        return Cow::Borrowed(text);
    };
    let begin = managers.get().as_ptr() as usize - text.as_ptr() as usize;
    let end = begin + managers.get().len();
    Cow::Owned([&text[..begin], "null", &text[end..]].concat())
}

impl<K> Deref for Lean<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.0
    }
}

/// What a kind is called is its own.
macro_rules! named_as_its_own {
    () => {
        type DynamicType = K::DynamicType;
        type Scope = K::Scope;

        fn kind(dt: &K::DynamicType) -> Cow<'_, str> {
            K::kind(dt)
        }

        fn group(dt: &K::DynamicType) -> Cow<'_, str> {
            K::group(dt)
        }

        fn version(dt: &K::DynamicType) -> Cow<'_, str> {
            K::version(dt)
        }

        fn plural(dt: &K::DynamicType) -> Cow<'_, str> {
            K::plural(dt)
        }
    };
}

impl<K: Resource> Resource for Lean<K> {
    named_as_its_own!();

    fn metadata_api() -> bool {
        K::metadata_api()
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

impl<K: Resource> Resource for Lenient<K> {
    named_as_its_own!();

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|invalid| &invalid.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|invalid| &mut invalid.metadata, K::meta_mut)
    }
}

impl<K: Resource> Resource for Metadata<K> {
    named_as_its_own!();

    fn metadata_api() -> bool {
        true
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Pod, Secret};
    use kube::{ResourceExt, core::WatchEvent};
    use serde_json::{Value, json};

    use super::*;

    fn secret(managers: &Value) -> Value {
        // What stands elsewhere under that name is somebody's own.
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "a", "managedFields": managers, "annotations": {"managedFields": "ours", "z": "1"}},
            "stringData": {"managedFields": "[]"},
        })
    }

    #[test]
    fn who_has_set_what_is_left_out_and_nothing_else() {
        let managers = json!([{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:data": {"f:a\"}": {}}}}]);
        let whole: Secret = serde_json::from_value(secret(&managers)).unwrap();
        assert!(whole.metadata.managed_fields.is_some());
        for managers in [managers, json!([]), Value::Null] {
            let text = secret(&managers).to_string();
            let lean: Lean<Secret> = serde_json::from_str(&text).unwrap();
            let mut bare = whole.clone();
            bare.metadata.managed_fields = None;
            assert_eq!(*lean, bare);
            let lenient: Lenient<Secret> = serde_json::from_str(&text).unwrap();
            assert_eq!(lenient.0.unwrap(), bare);
        }
    }

    #[test]
    fn what_a_watch_tells_is_read_and_what_does_not_fit_has_its_metadata() {
        let pod = json!({"metadata": {"name": "p", "managedFields": [{}]}, "spec": {"containers": "none"}});
        // `type` goes first, as the API server has it.
        let event = format!(r#"{{"type":"ADDED","object":{pod}}}"#);
        let Ok(WatchEvent::Added(read)) = serde_json::from_str::<WatchEvent<Lenient<Pod>>>(&event) else { panic!() };
        assert_eq!(read.name_any(), "p");
        let invalid = read.0.unwrap_err();
        assert!(invalid.error.contains("\"none\"") && !invalid.error.contains("column"), "{}", invalid.error);
        assert!(invalid.metadata.managed_fields.is_none());
        assert!(serde_json::from_str::<Lean<Pod>>(&pod.to_string()).is_err());
        assert!(serde_json::from_str::<Lenient<Pod>>(r#"{"spec": {"containers": "none"}}"#).is_err(), "no metadata");
        let list = json!({"items": [secret(&json!([{}]))], "metadata": {}, "apiVersion": "v1", "kind": "SecretList"});
        let list: kube::core::ObjectList<Lean<Secret>> = serde_json::from_str(&list.to_string()).unwrap();
        assert_eq!(list.items[0].name_any(), "a");
    }
}
