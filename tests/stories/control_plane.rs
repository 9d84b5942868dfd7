//! Does work go on when the API server, or a kind of objects in it, was away?

use anyhow::{Context, Result, ensure};
use certwright::api::challenge::Challenge;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
};
use testbed::{
    Bed,
    operator::{Operator, OperatorOptions},
    process::{tail, wait::until},
};

use crate::work::{self, SOON, Way, Work};

/// Certificates that are asked for at once.
const MANY: usize = 24;

/// The API server is killed and comes back in the middle of the work: it is finished, and nothing
/// is issued twice.
pub(crate) async fn work_survives_a_restart(bed: &Bed) -> Result<()> {
    let pebble = work::pebble(bed, "restart").await?;
    let mut operator = bed.operator(&alone("restart")).await?;
    for way in [Way::Dns01, Way::Http01] {
        let before = pebble.issued().await.len();
        let mut work = Work::new(bed, &pebble, "restart", way).await?;
        for number in 0..MANY {
            work.ask(&format!("c{number}")).await?;
        }
        until("a Challenge", SOON, async || {
            let challenges = work.namespace.api::<Challenge>();
            let challenges = challenges.list(&ListParams::default()).await?;
            ensure!(!challenges.items.is_empty(), "there is none");
            Ok(())
        })
        .await?;
        bed.api_server().restart().await?;
        ensure!(work.ready().await? < MANY, "too late to disturb anything");
        finished(&work, &operator).await?;
        ensure!(pebble.issued().await.len() == before + MANY);
        ensure!(operator.exited()?.is_none());
    }
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// A definition is deleted while the operator runs, and is missing when another one starts: both
/// wait, say what is missing, and work once it is there.
pub(crate) async fn a_missing_kind_is_waited_for(bed: &Bed) -> Result<()> {
    let pebble = work::pebble(bed, "kinds").await?;
    let mut work = Work::new(bed, &pebble, "kinds", Way::Dns01).await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(bed.client().clone());
    let name = "challenges.acme.cert-manager.io";
    let mut definition = definitions.get(name).await?;
    let mut running = bed.operator(&alone("kinds-running")).await?;
    work.ask("before").await?;
    finished(&work, &running).await?;

    definitions.delete(name, &DeleteParams::default()).await?;
    until("the definition is gone", SOON, async || {
        ensure!(definitions.get_opt(name).await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    let mut starting = alone("kinds-starting");
    starting.wait = false;
    let mut starting = bed.operator(&starting).await?;
    for operator in [&mut running, &mut starting] {
        until("the operator tells", SOON, async || {
            ensure!(operator.exited()?.is_none(), "{}", tail(&operator.log()));
            let log = operator.log();
            let told = log
                .lines()
                .any(|line| line.contains("WARN") && line.contains("hallenge"));
            ensure!(told, "{}", tail(&log));
            Ok(())
        })
        .await?;
    }
    ensure!(running.stop().await?.success());

    definition.metadata = ObjectMeta {
        name: Some(definition.name_any()),
        labels: definition.metadata.labels,
        annotations: definition.metadata.annotations,
        ..ObjectMeta::default()
    };
    definition.status = None;
    definitions
        .create(&PostParams::default(), &definition)
        .await?;
    starting.ready(SOON).await?;
    work.ask("after").await?;
    finished(&work, &starting).await?;
    ensure!(starting.stop().await?.success());
    Ok(())
}

fn alone(name: &str) -> OperatorOptions {
    OperatorOptions {
        name: name.to_owned(),
        args: vec!["--leader-elect=false".to_owned()],
        ..OperatorOptions::default()
    }
}

async fn finished(work: &Work<'_>, operator: &Operator) -> Result<()> {
    let done = work.is_done().await;
    done.with_context(|| tail(&operator.log()))
}
