//! What becomes of the temporary certificates that cert-manager has put into Secrets?

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{certificate::Certificate, request::CertificateRequest},
    cluster::Clock,
    pki::{PublicKeyHash, certificate::CertificateFacts},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, IsCa, Issuer, KeyPair,
};
use serde_json::json;
use testbed::process::wait::until;

use crate::{
    left::ecdsa,
    parts::{condition, dates, observed},
    predecessor::{Pair, Predecessor},
    private_ca::{issuer, self_signed},
    target::Target,
    work::SOON,
};

/// A Certificate that is on its way, with a temporary certificate in its Secret.
pub(crate) struct StandIn {
    name: &'static str,
    public_key: PublicKeyHash,
    request: CertificateRequest,
    secret: Secret,
}

/// One whose issuer can sign, and one whose issuer, `later`, has no CA yet.
pub(crate) async fn left(place: &Predecessor) -> Result<[StandIn; 2]> {
    let spec = json!({"ca": {"secretName": "later"}});
    let later = issuer("Issuer", "later", spec);
    place.namespace.apply_all(&[later]).await?;
    Ok([
        StandIn::left(place, "signed", "ca").await?,
        StandIn::left(place, "unsigned", "later").await?,
    ])
}

/// Who can be signed for has a real certificate, and who cannot keeps what it has until then; keys
/// and requests are those that were there.
pub(crate) async fn are_replaced(place: &Predecessor, all: &[StandIn; 2]) -> Result<()> {
    let [signed, unsigned] = all;
    signed.is_replaced(place).await?;
    let missing = "Secret \"later\" not found";
    place.namespace.says(unsigned.name, missing, SOON).await?;
    let secrets: Api<Secret> = place.namespace.api();
    let secret = secrets.get(unsigned.name).await?;
    ensure!(
        secret.resource_version() == unsigned.secret.resource_version(),
        "{:?}",
        secret.metadata
    );
    let ca = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "later"},
        "data": self_signed("later")?,
    });
    place.namespace.apply_all(&[ca]).await?;
    unsigned.is_replaced(place).await
}

impl StandIn {
    async fn left(place: &Predecessor, name: &'static str, issuer: &str) -> Result<Self> {
        let mut spec = ecdsa(name);
        spec["issuerRef"]["name"] = json!(issuer);
        let (uid, _) = place.asked(name, &spec).await?;
        let certificates: Api<Certificate> = place.namespace.api();
        let annotation = json!({"cert-manager.io/issue-temporary-certificate": "true"});
        let annotated = Patch::Merge(json!({"metadata": {"annotations": annotation}}));
        let params = PatchParams::default();
        certificates.patch(name, &params, &annotated).await?;

        let pair = place.sign(&spec)?;
        let next = place.next_key(name, &uid, &pair.key).await?;
        let request = place.request(name, 1, &spec, &pair.csr, &next).await?;
        let approved = place.approve(&request.name_any()).await?;
        let pending = condition("Ready", "False", "Pending", "Waiting for the CA");
        let status = json!({"conditions": [approved, pending]});
        let controller = "certificaterequests-issuer-ca";
        place
            .report::<CertificateRequest>(controller, &request.name_any(), status)
            .await?;

        let pair = Pair {
            chain: temporary(&pair.csr)?,
            ca: None,
            ..pair
        };
        let target = Target {
            name,
            spec: &spec,
            pair: &pair,
            stores: &[],
            owner: None,
            is_temporary: true,
        };
        target.write(&place.namespace).await?;
        let mut status = dates(&spec, &pair.chain)?;
        let missing = "Issuing certificate as Secret does not exist";
        let message = "Certificate is up to date and has not expired";
        status["conditions"] = json!([
            observed("Issuing", "True", "DoesNotExist", missing),
            observed("Ready", "True", "Ready", message),
        ]);
        place
            .report::<Certificate>("certificates-readiness", name, status)
            .await?;
        Ok(Self {
            name,
            public_key: pair.key.public_key_hash()?,
            request,
            secret: place.namespace.api::<Secret>().get(name).await?,
        })
    }

    async fn is_replaced(&self, place: &Predecessor) -> Result<()> {
        let Self {
            name,
            public_key,
            request,
            secret,
        } = self;
        place.namespace.ready(name, SOON).await?;
        let now: Secret = place.namespace.api().get(name).await?;
        ensure!(now.uid() == secret.uid(), "{name}: another Secret");
        let leaf = CertificateFacts::from_pem(&now.data.context("empty")?["tls.crt"].0)?;
        ensure!(leaf.public_key == *public_key, "{name}: another key");
        ensure!(leaf.issuer_common_name.as_deref() != Some(SIGNER));
        let requests: Api<CertificateRequest> = place.namespace.api();
        let found = requests.get(&request.name_any()).await?;
        ensure!(found.uid() == request.uid(), "{name}: another request");
        until("nothing to complain of", SOON, async || {
            let exhibit = place.exhibit(name, false).await?;
            let complaints = exhibit.complaints(Clock::default().now())?;
            ensure!(complaints.is_empty(), "{name}: {complaints:?}");
            Ok(())
        })
        .await
    }
}

/// Who signs temporary certificates.
const SIGNER: &str = "cert-manager.local";

/// What cert-manager signs while it waits.
fn temporary(csr: &str) -> Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, SIGNER);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let signer = Issuer::new(params, KeyPair::generate()?);
    let mut signing = CertificateSigningRequestParams::from_pem(csr)?;
    let serial_number = DnType::CustomDnType(vec![2, 5, 4, 5]);
    signing
        .params
        .distinguished_name
        .push(serial_number, "1234567890");
    Ok(signing.signed_by(&signer)?.pem())
}
