//! What does cert-manager put in place for a challenge by HTTP-01?

use anyhow::{Context, Result};
use k8s_openapi::api::{
    core::v1::{Pod, Service},
    networking::v1::Ingress,
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use testbed::ingress::CLASS;

use crate::{
    begun::{CHALLENGES, Proof},
    parts::owner,
    predecessor::Predecessor,
};

/// The pod, the Service and the Ingress of a challenge by HTTP-01; or the path in the Ingress that
/// its solver names.
pub(crate) async fn solver_pod(place: &Predecessor, proof: &Proof) -> Result<Service> {
    let spec = &proof.object.spec;
    let labels = json!({
        "acme.cert-manager.io/http-domain": adler32(&spec.dns_name).to_string(),
        "acme.cert-manager.io/http-token": adler32(&spec.token).to_string(),
        "acme.cert-manager.io/http01-solver": "true",
    });
    let uid = proof.object.uid().context("no uid")?;
    let metadata = json!({
        "generateName": "cm-acme-http-solver-", "labels": labels,
        "ownerReferences": [owner("acme.cert-manager.io/v1", "Challenge", &proof.name, &uid)],
    });
    let mut pod = json!({"metadata": metadata, "spec": {
        "automountServiceAccountToken": false, "enableServiceLinks": false,
        "restartPolicy": "OnFailure", "nodeSelector": {"kubernetes.io/os": "linux"},
        "containers": [{
            "name": "acmesolver", "image": "quay.io/jetstack/cert-manager-acmesolver:v1.21.1",
            "args": [
                "--listen-port=8089",
                format!("--domain={}", spec.dns_name),
                format!("--token={}", spec.token),
                format!("--key={}", spec.key),
            ],
            "ports": [{"name": "http", "containerPort": 8089}],
        }],
    }});
    pod["metadata"]["annotations"] = json!({
        "sidecar.istio.io/inject": "false",
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
    });
    place.create::<Pod>(CHALLENGES, &pod).await?;
    let mut service = json!({"metadata": metadata, "spec": {
        "type": "NodePort", "selector": labels,
        "ports": [{"name": "http", "port": 8089, "targetPort": 8089}],
    }});
    service["metadata"]["annotations"] = json!({"auth.istio.io/8089": "NONE"});
    let service = place.create::<Service>(CHALLENGES, &service).await?;
    let path = json!({
        "path": format!("/.well-known/acme-challenge/{}", spec.token), "pathType": "Exact",
        "backend": {"service": {"name": service.name_any(), "port": {"number": 8089}}},
    });
    let solver = serde_json::to_value(&spec.solver)?;
    let Some(name) = solver["http01"]["ingress"]["name"].as_str() else {
        let mut ingress = json!({"metadata": metadata, "spec": {
            "ingressClassName": CLASS,
            "rules": [{"host": spec.dns_name, "http": {"paths": [path]}}],
        }});
        ingress["metadata"]["annotations"] =
            json!({"nginx.ingress.kubernetes.io/whitelist-source-range": "0.0.0.0/0,::/0"});
        place.create::<Ingress>(CHALLENGES, &ingress).await?;
        return Ok(service);
    };
    let ingresses: Api<Ingress> = place.namespace.api();
    let mut rules = serde_json::to_value(ingresses.get(name).await?.spec)?["rules"].clone();
    let paths = rules[0]["http"]["paths"]
        .as_array_mut()
        .context("no paths")?;
    paths.insert(0, path);
    let params = PatchParams {
        field_manager: Some(CHALLENGES.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"spec": {"rules": rules}}));
    ingresses.patch(name, &params, &patch).await?;
    Ok(service)
}

/// What cert-manager labels with, of names and tokens (RFC 1950 section 8).
fn adler32(text: &str) -> u32 {
    let (a, b) = text.bytes().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}
