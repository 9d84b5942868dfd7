//! What is known of an object that the watch brought, before anybody reads it?
//!
//! Most of what a watch brings is what we have just written, and known: its name and version tell.

use std::{borrow::Cow, fmt, marker::PhantomData};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Resource,
    core::{PartialObjectMeta, error_boundary::InvalidObject},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// An object of kind `K` as the API server sent it.
#[derive(Clone)]
pub struct Unread<K> {
    /// Name and version alone.
    meta: ObjectMeta,
    /// Overwritten when dropped: it may be a Secret.
    text: Zeroizing<String>,
    kind: PhantomData<fn() -> K>,
}

/// The little of an object that is read first.
#[derive(Deserialize)]
struct Head {
    metadata: HeadMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadMeta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
}

impl<K: DeserializeOwned + Resource> Unread<K> {
    /// The object, or why it is none.
    pub fn read(&self) -> Result<K, Box<InvalidObject>> {
        serde_json::from_str(&self.text).map_err(|error| {
            let metadata = serde_json::from_str::<PartialObjectMeta<K>>(&self.text);
            Box::new(InvalidObject {
                error: error.to_string(),
                metadata: metadata.map_or_else(|_| self.meta.clone(), |partial| partial.metadata),
            })
        })
    }
}

impl<'de, K> Deserialize<'de> for Unread<K> {
    /// Only from JSON text, and in a watch only if the type of the event comes before the object;
    /// so the API server sends them.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let text = Zeroizing::new(String::from(Box::<str>::from(text)));
        let Head { metadata } = serde_json::from_str(&text).map_err(serde::de::Error::custom)?;
        let HeadMeta {
            name,
            namespace,
            uid,
            resource_version,
        } = metadata;
        Ok(Self {
            meta: ObjectMeta {
                name,
                namespace,
                uid,
                resource_version,
                ..ObjectMeta::default()
            },
            text,
            kind: PhantomData,
        })
    }
}

impl<K> fmt::Debug for Unread<K> {
    /// Never the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unread")
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

impl<K: Resource> Resource for Unread<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(kind)
    }

    fn group(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::group(kind)
    }

    fn version(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::version(kind)
    }

    fn plural(kind: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::{ObjectList, WatchEvent};
    use serde_json::json;

    use super::*;

    fn object(data: &serde_json::Value) -> serde_json::Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {
                "name": "a", "namespace": "ns", "uid": "1", "resourceVersion": "7",
                "labels": {"x": "y"}, "managedFields": [{"manager": "m"}],
            },
        })
    }

    #[test]
    fn an_object_comes_by_a_list_and_by_a_watch() {
        let good = object(&json!({"k": "hidden"}));
        let list = json!({
            "apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "9"},
            "items": [good],
        });
        let list: ObjectList<Unread<ConfigMap>> = serde_json::from_str(&list.to_string()).unwrap();
        let event = format!(r#"{{"type":"ADDED","object":{good}}}"#);
        let event: WatchEvent<Unread<ConfigMap>> = serde_json::from_str(&event).unwrap();
        let WatchEvent::Added(watched) = event else {
            panic!("{event:?}");
        };
        for unread in [&list.items[0], &watched] {
            let meta = unread.meta();
            let known = [
                &meta.name,
                &meta.namespace,
                &meta.uid,
                &meta.resource_version,
            ];
            let known = known.map(|text| text.as_deref().unwrap_or_default());
            assert_eq!(known, ["a", "ns", "1", "7"]);
            let read = unread.read().unwrap();
            assert_eq!(read.data.unwrap()["k"], "hidden");
            assert_eq!(read.metadata.labels.unwrap()["x"], "y");
            assert!(!format!("{unread:?}").contains("hidden"));
        }
    }

    #[test]
    fn what_does_not_decode_says_which_object_it_is() {
        let bad = object(&json!({"k": 7})).to_string();
        let unread: Unread<ConfigMap> = serde_json::from_str(&bad).unwrap();
        let invalid = unread.read().unwrap_err();
        assert!(
            invalid.error.contains("expected a string"),
            "{}",
            invalid.error
        );
        assert_eq!(invalid.metadata.labels.unwrap()["x"], "y");
        let nothing = serde_json::from_str::<Unread<ConfigMap>>(r#"{"kind":"ConfigMap"}"#);
        assert!(nothing.is_err());
    }
}
