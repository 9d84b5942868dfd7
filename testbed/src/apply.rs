//! How do manifests get into the cluster?

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, ValidationDirective},
    core::GroupVersionKind,
    discovery::{ApiResource, Scope, oneshot},
    runtime::{conditions, wait::Condition},
};
use serde_json::Value;

use crate::process::wait::until;

/// The field manager of everything that the test bed applies.
pub const MANAGER: &str = "testbed";

/// Applies objects (server-side, with unknown fields refused): definitions of kinds first, then
/// namespaces, then the rest as given. `namespace` is for those that name none.
pub async fn apply(client: &Client, namespace: Option<&str>, objects: &[Value]) -> Result<()> {
    let of_kind = |kind: &'static str| move |object: &&Value| object["kind"] == kind;
    let (definition, space) = (of_kind("CustomResourceDefinition"), of_kind("Namespace"));
    let mut kinds = Kinds {
        client,
        known: BTreeMap::new(),
    };

    for object in objects.iter().filter(definition) {
        apply_one(client, &mut kinds, namespace, object).await?;
    }
    for object in objects.iter().filter(definition) {
        established(client, object).await?;
    }
    for object in objects.iter().filter(space) {
        apply_one(client, &mut kinds, namespace, object).await?;
    }
    for object in objects
        .iter()
        .filter(|object| !definition(object) && !space(object))
    {
        apply_one(client, &mut kinds, namespace, object).await?;
    }
    Ok(())
}

/// What the API server said, without the structure around it.
pub fn said(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => anyhow!("{}", status.message),
        other => other.into(),
    }
}

/// The objects of a YAML text, in their order; empty documents are left out.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    let values: Vec<Value> = serde_saphyr::from_multiple(yaml).context("reading YAML")?;
    Ok(values
        .into_iter()
        .filter(|value| !value.is_null())
        .collect())
}

async fn apply_one(
    client: &Client,
    kinds: &mut Kinds<'_>,
    namespace: Option<&str>,
    object: &Value,
) -> Result<()> {
    let name = named(object)?;
    let what = || {
        format!(
            "applying {} {name}",
            object["kind"].as_str().unwrap_or("object")
        )
    };
    let (resource, scope) = kinds.find(object).await.with_context(what)?;
    let api: Api<DynamicObject> = match scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let own = object["metadata"]["namespace"].as_str();
            let place = own.or(namespace).unwrap_or("default");
            Api::namespaced_with(client.clone(), place, &resource)
        }
    };
    let params = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::apply(MANAGER).force()
    };
    api.patch(name, &params, &Patch::Apply(object))
        .await
        .map_err(said)
        .with_context(what)?;
    Ok(())
}

struct Kinds<'a> {
    client: &'a Client,
    known: BTreeMap<(String, String), (ApiResource, Scope)>,
}

impl Kinds<'_> {
    async fn find(&mut self, object: &Value) -> Result<(ApiResource, Scope)> {
        let (Some(version), Some(kind)) = (object["apiVersion"].as_str(), object["kind"].as_str())
        else {
            bail!("an object without apiVersion or kind");
        };
        let key = (version.to_owned(), kind.to_owned());
        if let Some(found) = self.known.get(&key) {
            return Ok(found.clone());
        }
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let wanted = GroupVersionKind::gvk(group, version, kind);
        // Discovery follows a new definition by a moment.
        let (resource, capabilities) = until("the kind", Duration::from_secs(10), async || {
            Ok(oneshot::pinned_kind(self.client, &wanted).await?)
        })
        .await?;
        Ok(self
            .known
            .entry(key)
            .or_insert((resource, capabilities.scope))
            .clone())
    }
}

async fn established(client: &Client, object: &Value) -> Result<()> {
    let name = named(object)?;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    until(
        &format!("definition {name}"),
        Duration::from_secs(20),
        async || {
            let found = api.get(name).await?;
            match conditions::is_crd_established().matches_object(Some(&found)) {
                true => Ok(()),
                false => bail!("not established"),
            }
        },
    )
    .await
}

fn named(object: &Value) -> Result<&str> {
    object["metadata"]["name"]
        .as_str()
        .context("an object without a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_in_order_without_the_empty_ones() {
        let found = documents("---\n# nothing\n---\nkind: A\n---\nkind: B\nlist: [1]\n").unwrap();
        let kinds: Vec<_> = found
            .iter()
            .map(|value| value["kind"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["A", "B"]);
        assert!(documents("a: [").is_err());
    }
}
