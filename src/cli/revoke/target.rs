//! Which certificate is meant, and what is to be written to have it revoked? Pure.

use jiff::Timestamp;

use crate::{
    api::{
        certificate::Certificate,
        deletion::{RevocationReason, RevocationRequest},
        issuance::{Issuance, IssuanceState},
        names::annotation,
    },
    cli::revoke::words::{named, revoked, shown, state, will},
    cluster::ObjectKey,
};

const STANDS: &str = "is to be revoked already: the annotation stands";
const NOT_TAKEN_UP: &str =
    "is to be revoked already: the annotation stands, and certwright has not taken it up yet";

/// What somebody asks for, and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Question<'a> {
    /// Where it is.
    pub(super) key: &'a ObjectKey,
    /// The Certificate.
    pub(super) certificate: &'a Certificate,
    /// What was issued for it; `None` to those who may not see it.
    pub(super) records: Option<&'a [Issuance]>,
    /// The certificate that its last request was answered with, where that is all there is to see.
    pub(super) answered: Option<&'a str>,
    /// uid of the namespace kube-system, if it may be seen.
    pub(super) cluster: Option<&'a str>,
    /// Why it is to be revoked.
    pub(super) reason: RevocationReason,
    /// Which one, if not the one that is in use.
    pub(super) serial: Option<&'a str>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// Write the annotation with this value.
    Write {
        /// What stands in it.
        value: String,
        /// What will happen, in sentences.
        will: String,
        /// What to look at then.
        target: Target,
    },
    /// It was asked for before: this stands.
    Stands {
        /// What is known of it.
        said: String,
        /// What to look at.
        target: Target,
    },
    /// There is nothing left to do.
    Done(String),
    /// It cannot be revoked.
    Impossible(String),
    /// No record says that it could be, or one says that it cannot: why depends on the issuer.
    Unrecorded,
}

/// Where the outcome will stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The serial, if it is known.
    pub(super) serial: Option<String>,
    /// The Issuance, to those who may see it.
    pub(super) record: Option<ObjectKey>,
}

/// What is to be done about `question`.
pub(super) fn answer(question: &Question<'_>) -> Answer {
    let Some(records) = question.records else {
        return unseen(question);
    };
    let record = match question.serial {
        Some(serial) => records.iter().find(|one| one.spec.serial == serial),
        None => match in_use(records) {
            InUse::One(record) => Some(record),
            InUse::None => None,
            InUse::Several(serials) => {
                return Answer::Impossible(format!(
                    "another certificate is being stored just now: ask again in a moment, or say \
                     which one by --serial: {}",
                    serials.join(", ")
                ));
            }
        },
    };
    match (record, question.serial) {
        (Some(record), _) if record.spec.revocable == Some(false) => Answer::Unrecorded,
        (Some(record), _) => recorded(question, record),
        (None, Some(serial)) if !records.is_empty() => Answer::Impossible(format!(
            "no certificate {serial} was issued for Certificate {}, but: {}",
            question.key,
            named(records)
        )),
        (None, _) => Answer::Unrecorded,
    }
}

enum InUse<'a> {
    None,
    One(&'a Issuance),
    Several(Vec<&'a str>),
}

/// The record of what the Certificate uses, else of what was issued last.
fn in_use(records: &[Issuance]) -> InUse<'_> {
    let active: Vec<&Issuance> = records
        .iter()
        .filter(|record| state(record) == IssuanceState::Active)
        .collect();
    match active[..] {
        [] => {
            let last = records.iter().max_by_key(|one| recency(one));
            last.map_or(InUse::None, InUse::One)
        }
        [one] => InUse::One(one),
        _ => InUse::Several(active.iter().map(|one| one.spec.serial.as_str()).collect()),
    }
}

/// What is under way comes last, then what was issued last, then what was revoked last.
fn recency(record: &Issuance) -> (bool, Timestamp, Option<Timestamp>) {
    let is_under_way = match state(record) {
        IssuanceState::Orphaned | IssuanceState::Held | IssuanceState::Revoking => true,
        IssuanceState::Active
        | IssuanceState::Superseded
        | IssuanceState::Revoked
        | IssuanceState::Unrevocable
        | IssuanceState::Deleted
        | IssuanceState::Expired => false,
    };
    let revocation = record
        .status
        .as_ref()
        .and_then(|status| status.revocation.as_ref());
    let revoked = revocation.map(|revocation| revocation.time.0);
    (is_under_way, record.spec.not_before.0, revoked)
}

fn recorded(question: &Question<'_>, record: &Issuance) -> Answer {
    let name = shown(record);
    let status = record.status.clone().unwrap_or_default();
    let target = Target {
        serial: Some(record.spec.serial.clone()),
        record: Some(ObjectKey::of(&record.metadata)),
    };
    if question
        .cluster
        .is_some_and(|cluster| cluster != record.spec.cluster)
    {
        return Answer::Impossible(format!(
            "{name} was issued in another cluster, whose Issuance came along with a backup: it has to \
             be revoked there"
        ));
    }
    let state = state(record);
    match state {
        IssuanceState::Revoked => return Answer::Done(format!("{name} {}", revoked(&status))),
        IssuanceState::Expired => return Answer::Done(format!("{name} has expired")),
        IssuanceState::Unrevocable => {
            let why = status.message.unwrap_or_default();
            return Answer::Impossible(format!("{name} cannot be revoked: {why}"));
        }
        IssuanceState::Active
        | IssuanceState::Superseded
        | IssuanceState::Orphaned
        | IssuanceState::Held
        | IssuanceState::Deleted
        | IssuanceState::Revoking => {}
    }
    if let Some(request) = &status.request {
        let is_worse = question.reason == RevocationReason::KeyCompromise
            && request.reason != RevocationReason::KeyCompromise;
        if !is_worse {
            let said = format!(
                "{name} is to be revoked already, for {}, as {} asked for on {}",
                request.reason, request.by, request.time.0
            );
            return Answer::Stands { said, target };
        }
    }
    let value = RevocationRequest {
        reason: question.reason,
        serial: Some(record.spec.serial.clone()),
    }
    .to_string();
    if standing(question.certificate) == Some(&value) {
        let said = format!("{name} {NOT_TAKEN_UP}");
        return Answer::Stands { said, target };
    }
    let is_in_use = state == IssuanceState::Active;
    let secret = format!("{}/{}", question.key.namespace, record.spec.secret_name);
    Answer::Write {
        value,
        will: format!("{name} {}", will(question.reason, is_in_use, &secret)),
        target,
    }
}

/// For those who may not see what was issued.
fn unseen(question: &Question<'_>) -> Answer {
    let serial = question.serial.or(question.answered).map(str::to_owned);
    let target = Target {
        serial: serial.clone(),
        record: None,
    };
    let name = serial.as_ref().map_or_else(
        || "the certificate in use".to_owned(),
        |serial| format!("certificate {serial}"),
    );
    let reason = question.reason;
    let value = RevocationRequest { reason, serial }.to_string();
    if standing(question.certificate) == Some(&value) {
        return match target.serial {
            Some(_) => Answer::Stands {
                said: format!("{name} {STANDS}"),
                target,
            },
            None => Answer::Impossible(format!(
                "annotation {}={value} stands already, and may be about an earlier certificate: say \
                 which one is meant by --serial",
                annotation::REVOKE
            )),
        };
    }
    let is_in_use = question.serial.is_none() || question.serial == question.answered;
    let secret = format!(
        "{}/{}",
        question.key.namespace, question.certificate.spec.secret_name
    );
    Answer::Write {
        value,
        will: format!("{name} {}", will(reason, is_in_use, &secret)),
        target,
    }
}

fn standing(certificate: &Certificate) -> Option<&String> {
    let annotations = certificate.metadata.annotations.as_ref()?;
    annotations.get(annotation::REVOKE)
}

#[cfg(test)]
mod tests;
