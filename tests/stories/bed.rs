//! Does the test bed itself work?

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use serde_json::json;
use testbed::{
    Bed,
    acme::PebbleOptions,
    bed::ZONE,
    dns::{Data, RecordType},
    ingress::CLASS,
    process::{ports, wait::until},
    web,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// The API server stores and finds again, also after a restart, and its controllers work.
pub(crate) async fn the_control_plane_works(bed: &Bed) -> Result<()> {
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
    .await
}

/// Pebble answers with the chains it was asked for, and can go and come.
pub(crate) async fn the_acme_server_answers(bed: &Bed) -> Result<()> {
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
    assert!(pebble.issued().await.is_empty());
    pebble.unplug();
    assert!(directory().await.is_err());
    pebble.plug().await?;
    assert!(directory().await.is_ok());
    pebble.stop().await?;
    assert!(directory().await.is_err());
    pebble.resume().await?;
    assert!(directory().await.is_ok());
    Ok(())
}

/// Names resolve to the ingress controller, which routes by Ingress, Service and EndpointSlice to a
/// server outside the cluster, and answers 404 for all else.
pub(crate) async fn the_ingress_controller_routes(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("bed").await?;
    let host = format!("www.{}.{ZONE}", namespace.name());
    bed.host(&host)?;
    let addresses = bed.dns().records(&host, RecordType::A);
    assert_eq!(addresses, [bed.address().to_string()]);
    bed.dns()
        .set_record(&format!("txt.{host}"), &Data::Txt("x".to_owned()))?;

    let address = SocketAddr::new(bed.address(), ports::free()?);
    let server = tokio::spawn(answer_hello(TcpListener::bind(address).await?));
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "hello" },
        "spec": { "ports": [{ "name": "http", "port": 80, "targetPort": address.port() }] },
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": { "name": "hello", "labels": { "kubernetes.io/service-name": "hello" } },
        "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{ "addresses": [address.ip().to_string()], "conditions": { "ready": true } }],
        "ports": [{ "name": "http", "port": address.port() }],
    });
    let backend = json!({ "service": { "name": "hello", "port": { "number": 80 } } });
    let path = json!({ "path": "/", "pathType": "Prefix", "backend": backend });
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": { "name": "hello" },
        "spec": {
            "ingressClassName": CLASS,
            "rules": [{ "host": host, "http": { "paths": [path] } }],
        },
    });
    namespace.apply_all(&[service, slice, ingress]).await?;

    let http = web::client(&[])?;
    let url = format!("http://{}/", bed.ingress().http());
    until("the route", Duration::from_secs(20), async || {
        let answer = http.get(&url).header("Host", &host).send().await?;
        let text = answer.error_for_status()?.text().await?;
        match text.as_str() {
            "hello" => Ok(()),
            other => bail!("{other:?} was answered"),
        }
    })
    .await?;
    let elsewhere = http
        .get(&url)
        .header("Host", "elsewhere.example.com")
        .send()
        .await?;
    assert_eq!(elsewhere.status().as_u16(), 404);
    server.abort();
    Ok(())
}

async fn answer_hello(listener: TcpListener) {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    while let Ok((mut stream, _)) = listener.accept().await {
        // One read takes a request this small; an error is the client's to notice.
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(ANSWER).await;
    }
}
