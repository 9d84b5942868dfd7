//! What is written for one Certificate, to the byte?
//!
//! Learnt from the API server's audit log, which in the namespace [`PLACE`] holds bodies and answers.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

/// The namespace whose requests are recorded.
pub(crate) const PLACE: &str = "bench-recorded";
/// The Certificate that is recorded.
pub(super) const SAMPLE: &str = "bench-sample";
/// Stands in a body for the version of its object as it is then.
pub(super) const VERSION: &str = "bench-resource-version";

/// The user that the bench itself is.
const BENCH: &str = "admin";

/// What is written for one Certificate, in order; the first creates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) steps: Vec<Step>,
    /// The uids of the objects, by their paths.
    pub(super) uids: BTreeMap<String, String>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Whether the operator sent it; otherwise the bench.
    pub(super) by_operator: bool,
    pub(super) method: &'static str,
    pub(super) content_type: &'static str,
    /// Path and query.
    pub(super) uri: String,
    pub(super) body: String,
    /// The path of the object that it is about, without subresource.
    pub(super) object: String,
    /// `verb resource/subresource`.
    pub(super) what: String,
}

/// Of an audit event, what a request is made from.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    request_received_timestamp: String,
    user: User,
    object_ref: Option<Object>,
    response_status: Option<Status>,
    request_object: Option<Value>,
    response_object: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Debug, Deserialize)]
struct Object {
    resource: String,
    namespace: Option<String>,
    subresource: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Status {
    code: Option<u16>,
}

impl Script {
    /// What the log says since `from`, where `operator` is the operator's user.
    pub(super) fn read(log: &Path, from: u64, operator: &str) -> Result<Self> {
        let reading = || format!("reading {}", log.display());
        let mut file = File::open(log).with_context(reading)?;
        file.seek(SeekFrom::Start(from)).with_context(reading)?;
        Self::of(BufReader::new(file), operator).with_context(reading)
    }

    fn of(lines: impl BufRead, operator: &str) -> Result<Self> {
        let mut events = Vec::new();
        for line in lines.lines() {
            let event: Event = serde_json::from_str(&line?).context("an audit event")?;
            let by_us = event.user.username == operator || event.user.username == BENCH;
            let code = event
                .response_status
                .as_ref()
                .and_then(|status| status.code);
            let done = matches!(code, Some(200..300));
            if by_us && done && event.stage == "ResponseComplete" && event.is_of_sample() {
                events.push(event);
            }
        }
        events.sort_by(|a, b| {
            a.request_received_timestamp
                .cmp(&b.request_received_timestamp)
        });
        let mut script = Self {
            steps: Vec::new(),
            uids: BTreeMap::new(),
        };
        for event in events {
            script.add(event, operator)?;
        }
        let first = script.steps.first().map(|step| step.what.as_str());
        ensure!(
            first == Some("create certificates") && script.steps.len() > 1,
            "the audit log does not tell how a Certificate is issued"
        );
        Ok(script)
    }

    fn add(&mut self, event: Event, operator: &str) -> Result<()> {
        let Some(Object {
            resource,
            namespace: _,
            subresource,
        }) = event.object_ref
        else {
            return Ok(());
        };
        let mut body = event.request_object.unwrap_or_default();
        let (method, content_type) = match event.verb.as_str() {
            "create" => ("POST", "application/json"),
            "update" => ("PUT", "application/json"),
            "delete" => {
                // As the API server has it: in its own, internal version.
                for key in ["apiVersion", "kind"] {
                    body.as_object_mut().and_then(|body| body.remove(key));
                }
                ("DELETE", "application/json")
            }
            // An apply patch is a whole object and says who its field manager is.
            "patch" if body["kind"].is_string() && event.request_uri.contains("fieldManager=") => {
                ("PATCH", "application/apply-patch+yaml")
            }
            "patch" => ("PATCH", "application/merge-patch+json"),
            _ => return Ok(()),
        };
        if event.verb != "create"
            && let Some(version) = body.pointer_mut("/metadata/resourceVersion")
        {
            *version = VERSION.into();
        }
        let path = event.request_uri.split('?').next().unwrap_or_default();
        let answer = event.response_object.unwrap_or_default();
        let object = match (method, &subresource) {
            ("POST", None) => {
                let name = answer["metadata"]["name"].as_str();
                format!("{path}/{}", name.context("a created object has no name")?)
            }
            (_, Some(subresource)) => path.trim_end_matches(&format!("/{subresource}")).to_owned(),
            (_, None) => path.to_owned(),
        };
        if let Some(uid) = answer["metadata"]["uid"].as_str() {
            self.uids.insert(object.clone(), uid.to_owned());
        }
        let what = match subresource {
            Some(subresource) => format!("{} {resource}/{subresource}", event.verb),
            None => format!("{} {resource}", event.verb),
        };
        self.steps.push(Step {
            by_operator: event.user.username == operator,
            method,
            content_type,
            uri: event.request_uri,
            body: body.to_string(),
            object,
            what,
        });
        Ok(())
    }

    /// How many of its requests are the operator's.
    pub(super) fn writes(&self) -> usize {
        self.steps.iter().filter(|step| step.by_operator).count()
    }
}

impl Event {
    fn is_of_sample(&self) -> bool {
        let place = self
            .object_ref
            .as_ref()
            .and_then(|object| object.namespace.as_deref());
        let name = |object: &Option<Value>| {
            let name = object.as_ref()?.pointer("/metadata/name")?.as_str()?;
            Some(name.starts_with(SAMPLE))
        };
        place == Some(PLACE)
            && (self.request_uri.contains(&format!("/{SAMPLE}"))
                || name(&self.request_object) == Some(true)
                || name(&self.response_object) == Some(true))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(at: u32, user: &str, verb: &str, uri: &str, request: Value, response: Value) -> String {
        let path = uri.split('?').next().unwrap();
        let parts: Vec<&str> = path
            .split("/bench-recorded/")
            .nth(1)
            .unwrap()
            .split('/')
            .collect();
        json!({
            "stage": "ResponseComplete",
            "verb": verb,
            "requestURI": uri,
            "requestReceivedTimestamp": format!("2026-01-01T00:00:{at:02}Z"),
            "user": { "username": user },
            "objectRef": {
                "resource": parts[0],
                "namespace": "bench-recorded",
                "subresource": parts.get(2),
            },
            "responseStatus": { "code": 200 },
            "requestObject": request,
            "responseObject": response,
        })
        .to_string()
    }

    #[test]
    fn a_script_is_what_was_done_for_the_sample() {
        let place = "/apis/cert-manager.io/v1/namespaces/bench-recorded";
        let core = "/api/v1/namespaces/bench-recorded";
        let named = |name: &str, uid: &str| json!({ "metadata": { "name": name, "uid": uid } });
        let status = json!({ "metadata": { "resourceVersion": "7" }, "status": {} });
        let apply = json!({ "kind": "Secret", "metadata": { "name": SAMPLE } });
        let delete = json!({ "kind": "DeleteOptions", "preconditions": { "uid": "k" } });
        let log = [
            line(
                3,
                "op",
                "patch",
                &format!("{place}/certificates/{SAMPLE}/status"),
                status,
                named(SAMPLE, "c"),
            ),
            line(
                1,
                "admin",
                "create",
                &format!("{place}/certificates"),
                named(SAMPLE, ""),
                named(SAMPLE, "c"),
            ),
            line(
                2,
                "op",
                "patch",
                &format!("{core}/secrets/{SAMPLE}?fieldManager=x&force=true"),
                apply,
                named(SAMPLE, "s"),
            ),
            line(
                4,
                "op",
                "delete",
                &format!("{core}/secrets/{SAMPLE}-1"),
                delete,
                json!({}),
            ),
            line(
                2,
                "op",
                "get",
                &format!("{core}/secrets/{SAMPLE}"),
                json!({}),
                json!({}),
            ),
            line(
                2,
                "op",
                "create",
                &format!("{core}/secrets"),
                named("other", ""),
                named("other", "o"),
            ),
            line(
                2,
                "gc",
                "delete",
                &format!("{core}/secrets/{SAMPLE}"),
                json!({}),
                json!({}),
            ),
        ];
        let script = Script::of(log.join("\n").as_bytes(), "op").unwrap();
        let told: Vec<_> = script
            .steps
            .iter()
            .map(|step| (step.what.as_str(), step.content_type, step.object.as_str()))
            .collect();
        let certificate = format!("{place}/certificates/{SAMPLE}");
        let secret = format!("{core}/secrets/{SAMPLE}");
        let expected = [
            (
                "create certificates",
                "application/json",
                certificate.as_str(),
            ),
            (
                "patch secrets",
                "application/apply-patch+yaml",
                secret.as_str(),
            ),
            (
                "patch certificates/status",
                "application/merge-patch+json",
                certificate.as_str(),
            ),
            ("delete secrets", "application/json", &format!("{secret}-1")),
        ];
        assert_eq!(told, expected);
        assert_eq!(script.writes(), 3);
        assert!(script.steps[2].body.contains(VERSION));
        assert_eq!(script.steps[3].body, r#"{"preconditions":{"uid":"k"}}"#);
        assert_eq!(script.uids[&certificate], "c");
    }

    #[test]
    fn a_log_without_an_issuance_is_an_error() {
        assert!(Script::of(&b""[..], "op").is_err());
    }
}
