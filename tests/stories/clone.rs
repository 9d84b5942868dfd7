//! What becomes of records that came along from another cluster?

use anyhow::{Context, Result, ensure};
use certwright::api::{
    issuance::{Issuance, IssuanceState},
    names::annotation,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ObjectMeta, PostParams},
};
use serde_json::json;
use testbed::Bed;

use crate::scene::Scene;

/// A cluster that was cloned, or put back from a backup elsewhere, revokes nothing that the other one
/// issued: not what is deleted, not what was being revoked, and not on demand, which is told. What it
/// issues itself is its own.
pub(crate) async fn what_another_cluster_issued_is_left_alone(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "clone").await?;
    let operator = scene.operator(&["--deletion-delay=1s"]).await?;
    let names = ["kept", "deleted", "revoking", "asked"];
    let mut serials = Vec::new();
    for name in names {
        serials.push(scene.issued(name).await?.leaf.serial);
    }
    ensure!(operator.stop().await?.success());
    for (name, serial) in names.into_iter().zip(&serials) {
        let record = scene.record(serial).await?;
        let records = scene.records();
        records
            .delete(&record.name_any(), &DeleteParams::default())
            .await?;
        let mut theirs: Issuance = record.clone();
        theirs.metadata = ObjectMeta {
            name: Some(record.name_any()),
            labels: record.metadata.labels,
            ..ObjectMeta::default()
        };
        theirs.spec.cluster = "another".to_owned();
        if name == "revoking" {
            theirs.status = serde_json::from_value(json!({
                "state": "Revoking", "orphanedSince": "2026-01-01T00:00:00Z",
                "request": {
                    "by": "somebody", "reason": "superseded", "time": "2026-01-01T00:00:00Z",
                },
            }))?;
        }
        records.create(&PostParams::default(), &theirs).await?;
    }
    for name in ["deleted", "revoking"] {
        scene.delete(name).await?;
    }
    let operator = scene.operator(&["--deletion-delay=1s"]).await?;
    scene
        .annotate("asked", annotation::REVOKE, Some("superseded"))
        .await?;
    let note = format!(
        "annotation certwright.io/revoke: certificate {} was issued in another cluster",
        serials[3]
    );
    scene.told("NotRevoked", &note).await?;
    // As long as all that takes here, the others have had time for the same.
    let own = scene.issued("own").await?.leaf.serial;
    scene.delete("own").await?;
    scene
        .becomes(&own, IssuanceState::Revoked, &operator)
        .await?;
    scene.secret_goes("own").await?;
    for (name, serial) in names.into_iter().zip(&serials) {
        ensure!(scene.at_ca(serial).await? == "Valid", "{name} is revoked");
        ensure!(
            scene.has_secret(name).await?,
            "the Secret of {name} is gone"
        );
        let status = scene.record(serial).await?.status.context("no status")?;
        let want = match name {
            "revoking" => IssuanceState::Revoking,
            _ => IssuanceState::Active,
        };
        ensure!(status.state == Some(want), "{name}: {status:?}");
        ensure!(status.tries.is_none() && status.revocation.is_none());
    }
    ensure!(operator.stop().await?.success());
    Ok(())
}
