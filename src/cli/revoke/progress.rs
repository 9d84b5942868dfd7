//! What has become of the revocation so far, and is that the end of it? Pure.

use k8s_openapi::api::core::v1::Event;

use crate::{
    api::{
        certificate::Certificate,
        condition,
        issuance::{Issuance, IssuanceState, IssuanceStatus},
    },
    cli::revoke::words::revoked,
};

/// What somebody hears of.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// The Issuance, as it is now; `None` when it is gone.
    Record(Option<Box<Issuance>>),
    /// The Certificate, as it is now; `None` when it is gone.
    Certificate(Option<Box<Certificate>>),
    /// An event on the Certificate.
    Event(Box<Event>),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The certificate is of no use to anybody any more.
    Done(String),
    /// It stays as it is.
    Failed(String),
}

/// What is to be said of some news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing new.
    Nothing,
    /// A line.
    Line(String),
    /// The last line.
    End(End),
}

/// Follows one revocation, and says each thing once.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// The serial, if it is known.
    serial: Option<String>,
    record: Option<String>,
    certificate: Option<String>,
    /// Whether it waits for another certificate.
    is_waiting: bool,
}

impl Progress {
    /// Of the certificate with that serial, or of whatever is told of.
    pub(super) fn of(serial: Option<String>) -> Self {
        Self {
            serial,
            record: None,
            certificate: None,
            is_waiting: false,
        }
    }

    /// What was heard last, for who waits no longer.
    pub(super) fn last(&self) -> String {
        let heard = [&self.record, &self.certificate];
        let heard: Vec<&str> = heard.into_iter().flatten().map(String::as_str).collect();
        match heard[..] {
            [] => {
                "nothing was heard of it: is certwright running, and does it watch that namespace?"
                    .to_owned()
            }
            _ => format!("last: {}", heard.join("; ")),
        }
    }

    /// What is to be said of `news`.
    pub(super) fn hear(&mut self, news: &News) -> Said {
        match news {
            News::Record(None) => Said::End(End::Failed(
                "its Issuance was deleted: nobody revokes it any more".to_owned(),
            )),
            News::Record(Some(record)) => {
                let status = record.status.clone().unwrap_or_default();
                self.record(&status)
            }
            // What was begun goes on without it, and the Issuance tells.
            News::Certificate(None) if self.serial.is_some() && self.record.is_some() => {
                self.say_of_certificate("Certificate: deleted".to_owned())
            }
            News::Certificate(None) => Said::End(End::Failed(
                "the Certificate was deleted: what becomes of its certificate now depends on its \
                 deletionPolicy"
                    .to_owned(),
            )),
            News::Certificate(Some(certificate)) => self.certificate(certificate),
            News::Event(event) => self.event(event),
        }
    }

    fn record(&mut self, status: &IssuanceStatus) -> Said {
        let state = status.state.unwrap_or(IssuanceState::Active);
        let message = status.message.as_deref();
        self.is_waiting = false;
        let line = match state {
            IssuanceState::Revoked => {
                return Said::End(End::Done(format!("it {}", revoked(status))));
            }
            IssuanceState::Expired => return Said::End(End::Done("it has expired".to_owned())),
            IssuanceState::Unrevocable => {
                let why = message.unwrap_or("its Issuance does not say why");
                return Said::End(End::Failed(format!("it cannot be revoked: {why}")));
            }
            // Not taken up yet.
            IssuanceState::Active
            | IssuanceState::Superseded
            | IssuanceState::Orphaned
            | IssuanceState::Held
            | IssuanceState::Deleted
                if status.request.is_none() =>
            {
                return Said::Nothing;
            }
            IssuanceState::Active
            | IssuanceState::Superseded
            | IssuanceState::Orphaned
            | IssuanceState::Held
            | IssuanceState::Deleted => {
                self.is_waiting = true;
                format!("{state}: {}", message.unwrap_or("to be revoked"))
            }
            IssuanceState::Revoking => match (status.tries, &status.next_try, message) {
                (Some(tries), Some(next), Some(why)) => {
                    format!(
                        "{state}: try {tries} failed, the next is at {}: {why}",
                        next.0
                    )
                }
                (_, _, Some(why)) => format!("{state}: {why}"),
                (_, _, None) => state.to_string(),
            },
        };
        if self.record.as_ref() == Some(&line) {
            return Said::Nothing;
        }
        self.record = Some(line.clone());
        Said::Line(line)
    }

    /// What keeps another certificate from being there.
    fn certificate(&mut self, certificate: &Certificate) -> Said {
        let status = certificate.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_ref());
        let issuing = condition::find(conditions, condition::kind::ISSUING);
        let Some(message) = issuing.and_then(|issuing| issuing.message.as_ref()) else {
            return Said::Nothing;
        };
        if !self.is_waiting {
            return Said::Nothing;
        }
        self.say_of_certificate(format!("Certificate: {message}"))
    }

    fn say_of_certificate(&mut self, line: String) -> Said {
        if self.certificate.as_ref() == Some(&line) {
            return Said::Nothing;
        }
        self.certificate = Some(line.clone());
        Said::Line(line)
    }

    fn event(&mut self, event: &Event) -> Said {
        let note = event.message.clone().unwrap_or_default();
        let is_of_it = self
            .serial
            .as_ref()
            .is_none_or(|serial| note.split([' ', ':', ',']).any(|word| word == serial));
        let reason = event.reason.as_deref().unwrap_or_default();
        match reason {
            "Revoked" if is_of_it => Said::End(End::Done(note)),
            "Unrevocable" if is_of_it => Said::End(End::Failed(note)),
            // It may be about the annotation alone.
            "NotRevoked" => Said::End(End::Failed(note)),
            "RevocationFailed" if is_of_it => {
                if self.record.as_ref() == Some(&note) {
                    return Said::Nothing;
                }
                self.record = Some(note.clone());
                Said::Line(note)
            }
            _ => Said::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record(status: Value) -> News {
        let mut record = super::super::samples::record("abc", "Active");
        record.status = serde_json::from_value(status).unwrap();
        News::Record(Some(Box::new(record)))
    }

    fn certificate(message: &str) -> News {
        let mut certificate = super::super::samples::certificate();
        let status = json!({"conditions": [
            {"type": "Issuing", "status": "True", "message": message},
        ]});
        certificate.status = serde_json::from_value(status).unwrap();
        News::Certificate(Some(Box::new(certificate)))
    }

    fn event(reason: &str, note: &str) -> News {
        let event = json!({
            "metadata": {"name": "e"}, "involvedObject": {}, "reason": reason, "message": note,
        });
        News::Event(serde_json::from_value(event).unwrap())
    }

    fn line(text: &str) -> Said {
        Said::Line(text.to_owned())
    }

    #[test]
    fn each_change_is_a_line() {
        let request = json!({
            "by": "user jane", "reason": "superseded", "time": "2026-01-01T00:00:00Z",
        });
        let waits = record(json!({
            "state": "Active", "message": "to be revoked as soon as", "request": request,
        }));
        let failed = record(json!({
            "state": "Revoking", "message": "the CA is down", "request": request, "tries": 2,
            "nextTry": "2026-01-01T00:01:00Z",
        }));
        let done = record(json!({
            "state": "Revoked", "request": request, "revocation": {
                "by": "user jane", "reason": "superseded", "time": "2026-01-01T00:02:00Z",
            },
        }));
        let mut progress = Progress::of(Some("abc".into()));
        assert!(progress.last().contains("is certwright running"));
        let steps = [
            // Issued for something else, before this was taken up.
            (certificate("renewed"), Said::Nothing),
            (record(json!({"state": "Active"})), Said::Nothing),
            (waits.clone(), line("Active: to be revoked as soon as")),
            (waits, Said::Nothing),
            (certificate("waits for DNS"), line("Certificate: waits for DNS")),
            (certificate("waits for DNS"), Said::Nothing),
            (
                record(json!({"state": "Revoking", "request": request})),
                line("Revoking"),
            ),
            (certificate("something else"), Said::Nothing),
            (
                failed.clone(),
                line("Revoking: try 2 failed, the next is at 2026-01-01T00:01:00Z: the CA is down"),
            ),
            (failed, Said::Nothing),
            (News::Certificate(None), line("Certificate: deleted")),
            (
                done,
                Said::End(End::Done(
                    "it is revoked since 2026-01-01T00:02:00Z, for superseded, as user jane asked for"
                        .into(),
                )),
            ),
        ];
        for (news, want) in steps {
            assert_eq!(progress.hear(&news), want, "{news:?}");
        }
        assert!(progress.last().starts_with("last: Revoking: try 2"));
    }

    #[test]
    fn it_ends_in_one_way_or_another() {
        let done = |text: &str| Said::End(End::Done(text.to_owned()));
        let failed = |text: &str| Said::End(End::Failed(text.to_owned()));
        let table = [
            (record(json!({"state": "Expired"})), done("it has expired")),
            (
                record(json!({"state": "Unrevocable", "message": "no key"})),
                failed("it cannot be revoked: no key"),
            ),
            (
                News::Record(None),
                failed("its Issuance was deleted: nobody revokes it any more"),
            ),
            (
                event("Revoked", "certificate abc is revoked for superseded"),
                done("certificate abc is revoked for superseded"),
            ),
            (
                event("Unrevocable", "certificate abc cannot be revoked: no"),
                failed("certificate abc cannot be revoked: no"),
            ),
            (event("NotRevoked", "no reason"), failed("no reason")),
            (
                event(
                    "RevocationFailed",
                    "certificate abc is not revoked yet: down",
                ),
                line("certificate abc is not revoked yet: down"),
            ),
            (
                event("Revoked", "certificate abcd is revoked"),
                Said::Nothing,
            ),
            (event("Issuing", "certificate abc"), Said::Nothing),
        ];
        for (news, want) in table {
            let said = Progress::of(Some("abc".into())).hear(&news);
            assert_eq!(said, want, "{news:?}");
        }
        let mut progress = Progress::of(None);
        assert!(matches!(
            progress.hear(&News::Certificate(None)),
            Said::End(End::Failed(_))
        ));
        let said = progress.hear(&event("Revoked", "certificate 1 is revoked"));
        assert_eq!(said, done("certificate 1 is revoked"));
    }
}
