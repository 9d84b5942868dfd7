//! How objects are written: create, merge patch of status, apply, delete; each one request.

use std::fmt::Debug;

use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::cluster::{cache::Cache, error::RequestError, facts::Facts, key::ObjectKey};

/// A kind this module can write.
pub trait Kind:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize + Send + Sync + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static
{
}

/// The answer to a create.
#[derive(Clone, Debug)]
pub enum Created<K> {
    /// It stands now.
    New(K),
    /// An object of that name stands already; whose it is must be looked at.
    Exists,
}

/// Read `key`, `None` when there is no such object.
pub async fn get<K: Kind>(api: &Api<K>, key: &ObjectKey) -> Result<Option<K>, RequestError> {
    api.get_opt(&key.name)
        .await
        .map_err(|source| RequestError::new::<K>("get", key, source))
}

/// Create `object`.
pub async fn create<K: Kind>(api: &Api<K>, object: &K) -> Result<Created<K>, RequestError> {
    create_by(&PostParams::default(), api, object).await
}

/// Create `object`, as `manager`.
pub async fn create_as<K: Kind>(
    api: &Api<K>,
    manager: &str,
    object: &K,
) -> Result<Created<K>, RequestError> {
    let parameters = PostParams {
        field_manager: Some(manager.to_owned()),
        ..PostParams::default()
    };
    create_by(&parameters, api, object).await
}

async fn create_by<K: Kind>(
    parameters: &PostParams,
    api: &Api<K>,
    object: &K,
) -> Result<Created<K>, RequestError> {
    match api.create(parameters, object).await {
        Ok(created) => Ok(Created::New(created)),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Created::Exists),
        Err(source) => {
            let key = ObjectKey::of(object.meta());
            Err(RequestError::new::<K>("create", &key, source))
        }
    }
}

/// Change the status of `key` from `old` to `new` by a merge patch that only fits
/// `resource_version`, unless they are the same. `cache` knows the answer at once.
///
/// Not server-side apply: a field that another client set would stay for ever.
pub async fn patch_status<F: Facts<Object: Kind>>(
    api: &Api<F::Object>,
    cache: &Cache<F>,
    key: &ObjectKey,
    resource_version: &str,
    old: &impl Serialize,
    new: &impl Serialize,
) -> Result<(), RequestError> {
    let failed = |source| RequestError::new::<F::Object>("patch status of", key, source);
    let old = serde_json::to_value(old).map_err(|error| failed(kube::Error::SerdeError(error)))?;
    let new = serde_json::to_value(new).map_err(|error| failed(kube::Error::SerdeError(error)))?;
    let Some(status) = merge_patch(&old, &new) else {
        return Ok(());
    };
    let patch = json!({"metadata": {"resourceVersion": resource_version}, "status": status});
    let written = api
        .patch_status(&key.name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    cache.observe(written.map_err(failed)?);
    Ok(())
}

/// Apply `object` as `manager`, taking over fields that others hold.
pub async fn apply<K: Kind>(api: &Api<K>, manager: &str, object: &K) -> Result<K, RequestError> {
    let key = ObjectKey::of(object.meta());
    api.patch(
        &key.name,
        &PatchParams::apply(manager).force(),
        &Patch::Apply(object),
    )
    .await
    .map_err(|source| RequestError::new::<K>("apply", &key, source))
}

/// Replace `object`, only if it still has the resource version it was read with.
pub async fn replace<K: Kind>(api: &Api<K>, object: &K) -> Result<K, RequestError> {
    let key = ObjectKey::of(object.meta());
    api.replace(&key.name, &PostParams::default(), object)
        .await
        .map_err(|source| RequestError::new::<K>("update", &key, source))
}

/// Change `key` by a merge patch.
pub async fn merge<K: Kind>(
    api: &Api<K>,
    key: &ObjectKey,
    patch: &Value,
) -> Result<K, RequestError> {
    api.patch(&key.name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map_err(|source| RequestError::new::<K>("patch", key, source))
}

/// Change `key` by a merge patch, as `manager`.
pub async fn merge_as<K: Kind>(
    api: &Api<K>,
    manager: &str,
    key: &ObjectKey,
    patch: &Value,
) -> Result<K, RequestError> {
    let params = PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    };
    api.patch(&key.name, &params, &Patch::Merge(patch))
        .await
        .map_err(|source| RequestError::new::<K>("patch", key, source))
}

/// Delete the object `key` that has this `uid`; its successor or its absence is fine.
pub async fn delete<K: Kind>(api: &Api<K>, key: &ObjectKey, uid: &str) -> Result<(), RequestError> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    match api.delete(&key.name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(source) => Err(RequestError::new::<K>("delete", key, source)),
    }
}

/// The objects of kind `K` in the namespace of `key`.
pub fn api_of<K>(client: &Client, key: &ObjectKey) -> Api<K>
where
    K: Kind + Resource<Scope = NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), &key.namespace)
}

/// The merge patch (RFC 7396) that turns `old` into `new`; `None` when they are the same.
/// Lists are replaced whole, what is gone is an explicit null.
pub fn merge_patch(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return Some(new.clone());
    };
    let mut patch = Map::new();
    for (key, value) in new {
        match old.get(key) {
            None => {
                patch.insert(key.clone(), value.clone());
            }
            Some(before) => {
                if let Some(change) = merge_patch(before, value) {
                    patch.insert(key.clone(), change);
                }
            }
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_is_the_difference() {
        let table = [
            (json!({}), json!({}), None),
            (json!(null), json!({"a": 1}), Some(json!({"a": 1}))),
            (json!({"a": 1}), json!({"a": 1}), None),
            (json!({"a": 1}), json!({"a": 2}), Some(json!({"a": 2}))),
            (
                json!({"a": 1, "b": 2}),
                json!({"b": 2}),
                Some(json!({"a": null})),
            ),
            (
                json!({"a": [1, 2]}),
                json!({"a": [1]}),
                Some(json!({"a": [1]})),
            ),
            (
                json!({"a": {"b": 1, "c": 2}}),
                json!({"a": {"b": 1}}),
                Some(json!({"a": {"c": null}})),
            ),
            (
                json!({"a": 1}),
                json!({"a": {"b": 1}}),
                Some(json!({"a": {"b": 1}})),
            ),
        ];
        for (old, new, patch) in table {
            assert_eq!(merge_patch(&old, &new), patch, "{old} -> {new}");
        }
    }
}
