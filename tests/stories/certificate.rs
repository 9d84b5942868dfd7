//! Is a Certificate's Secret made and kept, whoever signs? The stories play the issuer themselves.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{
        certificate::Certificate,
        condition::{self, ConditionStatus, kind},
        request::CertificateRequest,
    },
    pki::key::{KeyAlgorithm, KeyEncoding, KeyParameters, PrivateKey},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyPair,
};
use serde_json::{Value, json};
use testbed::{Bed, namespace::Namespace, process::wait::until};

const SOON: Duration = Duration::from_secs(30);
const WATCHED: &str = "controller.cert-manager.io/fao";

/// What others put on the Secret stays, what is ours comes back, as often as it is taken away, and
/// what is no longer asked for goes.
pub(crate) async fn the_secret_is_kept(bed: &Bed) -> Result<()> {
    let place = Place::new(bed, "kept").await?;
    let formats = json!([{"type": "DER"}, {"type": "CombinedPEM"}]);
    let template = json!({"labels": {"team": "a"}, "annotations": {"note": "b"}});
    let asked = json!({"additionalOutputFormats": formats, "secretTemplate": template});
    place.apply(&asked).await?;
    place.sign("web-1").await?;
    place.namespace.ready("web", SOON).await?;
    let first = place.secrets().get("web").await?;
    let keys: Vec<String> = first.data.clone().unwrap_or_default().into_keys().collect();
    let want = [
        "ca.crt",
        "key.der",
        "tls-combined.pem",
        "tls.crt",
        "tls.key",
    ];
    assert_eq!(keys, want);
    assert_eq!(first.labels()["team"], "a");

    for round in 0..2 {
        let patch = json!({
            "metadata": {"labels": {WATCHED: null, "theirs": "c"}},
            "data": {"theirs": "Yw=="},
        });
        place.change("web", &patch).await?;
        place
            .secret(&format!("the label again, {round}"), |secret| {
                secret
                    .labels()
                    .get(WATCHED)
                    .is_some_and(|value| value == "true")
            })
            .await?;
    }
    let wrong = json!({"metadata": {"annotations": {"cert-manager.io/alt-names": "wrong"}}});
    place.change("web", &wrong).await?;
    place
        .secret("the right annotation", |secret| {
            secret.annotations()["cert-manager.io/alt-names"] == "www.example.com"
        })
        .await?;

    let less =
        json!({"spec": {"additionalOutputFormats": null, "secretTemplate": {"annotations": null}}});
    place
        .certificates()
        .patch("web", &PatchParams::default(), &Patch::Merge(less))
        .await?;
    let last = place
        .secret("less in the Secret", |secret| {
            let data = secret.data.as_ref();
            data.is_some_and(|data| !data.contains_key("key.der"))
                && !secret.annotations().contains_key("note")
        })
        .await?;
    assert_eq!(
        (&*last.labels()["team"], &*last.labels()["theirs"]),
        ("a", "c")
    );
    let data = |secret: &Secret, key: &str| secret.data.as_ref().and_then(|d| d.get(key).cloned());
    assert!(data(&last, "theirs").is_some() && data(&last, "tls-combined.pem").is_none());
    assert_eq!(
        data(&last, "tls.key"),
        data(&first, "tls.key"),
        "nothing was issued"
    );
    assert_eq!(place.status("web").await?["revision"], 1);
    Ok(())
}

/// A Secret that stands keeps its type; a failed request is tried again when somebody asks, as
/// `cmctl renew` does; a key that somebody planted is not used.
pub(crate) async fn failures_and_foreign_objects(bed: &Bed) -> Result<()> {
    let place = Place::new(bed, "failing").await?;
    let opaque = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "web"}, "data": {"theirs": "Yw=="},
    });
    place.namespace.apply_all(&[opaque]).await?;
    place.apply(&json!({})).await?;
    place.fail("web-1", "the CA is closed").await?;
    let told = "The certificate request has failed to complete and will be retried: the CA is \
                closed; next try at ";
    place.namespace.says("web", told, SOON).await?;
    let status = place.status("web").await?;
    assert_eq!(status["failedIssuanceAttempts"], 1);
    assert_eq!(status["nextPrivateKeySecretName"], Value::Null);
    until("no key left", SOON, async || {
        ensure!(place.next_keys().await?.is_empty());
        Ok(())
    })
    .await?;

    // Times are whole seconds: what was asked for in the second of the failure would be the same try.
    until("the next second", SOON, async || {
        let failed = place.certificates().get("web").await?.status;
        let failed = failed
            .and_then(|status| status.last_failure_time)
            .context("no failure")?;
        ensure!(condition::to_the_second(now()).0 > failed.0);
        Ok(())
    })
    .await?;
    let failed = place.requests().get("web-1").await?.metadata.uid;
    place.renew("web").await?;
    until("another request", SOON, async || {
        let uid = place.requests().get("web-1").await?.metadata.uid;
        ensure!(uid != failed, "still the failed one");
        Ok(())
    })
    .await?;
    place.sign("web-1").await?;
    place.namespace.ready("web", SOON).await?;
    let secret = place.secrets().get("web").await?;
    assert_eq!(secret.type_.as_deref(), Some("Opaque"));
    assert!(secret.data.is_some_and(|data| data.len() == 4));

    // Whoever knows the name of the next key could put one there.
    let certificate = place.certificates().get("web").await?;
    let wanted = KeyParameters::new(KeyAlgorithm::Ecdsa, None)?;
    let facts = <certwright::certificate::CertificateFacts as certwright::cluster::Facts>::reduce(
        certificate,
    );
    let name = certwright::certificate::key::next_name(&facts, wanted);
    let key = PrivateKey::generate(wanted)?.to_pem(KeyEncoding::Pkcs8)?;
    let planted = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name}, "stringData": {"tls.key": *key},
    });
    place.namespace.apply_all(&[planted]).await?;
    place.renew("web").await?;
    until("what is in the way", SOON, async || {
        let certificate = place.certificates().get("web").await?;
        let conditions = certificate.status.and_then(|status| status.conditions);
        let issuing = condition::find(conditions.as_ref(), kind::ISSUING).context("not issuing")?;
        let message = issuing.message.clone().unwrap_or_default();
        ensure!(
            message.contains("is not ours but has the name"),
            "{message}"
        );
        Ok(())
    })
    .await?;
    place
        .secrets()
        .delete(&name, &DeleteParams::default())
        .await?;
    place.renew("web").await?;
    place.sign("web-2").await?;
    until("revision 2", SOON, async || {
        ensure!(place.status("web").await?["revision"] == 2);
        Ok(())
    })
    .await
}

/// A namespace with a Certificate of an issuer that the story plays.
struct Place {
    namespace: Namespace,
    ca: Issuer<'static, KeyPair>,
}

impl Place {
    async fn new(bed: &Bed, name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "A CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self {
            namespace: bed.namespace(name).await?,
            ca: Issuer::new(params, KeyPair::generate()?),
        })
    }

    /// The Certificate `web`, with `more` in its spec.
    async fn apply(&self, more: &Value) -> Result<()> {
        let mut spec = json!({
            "secretName": "web",
            "dnsNames": ["www.example.com"],
            "issuerRef": {"name": "played-by-the-story"},
            "privateKey": {"algorithm": "ECDSA"},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let certificate = json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": {"name": "web"}, "spec": spec,
        });
        self.namespace.apply_all(&[certificate]).await
    }

    fn certificates(&self) -> Api<Certificate> {
        self.namespace.api()
    }

    fn requests(&self) -> Api<CertificateRequest> {
        self.namespace.api()
    }

    fn secrets(&self) -> Api<Secret> {
        self.namespace.api()
    }

    async fn status(&self, certificate: &str) -> Result<Value> {
        let status = self.certificates().get(certificate).await?.status;
        Ok(serde_json::to_value(status)?)
    }

    async fn next_keys(&self) -> Result<Vec<Secret>> {
        let marked = ListParams::default().labels("cert-manager.io/next-private-key=true");
        Ok(self.secrets().list(&marked).await?.items)
    }

    /// The Secret `web`, once it is as `wanted`.
    async fn secret(&self, what: &str, wanted: impl Fn(&Secret) -> bool) -> Result<Secret> {
        until(what, SOON, async || {
            let secret = self.secrets().get("web").await?;
            ensure!(wanted(&secret), "{:?}", secret.metadata);
            Ok(secret)
        })
        .await
    }

    async fn change(&self, secret: &str, patch: &Value) -> Result<()> {
        let params = PatchParams::default();
        self.secrets()
            .patch(secret, &params, &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Ask for another issuance, as `cmctl renew` does.
    async fn renew(&self, certificate: &str) -> Result<()> {
        let mut found = self.certificates().get(certificate).await?;
        let generation = found.metadata.generation;
        let status = found.status.get_or_insert_default();
        let conditions = status.conditions.get_or_insert_default();
        condition::remove(conditions, kind::ISSUING);
        let issuing = condition::Condition::new(
            kind::ISSUING,
            ConditionStatus::True,
            "ManuallyTriggered",
            "Certificate re-issuance manually triggered",
            generation,
        );
        condition::set(conditions, issuing, now());
        let patch = json!({"status": {"conditions": conditions}});
        self.certificates()
            .patch_status(certificate, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    async fn sign(&self, request: &str) -> Result<()> {
        let found = self.request(request).await?;
        let pem = String::from_utf8(found.spec.request.0.clone())?;
        let mut signing = CertificateSigningRequestParams::from_pem(&pem)?;
        signing.params.not_before = time::OffsetDateTime::now_utc();
        signing.params.not_after = time::OffsetDateTime::now_utc() + Duration::from_secs(86_400);
        let chain = signing.signed_by(&self.ca)?.pem();
        let base64 = |text: &str| {
            use base64::Engine as _;
            base64::prelude::BASE64_STANDARD.encode(text)
        };
        let status = json!({"certificate": base64(&chain), "ca": base64("the CA")});
        self.answer(found, status, (true, "Issued", "signed")).await
    }

    async fn fail(&self, request: &str, why: &str) -> Result<()> {
        let found = self.request(request).await?;
        let status = json!({"failureTime": condition::to_the_second(now())});
        self.answer(found, status, (false, "Failed", why)).await
    }

    /// The request, once it is approved.
    async fn request(&self, request: &str) -> Result<CertificateRequest> {
        until("an approved request", SOON, async || {
            let found = self.requests().get(request).await?;
            let conditions = found.status.as_ref().and_then(|s| s.conditions.as_ref());
            ensure!(
                condition::is_true(conditions, kind::APPROVED),
                "{conditions:?}"
            );
            Ok(found)
        })
        .await
    }

    async fn answer(
        &self,
        found: CertificateRequest,
        mut status: Value,
        ready: Ready<'_>,
    ) -> Result<()> {
        let name = found.name_any();
        let mut conditions = found
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        let (holds, reason, message) = ready;
        let ready = condition::RequestCondition::new(kind::READY, holds, reason, message);
        condition::set(&mut conditions, ready, now());
        status["conditions"] = json!(conditions);
        let patch = json!({"status": status});
        self.requests()
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }
}

/// Whether a request is ready, and why, in a word and in a sentence.
type Ready<'a> = (bool, &'a str, &'a str);

pub(crate) fn now() -> jiff::Timestamp {
    certwright::cluster::Clock::default().now()
}
