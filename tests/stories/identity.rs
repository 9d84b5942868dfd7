//! Who asked for a certificate, and can anybody say it was another?

use anyhow::{Context, Result, ensure};
use certwright::api::request::CertificateRequest;
use kube::{Api, api::PostParams};
use serde_json::json;
use testbed::Bed;

use crate::admission::chart_in_force;

/// The API server writes the requester into a request, whatever the requester claims.
pub(crate) async fn the_requester_is_written_down(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("identity").await?;
    let release = chart_in_force(bed, &namespace).await?;
    let account = (release.namespace(), release.service_account());
    let access = bed
        .access()
        .with_service_account(bed.client(), account.0, account.1)
        .await?;
    let api: Api<CertificateRequest> = Api::namespaced(access.client().await?, namespace.name());
    let want = format!("system:serviceaccount:{}:{}", account.0, account.1);
    for claim in [
        json!({}),
        json!({ "username": "admin", "uid": "1", "groups": ["system:masters"], "extra": { "a": ["b"] } }),
        json!({ "username": "", "groups": [], "extra": {} }),
    ] {
        let mut request = json!({
            "apiVersion": "cert-manager.io/v1",
            "kind": "CertificateRequest",
            "metadata": { "generateName": "r-" },
            "spec": { "request": "YQ==", "issuerRef": { "name": "ca", "group": "example.com" } },
        });
        let claimed = claim.as_object().context("a claim is a map")?.clone();
        request["spec"]
            .as_object_mut()
            .context("spec is a map")?
            .extend(claimed);
        let request = serde_json::from_value(request)?;
        let made = api.create(&PostParams::default(), &request).await?;
        let spec = made.spec;
        ensure!(
            spec.username.as_deref() == Some(&want),
            "{claim}: {:?}",
            spec.username
        );
        ensure!(
            spec.uid.is_some_and(|uid| uid.len() == 36),
            "{claim}: no uid"
        );
        let groups = spec.groups.unwrap_or_default();
        ensure!(
            groups.contains(&"system:serviceaccounts".to_owned())
                && !groups.contains(&"system:masters".to_owned()),
            "{claim}: {groups:?}"
        );
        ensure!(
            !spec.extra.unwrap_or_default().contains_key("a"),
            "{claim}: extra was kept"
        );
    }
    Ok(())
}
