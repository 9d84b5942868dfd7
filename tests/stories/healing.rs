//! When something is wrong, is it told in one line, and does it heal once it is put right?

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result, ensure};
use certwright::api::{
    certificate::Certificate, challenge::Challenge, issuer::Issuer, order::Order,
    request::CertificateRequest,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{core::v1::Secret, events::v1::Event, networking::v1::Ingress},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::{DynamicObject, GroupVersionKind},
    discovery::ApiResource,
};
use serde_json::{Value, json};
use testbed::{Bed, dns::Data, operator::OperatorOptions, process::wait::until};

use crate::site::{SOON, Site, certificate};

/// A host that leads elsewhere is told, with what was asked and who did not answer; nothing has
/// failed yet, and when the user has put DNS right the same request is finished.
pub(crate) async fn dns_points_elsewhere(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "heal-dns", json!([{"http01": bed.http01()}])).await?;
    let host = "elsewhere.example.com";
    let port = bed.ingress().http().port();
    let nowhere = Data::Address(Ipv4Addr::LOCALHOST.into());
    bed.dns().set_record(host, &nowhere)?;
    site.ask("www", &[host]).await?;
    let start =
        format!("Waiting for HTTP-01 of {host}: http://{host}:{port}/.well-known/acme-challenge/");
    let state = site.says("www", &start).await?;
    ensure!(state.message.contains("Connection refused"), "{state:?}");
    ensure!(state.message.contains("; next check in "), "{state:?}");
    ensure!(
        !state.message.contains('\n') && state.reason == "DoesNotExist",
        "{state:?}"
    );
    let requests = site.requests().await?;

    bed.host(host)?;
    site.issued("www", &[host]).await?;
    ensure!(site.requests().await? == requests && requests.len() == 1);
    site.is_tidy().await
}

/// What the CA saw is told with the next try; the new try succeeds once DNS is right.
pub(crate) async fn the_ca_says_no(bed: &Bed) -> Result<()> {
    let options = OperatorOptions {
        args: vec!["--certificate-request-minimum-backoff-duration=2s".to_owned()],
        ..OperatorOptions::default()
    };
    let operator = bed.operator(&options).await?;
    let solver = json!({"http01": bed.http01(), "waitInsteadOfSelfCheck": "2s"});
    let site = Site::new(bed, "heal-ca", json!([solver])).await?;
    let host = "refused.example.com";
    let nowhere = Data::Address(Ipv4Addr::LOCALHOST.into());
    bed.dns().set_record(host, &nowhere)?;
    site.ask("www", &[host]).await?;
    let start = "The certificate request has failed to complete and will be retried: ";
    let state = site.says("www", start).await?;
    ensure!(
        state.message.contains(&format!("HTTP-01 of {host}: ")),
        "{state:?}"
    );
    ensure!(state.message.contains("connection refused"), "{state:?}");
    ensure!(state.message.contains("; next try at 2"), "{state:?}");
    ensure!(!state.message.contains('\n'), "{state:?}");
    let failed: Certificate = site.api().get("www").await?;
    ensure!(
        failed
            .status
            .is_some_and(|status| status.failed_issuance_attempts.is_some())
    );

    bed.host(host)?;
    site.issued("www", &[host]).await?;
    let healed: Certificate = site.api().get("www").await?;
    let status = healed.status.context("no status")?;
    ensure!(status.failed_issuance_attempts.is_none() && status.last_failure_time.is_none());
    ensure!(status.revision == Some(1), "{status:?}");
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// A failure waits for an hour, but not once the user has given the issuer another solver.
pub(crate) async fn a_failure_is_tried_again_when_its_issuer_changes(bed: &Bed) -> Result<()> {
    let solver = json!({"http01": bed.http01(), "waitInsteadOfSelfCheck": "1s"});
    let site = Site::new(bed, "heal-issuer", json!([solver])).await?;
    let host = "another-solver.example.com";
    let nowhere = Data::Address(Ipv4Addr::LOCALHOST.into());
    bed.dns().set_record(host, &nowhere)?;
    site.ask("www", &[host]).await?;
    let start = "The certificate request has failed to complete and will be retried: ";
    let state = site.says("www", start).await?;
    let (_, next) = state
        .message
        .rsplit_once("; next try at ")
        .context("no next try")?;
    let failed: Certificate = site.api().get("www").await?;
    let failed = failed.status.and_then(|status| status.last_failure_time);
    let failed = failed.context("no failure")?.0;
    ensure!(failed.duration_until(next.parse::<Timestamp>()?) == SignedDuration::from_hours(1));

    // Sooner by far than that.
    let solvers = json!([{"dns01": bed.dns01("tsig")}]);
    site.change_issuer(json!({"solvers": solvers})).await?;
    site.issued("www", &[host]).await?;
    Ok(())
}

/// A Secret that is deleted comes again, with a new certificate for a new key.
pub(crate) async fn a_secret_is_deleted(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "heal-deleted", json!([{"dns01": bed.dns01("tsig")}])).await?;
    let name = "deleted.example.com";
    site.ask("www", &[name]).await?;
    let first = site.issued("www", &[name]).await?;
    let secrets: Api<Secret> = site.api();
    secrets.delete("www", &DeleteParams::default()).await?;
    let second = site.issued_as("www", 2, &[name]).await?;
    ensure!(second.secret.uid() != first.secret.uid());
    ensure!(second.leaf.serial != first.leaf.serial);
    ensure!(second.entry("tls.key") != first.entry("tls.key"));
    site.is_tidy().await
}

/// A key that does not fit is replaced with its certificate; labels and annotations come back
/// without one.
pub(crate) async fn a_secret_is_tampered_with(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "heal-tampered", json!([{"dns01": bed.dns01("tsig")}])).await?;
    let name = "tampered.example.com";
    let template = json!({"labels": {"team": "web"}, "annotations": {"example.com/note": "ours"}});
    let spec = json!({"dnsNames": [name], "secretTemplate": template});
    site.ask_for("www", spec).await?;
    let first = site.issued("www", &[name]).await?;
    let secrets: Api<Secret> = site.api();

    let patch = json!({"metadata": {
        "labels": {"team": null, "controller.cert-manager.io/fao": null, "their": "own"},
        "annotations": {"example.com/note": "theirs", "cert-manager.io/alt-names": null},
    }});
    let changed = secrets
        .patch("www", &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    let repaired = until("labels and annotations are back", SOON, async || {
        let now = secrets.get("www").await?;
        let label = |key: &str| now.labels().get(key).map(String::as_str);
        let annotation = |key: &str| now.annotations().get(key).map(String::as_str);
        ensure!(label("team") == Some("web"), "{:?}", now.metadata);
        ensure!(
            label("controller.cert-manager.io/fao") == Some("true"),
            "{:?}",
            now.metadata
        );
        ensure!(
            annotation("example.com/note") == Some("ours"),
            "{:?}",
            now.metadata
        );
        ensure!(
            annotation("cert-manager.io/alt-names") == Some(name),
            "{:?}",
            now.metadata
        );
        Ok(now)
    })
    .await?;
    ensure!(repaired.labels()["their"] == "own", "what is theirs stays");
    ensure!(repaired.data == first.secret.data && repaired.uid() == changed.uid());
    ensure!(site.issued_as("www", 1, &[name]).await?.leaf.serial == first.leaf.serial);

    // The same kind of key, of another certificate.
    site.ask("other", &["tampered-2.example.com"]).await?;
    let other = site.issued("other", &["tampered-2.example.com"]).await?;
    let key = other
        .secret
        .data
        .as_ref()
        .and_then(|data| data.get("tls.key"));
    let patch = Patch::Merge(json!({"data": {"tls.key": key}}));
    secrets
        .patch("www", &PatchParams::default(), &patch)
        .await?;
    let second = site.issued_as("www", 2, &[name]).await?;
    ensure!(second.leaf.serial != first.leaf.serial);
    Ok(())
}

/// Another name in the spec is another certificate, for another key.
pub(crate) async fn the_spec_is_changed(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "heal-spec", json!([{"dns01": bed.dns01("tsig")}])).await?;
    site.ask("www", &["spec.example.com"]).await?;
    let first = site.issued("www", &["spec.example.com"]).await?;
    let names = ["spec.example.com", "spec-2.example.com"];
    site.ask("www", &names).await?;
    let second = site.issued_as("www", 2, &names).await?;
    ensure!(second.leaf.names.dns.len() == 2, "{:?}", second.leaf.names);
    ensure!(second.leaf.public_key != first.leaf.public_key);
    ensure!(second.secret.uid() == first.secret.uid());
    site.is_tidy().await
}

/// A Certificate that is deleted on the way takes its routes with it.
pub(crate) async fn a_deletion_on_the_way_takes_the_routes_away(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "heal-delete", json!([{"http01": bed.http01()}])).await?;
    let host = "leaving.example.com";
    let nowhere = Data::Address(Ipv4Addr::LOCALHOST.into());
    bed.dns().set_record(host, &nowhere)?;
    site.ask("www", &[host]).await?;
    until("the route is there", SOON, async || {
        ensure!(site.names::<Ingress>().await?.len() == 1);
        Ok(())
    })
    .await?;
    let certificates: Api<Certificate> = site.api();
    certificates.delete("www", &DeleteParams::default()).await?;
    site.is_tidy().await?;
    until("requests, orders and keys are gone", SOON, async || {
        let left = [
            site.names::<CertificateRequest>().await?,
            site.names::<Order>().await?,
            site.names::<Challenge>().await?,
        ]
        .concat();
        ensure!(left.is_empty(), "{left:?}");
        let mut secrets = site.names::<Secret>().await?;
        secrets.sort();
        ensure!(
            secrets == ["Secret ca-account", "Secret tsig"],
            "{secrets:?}"
        );
        Ok(())
    })
    .await
}

/// What this version cannot do is told on the object that asks for it.
pub(crate) async fn what_is_not_supported_is_told(bed: &Bed) -> Result<()> {
    let gateway = json!({"http01": {"gatewayHTTPRoute": {"labels": {"a": "b"}}}});
    let site = Site::new(bed, "unsupported", json!([gateway])).await?;
    site.ask("gateway", &["gateway.example.com"]).await?;
    let state = site.says("gateway", "http01.gatewayHTTPRoute").await?;
    ensure!(state.message.contains("not supported"), "{state:?}");

    let other =
        json!([{"dns01": {"cloudflare": {"apiTokenSecretRef": {"name": "t", "key": "k"}}}}]);
    site.change_issuer(json!({"solvers": other})).await?;
    site.ask("cloud", &["cloud.example.com"]).await?;
    let state = site.says("cloud", "dns01.cloudflare").await?;
    ensure!(state.message.contains("not supported"), "{state:?}");

    let issuer = json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "private"},
        "spec": {"vault": {
            "server": "https://vault", "path": "p", "auth": {"tokenSecretRef": {"name": "t"}},
        }},
    });
    site.namespace.apply_all(&[issuer]).await?;
    let spec = json!({"dnsNames": ["a.example.com"], "issuerRef": {"name": "private"}});
    site.ask_for("private", spec).await?;
    let state = site.says("private", "spec.vault is not supported").await?;
    ensure!(state.message.contains("\"private\""), "{state:?}");
    Ok(())
}

/// Objects that nobody can read, left by another version, keep nobody else from a certificate.
pub(crate) async fn what_does_not_decode_is_passed_over(bed: &Bed) -> Result<()> {
    let mut options = OperatorOptions::default();
    let operator = bed.operator(&options).await?;
    let site = Site::new(bed, "undecodable", json!([{"dns01": bed.dns01("tsig")}])).await?;
    // Only the operator may make Orders.
    let release = bed.install_chart(&json!({})).await?;
    let (place, account) = (release.namespace(), release.service_account());
    let own = bed
        .access()
        .with_service_account(bed.client(), place, account)
        .await?;
    let own = own.client().await?;
    let garbage = [
        (
            "certificates.cert-manager.io",
            "Certificate",
            "cert-manager.io",
            json!({
                "secretName": "broken", "dnsNames": ["broken.example.com"],
                "issuerRef": {"name": "ca"}, "privateKey": {"algorithm": "Dilithium"},
            }),
        ),
        (
            "issuers.cert-manager.io",
            "Issuer",
            "cert-manager.io",
            json!({"acme": "yes, please"}),
        ),
        (
            "orders.acme.cert-manager.io",
            "Order",
            "acme.cert-manager.io",
            json!({"dnsNames": 7}),
        ),
    ];
    for (definition, kind, group, spec) in garbage {
        let user = if kind == "Order" { &own } else { bed.client() };
        write_anything(&site, user, definition, kind, group, spec).await?;
    }
    site.ask("first", &["decode-1.example.com"]).await?;
    site.issued("first", &["decode-1.example.com"]).await?;
    ensure!(
        operator.log().contains("broken"),
        "the log names what cannot be read"
    );
    ensure!(operator.stop().await?.success());

    "operator-again".clone_into(&mut options.name);
    let operator = bed.operator(&options).await?;
    site.ask("second", &["decode-2.example.com"]).await?;
    site.issued("second", &["decode-2.example.com"]).await?;
    ensure!(
        operator.log().contains("broken"),
        "the log names what cannot be read"
    );

    let events = site.namespace.api::<Event>();
    until("the events on what cannot be read", SOON, async || {
        let all = events.list(&ListParams::default()).await?;
        for kind in ["Certificate", "Issuer", "Order"] {
            let told = all.items.iter().any(|event| {
                let regarding = event.regarding.as_ref();
                event.reason.as_deref() == Some("InvalidObject")
                    && regarding.and_then(|object| object.kind.as_deref()) == Some(kind)
            });
            ensure!(told, "nothing is said on the {kind}");
        }
        Ok(())
    })
    .await?;

    // Put right, it is like any other.
    let good = certificate("broken", json!({"dnsNames": ["broken.example.com"]}))?;
    let api = dynamic(&site, "Certificate", "cert-manager.io");
    let patch = Patch::Merge(json!({"spec": {"privateKey": {"algorithm": "ECDSA"}}}));
    api.patch("broken", &PatchParams::default(), &patch).await?;
    site.namespace.apply_all(&[good]).await?;
    site.issued("broken", &["broken.example.com"]).await?;
    ensure!(operator.stop().await?.success());
    dynamic(&site, "Order", "acme.cert-manager.io")
        .delete("broken", &DeleteParams::default())
        .await?;
    let issuers: Api<Issuer> = site.api();
    issuers
        .delete("broken", &DeleteParams::default())
        .await
        .map(drop)
        .or_else(|_| Ok(()))
}

/// Create `broken` of a kind whose definition checks nothing for that moment.
async fn write_anything(
    site: &Site<'_>,
    writer: &Client,
    definition: &str,
    kind: &str,
    group: &str,
    spec: Value,
) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(site.bed.client().clone());
    let before = definitions.get(definition).await?;
    let mut open = serde_json::to_value(&before)?;
    let keeps_all = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = &mut open["spec"]["versions"][0];
    version["schema"]["openAPIV3Schema"] = keeps_all;
    // They would name fields that the schema does not.
    version["selectableFields"] = Value::Null;
    let open: CustomResourceDefinition = serde_json::from_value(open)?;
    let params = PostParams::default();
    let opened = definitions.replace(definition, &params, &open).await?;

    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    let namespace = site.namespace.name();
    let api: Api<DynamicObject> = Api::namespaced_with(writer.clone(), namespace, &resource);
    let object = DynamicObject::new("broken", &resource).data(json!({"spec": spec}));
    let created = until(
        "the definition to check nothing",
        Duration::from_secs(20),
        async || Ok(api.create(&params, &object).await?),
    )
    .await;

    let mut closed = before;
    closed.metadata.resource_version = opened.metadata.resource_version;
    definitions.replace(definition, &params, &closed).await?;
    created?;
    until(
        "the definition to check again",
        Duration::from_secs(20),
        async || {
            let params = PostParams {
                dry_run: true,
                ..PostParams::default()
            };
            let again = DynamicObject::new("broken-again", &resource).data(object.data.clone());
            ensure!(api.create(&params, &again).await.is_err());
            Ok(())
        },
    )
    .await
}

fn dynamic(site: &Site<'_>, kind: &str, group: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    Api::namespaced_with(site.bed.client().clone(), site.namespace.name(), &resource)
}
