//! Does every condition say which version of the Certificate it is about?

use anyhow::{Result, ensure};
use certwright::api::{
    certificate::CertificateStatus,
    condition::{self, Condition, ConditionStatus, kind},
};
use kube::{ResourceExt, api::ListParams};
use serde_json::json;
use testbed::{Bed, process::wait::until};

use crate::{
    desk::{Desk, SOON},
    private_ca::issuer,
};

/// After each change, whether it needs another certificate or not, and after a renewal that somebody
/// asked for; while an issuance is under way too. As many requests are left as the Certificate says.
pub(crate) async fn conditions_follow_the_spec(bed: &Bed) -> Result<()> {
    let desk = Desk::new(bed, "generation").await?;
    desk.ask("web", "ca", json!({"revisionHistoryLimit": 2}))
        .await?;
    desk.issued("web", 1).await?;
    is(&desk, 1, Some(ConditionStatus::True), None).await?;

    let template = json!({"labels": {"team": "a"}});
    desk.change("web", json!({"spec": {"secretTemplate": template}}))
        .await?;
    let status = is(&desk, 2, Some(ConditionStatus::True), None).await?;
    ensure!(status.revision == Some(1), "{status:?}");

    let elsewhere = json!({"spec": {"issuerRef": {"name": "later"}}});
    desk.change("web", elsewhere).await?;
    let (under_way, not_ready) = (Some(ConditionStatus::True), Some(ConditionStatus::False));
    is(&desk, 3, not_ready, under_way).await?;
    desk.change("web", json!({"spec": {"dnsNames": ["a.example"]}}))
        .await?;
    is(&desk, 4, not_ready, under_way).await?;

    let itself = issuer("Issuer", "later", json!({"selfSigned": {}}));
    desk.namespace.apply_all(&[itself]).await?;
    desk.issued("web", 2).await?;
    is(&desk, 4, Some(ConditionStatus::True), None).await?;
    desk.renew("web").await?;
    desk.issued("web", 3).await?;
    let status = is(&desk, 4, Some(ConditionStatus::True), None).await?;
    ensure!(status.revision == Some(3), "{status:?}");
    until("the oldest request goes", SOON, async || {
        let requests = desk.requests().list(&ListParams::default()).await?;
        let names: Vec<String> = requests.iter().map(ResourceExt::name_any).collect();
        ensure!(names == ["web-2", "web-3"], "{names:?}");
        Ok(())
    })
    .await
}

/// Waits until Ready and Issuing stand like that, both of that generation.
async fn is(
    desk: &Desk,
    generation: i64,
    ready: Option<ConditionStatus>,
    issuing: Option<ConditionStatus>,
) -> Result<CertificateStatus> {
    until("conditions of the generation", SOON, async || {
        let found = desk.certificates().get("web").await?;
        ensure!(found.metadata.generation == Some(generation));
        let status = found.status.unwrap_or_default();
        let of = |type_: &str| {
            let found = condition::find(status.conditions.as_ref(), type_);
            found.map(|one: &Condition| (one.status, one.observed_generation))
        };
        let wanted =
            |status: Option<ConditionStatus>| status.map(|status| (status, Some(generation)));
        ensure!(of(kind::READY) == wanted(ready), "{status:?}");
        ensure!(of(kind::ISSUING) == wanted(issuing), "{status:?}");
        Ok(status)
    })
    .await
}
