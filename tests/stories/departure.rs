//! What becomes of the Secret of a Certificate that nobody can revoke, once that is gone?

use anyhow::{Context, Result, ensure};
use certwright::api::{certificate::Certificate, issuance::IssuanceState, issuer::Issuer};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Secret},
    events::v1::Event,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;
use testbed::{
    Bed,
    process::{tail, wait::until},
};

use crate::{
    register::{number, read},
    scene::Scene,
    site::SOON,
    yard::Yard,
};

/// After the delay its Secret goes, as its Certificate, its issuer or the operator says; copies, what
/// cert-manager issued, and what went while nobody looked, stay.
pub(crate) async fn its_secret_goes(bed: &Bed) -> Result<()> {
    let yard = Yard::new(bed, "departure").await?;
    let operator = yard.operator(&["--deletion-delay=1s"]).await?;
    yard.issued("own", "itself", json!({})).await?;
    yard.issued("leaf", "ca", json!({"deletionPolicy": "Delete"}))
        .await?;
    yard.issued("retained", "ca", json!({"deletionPolicy": "Retain"}))
        .await?;
    yard.issued("quiet", "quiet", json!({})).await?;
    yard.issued("theirs", "itself", json!({})).await?;
    yard.issued("unseen", "itself", json!({})).await?;
    ensure!(yard.records().await?.is_empty(), "written down while kept");

    // As reflectors copy it, here and elsewhere.
    let other = bed.namespace("departure-copy").await?;
    let own: Secret = yard.namespace.api().get("own").await?;
    let copy = Secret {
        metadata: ObjectMeta {
            name: Some("copy".to_owned()),
            labels: own.metadata.labels.clone(),
            annotations: own.metadata.annotations.clone(),
            ..ObjectMeta::default()
        },
        ..own
    };
    for secrets in [yard.namespace.api::<Secret>(), other.api::<Secret>()] {
        secrets.create(&PostParams::default(), &copy).await?;
    }
    // The last revision is of cert-manager's making.
    let params = PatchParams {
        field_manager: Some("cert-manager-certificates-issuing".to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"status": {"revision": 7}}));
    let certificates: Api<Certificate> = yard.namespace.api();
    certificates.patch_status("theirs", &params, &patch).await?;

    // Those that stay first: what is done about the others is done about these.
    for name in ["retained", "quiet", "theirs", "own", "leaf"] {
        yard.delete(name).await?;
    }
    for (name, policy) in [("own", "Revoke"), ("leaf", "Delete")] {
        yard.secret_goes(name, &operator).await?;
        let record = yard
            .becomes(name, IssuanceState::Deleted, &operator)
            .await?;
        ensure!(record.spec.revocable == Some(false), "{record:?}");
        ensure!(record.spec.deletion_policy.as_str() == policy);
        let message = record.status.and_then(|status| status.message);
        let want = "its Secret is gone; there is nobody to tell that it is revoked";
        ensure!(message.as_deref() == Some(want), "{message:?}");
    }
    let records = yard.records().await?;
    ensure!(records.keys().eq(["leaf", "own"]), "{:?}", records.keys());

    // While nobody looks.
    ensure!(operator.stop().await?.success());
    yard.delete("unseen").await?;
    let operator = yard.operator(&["--deletion-delay=1s"]).await?;
    yard.issued("last", "itself", json!({})).await?;
    yard.delete("last").await?;
    yard.secret_goes("last", &operator).await?;
    for name in ["retained", "quiet", "theirs", "unseen", "copy"] {
        ensure!(yard.has_secret(name).await?, "{name} is gone");
    }
    let copies: Api<Secret> = other.api();
    ensure!(copies.get_opt("copy").await?.is_some());
    ensure!(yard.records().await?.len() == 3);
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// The Certificate of a CA goes while an issuer signs with its Secret: that stays until the issuer is
/// gone too.
pub(crate) async fn an_issuer_holds_it(bed: &Bed) -> Result<()> {
    let yard = Yard::new(bed, "bootstrap").await?;
    let operator = yard.operator(&["--deletion-delay=1s"]).await?;
    yard.issued("www", "ca", json!({})).await?;
    yard.delete("root").await?;
    let held = yard.becomes("root", IssuanceState::Held, &operator).await?;
    let message = held.status.and_then(|status| status.message);
    let want = format!(
        "still used: Issuer {}/ca names the Secret",
        yard.namespace.name()
    );
    ensure!(message.as_deref() == Some(&*want), "{message:?}");
    // It still signs.
    yard.issued("again", "ca", json!({})).await?;
    let issuers: Api<Issuer> = yard.namespace.api();
    issuers.delete("ca", &DeleteParams::default()).await?;
    yard.becomes("root", IssuanceState::Deleted, &operator)
        .await?;
    ensure!(!yard.has_secret("root").await?);
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// A Certificate that comes back within the delay keeps what is there, also after a restart; the second
/// time, its record is there already.
pub(crate) async fn who_comes_back_keeps_it(bed: &Bed) -> Result<()> {
    let yard = Yard::new(bed, "return").await?;
    let mut operator = yard.operator(&[]).await?;
    yard.issued("own", "itself", json!({})).await?;
    let before: Secret = yard.namespace.api().get("own").await?;
    for restarts in [false, true] {
        yard.delete("own").await?;
        yard.becomes("own", IssuanceState::Orphaned, &operator)
            .await?;
        if restarts {
            ensure!(operator.stop().await?.success());
            operator = yard.operator(&[]).await?;
        }
        yard.issued("own", "itself", json!({})).await?;
        let record = yard
            .becomes("own", IssuanceState::Active, &operator)
            .await?;
        let certificate: Certificate = yard.namespace.api().get("own").await?;
        ensure!(record.spec.certificate_ref.uid == certificate.uid().unwrap_or_default());
    }
    let after: Secret = yard.namespace.api().get("own").await?;
    ensure!(after.data == before.data, "another was issued");
    ensure!(yard.records().await?.len() == 1);
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// The replica that leads does not get to it; the one that takes over has seen it too.
pub(crate) async fn the_next_leader_knows(bed: &Bed) -> Result<()> {
    let yard = Yard::new(bed, "succession").await?;
    let leader = yard.replica("first").await?;
    yard.issued("own", "itself", json!({})).await?;
    let other = yard.replica("second").await?;
    ensure!(!other.metrics().await?.contains("certwright_leading 1"));
    // Before that it does not know who leads.
    until("the other to see who leads", SOON, async || {
        ensure!(other.log().contains("waiting to lead"), "{}", other.log());
        Ok(())
    })
    .await?;
    leader.signal("STOP")?;
    yard.delete("own").await?;
    yard.secret_goes("own", &other).await?;
    yard.becomes("own", IssuanceState::Deleted, &other).await?;
    leader.kill().await?;
    ensure!(other.stop().await?.success());
    Ok(())
}

/// What a CA issued before it published a list is put on it.
pub(crate) async fn a_list_comes_later(bed: &Bed) -> Result<()> {
    let yard = Yard::new(bed, "listed-later").await?;
    let operator = yard.operator(&["--deletion-delay=1s"]).await?;
    yard.issued("leaf", "ca", json!({"deletionPolicy": "Revoke"}))
        .await?;
    let issuers: Api<Issuer> = yard.namespace.api();
    let patch = Patch::Merge(json!({"spec": {"ca": {"crl": {}}}}));
    let params = PatchParams::default();
    issuers.patch("ca", &params, &patch).await?;
    let lists: Api<ConfigMap> = yard.namespace.api();
    until("a list", SOON, async || read(&lists, "ca-crl").await).await?;
    ensure!(yard.records().await?.is_empty());
    yard.delete("leaf").await?;
    let record = yard
        .becomes("leaf", IssuanceState::Revoked, &operator)
        .await?;
    let (list, _) = read(&lists, "ca-crl").await?;
    let serial = number(&record.spec.serial)?;
    ensure!(list.entries.contains_key(&serial), "{list:?}");
    yard.secret_goes("leaf", &operator).await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// Many at once are held until somebody confirms that this was meant.
pub(crate) async fn many_at_once_are_held(bed: &Bed) -> Result<()> {
    const MANY: usize = 12;
    let yard = Yard::new(bed, "exodus").await?;
    // Long enough that all are gone before the first is due.
    let operator = yard.operator(&["--deletion-delay=15s"]).await?;
    let names: Vec<String> = (0..2 * MANY).map(|number| format!("c{number}")).collect();
    for name in &names {
        yard.ask(name, "itself", json!({})).await?;
    }
    for name in &names {
        yard.namespace.ready(name, SOON).await?;
    }
    for name in &names[..MANY] {
        yard.delete(name).await?;
    }
    for name in &names[..MANY] {
        let held = yard.becomes(name, IssuanceState::Held, &operator).await?;
        let message = held.status.and_then(|status| status.message);
        ensure!(
            message.is_some_and(|text| text.contains("certwright.io/confirm")),
            "{name}"
        );
    }
    let metrics = operator.metrics().await?;
    ensure!(metrics.contains("certwright_revocation_brake 1"));
    let records = yard.records().await?;
    for name in records.keys() {
        ensure!(yard.has_secret(name).await?, "{name} is gone");
    }
    // Once ten are left, they go too.
    for record in records.values() {
        let patch = json!({"metadata": {"annotations": {"certwright.io/confirm": "true"}}});
        let (name, patch) = (record.name_any(), Patch::Merge(patch));
        yard.issuances()
            .patch(&name, &PatchParams::default(), &patch)
            .await?;
    }
    for name in &names[..MANY] {
        yard.becomes(name, IssuanceState::Deleted, &operator)
            .await?;
    }
    until("the brake to let go", SOON, async || {
        let metrics = operator.metrics().await?;
        ensure!(metrics.contains("certwright_revocation_brake 0"));
        Ok(())
    })
    .await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// An ACME server issued, and before that was stored the issuer went, and the operator too: the
/// certificate is stored, and its Certificate says that nobody knows how to have it revoked. Once the
/// issuer is back, it can be.
pub(crate) async fn a_lost_account_is_told(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "unrecorded").await?;
    let operator = scene.operator(&[]).await?;
    let issued = scene.issued("www").await?;
    ensure!(operator.stop().await?.success());

    // Back to where it was issued, and not stored yet.
    let certificates: Api<Certificate> = scene.site.api();
    let certificate = certificates.get("www").await?;
    let requests: Api<certwright::api::request::CertificateRequest> = scene.site.api();
    let request = requests.get("www-1").await?;
    let name = &request.annotations()["cert-manager.io/private-key-secret-name"];
    let secrets: Api<Secret> = scene.site.api();
    let next_key: Secret = serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "labels": {
                "cert-manager.io/next-private-key": "true",
                "controller.cert-manager.io/fao": "true",
            },
            "ownerReferences": [{
                "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "name": "www",
                "uid": certificate.uid(), "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "data": {"tls.key": issued.secret.data.as_ref().map(|data| &data["tls.key"])},
    }))?;
    secrets.create(&PostParams::default(), &next_key).await?;
    let now = certificate
        .status
        .as_ref()
        .and_then(|status| status.not_before.clone());
    let status = json!({"status": {
        "revision": null, "notBefore": null, "notAfter": null, "renewalTime": null,
        "nextPrivateKeySecretName": name,
        "conditions": [{
            "type": "Issuing", "status": "True", "reason": "DoesNotExist", "message": "",
            "lastTransitionTime": now, "observedGeneration": certificate.metadata.generation,
        }],
    }});
    certificates
        .patch_status("www", &PatchParams::default(), &Patch::Merge(status))
        .await?;
    let delete = DeleteParams::default();
    secrets.delete("www", &delete).await?;
    let record = scene.record(&issued.leaf.serial).await?;
    scene.records().delete(&record.name_any(), &delete).await?;
    scene.site.api::<Issuer>().delete("ca", &delete).await?;

    let operator = scene.operator(&["--deletion-delay=1s"]).await?;
    let stored = scene.site.issued("www", &[&scene.host("www")]).await?;
    ensure!(
        stored.leaf.serial == issued.leaf.serial,
        "another was issued"
    );
    let told = until("the warning", SOON, async || {
        let events: Api<Event> = scene.site.api();
        let events = events.list(&ListParams::default()).await?;
        let mut of_reason = events
            .items
            .into_iter()
            .filter(|event| event.reason.as_deref() == Some("NotRecorded"));
        of_reason.next().context("no such event")
    })
    .await
    .with_context(|| tail(&operator.log()))?;
    let note = told.note.unwrap_or_default();
    ensure!(
        told.type_.as_deref() == Some("Warning") && note.contains("Issuer \"ca\""),
        "{note}"
    );
    ensure!(operator.log().contains("it is not recorded"));
    ensure!(scene.all().await?.is_empty());

    let solvers = json!([{ "dns01": bed.dns01("tsig") }]);
    let back = bed.acme_issuer("ca", &scene.site.pebble, &solvers);
    scene.site.namespace.apply_all(&[back]).await?;
    until("the issuer to be ready", SOON, async || {
        let issuer = scene.site.api::<Issuer>().get("ca").await?;
        let account = issuer.status.and_then(|status| status.acme);
        ensure!(account.is_some_and(|account| account.uri.is_some()));
        Ok(())
    })
    .await?;
    scene.delete("www").await?;
    let serial = &stored.leaf.serial;
    scene
        .becomes(serial, IssuanceState::Revoked, &operator)
        .await?;
    ensure!(scene.at_ca(serial).await? == "5");
    scene.secret_goes("www").await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}
