//! What becomes of the Secret of a Certificate that nobody can revoke, once that is gone?

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use certwright::api::{
    certificate::Certificate,
    issuance::{Issuance, IssuanceState},
    issuer::Issuer,
};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    namespace::Namespace,
    operator::{Operator, OperatorOptions},
    process::{tail, wait::until},
};

use crate::{
    register::{OPERATORS, issuer},
    scene::Scene,
    site::SOON,
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
    leader.signal("STOP")?;
    yard.delete("own").await?;
    yard.secret_goes("own", &other).await?;
    yard.becomes("own", IssuanceState::Deleted, &other).await?;
    leader.kill().await?;
    ensure!(other.stop().await?.success());
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
    for record in yard.records().await?.values() {
        ensure!(yard.has_secret(&record.spec.secret_name).await?);
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
/// certificate is stored, and its Certificate says that nobody will know how to have it revoked.
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

    let operator = scene.operator(&[]).await?;
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
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// A namespace with issuers of whom nobody is told that something is revoked.
struct Yard<'a> {
    bed: &'a Bed,
    namespace: Namespace,
}

impl<'a> Yard<'a> {
    async fn new(bed: &'a Bed, name: &str) -> Result<Self> {
        let namespace = bed.namespace(name).await?;
        // The operator of the test bed retains.
        let itself = json!({"selfSigned": {}, "deletionPolicy": "Revoke"});
        let quiet = json!({"selfSigned": {}, "deletionPolicy": "Retain"});
        namespace
            .apply_all(&[
                issuer("Issuer", "itself", itself),
                issuer("Issuer", "quiet", quiet),
                issuer("Issuer", "ca", json!({"ca": {"secretName": "root"}})),
            ])
            .await?;
        let yard = Self { bed, namespace };
        let root = json!({"isCA": true, "commonName": "Root"});
        yard.ask("root", "itself", root).await?;
        Ok(yard)
    }

    /// An operator for this namespace alone.
    async fn operator(&self, args: &[&str]) -> Result<Operator> {
        let own = ["--leader-elect=false"];
        self.start("operator", &[&own, args].concat()).await
    }

    /// One of several, that takes over quickly.
    async fn replica(&self, name: &str) -> Result<Operator> {
        let args = [
            "--deletion-delay=1s",
            "--leader-election-lease-duration=4s",
            "--leader-election-renew-deadline=3s",
            "--leader-election-retry-period=1s",
        ];
        self.start(name, &args).await
    }

    async fn start(&self, name: &str, args: &[&str]) -> Result<Operator> {
        let only = format!("--namespace={}", self.namespace.name());
        let args = args.iter().copied().chain([&*only]);
        let options = OperatorOptions {
            name: format!("{name}-{}", self.namespace.name()),
            args: args.map(str::to_owned).collect(),
            ..OperatorOptions::default()
        };
        self.bed.operator(&options).await
    }

    async fn ask(&self, name: &str, from: &str, spec: Value) -> Result<()> {
        let mut all = json!({
            "dnsNames": [format!("{name}.example")], "secretName": name,
            "issuerRef": {"name": from}, "privateKey": {"algorithm": "ECDSA"},
        });
        for (field, value) in spec.as_object().context("no spec")? {
            all[field] = value.clone();
        }
        let certificate = json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": {"name": name}, "spec": all,
        });
        self.namespace.apply_all(&[certificate]).await
    }

    async fn issued(&self, name: &str, from: &str, spec: Value) -> Result<()> {
        self.ask(name, from, spec).await?;
        self.namespace.ready(name, SOON).await?;
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let certificates: Api<Certificate> = self.namespace.api();
        certificates.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    async fn has_secret(&self, name: &str) -> Result<bool> {
        let secrets: Api<Secret> = self.namespace.api();
        Ok(secrets.get_opt(name).await?.is_some())
    }

    async fn secret_goes(&self, name: &str, operator: &Operator) -> Result<()> {
        let gone = until("the Secret to go", SOON, async || {
            ensure!(!self.has_secret(name).await?, "{name} stands");
            Ok(())
        });
        gone.await.with_context(|| tail(&operator.log()))
    }

    fn issuances(&self) -> Api<Issuance> {
        Api::namespaced(self.bed.client().clone(), OPERATORS)
    }

    /// The records of what was issued here, by the name of the Certificate.
    async fn records(&self) -> Result<BTreeMap<String, Issuance>> {
        let here = format!("spec.certificateRef.namespace={}", self.namespace.name());
        let all = self.issuances();
        let all = all.list(&ListParams::default().fields(&here)).await?;
        let by_name = |one: Issuance| (one.spec.certificate_ref.name.clone(), one);
        Ok(all.into_iter().map(by_name).collect())
    }

    async fn becomes(
        &self,
        name: &str,
        state: IssuanceState,
        operator: &Operator,
    ) -> Result<Issuance> {
        let found = until(state.as_str(), SOON * 2, async || {
            let record = self.records().await?.remove(name);
            let record = record.with_context(|| format!("no record of {name}"))?;
            let status = record.status.clone().unwrap_or_default();
            ensure!(status.state == Some(state), "{status:?}");
            Ok(record)
        });
        found.await.with_context(|| tail(&operator.log()))
    }
}
