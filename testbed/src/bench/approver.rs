//! How does a program approve CertificateRequests in the place of the operator?

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::ApiResource,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};

use crate::{Bed, apply::said};

/// How many approvals are under way at a time.
const APPROVALS: usize = 16;

/// Approves every CertificateRequest in these namespaces as soon as a watch shows it. Ends only with
/// an error.
pub(super) async fn approve(bed: &Bed, places: &[String]) -> Result<()> {
    let kind = GroupVersionKind::gvk("cert-manager.io", "v1", "CertificateRequest");
    let kind = ApiResource::from_gvk(&kind);
    let watches = places.iter().map(|place| {
        let api: Api<DynamicObject> = Api::namespaced_with(bed.client().clone(), place, &kind);
        watcher(api.clone(), watcher::Config::default())
            .default_backoff()
            .applied_objects()
            .map_ok(move |request| (api.clone(), request))
            .boxed()
    });
    stream::select_all(watches)
        .map_err(anyhow::Error::from)
        .try_for_each_concurrent(APPROVALS, async |(api, request)| {
            approve_one(&api, &request).await
        })
        .await?;
    bail!("the watch of CertificateRequests ended");
}

async fn approve_one(api: &Api<DynamicObject>, request: &DynamicObject) -> Result<()> {
    let mut conditions = match &request.data["status"]["conditions"] {
        Value::Array(conditions) => conditions.clone(),
        _ => Vec::new(),
    };
    if conditions.iter().any(|one| one["type"] == "Approved") {
        return Ok(());
    }
    conditions.push(json!({
        "type": "Approved",
        "status": "True",
        "reason": "bench.testbed",
        "message": "approved by the bench",
        "lastTransitionTime": request.metadata.creation_timestamp,
    }));
    let patch = json!({
        "metadata": { "resourceVersion": request.metadata.resource_version },
        "status": { "conditions": conditions },
    });
    let name = request.metadata.name.as_deref().unwrap_or_default();
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    match api.patch_status(name, &params, &patch).await {
        Ok(_) => Ok(()),
        // The watch brings it again if that is worth another try.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => {
            Err(said(error)).with_context(|| format!("approving CertificateRequest {name}"))
        }
    }
}
