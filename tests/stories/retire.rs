//! What becomes of a certificate whose Certificate is gone?

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use certwright::api::{
    certificate::Certificate,
    issuance::{AcmeOrigin, Issuance, IssuanceState, KeyPlace},
    issuer::Issuer,
};
use k8s_openapi::{
    api::{
        core::v1::{Namespace, Secret},
        networking::v1::Ingress,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ObjectMeta, PostParams},
};
use serde_json::json;
use testbed::{
    Bed,
    process::{tail, wait::until},
};

use crate::{scene::Scene, site::SOON};

/// After the delay a certificate is revoked and its Secret deleted; or that alone, or nothing, as its
/// Certificate, its issuer or the operator says. Copies, and what came from another cluster, are left
/// alone.
pub(crate) async fn after_the_delay(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "retire").await?;
    let site = &scene.site;
    let patch = kube::api::Patch::Merge(json!({"spec": {"deletionPolicy": "Delete"}}));
    let issuers: Api<Issuer> = site.api();
    issuers.patch("ca", &Default::default(), &patch).await?;
    let operator = scene.operator(&["--deletion-delay=1s"]).await?;

    scene
        .ask("deleted", json!({"deletionPolicy": null}))
        .await?;
    scene
        .ask("retained", json!({"deletionPolicy": "Retain"}))
        .await?;
    let revoked = scene.issued("revoked").await?;
    let deleted = site.issued("deleted", &[&scene.host("deleted")]).await?;
    let retained = site.issued("retained", &[&scene.host("retained")]).await?;
    let [revoked_serial, deleted_serial, retained_serial] =
        [&revoked, &deleted, &retained].map(|issued| issued.leaf.serial.clone());
    let record = scene.record(&revoked_serial).await?;
    ensure!(record.spec.names == [scene.host("revoked")], "{record:?}");
    ensure!(record.status.as_ref().and_then(|s| s.state) == Some(IssuanceState::Active));

    // A copy in the same namespace and in another, as reflectors make them.
    let other = bed.namespace("retire-copy").await?;
    let mut copy = revoked.secret.clone();
    copy.metadata = ObjectMeta {
        name: Some("copy".to_owned()),
        labels: copy.metadata.labels.clone(),
        annotations: copy.metadata.annotations.clone(),
        ..ObjectMeta::default()
    };
    for secrets in [site.api::<Secret>(), other.api::<Secret>()] {
        secrets.create(&PostParams::default(), &copy).await?;
    }
    // A record that came from another cluster, in a backup.
    let mut foreign: Issuance = record.clone();
    foreign.metadata = ObjectMeta {
        name: Some(format!("{}-foreign", record.name_any())),
        ..ObjectMeta::default()
    };
    foreign.spec.cluster = "another".to_owned();
    foreign.spec.serial = "f00".to_owned();
    scene
        .records()
        .create(&PostParams::default(), &foreign)
        .await?;

    for name in ["revoked", "deleted", "retained"] {
        scene.delete(name).await?;
    }
    let done = scene
        .becomes(&revoked_serial, IssuanceState::Revoked, &operator)
        .await?;
    let revocation = done.status.and_then(|status| status.revocation);
    let revocation = revocation.context("no revocation")?;
    ensure!(revocation.signed_by.as_deref() == Some("account key"));
    ensure!(
        revocation.by.starts_with("deletion of Certificate"),
        "{revocation:?}"
    );
    ensure!(scene.at_ca(&revoked_serial).await? == "5");
    scene.secret_goes("revoked").await?;
    scene.secret_goes("deleted").await?;
    ensure!(scene.at_ca(&deleted_serial).await? == "Valid");
    let kept = scene
        .becomes(&retained_serial, IssuanceState::Orphaned, &operator)
        .await?;
    ensure!(kept.spec.deletion_policy.as_str() == "Retain");
    ensure!(scene.has_secret("retained").await?);
    ensure!(scene.at_ca(&retained_serial).await? == "Valid");
    for secrets in [site.api::<Secret>(), other.api::<Secret>()] {
        ensure!(secrets.get_opt("copy").await?.is_some(), "a copy is gone");
    }
    let foreign = scene.record("f00").await?;
    ensure!(foreign.status.and_then(|s| s.state) == Some(IssuanceState::Active));
    let metrics = operator.metrics().await?;
    ensure!(metrics.contains("certwright_revocations_total{outcome=\"revoked\"} 1"));

    // Back after the delay: a new one.
    let again = scene.issued("revoked").await?;
    ensure!(again.leaf.serial != revoked_serial);
    ensure!(scene.at_ca(&again.leaf.serial).await? == "Valid");
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// A Certificate that comes back within the delay keeps what it had: nothing is ordered, and nothing
/// revoked; also when the operator was away meanwhile.
pub(crate) async fn who_comes_back_keeps_it(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "adopt").await?;
    let mut operator = scene.operator(&[]).await?;
    let serial = scene.issued("www").await?.leaf.serial;
    for restarts in [false, true] {
        scene.delete("www").await?;
        scene
            .becomes(&serial, IssuanceState::Orphaned, &operator)
            .await?;
        if restarts {
            ensure!(operator.stop().await?.success());
            scene.ask("www", json!({})).await?;
            operator = scene.operator(&[]).await?;
        } else {
            scene.ask("www", json!({})).await?;
        }
        let record = scene
            .becomes(&serial, IssuanceState::Active, &operator)
            .await?;
        let back = scene.site.issued("www", &[&scene.host("www")]).await?;
        ensure!(back.leaf.serial == serial, "another was issued");
        let certificate: Certificate = scene.site.api().get("www").await?;
        ensure!(record.spec.certificate_ref.uid == certificate.uid().unwrap_or_default());
    }
    ensure!(scene.site.pebble.issued().await.len() == 1);
    ensure!(scene.at_ca(&serial).await? == "Valid");
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// A Secret that an Ingress names is held until it does not any more.
pub(crate) async fn an_ingress_holds_it(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "held").await?;
    let operator = scene.operator(&["--deletion-delay=1s"]).await?;
    let serial = scene.issued("www").await?.leaf.serial;
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "web"},
        "spec": {
            "tls": [{"hosts": [scene.host("www")], "secretName": "www"}],
            "rules": [{"host": scene.host("www")}],
        },
    });
    scene.site.namespace.apply_all(&[ingress]).await?;
    scene.delete("www").await?;
    let held = scene
        .becomes(&serial, IssuanceState::Held, &operator)
        .await?;
    let message = held.status.and_then(|s| s.message).unwrap_or_default();
    ensure!(message.contains("/web names the Secret"), "{message}");
    ensure!(scene.at_ca(&serial).await? == "Valid" && scene.has_secret("www").await?);
    let ingresses: Api<Ingress> = scene.site.api();
    ingresses.delete("web", &DeleteParams::default()).await?;
    scene
        .becomes(&serial, IssuanceState::Revoked, &operator)
        .await?;
    scene.secret_goes("www").await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// A Secret that is copied to other namespaces is held until its annotation does not say so any more.
pub(crate) async fn copies_elsewhere_hold_it(bed: &Bed) -> Result<()> {
    const COPIED: &str = "reflector.v1.k8s.emberstack.com/reflection-allowed";
    let scene = Scene::new(bed, "copied").await?;
    let operator = scene.operator(&["--deletion-delay=1s"]).await?;
    let copied = json!({"secretTemplate": {"annotations": {COPIED: "true"}}});
    scene.ask("www", copied).await?;
    let issued = scene.site.issued("www", &[&scene.host("www")]).await?;
    let serial = issued.leaf.serial;
    scene.delete("www").await?;
    let held = scene
        .becomes(&serial, IssuanceState::Held, &operator)
        .await?;
    let message = held.status.and_then(|s| s.message).unwrap_or_default();
    ensure!(message.contains(COPIED), "{message}");
    ensure!(scene.at_ca(&serial).await? == "Valid" && scene.has_secret("www").await?);
    let secrets: Api<Secret> = scene.site.api();
    let patch = json!({"metadata": {"annotations": {COPIED: null}}});
    let patch = kube::api::Patch::Merge(patch);
    secrets.patch("www", &Default::default(), &patch).await?;
    scene
        .becomes(&serial, IssuanceState::Revoked, &operator)
        .await?;
    scene.secret_goes("www").await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// Many at once are held until somebody confirms that this was meant.
pub(crate) async fn many_at_once_are_held(bed: &Bed) -> Result<()> {
    const MANY: usize = 12;
    let scene = Scene::new(bed, "brake").await?;
    // Long enough that all are gone before the first is due.
    let operator = scene.operator(&["--deletion-delay=15s"]).await?;
    let names: Vec<String> = (0..2 * MANY).map(|number| format!("c{number}")).collect();
    for name in &names {
        scene.ask(name, json!({})).await?;
    }
    for name in &names {
        scene.site.namespace.ready(name, SOON).await?;
    }
    for name in &names[..MANY] {
        scene.delete(name).await?;
    }
    let held = |record: &&Issuance| {
        record.status.as_ref().and_then(|status| status.state) == Some(IssuanceState::Held)
    };
    let records = until("all to be held", SOON * 2, async || {
        let records: Vec<Issuance> = scene.all().await?.into_values().collect();
        let count = records.iter().filter(held).count();
        ensure!(count == MANY, "{count} are held:\n{}", operator.log());
        Ok(records)
    })
    .await?;
    ensure!(
        operator
            .metrics()
            .await?
            .contains("certwright_revocation_brake 1")
    );
    for record in &records {
        ensure!(scene.at_ca(&record.spec.serial).await? == "Valid");
    }
    for record in records.iter().filter(held) {
        let status = record.status.clone().unwrap_or_default();
        ensure!(
            status
                .message
                .is_some_and(|m| m.contains("certwright.io/confirm"))
        );
        scene.confirm(record).await?;
    }
    for record in records.iter().filter(held) {
        let serial = &record.spec.serial;
        scene
            .becomes(serial, IssuanceState::Revoked, &operator)
            .await?;
    }
    until("the brake to let go", SOON, async || {
        let metrics = operator.metrics().await?;
        ensure!(
            metrics.contains("certwright_revocation_brake 0"),
            "it holds"
        );
        Ok(())
    })
    .await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// A namespace is deleted with everything in it: what was issued there is revoked by a copy of the
/// account key. When nobody was there to copy it, that is told.
pub(crate) async fn with_its_namespace(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "ending").await?;
    let operator = scene.wide_operator(&["--deletion-delay=1s"]).await?;
    let serial = scene.issued("www").await?.leaf.serial;
    let namespaces: Api<Namespace> = Api::all(bed.client().clone());
    let name = scene.site.namespace.name();
    namespaces.delete(name, &DeleteParams::default()).await?;
    let done = scene
        .becomes(&serial, IssuanceState::Revoked, &operator)
        .await?;
    let revocation = done.status.and_then(|status| status.revocation);
    let signed_by = revocation.and_then(|revocation| revocation.signed_by);
    ensure!(signed_by.as_deref() == Some("account key"), "{signed_by:?}");
    ensure!(scene.at_ca(&serial).await? == "5");
    // Named by the account: other stories leave records without an end, and copies for them.
    let origin = done.spec.acme.context("no account")?;
    let AcmeOrigin {
        account_key: KeyPlace {
            namespace, name, ..
        },
        account_url,
        server,
        ..
    } = origin;
    let cause = format!("{server}\n{account_url}\n{namespace}/{name}");
    let hash = digest(&SHA256, cause.as_bytes());
    let hash: String = hash
        .as_ref()
        .iter()
        .take(10)
        .map(|b| format!("{b:02x}"))
        .collect();
    until("the copy of the account key to go", SOON, async || {
        let secrets = scene.secrets_of_operator();
        let copy = secrets
            .get_opt(&format!("certwright-account-{hash}"))
            .await?;
        ensure!(copy.is_none(), "it stands");
        Ok(())
    })
    .await?;
    ensure!(operator.stop().await?.success());

    let scene = Scene::new(bed, "ended").await?;
    let operator = scene.wide_operator(&["--deletion-delay=1s"]).await?;
    let serial = scene.issued("www").await?.leaf.serial;
    ensure!(operator.stop().await?.success());
    let name = scene.site.namespace.name();
    namespaces.delete(name, &DeleteParams::default()).await?;
    until("the namespace to go", SOON * 2, async || {
        ensure!(namespaces.get_opt(name).await?.is_none(), "it stands");
        Ok(())
    })
    .await?;
    let operator = scene.wide_operator(&["--deletion-delay=1s"]).await?;
    scene
        .becomes(&serial, IssuanceState::Unrevocable, &operator)
        .await?;
    let metrics = operator.metrics().await?;
    let counted = metrics.lines().find_map(|line| {
        line.strip_prefix("certwright_revocations_total{outcome=\"unrevocable\"} ")
    });
    ensure!(counted.is_some_and(|count| count != "0"), "{counted:?}");
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// The definition of Certificates is deleted, and with it every Certificate: nothing is revoked, and
/// who is put back keeps what it had.
pub(crate) async fn with_the_definition(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "definition").await?;
    let operator = scene.operator(&["--deletion-delay=1s"]).await?;
    let serial = scene.issued("www").await?.leaf.serial;
    let itself = crate::register::issuer("Issuer", "itself", json!({"selfSigned": {}}));
    scene.site.namespace.apply_all(&[itself]).await?;
    let from = json!({"issuerRef": {"name": "itself"}});
    scene.ask("own", from).await?;
    scene.site.namespace.ready("own", SOON).await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(bed.client().clone());
    let name = "certificates.cert-manager.io";
    let mut definition = definitions.get(name).await?;
    definitions.delete(name, &DeleteParams::default()).await?;
    until("the definition to go", SOON, async || {
        ensure!(definitions.get_opt(name).await?.is_none(), "it stands");
        Ok(())
    })
    .await?;
    definition.metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: definition.metadata.labels,
        annotations: definition.metadata.annotations,
        ..ObjectMeta::default()
    };
    definition.status = None;
    definitions
        .create(&PostParams::default(), &definition)
        .await?;
    let held = scene
        .becomes(&serial, IssuanceState::Held, &operator)
        .await?;
    let message = held.status.and_then(|s| s.message).unwrap_or_default();
    ensure!(message.contains("definition"), "{message}");
    until("the kind to be served", SOON, async || {
        scene.ask("www", json!({})).await
    })
    .await?;
    scene
        .becomes(&serial, IssuanceState::Active, &operator)
        .await?;
    let back = scene.site.issued("www", &[&scene.host("www")]).await?;
    ensure!(back.leaf.serial == serial, "another was issued");
    ensure!(scene.at_ca(&serial).await? == "Valid");
    // What has no record gets none, and its Secret stays.
    ensure!(
        operator
            .log()
            .contains("the definition of Certificates went too"),
        "{}",
        tail(&operator.log())
    );
    ensure!(scene.has_secret("own").await?);
    ensure!(scene.all().await?.len() == 1);
    ensure!(operator.stop().await?.success());
    Ok(())
}
