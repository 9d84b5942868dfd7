//! Are the limits of a CA kept before it has to refuse?

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use certwright::api::{condition, issuer::Issuer, order::Order};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    acme::{PebbleOptions, Refusal},
    bed::ZONE,
    dns::Data,
    process::wait::until,
};

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
    // From here on it waits until the ingress controller serves the proof.
    let checked = json!({"spec": {"acme": {"solvers": [{"http01": bed.http01()}]}}});
    change(&site, checked).await?;
    limit(&site, "none").await?;
    site.issued("b", &[host]).await?;
    Ok(())
}

async fn limit(site: &Site<'_>, text: &str) -> Result<()> {
    let annotations = json!({"certwright.io/rate-limits": text});
    change(site, json!({"metadata": {"annotations": annotations}})).await
}

async fn change(site: &Site<'_>, patch: Value) -> Result<()> {
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

/// A CA that takes no orders for a while is not asked before it wants to be, says so on the
/// Certificate, and holds up no other order.
pub(crate) async fn the_ca_is_busy(bed: &Bed) -> Result<()> {
    let options = PebbleOptions {
        rejected_nonces: 0,
        ..PebbleOptions::default()
    };
    let solvers = json!([{"dns01": bed.dns01("tsig")}]);
    let site = Site::with(bed, "limits-busy", &options, solvers.clone()).await?;
    let gate = site.pebble.gate().await?;
    let busy = bed.acme_issuer_at(&gate.directory_url(), "busy", &site.pebble, &solvers);
    site.namespace.apply_all(&[busy]).await?;
    let host = |name: &str| format!("{name}.{}.{ZONE}", site.namespace.name());
    let ask = async |name: &str| {
        let spec = json!({"dnsNames": [host(name)], "issuerRef": {"name": "busy"}});
        site.ask_for(name, spec).await
    };
    ask("ready").await?;
    site.issued("ready", &[&host("ready")]).await?;

    let limited = json!({
        "type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many orders",
    });
    gate.refuse(Refusal {
        status: 429,
        retry_after: Some(3600),
        problem: limited.clone(),
    });
    ask("later").await?;
    let said = "too many orders (rateLimited); next try at ";
    let state = site.says("later", said).await?;
    let (_, at) = state.message.rsplit_once(said).context("no time")?;
    let order = order_of(&site, "later").await?;
    let created = order.metadata.creation_timestamp.context("not created")?.0;
    let wait = created.duration_until(at.parse()?);
    ensure!(
        wait >= SignedDuration::from_hours(1) && wait < SignedDuration::from_hours(2),
        "{state:?}"
    );
    gate.admit();
    // Neither another issuer nor another order of this one waits for that.
    site.ask("elsewhere", &[&host("elsewhere")]).await?;
    site.issued("elsewhere", &[&host("elsewhere")]).await?;
    ask("other").await?;
    site.issued("other", &[&host("other")]).await?;
    ensure!(gate.refused() == 1, "asked {} times", gate.refused());
    site.says("later", &format!("{said}{at}")).await?;

    // It is asked again when it said, and not before; now and then where it said nothing.
    let slow = "too many orders (rateLimited); next try at ";
    for (name, status, retry_after, problem, said) in [
        ("soon", 429, Some(10), limited, slow),
        ("away", 503, Some(10), Value::Null, "; next try at "),
        ("broken", 500, None, Value::Null, "500"),
    ] {
        gate.refuse(Refusal {
            status,
            retry_after,
            problem,
        });
        ask(name).await?;
        let state = site.says(name, said).await?;
        gate.admit();
        let issued = site.issued(name, &[&host(name)]).await?;
        if retry_after.is_some() {
            let at: Timestamp = state
                .message
                .rsplit_once(said)
                .context("no time")?
                .1
                .parse()?;
            let created = issued.secret.metadata.creation_timestamp;
            let created = created.context("not created")?.0;
            ensure!(created >= at, "{name} at {created}, not at {at}");
        }
    }
    Ok(())
}

async fn order_of(site: &Site<'_>, certificate: &str) -> Result<Order> {
    let orders = site.api::<Order>().list(&ListParams::default()).await?;
    let start = format!("{certificate}-1-");
    let mut orders = orders.into_iter();
    let order = orders.find(|order| order.name_any().starts_with(&start));
    order.with_context(|| format!("no order of {certificate}"))
}
