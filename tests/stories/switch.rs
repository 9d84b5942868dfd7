//! Does a cluster go from cert-manager to certwright, and back, without an issuance?

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{certificate::Certificate, issuer::Issuer, order::Order, request::CertificateRequest},
    cluster::Clock,
};
use jiff::Timestamp;
use k8s_openapi::{NamespaceResourceScope, api::core::v1::Secret};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testbed::{
    Bed, BedOptions,
    apply::documents,
    operator::{Operator, OperatorOptions},
    process::wait::until,
    progress::Progress,
};

use crate::{
    left::{acme_issuer, certificates, ecdsa, failed, valid_order},
    parts::observed,
    predecessor::Predecessor,
    stores,
};

const SOON: Duration = Duration::from_secs(60);

/// What cert-manager has issued is left alone: no object is written. What certwright then issues,
/// because somebody asks, cert-manager would leave alone.
pub(crate) async fn what_was_issued_stays(bed: &Bed) -> Result<()> {
    let own = before_the_switch(bed).await?;
    let place = Predecessor::new(&own, "issued").await?;
    acme_issuer(&place).await?;
    let theirs = json!({
        "metadata": {"name": "opaque", "labels": {"their": "own"}},
        "type": "Opaque", "stringData": {"theirs": "c"},
    });
    place.create::<Secret>("kubectl-create", &theirs).await?;
    let mut certificates = certificates();
    for (name, spec) in &certificates {
        place.issued(name, spec, false).await?;
    }
    certificates.extend(stores::issued(&place).await?);
    valid_order(&place, "by-acme").await?;
    let requests: Api<CertificateRequest> = place.namespace.api();
    requests
        .delete("forgotten-1", &DeleteParams::default())
        .await?;
    are_accepted(&place, &certificates, false).await?;
    let before = versions(&place).await?;

    own.install_chart(&json!({})).await?;
    let operator = own.operator(&OperatorOptions::default()).await?;
    has_looked(&operator, "certificates", certificates.len()).await?;
    has_looked(&operator, "certificaterequests", certificates.len() - 1).await?;
    has_looked(&operator, "issuers", 3).await?;
    has_looked(&operator, "orders", 1).await?;
    assert_eq!(writes(&own, place.namespace.name())?, [""; 0]);
    assert_eq!(versions(&place).await?, before);

    let renewed: Vec<_> = certificates
        .into_iter()
        .filter(|(name, _)| *name != "by-acme")
        .collect();
    for (name, _) in &renewed {
        renew(&place, name).await?;
    }
    for (name, _) in &renewed {
        reaches(&place, name, 2).await?;
    }
    are_accepted(&place, &renewed, false).await?;
    let opaque = place.namespace.api::<Secret>().get("opaque").await?;
    ensure!(opaque.labels()["their"] == "own", "{:?}", opaque.metadata);
    ensure!(opaque.data.is_some_and(|data| data.contains_key("theirs")));
    ensure!(operator.stop().await?.success());
    held_by_nothing(&place).await
}

/// A Secret that has its Certificate as owner keeps it, and a failure keeps its place in the
/// back-off: nothing is asked for again before its time.
pub(crate) async fn flags_and_failures_stay(bed: &Bed) -> Result<()> {
    let own = before_the_switch(bed).await?;
    let place = Predecessor::new(&own, "owned").await?;
    let owned = [("owned", ecdsa("owned"))];
    place.issued("owned", &owned[0].1, true).await?;
    are_accepted(&place, &owned, true).await?;
    let told = "The certificate request has failed to complete and will be retried: ";
    for name in ["failed", "denied"] {
        failed(&place, name, told).await?;
    }
    let before = versions(&place).await?;

    own.install_chart(&json!({})).await?;
    let with_owner = OperatorOptions {
        args: vec!["--enable-certificate-owner-ref=true".to_owned()],
        ..OperatorOptions::default()
    };
    let operator = own.operator(&with_owner).await?;
    for name in ["failed", "denied"] {
        let text = format!("{told}the CA is closed; next try at ");
        place.namespace.says(name, &text, SOON).await?;
        let status = place.exhibit(name, true).await?.certificate["status"].clone();
        assert_eq!(status["failedIssuanceAttempts"], 3);
        assert_eq!(
            status["conditions"][0]["message"],
            format!("{told}the CA is closed")
        );
    }
    has_looked(&operator, "certificates", 3).await?;
    let mut after = versions(&place).await?;
    for name in ["failed", "denied"] {
        // That the next try is told is the one thing written.
        let key = format!("Certificate {name}");
        ensure!(before[&key] != after[&key]);
        after.insert(key.clone(), before[&key].clone());
    }
    assert_eq!(after, before);

    renew(&place, "owned").await?;
    reaches(&place, "owned", 2).await?;
    are_accepted(&place, &owned, true).await?;
    ensure!(operator.stop().await?.success());
    held_by_nothing(&place).await
}

/// Webhooks of a cert-manager that is gone refuse every write, and are named in the log and at
/// `/readyz` with what to do.
pub(crate) async fn left_over_webhooks_are_named(bed: &Bed) -> Result<()> {
    let own = before_the_switch(bed).await?;
    let place = Predecessor::new(&own, "hooked").await?;
    own.install_chart(&json!({})).await?;
    let hook = |kind: &str| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": {"name": "cert-manager-webhook"},
            "webhooks": [{
                "name": "webhook.cert-manager.io",
                "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
                "rules": [{
                    "apiGroups": ["cert-manager.io"], "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"], "resources": ["*/*"],
                }],
                "clientConfig": {"service": {
                    "name": "cert-manager-webhook", "namespace": "cert-manager", "path": "/validate",
                }},
            }],
        })
    };
    let kinds = [
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
    ];
    own.apply_all(&kinds.map(hook)).await?;
    let asked = json!({"metadata": {"name": "web"}, "spec": ecdsa("web")});
    until("a refusal", SOON, async || {
        match place.create::<Certificate>("kubectl-create", &asked).await {
            Ok(made) => {
                let certificates: Api<Certificate> = place.namespace.api();
                certificates
                    .delete(&made.name_any(), &DeleteParams::default())
                    .await?;
                anyhow::bail!("it was made")
            }
            Err(error) => {
                ensure!(
                    format!("{error:#}").contains("webhook.cert-manager.io"),
                    "{error:#}"
                );
                Ok(())
            }
        }
    })
    .await?;

    let operator = own.operator(&OperatorOptions::default()).await?;
    let advice = "webhooks of cert-manager are left over and refuse writes once nothing answers them; \
                  if cert-manager is gone: kubectl delete \
                  validatingwebhookconfiguration/cert-manager-webhook \
                  mutatingwebhookconfiguration/cert-manager-webhook";
    until("the warning", SOON, async || {
        let text = operator.readiness().await?;
        ensure!(text.contains(&format!("warning: {advice}\n")), "{text}");
        Ok(())
    })
    .await?;
    ensure!(operator.log().contains(advice), "{}", operator.log());
    Ok(())
}

/// A cluster with the kinds of cert-manager, and nothing of certwright's yet.
pub(crate) async fn before_the_switch(bed: &Bed) -> Result<Bed> {
    let own = Bed::start(BedOptions {
        home: bed.home().clone(),
        progress: Progress::quiet(),
        binary: Some(env!("CARGO_BIN_EXE_certwright").into()),
        audit: true,
    })
    .await?;
    let kinds = format!("{}/crds", env!("CARGO_MANIFEST_DIR"));
    for file in fs::read_dir(kinds)? {
        own.apply_all(&documents(&fs::read_to_string(file?.path())?)?)
            .await?;
    }
    Ok(own)
}

/// Asks for another issuance, as `cmctl renew` does.
async fn renew(place: &Predecessor, name: &str) -> Result<()> {
    let certificates: Api<Certificate> = place.namespace.api();
    let found = serde_json::to_value(certificates.get(name).await?)?;
    let mut conditions = found["status"]["conditions"].clone();
    let message = "Certificate re-issuance manually triggered";
    let mut issuing = observed("Issuing", "True", "ManuallyTriggered", message);
    issuing["lastTransitionTime"] =
        json!(Timestamp::from_second(Clock::default().now().as_second())?);
    let list = conditions.as_array_mut().context("no conditions")?;
    list.push(issuing);
    let params = PatchParams {
        field_manager: Some("cmctl".to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"status": {"conditions": conditions}}));
    certificates.patch_status(name, &params, &patch).await?;
    Ok(())
}

async fn reaches(place: &Predecessor, name: &str, revision: i64) -> Result<()> {
    until(&format!("{name}, revision {revision}"), SOON, async || {
        let found = place.exhibit(name, false).await?;
        let status = &found.certificate["status"];
        ensure!(status["revision"] == revision, "{status}");
        // The request before is deleted after that.
        ensure!(
            found.requests.len() == 1 && found.next_keys == 0,
            "{status}"
        );
        Ok(())
    })
    .await
}

async fn are_accepted(place: &Predecessor, all: &[(&str, Value)], owned: bool) -> Result<()> {
    for (name, _) in all {
        let complaints = place
            .exhibit(name, owned)
            .await?
            .complaints(Clock::default().now())?;
        assert_eq!(complaints, [""; 0], "{name}");
    }
    Ok(())
}

/// Waits until a controller has looked at so many objects, or often enough at fewer.
async fn has_looked(operator: &Operator, controller: &str, count: usize) -> Result<()> {
    let start = format!("certmanager_controller_sync_call_count{{controller=\"{controller}\"}} ");
    until(&format!("{controller} to be looked at"), SOON, async || {
        let text = operator.metrics().await?;
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        let looked: usize = line.unwrap_or("0").parse()?;
        ensure!(looked >= count, "{looked} of {count}");
        Ok(())
    })
    .await
}

/// The version of every object in the namespace that anybody could have written.
async fn versions(place: &Predecessor) -> Result<BTreeMap<String, Option<String>>> {
    async fn of<K>(place: &Predecessor) -> Result<Vec<(String, Option<String>)>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let list = place
            .namespace
            .api::<K>()
            .list(&ListParams::default())
            .await?;
        let named = |one: &K| {
            (
                format!("{} {}", K::kind(&()), one.name_any()),
                one.resource_version(),
            )
        };
        Ok(list.iter().map(named).collect())
    }
    let all = [
        of::<Issuer>(place).await?,
        of::<Certificate>(place).await?,
        of::<CertificateRequest>(place).await?,
        of::<Order>(place).await?,
        of::<Secret>(place).await?,
    ];
    Ok(all.concat().into_iter().collect())
}

/// What the operator has asked the API server to change in a namespace.
fn writes(bed: &Bed, namespace: &str) -> Result<Vec<String>> {
    let operator = bed.operator_user()?;
    let mut writes = Vec::new();
    for line in fs::read_to_string(bed.audit_log())?.lines() {
        let event: Value = serde_json::from_str(line)?;
        let verb = event["verb"].as_str().unwrap_or_default();
        let is_read = ["get", "list", "watch"].contains(&verb);
        let object = &event["objectRef"];
        if event["user"]["username"] == *operator && !is_read && object["namespace"] == *namespace {
            writes.push(format!("{verb} {object}"));
        }
    }
    Ok(writes)
}

/// Nothing waits for an operator to let go of it, and nothing is there but what cert-manager knows.
async fn held_by_nothing(place: &Predecessor) -> Result<()> {
    async fn guarded<K>(place: &Predecessor) -> Result<Vec<String>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let list = place
            .namespace
            .api::<K>()
            .list(&ListParams::default())
            .await?;
        let held = list.iter().filter(|one| !one.finalizers().is_empty());
        Ok(held.map(ResourceExt::name_any).collect())
    }
    let held = [
        guarded::<Issuer>(place).await?,
        guarded::<Certificate>(place).await?,
        guarded::<CertificateRequest>(place).await?,
        guarded::<Order>(place).await?,
        guarded::<Secret>(place).await?,
    ];
    assert_eq!(held.concat(), [""; 0]);
    Ok(())
}
