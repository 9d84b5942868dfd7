//! How does the life of a certificate go on? Renewed at the CA's word, then deleted and revoked.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use x509_parser::{pem::parse_x509_pem, prelude::FromDer};

use crate::{
    Bed, acme::Pebble, follow::certificates, namespace::Namespace, process::wait::until,
    progress::Progress,
};

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Shows it on a Certificate that is ready, and what the CA says of each serial number on the way.
pub(super) async fn show(
    bed: &Bed,
    namespace: &Namespace,
    pebble: &Pebble,
    certificate: &str,
    progress: Progress,
) -> Result<()> {
    println!();
    let asked = certificates(bed.client(), namespace.name())
        .get(certificate)
        .await?;
    let secret = asked.spec.secret_name;
    let first = Stored::read(namespace, &secret).await?;
    first.tell(pebble, progress).await?;

    progress.step("the CA wants it renewed: its window (ARI) is moved into the past");
    let answer = json!({
        "suggestedWindow": {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"},
        "explanationURL": "https://ca.example/incident",
    });
    pebble
        .answer_renewal_info(&first.pem, &answer.to_string())
        .await?;
    // In hours the operator would ask by itself.
    let soon = json!({"status": {"acme": {"ari": {"nextCheck": "2020-01-01T00:00:00Z"}}}});
    certificates(bed.client(), namespace.name())
        .patch_status(certificate, &PatchParams::default(), &Patch::Merge(soon))
        .await?;
    let second = until("a new certificate", PATIENCE, async || {
        let stored = Stored::read(namespace, &secret).await?;
        ensure!(stored.serial != first.serial, "the same as before");
        Ok(stored)
    })
    .await?;
    progress.step(&format!("✔ Certificate {certificate}: renewed"));
    second.tell(pebble, progress).await?;
    namespace.ready(certificate, PATIENCE).await?;

    progress.step(&format!("deleting Certificate {certificate}"));
    certificates(bed.client(), namespace.name())
        .delete(certificate, &DeleteParams::default())
        .await?;
    second.tell(pebble, progress).await?;
    until("the revocation", PATIENCE, async || {
        let status = pebble.certificate_status(&second.serial).await?;
        ensure!(status["Status"] == "Revoked", "{status}");
        Ok(())
    })
    .await?;
    second.tell(pebble, progress).await?;
    until("the end of the Secret", PATIENCE, async || {
        let left = namespace.api::<Secret>().get_opt(&secret).await?;
        ensure!(left.is_none(), "it is still there");
        Ok(())
    })
    .await?;
    progress.step(&format!("✔ Secret {secret}: deleted"));
    Ok(())
}

/// A certificate in a Secret.
struct Stored {
    pem: String,
    serial: String,
}

impl Stored {
    async fn read(namespace: &Namespace, secret: &str) -> Result<Self> {
        let stored = namespace.api::<Secret>().get(secret).await?;
        let mut data = stored.data.unwrap_or_default();
        let chain = data.remove("tls.crt").context("no tls.crt")?.0;
        let (_, leaf) = parse_x509_pem(&chain).context("tls.crt is not PEM")?;
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(&leaf.contents)
            .context("tls.crt holds no certificate")?;
        let serial = parsed.tbs_certificate.raw_serial();
        Ok(Self {
            serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
            pem: String::from_utf8(chain)?,
        })
    }

    /// Prints what the CA says of it.
    async fn tell(&self, pebble: &Pebble, progress: Progress) -> Result<()> {
        let status = pebble.certificate_status(&self.serial).await?;
        let mut text = format!(
            "  the CA says of {}: {}",
            self.serial,
            word(&status["Status"])
        );
        if let Some(reason) = status["Reason"].as_u64() {
            let name = match reason {
                5 => " (cessationOfOperation)",
                _ => "",
            };
            text.push_str(&format!(", reason {reason}{name}"));
        }
        progress.step(&text);
        Ok(())
    }
}

fn word(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or("nothing")
}
