//! Which requests did the operator make of the API server?

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::Path,
};

use anyhow::{Context, Result};
use serde::Deserialize;

/// A place in the audit log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requests {
    from: u64,
}

/// Of an audit event, what is counted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    user: User,
    object_ref: Option<Object>,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Debug, Deserialize)]
struct Object {
    resource: String,
    subresource: Option<String>,
}

impl Requests {
    /// Now.
    pub(super) fn mark(log: &Path) -> Result<Self> {
        let from = fs::metadata(log).with_context(|| format!("looking at {}", log.display()))?;
        Ok(Self { from: from.len() })
    }

    /// The byte at which it is.
    pub(super) fn from(self) -> u64 {
        self.from
    }

    /// What `user` has asked for since, by `verb resource/subresource`; without Leases, which are
    /// renewed by the clock and not by the certificate.
    pub(super) fn since(&self, log: &Path, user: &str) -> Result<BTreeMap<String, u64>> {
        let mut file = File::open(log).with_context(|| format!("opening {}", log.display()))?;
        file.seek(SeekFrom::Start(self.from))?;
        count(BufReader::new(file), user).with_context(|| format!("reading {}", log.display()))
    }
}

fn count(events: impl BufRead, user: &str) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for line in events.lines() {
        let event: Event = serde_json::from_str(&line?).context("an audit event")?;
        // A watch comes twice: when it begins and when it ends.
        if event.user.username != user || event.stage == "ResponseStarted" {
            continue;
        }
        let Some(Object {
            resource,
            subresource,
        }) = event.object_ref
        else {
            continue;
        };
        if resource == "leases" {
            continue;
        }
        let what = match subresource {
            Some(subresource) => format!("{} {resource}/{subresource}", event.verb),
            None => format!("{} {resource}", event.verb),
        };
        *counts.entry(what).or_default() += 1;
    }
    Ok(counts)
}

/// Whether a count of [`Requests::since`] is of a kind that changes something. A review is a question.
pub(super) fn is_write(name: &str) -> bool {
    !name.ends_with("reviews")
        && !["get ", "list ", "watch "]
            .iter()
            .any(|verb| name.starts_with(verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_users_finished_requests_count() {
        let line = |user: &str, stage: &str, verb: &str, object: &str| {
            format!(
                r#"{{"stage":"{stage}","verb":"{verb}","user":{{"username":"{user}"}},{object}"a":1}}"#
            )
        };
        let secret = r#""objectRef":{"resource":"secrets","name":"x"},"#;
        let status = r#""objectRef":{"resource":"certificates","subresource":"status"},"#;
        let lease = r#""objectRef":{"resource":"leases"},"#;
        let log = [
            line("me", "ResponseComplete", "create", secret),
            line("me", "ResponseComplete", "create", secret),
            line("me", "ResponseComplete", "patch", status),
            line("me", "ResponseStarted", "watch", secret),
            line("me", "ResponseComplete", "update", lease),
            line("me", "ResponseComplete", "get", ""),
            line("other", "ResponseComplete", "create", secret),
        ];
        let counts = count(log.join("\n").as_bytes(), "me").unwrap();
        let expected = [("create secrets", 2), ("patch certificates/status", 1)];
        let expected = expected.map(|(name, count)| (name.to_owned(), count));
        assert_eq!(counts, BTreeMap::from(expected));
        assert!(is_write("create secrets") && is_write("deletecollection secrets"));
        assert!(!is_write("get secrets") && !is_write("watch secrets"));
        assert!(!is_write("create selfsubjectreviews"));
    }
}
