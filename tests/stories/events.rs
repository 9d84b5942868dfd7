//! Do users find events about their objects, with repeats counted up?

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use certwright::cluster::{
    clock::Clock,
    events::{EventType, Events},
    metrics::{EventOutcome, Metrics},
};
use k8s_openapi::api::{
    core::v1::{ConfigMap, ObjectReference},
    events::v1::Event,
};
use kube::{Api, Resource, api::ListParams};
use serde_json::json;
use testbed::{Bed, process::wait::until};
use tokio_util::sync::CancellationToken;

/// The API server takes events about objects in a namespace and about cluster-wide ones, counts
/// repeats in one, and those with a text that is too long are shortened.
pub(crate) async fn users_are_told(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("events").await?;
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "web" } });
    namespace.apply_all(&[map]).await?;
    let object = namespace.api::<ConfigMap>().get("web").await?;
    let object = object.object_ref(&());
    let cluster_wide = ObjectReference {
        api_version: Some("cert-manager.io/v1".to_owned()),
        kind: Some("ClusterIssuer".to_owned()),
        name: Some(namespace.name().to_owned()),
        ..ObjectReference::default()
    };
    let clock = Clock::default();
    let metrics = Metrics::new(clock.clone())?;
    let client = bed.client().clone();
    let (events, recorder) = Events::new(client.clone(), clock, metrics.clone(), "host-1");
    let stop = CancellationToken::new();
    let running = tokio::spawn(recorder.run(stop.clone()));

    events.publish(object.clone(), EventType::Normal, "Issuing", "Begun");
    for _ in 0..3 {
        events.publish(object.clone(), EventType::Warning, "Failed", "No such host");
    }
    events.publish(
        object.clone(),
        EventType::Warning,
        "Failed",
        "ü".repeat(2000),
    );
    events.publish(cluster_wide, EventType::Normal, "Ready", "Verified");
    until(
        "the events to be there",
        Duration::from_secs(20),
        async || {
            ensure!(metrics.events(EventOutcome::Failed).get() == 0);
            let sent = metrics.events(EventOutcome::Sent).get();
            ensure!(sent == 4, "{sent} are sent");
            Ok(())
        },
    )
    .await?;
    stop.cancel();
    running.await?;
    ensure!(metrics.events(EventOutcome::Failed).get() == 0);

    let found = namespace
        .api::<Event>()
        .list(&ListParams::default())
        .await?;
    let find = |note: &str| {
        let mut events = found.items.iter();
        let event = events.find(|event| {
            let is_ours = event
                .regarding
                .as_ref()
                .and_then(|object| object.uid.as_ref());
            is_ours == object.uid.as_ref()
                && event
                    .note
                    .as_ref()
                    .is_some_and(|text| text.starts_with(note))
        });
        event.with_context(|| format!("no event {note:?}"))
    };
    let begun = find("Begun")?;
    ensure!(begun.type_.as_deref() == Some("Normal") && begun.series.is_none());
    ensure!(begun.reason.as_deref() == Some("Issuing"));
    ensure!(begun.reporting_controller.as_deref() == Some("certwright.io/controller"));
    ensure!(begun.reporting_instance.as_deref() == Some("host-1"));
    let repeated = find("No such host")?;
    ensure!(repeated.type_.as_deref() == Some("Warning"));
    ensure!(
        repeated.series.as_ref().map(|series| series.count) == Some(3),
        "{repeated:?}"
    );
    ensure!(
        find("ü")?
            .note
            .as_ref()
            .is_some_and(|note| note.len() <= 1024)
    );

    let everywhere = Api::<Event>::namespaced(client, "default");
    let name = namespace.name();
    let of_issuer = everywhere
        .list(&ListParams::default())
        .await?
        .items
        .into_iter();
    let of_issuer = of_issuer.filter(|event| {
        let object = event.regarding.as_ref();
        object.and_then(|object| object.name.as_deref()) == Some(name)
    });
    ensure!(of_issuer.count() == 1);
    Ok(())
}
