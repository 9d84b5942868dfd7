//! Does the test bed itself work?

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use serde_json::json;
use testbed::{
    Bed,
    acme::PebbleOptions,
    bed::ZONE,
    dns::{Data, RecordType},
    process::wait::until,
    web,
};

/// The API server stores and finds again, also after a restart; its controllers work; names
/// resolve; the ACME server and the ingress controller answer, and the former can go and come.
pub(crate) async fn everything_answers(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("bed").await?;
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "kept" },
        "data": { "a": "b" },
    });
    namespace.apply_all(&[map]).await?;
    bed.api_server().restart().await?;
    let found = namespace.api::<ConfigMap>().get("kept").await?;
    assert_eq!(found.data.unwrap()["a"], "b");
    let accounts = namespace.api::<ServiceAccount>();
    until(
        "a default ServiceAccount",
        Duration::from_secs(20),
        async || accounts.get("default").await.map(drop).map_err(Into::into),
    )
    .await?;

    bed.host(&format!("www.{}.{ZONE}", namespace.name()))?;
    let addresses = bed
        .dns()
        .records(&format!("www.{}.{ZONE}", namespace.name()), RecordType::A);
    assert_eq!(addresses, [bed.address().to_string()]);
    bed.dns()
        .set_record(&format!("txt.{ZONE}"), &Data::Txt("x".to_owned()))?;

    let pebble = bed
        .pebble("pebble-of-the-bed", &PebbleOptions::default())
        .await?;
    let http = web::client(&[pebble.tls_root()])?;
    let directory = async || {
        let answer = http
            .get(pebble.directory_url())
            .send()
            .await?
            .error_for_status()?;
        answer.text().await.context("reading the directory")
    };
    assert!(directory().await?.contains("newOrder"));
    assert_eq!(pebble.roots().await?.len(), 2);
    assert_eq!(pebble.intermediates().await?.len(), 2);
    pebble.unplug();
    assert!(directory().await.is_err());
    pebble.plug().await?;
    assert!(directory().await.is_ok());

    let ingress: SocketAddr = bed.ingress().http();
    let answer = web::client(&[])?
        .get(format!("http://{ingress}/"))
        .send()
        .await?;
    assert_eq!(answer.status().as_u16(), 404);
    Ok(())
}
