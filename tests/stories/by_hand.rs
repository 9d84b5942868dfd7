//! Are requests without a Certificate served in the same way?

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{
        condition::{self, RequestCondition},
        issuer::Issuer,
        request::{CertificateRequest, CertificateRequestStatus},
    },
    pki::{
        certificate::CertificateFacts,
        csr::{CertificateSigningRequest, RequestParameters},
        key::{KeyAlgorithm, KeyEncoding, KeyParameters, PrivateKey},
        names::Names,
        subject::{Subject, SubjectName},
    },
};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};
use testbed::{Bed, namespace::Namespace, process::wait::until};

use crate::{
    desk::SOON,
    issuer::told,
    private_ca::{data, issuer, self_signed, warned},
};

/// Signed, waiting, or failed for good.
pub(crate) async fn a_request_needs_no_certificate(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("by-hand").await?;
    let parameters = KeyParameters::new(KeyAlgorithm::Ecdsa, None)?;
    let (key, other) = (
        PrivateKey::generate(parameters)?,
        PrivateKey::generate(parameters)?,
    );
    let key_annotation = |secret: &str| json!({"cert-manager.io/private-key-secret-name": secret});
    namespace
        .apply_all(&[
            issuer(
                "Issuer",
                "itself",
                json!({"selfSigned": {"crlDistributionPoints": ["http://a/crl"]}}),
            ),
            issuer("Issuer", "ca", json!({"ca": {"secretName": "ca"}})),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ca"},
                "data": self_signed("by hand")?}),
            request("signed", "ca", &key, json!({}))?,
            request("unnamed", "itself", &key, json!({}))?,
            request("early", "itself", &key, key_annotation("key"))?,
            request("other", "itself", &other, key_annotation("key"))?,
        ])
        .await?;
    let requests: Api<CertificateRequest> = namespace.api();
    let signed = is(&requests, "signed", "Issued", "").await?;
    let facts = CertificateFacts::from_pem(&signed.certificate.context("none")?.0)?;
    assert_eq!(facts.public_key, key.public_key_hash()?);
    assert_eq!(facts.issuer_common_name.as_deref(), Some("by hand"));

    is(&requests, "unnamed", "Failed", "missing or reference empty").await?;
    let missing = format!("Referenced secret {}/key not found", namespace.name());
    is(&requests, "early", "Pending", &missing).await?;
    is(&requests, "other", "Pending", &missing).await?;
    let secret = |text: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"},
            "data": {"tls.key": ByteString(text.as_bytes().to_vec())}})
    };
    namespace.apply_all(&[secret("no key")]).await?;
    is(&requests, "early", "Pending", "Failed to get key \"key\"").await?;
    let pem = key.to_pem(KeyEncoding::Pkcs8)?;
    namespace.apply_all(&[secret(&pem)]).await?;
    let early = is(&requests, "early", "Issued", "").await?;
    assert_eq!(early.certificate, early.ca);
    let der = pem::parse(&early.certificate.context("none")?.0)?.into_contents();
    let url = b"http://a/crl";
    assert!(der.windows(url.len()).any(|part| part == url));
    warned(&namespace, "BadConfig", "an empty Issuer DN").await?;
    is(
        &requests,
        "other",
        "Failed",
        "the request is for another key",
    )
    .await?;

    // What waits for a CA that was taken away goes on when it is back, and may fail then.
    let ca = secret_named(&namespace, "ca").await?;
    let secrets: Api<Secret> = namespace.api();
    secrets.delete("ca", &DeleteParams::default()).await?;
    let issuers: Api<Issuer> = namespace.api();
    told(&issuers, "ca", "ErrGetKeyPair", "not found").await?;
    let mut late = request("late", "ca", &key, json!({}))?;
    late["spec"]["usages"] = json!(["client auth"]);
    namespace.apply_all(&[late]).await?;
    let waiting = is(&requests, "late", "Pending", "not found").await?;
    assert!(condition::is_true(waiting.conditions.as_ref(), "Approved"));
    namespace.apply_all(&[ca]).await?;
    let failed = is(&requests, "late", "Failed", "its usages are").await?;
    assert!(failed.failure_time.is_some() && failed.certificate.is_none());
    Ok(())
}

/// A request for `www.example`, without a subject.
pub(crate) fn request(
    name: &str,
    from: &str,
    key: &PrivateKey,
    annotations: Value,
) -> Result<Value> {
    let parameters = RequestParameters {
        names: Names {
            dns: vec!["www.example".to_owned()],
            ..Names::default()
        },
        subject: SubjectName::Fields(Subject::default()),
        ..RequestParameters::default()
    };
    let pem = CertificateSigningRequest::build(&parameters, key)?.to_pem();
    Ok(json!({
        "apiVersion": "cert-manager.io/v1", "kind": "CertificateRequest",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"issuerRef": {"name": from}, "request": ByteString(pem.into_bytes())},
    }))
}

/// Wait until the Ready condition of a request has that reason, and says something like this.
async fn is(
    requests: &Api<CertificateRequest>,
    name: &str,
    reason: &str,
    text: &str,
) -> Result<CertificateRequestStatus> {
    until("the request says what became of it", SOON, async || {
        let status = requests.get(name).await?.status.context("no status")?;
        let ready = condition::find(status.conditions.as_ref(), "Ready");
        let fits = |ready: &RequestCondition| {
            let message = ready.message.as_deref().unwrap_or_default();
            ready.reason.as_deref() == Some(reason) && message.contains(text)
        };
        ensure!(ready.is_some_and(fits), "{name}: {ready:?}");
        Ok(status)
    })
    .await
}

/// A Secret as it can be applied again.
async fn secret_named(namespace: &Namespace, name: &str) -> Result<Value> {
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
        "data": data(namespace, name).await?,
    }))
}
