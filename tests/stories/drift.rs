//! Is a Secret put right again, whoever changed it, in whatever way?

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use certwright::{
    api::certificate::Certificate,
    certificate::{CertificateFacts, SecretFacts, upkeep},
    cluster::Facts,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testbed::{Bed, namespace::Namespace, process::wait::until};

const SOON: Duration = Duration::from_secs(60);

/// Whatever is done to the Secret is put right without another certificate, and what others hold
/// stays. What makes the key pair useless is replaced.
pub(crate) async fn whatever_is_done_to_the_secret_is_repaired(bed: &Bed) -> Result<()> {
    let place = Place::new(bed).await?;
    let theirs = json!({
        "metadata": {"labels": {"their": "own"}, "annotations": {"their": "own"}},
        "data": {"their": "b3du"},
    });
    place.merge(&theirs).await?;
    let good = place.secret().await?;

    // kubectl apply --server-side --force-conflicts
    let labels = json!({"team": "theirs", "controller.cert-manager.io/fao": "false"});
    place.take(&json!({"metadata": {"labels": labels}})).await?;
    place.is_put_right("labels taken over", &good).await?;
    let annotations = json!({"note": "theirs", "cert-manager.io/alt-names": "theirs.example"});
    place
        .take(&json!({"metadata": {"annotations": annotations}}))
        .await?;
    place.is_put_right("annotations taken over", &good).await?;
    let data = json!({"key.der": "YQ==", "tls-combined.pem": "YQ=="});
    place.take(&json!({"data": data})).await?;
    place.is_put_right("formats taken over", &good).await?;
    // What they take now is what it was: both hold it.
    place
        .take(&json!({"metadata": {"labels": {"team": "ours"}}}))
        .await?;
    place.is_put_right("a label held by two", &good).await?;

    // kubectl edit
    let nothing = json!({"team": null, "controller.cert-manager.io/fao": null});
    place
        .merge(&json!({"metadata": {"labels": nothing}}))
        .await?;
    place.is_put_right("labels taken away", &good).await?;
    place.merge(&json!({"data": {"key.der": null}})).await?;
    place.is_put_right("a format taken away", &good).await?;

    // kubectl replace
    let mut bare = place.secret().await?;
    bare.metadata.labels = Some(BTreeMap::from([("their".to_owned(), "own".to_owned())]));
    bare.metadata.annotations = bare.metadata.labels.clone();
    bare.metadata.managed_fields = None;
    place.replace(&bare).await?;
    place.is_put_right("replaced by a bare one", &good).await?;

    // Nobody holds anything any more.
    let mut unheld = place.secret().await?;
    unheld.metadata.managed_fields = Some(vec![Default::default()]);
    place.replace(&unheld).await?;
    place.is_put_right("nobody holds it", &good).await?;
    let status = place.status().await?;
    ensure!(status["revision"] == 1, "issued again: {status}");

    // What is no longer wanted goes, though others have been at it.
    let less = json!({"spec": {
        "additionalOutputFormats": null, "secretTemplate": {"annotations": null},
    }});
    let certificates: Api<Certificate> = place.namespace.api();
    let params = PatchParams::default();
    certificates
        .patch("web", &params, &Patch::Merge(less))
        .await?;
    until("what is not wanted is gone", SOON, async || {
        let now = place.secret().await?;
        let data = now.data.clone().unwrap_or_default();
        ensure!(
            !now.annotations().contains_key("note"),
            "{:?}",
            now.metadata
        );
        ensure!(!data.contains_key("key.der") && !data.contains_key("tls-combined.pem"));
        ensure!(data.contains_key("their") && now.labels()["team"] == "ours");
        Ok(())
    })
    .await?;

    // A pair that is none is replaced, in whose hands it may be.
    for (entry, revision) in [("tls.crt", 2), ("tls.key", 3)] {
        place.take(&json!({"data": {entry: "YQ=="}})).await?;
        until("another revision", SOON, async || {
            let status = place.status().await?;
            ensure!(status["revision"] == revision, "{status}");
            let facts = SecretFacts::reduce(place.secret().await?);
            let (key, leaf) = (facts.key.read(), facts.leaf.read());
            ensure!(key.context("no key")?.public_key == leaf.context("no leaf")?.public_key);
            Ok(())
        })
        .await?;
        place.namespace.ready("web", SOON).await?;
    }
    Ok(())
}

/// A namespace with the Certificate `web` of a CA, and its Secret of the same name.
struct Place {
    namespace: Namespace,
}

impl Place {
    async fn new(bed: &Bed) -> Result<Self> {
        let namespace = bed.namespace("drift").await?;
        let issuer = json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
            "metadata": {"name": "itself"}, "spec": {"selfSigned": {}},
        });
        let certificate = json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": {"name": "web"},
            "spec": {
                "secretName": "web", "commonName": "web", "dnsNames": ["www.example.com"],
                "issuerRef": {"name": "itself"}, "privateKey": {"algorithm": "ECDSA"},
                "secretTemplate": {"labels": {"team": "ours"}, "annotations": {"note": "ours"}},
                "additionalOutputFormats": [{"type": "DER"}, {"type": "CombinedPEM"}],
            },
        });
        namespace.apply_all(&[issuer, certificate]).await?;
        namespace.ready("web", SOON).await?;
        Ok(Self { namespace })
    }

    fn secrets(&self) -> Api<Secret> {
        self.namespace.api()
    }

    async fn secret(&self) -> Result<Secret> {
        Ok(self.secrets().get("web").await?)
    }

    async fn status(&self) -> Result<Value> {
        let certificate: Certificate = self.namespace.api().get("web").await?;
        Ok(serde_json::to_value(certificate.status)?)
    }

    async fn merge(&self, patch: &Value) -> Result<()> {
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        self.secrets().patch("web", &params, &patch).await?;
        Ok(())
    }

    async fn take(&self, fields: &Value) -> Result<()> {
        let mut object = json!({"apiVersion": "v1", "kind": "Secret"});
        for (field, value) in fields.as_object().into_iter().flatten() {
            object[field] = value.clone();
        }
        let params = PatchParams::apply("kubectl").force();
        let patch = Patch::Apply(object);
        self.secrets().patch("web", &params, &patch).await?;
        Ok(())
    }

    /// Replace it; it may have been put right in the meantime, whichever version that is.
    async fn replace(&self, secret: &Secret) -> Result<()> {
        let mut secret = secret.clone();
        secret.metadata.resource_version = None;
        let params = PostParams::default();
        self.secrets().replace("web", &params, &secret).await?;
        Ok(())
    }

    /// The Secret says what `good` says, and our manager holds all that is ours.
    async fn is_put_right(&self, what: &str, good: &Secret) -> Result<()> {
        until(what, SOON, async || {
            let now = self.secret().await?;
            ensure!(now.data == good.data, "other data");
            let (found, wanted) = (now.labels(), good.labels());
            ensure!(found == wanted, "{found:?} is not {wanted:?}");
            let (found, wanted) = (now.annotations(), good.annotations());
            ensure!(found == wanted, "{found:?} is not {wanted:?}");
            let certificate: Certificate = self.namespace.api().get("web").await?;
            let certificate = CertificateFacts::reduce(certificate);
            let violation = upkeep::violation(&certificate, &SecretFacts::reduce(now), false);
            ensure!(violation.is_none(), "{violation:?}");
            Ok(())
        })
        .await
    }
}
