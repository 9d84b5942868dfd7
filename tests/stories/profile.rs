//! Has each Certificate the ACME profile that it asks for?

use anyhow::{Result, ensure};
use certwright::{
    api::{certificate::Certificate, order::Order},
    pki::certificate::CertificateFacts,
};
use jiff::SignedDuration;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::Bed;

use crate::site::{Site, certificate};

/// The annotation of a Certificate comes before the issuer's profile: one that is required is waited
/// for, one that is preferred is not; another one means another certificate.
pub(crate) async fn a_certificate_has_its_own(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "own-profile", json!([{"http01": bed.http01()}])).await?;
    let name = "own-profile.example.com";
    bed.host(name)?;
    site.change_issuer(json!({"profile": "classic"})).await?;
    let mut asked = certificate("www", json!({"dnsNames": [name]}))?;
    asked["metadata"]["annotations"] = json!({"certwright.io/acme-profile": "fast"});
    site.namespace.apply_all(&[asked]).await?;
    let offered = "set annotation certwright.io/acme-profile to one of: classic, default, \
                   shortlived";
    let state = site.says("www", offered).await?;
    ensure!(
        state
            .message
            .contains("profile \"fast\" is not offered by "),
        "{state:?}"
    );
    let orders = site.api::<Order>().list(&ListParams::default()).await?;
    ensure!(orders.items.is_empty(), "ordered all the same");

    for (revision, profile, is_short) in [
        (1, json!("shortlived"), true),
        (2, json!("preferred:fast"), false),
        (3, json!("preferred:shortlived"), true),
        (4, Value::Null, false),
    ] {
        annotate(&site, &profile).await?;
        let leaf = site.issued_as("www", revision, &[name]).await?.leaf;
        ensure!(
            lives_short(&leaf) == is_short,
            "{profile}: {} to {}",
            leaf.not_before,
            leaf.not_after
        );
    }
    Ok(())
}

fn lives_short(leaf: &CertificateFacts) -> bool {
    leaf.not_before.duration_until(leaf.not_after) <= SignedDuration::from_hours(6 * 24)
}

async fn annotate(site: &Site<'_>, profile: &Value) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {"certwright.io/acme-profile": profile}}});
    let certificates: Api<Certificate> = site.api();
    certificates
        .patch("www", &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}
