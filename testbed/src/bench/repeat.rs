//! How is what was written for one Certificate written again for another?

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use http::Request;
use kube::Client;
use serde::Deserialize;

use super::recorded::{PLACE, SAMPLE, Script, Step, VERSION};
use crate::{Bed, apply::said, cluster::access::Access};

/// Who writes.
pub(super) struct Players {
    operator: Client,
    bench: Client,
}

impl Players {
    /// With connections of their own; `operator` is how the operator reaches the API server.
    pub(super) async fn of(operator: &Access, bed: &Bed) -> Result<Self> {
        Ok(Self {
            operator: operator.client().await?,
            bench: bed.access().client().await?,
        })
    }
}

/// A Certificate for which a script is repeated.
pub(super) struct Repeat<'a> {
    script: &'a Script,
    namespace: &'a str,
    name: String,
    /// The recorded uids, and those in their place.
    uids: Vec<(&'a str, String)>,
    /// Of objects, by their recorded paths.
    versions: BTreeMap<&'a str, String>,
}

/// Of an answer, what later requests name.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl<'a> Repeat<'a> {
    /// Nothing is written yet.
    pub(super) fn new(script: &'a Script, namespace: &'a str, name: String) -> Self {
        Self {
            script,
            namespace,
            name,
            uids: Vec::new(),
            versions: BTreeMap::new(),
        }
    }

    /// Send one request, with the names, uids and versions that fit.
    pub(super) async fn step(&mut self, players: &Players, step: &'a Step) -> Result<()> {
        let object = step.object.as_str();
        let version = self.versions.get(object).map_or("", String::as_str);
        let body = self.adapted(&step.body).replace(VERSION, version);
        let request = Request::builder()
            .method(step.method)
            .uri(self.adapted(&step.uri))
            .header("Content-Type", step.content_type)
            .header("Accept", "application/json")
            .body(body.into_bytes())?;
        let client = if step.by_operator {
            &players.operator
        } else {
            &players.bench
        };
        let answer = client.request_text(request).await.map_err(said);
        let answer =
            answer.with_context(|| format!("repeating {} for {}", step.what, self.name))?;
        let Answer { metadata } = serde_json::from_str(&answer)?;
        if let (Some(recorded), Some(uid)) = (self.script.uids.get(object), metadata.uid) {
            self.uids.push((recorded, uid));
        }
        if let Some(version) = metadata.resource_version {
            self.versions.insert(object, version);
        }
        Ok(())
    }

    fn adapted(&self, text: &str) -> String {
        let mut text = text
            .replace(PLACE, self.namespace)
            .replace(SAMPLE, &self.name);
        for (recorded, uid) in &self.uids {
            text = text.replace(recorded, uid);
        }
        text
    }
}
