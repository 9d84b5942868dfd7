//! Are the limits of a CA kept before it has to refuse?

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use certwright::api::{condition, issuer::Issuer, order::Order};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use testbed::{Bed, bed::ZONE, dns::Data, process::wait::until};

use crate::site::{SOON, Site};

/// Of two orders an hour, the third waits, says until when, and is placed as soon as the issuer says
/// that more are taken; what was ordered is written down.
pub(crate) async fn orders_wait_their_turn(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "limits", json!([{"dns01": bed.dns01("tsig")}])).await?;
    limit(&site, "orders=2/1h, domain").await?;
    until("the issuer refuses what is no limit", SOON, async || {
        let issuer = site.api::<Issuer>().get("ca").await?;
        let conditions = issuer.status.and_then(|status| status.conditions);
        let ready = condition::find(conditions.as_ref(), "Ready").context("not checked")?;
        let message = ready.message.as_deref().unwrap_or_default();
        ensure!(
            message.contains("\"domain\" is no limit: write none"),
            "{ready:?}"
        );
        Ok(())
    })
    .await?;
    limit(&site, "orders=2/1h").await?;
    let names: Vec<String> = ["a", "b", "c"]
        .map(|name| format!("{name}.{}.{ZONE}", site.namespace.name()))
        .to_vec();
    for (certificate, name) in ["a", "b"].iter().zip(&names) {
        site.ask(certificate, &[name]).await?;
        site.issued(certificate, &[name]).await?;
    }
    site.ask("c", &[&names[2]]).await?;
    site.says(
        "c",
        "2 per 1 h for orders of this account is reached; next order allowed at ",
    )
    .await?;
    let orders = site.api::<Order>().list(&ListParams::default()).await?;
    let placed = orders
        .iter()
        .filter_map(|order| order.status.as_ref()?.url.as_ref());
    ensure!(placed.count() == 2, "the third was placed");

    let account = account(&site).await?;
    let user = bed.operator_user()?;
    let home = user.split(':').nth(2).context("no namespace")?;
    let written: Api<ConfigMap> = Api::namespaced(bed.client().clone(), home);
    until("what was ordered is written down", SOON, async || {
        let all = written.list(&ListParams::default()).await?;
        let ours = all.iter().filter_map(|one| one.data.as_ref());
        let ours = ours.filter(|data| data.get("account") == Some(&account));
        let text = ours.filter_map(|data| data.get("buckets.json")).next();
        ensure!(
            text.is_some_and(|text| text.contains("\"orders\"")),
            "{text:?}"
        );
        Ok(())
    })
    .await?;

    limit(&site, "none").await?;
    site.issued("c", &[&names[2]]).await?;
    Ok(())
}

/// A name that cannot be validated is not tried again for another Certificate before its turn; nor is
/// that one forgotten.
pub(crate) async fn failures_are_counted(bed: &Bed) -> Result<()> {
    let solver = json!({"http01": bed.http01(), "waitInsteadOfSelfCheck": "1s"});
    let site = Site::new(bed, "limits-failures", json!([solver])).await?;
    limit(&site, "failures=1/1h").await?;
    let host = "not-validated.example.com";
    let nowhere = Data::Address(Ipv4Addr::LOCALHOST.into());
    bed.dns().set_record(host, &nowhere)?;
    site.ask("a", &[host]).await?;
    site.says("a", "; next try at ").await?;
    site.ask("b", &[host]).await?;
    let full =
        format!("1 per 1 h for failed validations of {host} is reached; next order allowed at ");
    site.says("b", &full).await?;
    bed.host(host)?;
    limit(&site, "none").await?;
    site.issued("b", &[host]).await?;
    Ok(())
}

async fn limit(site: &Site<'_>, text: &str) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {"certwright.io/rate-limits": text}}});
    let issuers: Api<Issuer> = site.api();
    issuers
        .patch("ca", &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}

async fn account(site: &Site<'_>) -> Result<String> {
    let issuer = site.api::<Issuer>().get("ca").await?;
    let status = issuer.status.and_then(|status| status.acme);
    status.and_then(|acme| acme.uri).context("no account")
}
