//! Is a name proven through an ingress controller, whichever way the route gets there?

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice, networking::v1::Ingress};
use kube::{ResourceExt, api::ListParams};
use serde_json::{Value, json};
use testbed::{Bed, dns::Data, process::wait::until};

use crate::site::{SOON, Site};

/// A route of its own leads to the operator, as the solver's template says, until the name is
/// proven; nothing is left of it then.
pub(crate) async fn a_route_is_made_and_taken_away(bed: &Bed) -> Result<()> {
    let solver = json!({"http01": {"ingress": {
        "ingressClassName": "traefik",
        "serviceType": "ClusterIP",
        "ingressTemplate": {"metadata": {
            "labels": {"team": "web"},
            "annotations": {"example.com/note": "ours"},
        }},
    }}});
    let site = Site::new(bed, "http01-route", json!([solver])).await?;
    let host = "route.example.com";
    nowhere(bed, host)?;
    site.ask("www", &[host]).await?;
    site.says("www", "Waiting for HTTP-01 of route.example.com: ")
        .await?;

    let ingress: Ingress = only(&site).await?;
    ensure!(ingress.labels()["team"] == "web", "{ingress:?}");
    ensure!(ingress.labels()["acme.cert-manager.io/http01-solver"] == "true");
    ensure!(ingress.annotations()["example.com/note"] == "ours");
    let spec = ingress.spec.context("an empty Ingress")?;
    ensure!(spec.ingress_class_name.as_deref() == Some("traefik"));
    let rules = spec.rules.unwrap_or_default();
    ensure!(
        rules.len() == 1 && rules[0].host.as_deref() == Some(host),
        "{rules:?}"
    );
    let service: Service = only(&site).await?;
    let spec = service.spec.context("an empty Service")?;
    ensure!(spec.type_.as_deref() == Some("ClusterIP"));
    ensure!(spec.selector.is_none());
    let slice: EndpointSlice = only(&site).await?;
    ensure!(slice.labels()["endpointslice.kubernetes.io/managed-by"] == "certwright.io");
    ensure!(slice.owner_references()[0].kind == "Service");

    bed.host(host)?;
    site.issued("www", &[host]).await?;
    site.is_tidy().await
}

/// Ingress controllers that know no IngressClass go by the annotation.
pub(crate) async fn a_class_goes_by_its_annotation(bed: &Bed) -> Result<()> {
    let solver = json!({"http01": {"ingress": {"class": "traefik"}}});
    let site = Site::new(bed, "http01-class", json!([solver])).await?;
    let host = "class.example.com";
    nowhere(bed, host)?;
    site.ask("www", &[host]).await?;
    site.says("www", "Waiting for HTTP-01 of class.example.com: ")
        .await?;
    let ingress: Ingress = only(&site).await?;
    ensure!(ingress.annotations()["kubernetes.io/ingress.class"] == "traefik");
    ensure!(
        ingress
            .spec
            .is_some_and(|spec| spec.ingress_class_name.is_none())
    );
    bed.host(host)?;
    site.issued("www", &[host]).await?;
    site.is_tidy().await
}

/// Somebody's own Ingress is used while it has to be, and then is as it was before.
pub(crate) async fn an_ingress_is_edited_and_put_back(bed: &Bed) -> Result<()> {
    let solver = json!({"http01": {"ingress": {"name": "shop"}}});
    let site = Site::new(bed, "http01-name", json!([solver])).await?;
    let (host, other) = ("shop.example.com", "shop-2.example.com");
    let path = json!({
        "path": "/", "pathType": "Prefix",
        "backend": {"service": {"name": "shop", "port": {"number": 80}}},
    });
    let shop = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "shop", "labels": {"app": "shop"}},
        "spec": {
            "ingressClassName": "traefik",
            "tls": [{"hosts": [host], "secretName": "shop"}],
            "rules": [{"host": host, "http": {"paths": [path]}}],
        },
    });
    site.namespace.apply_all(&[shop]).await?;
    let before = shape(&site.api().get("shop").await?)?;
    nowhere(bed, host)?;
    nowhere(bed, other)?;
    site.ask("shop", &[host, other]).await?;
    until("both paths are there", SOON, async || {
        let ingress: Ingress = site.api().get("shop").await?;
        let rules = ingress.spec.and_then(|spec| spec.rules).unwrap_or_default();
        let paths: Vec<(Option<String>, usize)> = rules
            .into_iter()
            .map(|rule| (rule.host, rule.http.map_or(0, |http| http.paths.len())))
            .collect();
        let wanted = [(Some(host.to_owned()), 2), (Some(other.to_owned()), 1)];
        ensure!(paths == wanted, "{paths:?}");
        Ok(())
    })
    .await?;

    bed.host(host)?;
    bed.host(other)?;
    site.issued("shop", &[host, other]).await?;
    let after = until("the Ingress is as before", SOON, async || {
        let after = shape(&site.api().get("shop").await?)?;
        ensure!(after == before, "{after}");
        Ok(after)
    })
    .await?;
    ensure!(after == before);
    ensure!(site.names::<Ingress>().await? == ["Ingress shop"]);
    until("the Services are gone", SOON, async || {
        let left = [
            site.names::<Service>().await?,
            site.names::<EndpointSlice>().await?,
        ];
        ensure!(left.concat().is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

/// An address is a name too.
pub(crate) async fn an_address_is_proven(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "http01-address", json!([{"http01": bed.http01()}])).await?;
    let address = bed.address().to_string();
    let host = "address.example.com";
    bed.host(host)?;
    let spec = json!({"ipAddresses": [address], "dnsNames": [host]});
    site.ask_for("www", spec).await?;
    let issued = site.issued("www", &[&address, host]).await?;
    ensure!(
        issued.leaf.names.ips == [bed.address()],
        "{:?}",
        issued.leaf.names
    );
    site.is_tidy().await?;

    // The same through somebody's own Ingress.
    let fallback = json!({"service": {"name": "none", "port": {"number": 80}}});
    let own = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "own"},
        "spec": {"ingressClassName": "traefik", "rules": [{"host": "own.example.com", "http": {
            "paths": [{"path": "/", "pathType": "Prefix", "backend": fallback}],
        }}]},
    });
    site.namespace.apply_all(&[own]).await?;
    let solvers = json!([{"http01": {"ingress": {"name": "own"}}}]);
    site.change_issuer(json!({"solvers": solvers})).await?;
    site.ask_for("own", json!({"ipAddresses": [address]}))
        .await?;
    site.issued("own", &[&address]).await?;
    Ok(())
}

/// Make a host resolve to where nobody listens at the ingress controller's port.
pub(crate) fn nowhere(bed: &Bed, host: &str) -> Result<()> {
    let address = Ipv4Addr::LOCALHOST.into();
    bed.dns().set_record(host, &Data::Address(address))
}

/// The one object of its kind.
async fn only<K>(site: &Site<'_>) -> Result<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let mut list = site.api::<K>().list(&ListParams::default()).await?.items;
    ensure!(list.len() == 1, "{list:?}");
    list.pop().context("none")
}

/// What a user wrote of an Ingress.
fn shape(ingress: &Ingress) -> Result<Value> {
    Ok(json!({
        "labels": ingress.labels(),
        "annotations": ingress.annotations(),
        "owners": ingress.owner_references(),
        "finalizers": ingress.finalizers(),
        "spec": serde_json::to_value(&ingress.spec)?,
    }))
}
