//! Is a name proven by a record in DNS, and does nothing but that record ever change?

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use certwright::api::{
    certificate::Certificate, issuer::ClusterIssuer, order::Order, request::CertificateRequest,
};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, api::DeleteParams};
use serde_json::json;
use testbed::{
    Bed,
    bed::{ALIAS_ZONE, LAGGING_ZONE},
    dns::{Change, Data, RecordType, ResponseCode},
    process::wait::until,
};

use crate::site::{SOON, Site, certificate};

/// The apex and its wildcard are proven by two values of one record set, beside what somebody else
/// keeps there.
pub(crate) async fn a_wildcard_and_its_apex_together(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "dns01-wildcard", json!([{"dns01": bed.dns01("tsig")}])).await?;
    let record = "_acme-challenge.apex.example.com";
    let theirs = Data::Txt("somebody else's".to_owned());
    bed.dns().set_record(record, &theirs)?;
    let before = bed.dns().records(record, RecordType::TXT);
    let names = ["apex.example.com", "*.apex.example.com"];
    site.ask("apex", &names).await?;
    let issued = site.issued("apex", &names).await?;
    ensure!(issued.leaf.names.dns.len() == 2, "{:?}", issued.leaf.names);
    site.is_tidy().await?;
    ensure!(bed.dns().records(record, RecordType::TXT) == before);
    let values: Vec<Change> = changes(bed, record)
        .into_iter()
        .filter(|change| matches!(change, Change::Add { .. }))
        .collect();
    ensure!(values.len() >= 2 && values[0] != values[1], "{values:?}");
    let sweeping = |change: &Change| !matches!(change, Change::Add { .. } | Change::Delete { .. });
    ensure!(!changes(bed, record).iter().any(sweeping));
    Ok(())
}

/// A challenge's name that is an alias is proven where the alias leads, if the solver says so.
pub(crate) async fn an_alias_is_followed(bed: &Bed) -> Result<()> {
    let mut solver = bed.dns01("tsig");
    solver["cnameStrategy"] = json!("Follow");
    let site = Site::new(bed, "dns01-alias", json!([{"dns01": solver}])).await?;
    let (alias, target) = (
        "_acme-challenge.alias.example.com",
        format!("alias.{ALIAS_ZONE}"),
    );
    let data = Data::Cname(target.clone());
    bed.dns().set_record(alias, &data)?;
    site.ask("alias", &["alias.example.com"]).await?;
    site.issued("alias", &["alias.example.com"]).await?;
    site.is_tidy().await?;
    ensure!(changes(bed, alias).is_empty());
    ensure!(changes(bed, &target).len() >= 2);
    ensure!(bed.dns().records(&target, RecordType::TXT).is_empty());
    ensure!(bed.dns().records(alias, RecordType::CNAME).len() == 1);
    Ok(())
}

/// A wrong key is told on the Certificate, with what to check; the right one is used at once.
pub(crate) async fn a_wrong_key_is_told_and_put_right(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "dns01-key", json!([{"dns01": bed.dns01("key")}])).await?;
    let name = "key.example.com";
    let told = format!(
        "solvers[0].dns01.rfc2136.tsigSecretSecretRef: Secret \"key\" not found in namespace {:?}",
        site.namespace.name()
    );
    site.ask("key", &[name]).await?;
    site.says("key", &told).await?;

    let wrong = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"},
        "stringData": {"secret": ByteString(b"not the key of that server".to_vec())},
    });
    site.namespace.apply_all(&[wrong]).await?;
    let told = format!(
        "Waiting for DNS-01 of {name}: RFC 2136 update of example.com. at {}: server answered \
         NOTAUTH (TSIG BADSIG): check tsigSecretSecretRef and tsigAlgorithm against the server's key",
        bed.dns().addr()
    );
    let state = site.says("key", &told).await?;
    ensure!(!state.ready && !state.message.contains('\n'), "{state:?}");
    let requests = site.requests().await?;

    site.namespace.apply_all(&[bed.tsig_secret("key")]).await?;
    site.issued("key", &[name]).await?;
    ensure!(
        site.requests().await? == requests,
        "it healed without a new request"
    );
    ensure!(requests.len() == 1);
    let refused = bed.dns().updates().into_iter().any(|update| {
        update.code == ResponseCode::NotAuth && format!("{:?}", update.changes).contains(name)
    });
    ensure!(refused);
    site.is_tidy().await
}

/// The CA is told once every server of the zone has the record; which has not is told meanwhile.
pub(crate) async fn a_lagging_server_is_waited_for(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "dns01-lag", json!([{"dns01": bed.dns01("tsig")}])).await?;
    let address = Ipv4Addr::new(127, 0, 0, 2);
    let secondary = bed
        .dns()
        .secondary(address.into(), bed.dns().addr().port())?;
    let name = format!("www.{LAGGING_ZONE}");
    site.ask("lag", &[&name]).await?;
    let told = format!(
        "Waiting for DNS-01 of {name}: ns2.{LAGGING_ZONE} ({address}) answered NXDOMAIN for \
         _acme-challenge.{name}; next check in "
    );
    site.says("lag", &told).await?;
    let log = site.pebble.log().await;
    ensure!(
        !log.contains("POST /chalZ/"),
        "the CA was told too early: {log}"
    );
    ensure!(secondary.queries() > 0);
    secondary.release();
    site.issued("lag", &[&name]).await?;
    site.is_tidy().await
}

/// A ClusterIssuer serves every namespace with Secrets that none of them can read.
pub(crate) async fn a_cluster_issuer_has_its_key_elsewhere(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "dns01-cluster", json!([])).await?;
    let elsewhere: Api<Secret> = Api::namespaced(bed.client().clone(), "certwright");
    let mut key = bed.tsig_secret("dns01-cluster-tsig");
    key["metadata"]["namespace"] = json!("certwright");
    let solvers = json!([{"dns01": bed.dns01("dns01-cluster-tsig")}]);
    let mut issuer = bed.acme_issuer("dns01-cluster", &site.pebble, &solvers);
    issuer["kind"] = json!("ClusterIssuer");
    bed.apply_all(&[key, issuer]).await?;
    let spec = json!({
        "dnsNames": ["*.cluster.example.com"],
        "issuerRef": {"name": "dns01-cluster", "kind": "ClusterIssuer"},
    });
    site.ask_for("cluster", spec).await?;
    site.issued("cluster", &["*.cluster.example.com"]).await?;
    site.is_tidy().await?;
    for name in ["dns01-cluster-account", "dns01-cluster-tsig"] {
        elsewhere.delete(name, &DeleteParams::default()).await?;
    }
    let issuers: Api<ClusterIssuer> = Api::all(bed.client().clone());
    issuers
        .delete("dns01-cluster", &DeleteParams::default())
        .await?;
    Ok(())
}

/// A Certificate that is deleted on the way takes its records with it, and nobody else's.
pub(crate) async fn a_deletion_on_the_way_takes_the_record_away(bed: &Bed) -> Result<()> {
    let solver = json!({"dns01": bed.dns01("tsig"), "waitInsteadOfSelfCheck": "1h"});
    let site = Site::new(bed, "dns01-delete", json!([solver])).await?;
    let name = "gone.example.com";
    let record = format!("_acme-challenge.{name}");
    let theirs = Data::Txt("somebody else's".to_owned());
    bed.dns().set_record(&record, &theirs)?;
    let object = certificate("gone", json!({"dnsNames": [name]}))?;
    site.namespace.apply_all(&[object]).await?;
    until("the record is there", SOON, async || {
        ensure!(bed.dns().records(&record, RecordType::TXT).len() == 2);
        Ok(())
    })
    .await?;
    let certificates: Api<Certificate> = site.api();
    certificates
        .delete("gone", &DeleteParams::default())
        .await?;
    site.is_tidy().await?;
    ensure!(bed.dns().records(&record, RecordType::TXT).len() == 1);
    until("the key and the request are gone", SOON, async || {
        let left = [
            site.names::<CertificateRequest>().await?,
            site.names::<Order>().await?,
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

/// What updates did at a name, and that were applied.
fn changes(bed: &Bed, name: &str) -> Vec<Change> {
    let of = |change: &Change| match change {
        Change::Add { name, .. }
        | Change::Delete { name, .. }
        | Change::DeleteSet { name, .. }
        | Change::DeleteName { name } => name.trim_end_matches('.').to_owned(),
    };
    let updates = bed.dns().updates().into_iter();
    updates
        .filter(|update| update.code == ResponseCode::NoError)
        .flat_map(|update| update.changes)
        .filter(|change| of(change) == name)
        .collect()
}
