//! Does the API server keep every field that a user writes, and do our types give it back?

use std::fmt::Debug;

use anyhow::{Context, Result, ensure};
use certwright::api::certificate::Certificate;
use certwright::api::challenge::Challenge;
use certwright::api::crd;
use certwright::api::issuer::{ClusterIssuer, Issuer};
use certwright::api::order::Order;
use certwright::api::request::CertificateRequest;
use kube::{
    Api, Client, Resource,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    discovery::ApiResource,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use testbed::{Bed, namespace::Namespace};

use crate::objects;

/// Objects that use every field are stored, read by our types, and stored again, unchanged.
pub(crate) async fn every_field_is_kept(bed: &Bed) -> Result<()> {
    let release = bed
        .install_chart(&json!({ "crds": { "enabled": true } }))
        .await?;
    let operator = bed
        .access()
        .with_service_account(bed.client(), release.namespace(), release.service_account())
        .await?
        .client()
        .await?;
    let namespace = bed.namespace("roundtrip").await?;
    let admin = bed.client();
    kept::<Certificate>(admin, admin, &namespace).await?;
    kept::<CertificateRequest>(admin, admin, &namespace).await?;
    kept::<Issuer>(admin, admin, &namespace).await?;
    kept::<ClusterIssuer>(admin, admin, &namespace).await?;
    kept::<Order>(&operator, admin, &namespace).await?;
    kept::<Challenge>(&operator, admin, &namespace).await
}

/// `maker` creates the objects, `admin` does all else.
async fn kept<K>(maker: &Client, admin: &Client, namespace: &Namespace) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let kind = K::kind(&());
    let definitions = crd::all();
    let definition = definitions.iter().find(|crd| crd.spec.names.kind == kind);
    let definition = serde_json::to_value(definition.context("no definition")?)?;
    let resource = ApiResource::erase::<K>(&());
    let is_cluster_wide = definition["spec"]["scope"] == "Cluster";
    let api = |client: &Client| -> Api<DynamicObject> {
        if is_cluster_wide {
            Api::all_with(client.clone(), &resource)
        } else {
            Api::namespaced_with(client.clone(), namespace.name(), &resource)
        }
    };
    for object in objects::full(&definition) {
        let named = |step: &str| format!("{step} {kind}: {object}");
        let name = object["metadata"]["name"].as_str().context("no name")?;
        let new: DynamicObject = serde_json::from_value(object.clone())?;
        let made = api(maker).create(&PostParams::default(), &new).await;
        made.with_context(|| named("creating"))?;
        let status = json!({ "status": object["status"] });
        let merge = PatchParams::default();
        let stored = api(admin)
            .patch_status(name, &merge, &Patch::Merge(&status))
            .await;
        let stored = serde_json::to_value(stored.with_context(|| named("answering"))?)?;
        same(&object, &stored, kind.as_ref())?;

        let typed: K = serde_json::from_value(stored.clone()).with_context(|| named("reading"))?;
        let again: DynamicObject = serde_json::from_value(serde_json::to_value(&typed)?)?;
        let again = api(admin)
            .replace(name, &PostParams::default(), &again)
            .await;
        let again = serde_json::to_value(again.with_context(|| named("replacing"))?)?;
        same(&object, &again, kind.as_ref())?;
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        ensure!(
            version(&stored) == version(&again),
            "{kind} {name} was changed by our types"
        );
        api(admin).delete(name, &Default::default()).await?;
    }
    Ok(())
}

fn same(want: &Value, have: &Value, kind: &str) -> Result<()> {
    for part in ["spec", "status"] {
        let (want, have) = (&want[part], &have[part]);
        ensure!(
            is_within(want, have),
            "{kind}.{part} is stored as\n{have}\ninstead of\n{want}"
        );
    }
    Ok(())
}

/// Whether all of `want` is in `have`. More may be: the API server fills in defaults, and the
/// requester of a CertificateRequest.
fn is_within(want: &Value, have: &Value) -> bool {
    const SET_BY_THE_API_SERVER: [&str; 4] = ["username", "uid", "groups", "extra"];
    match (want, have) {
        (Value::Object(want), Value::Object(have)) => want.iter().all(|(key, value)| {
            let other = have.get(key);
            SET_BY_THE_API_SERVER.contains(&key.as_str())
                || other.is_some_and(|other| is_within(value, other))
        }),
        (Value::Array(want), Value::Array(have)) => {
            want.len() == have.len() && want.iter().zip(have).all(|(w, h)| is_within(w, h))
        }
        _ => want == have,
    }
}
