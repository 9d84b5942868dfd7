//! Is what somebody asks for what is written, and is it said why not?

use serde_json::{Value, json};

use super::*;
use crate::cli::revoke::samples::{certificate, record};

const SHOWN: &str = "certificate abc for www.example.com, valid until 2026-04-01T00:00:00Z,";

/// What is known, and what is asked for.
struct Case {
    certificate: Certificate,
    records: Option<Vec<Issuance>>,
    answered: Option<&'static str>,
    cluster: Option<&'static str>,
    reason: RevocationReason,
    serial: Option<&'static str>,
}

fn case(change: impl FnOnce(&mut Case)) -> Case {
    let mut case = Case {
        certificate: certificate(),
        records: Some(vec![record("abc", "Active")]),
        answered: None,
        cluster: Some("here"),
        reason: RevocationReason::Superseded,
        serial: None,
    };
    change(&mut case);
    case
}

fn answered(case: &Case) -> Answer {
    answer(&Question {
        key: &ObjectKey::new("web", "www"),
        certificate: &case.certificate,
        records: case.records.as_deref(),
        answered: case.answered,
        cluster: case.cluster,
        reason: case.reason,
        serial: case.serial,
    })
}

/// The value that is written, or what is said.
fn word(answer: &Answer) -> &str {
    match answer {
        Answer::Write { value, .. } => value,
        Answer::Stands { said, .. } => said,
        Answer::Done(said) | Answer::Impossible(said) => said,
        Answer::Unrecorded => "unrecorded",
    }
}

fn with_status(serial: &str, status: Value) -> Issuance {
    let mut record = record(serial, "Active");
    record.status = serde_json::from_value(status).unwrap();
    record
}

fn annotated(value: &str) -> Certificate {
    let mut certificate = certificate();
    let annotations = [(annotation::REVOKE.to_owned(), value.to_owned())];
    certificate.metadata.annotations = Some(annotations.into());
    certificate
}

fn requested(state: &str, reason: &str) -> Issuance {
    let request = json!({"by": "user joe", "reason": reason, "time": "2026-01-02T00:00:00Z"});
    with_status("abc", json!({"state": state, "request": request}))
}

#[test]
fn the_certificate_in_use_is_meant_unless_another_is_named() {
    let later = |serial: &str, state: &str| {
        let mut record = record(serial, state);
        record.spec.not_before = serde_json::from_value(json!("2026-02-01T00:00:00Z")).unwrap();
        record
    };
    let table = [
        (case(|_| ()), "superseded,serial=abc"),
        (
            case(|c| c.reason = RevocationReason::KeyCompromise),
            "keyCompromise,serial=abc",
        ),
        (
            case(|c| c.records = Some(vec![record("1", "Superseded"), later("2", "Active")])),
            "superseded,serial=2",
        ),
        (
            case(|c| {
                c.records = Some(vec![record("1", "Superseded"), later("2", "Active")]);
                c.serial = Some("1");
            }),
            "superseded,serial=1",
        ),
        (
            case(|c| c.records = Some(vec![record("1", "Active"), later("2", "Active")])),
            "another certificate is being stored just now: ask again in a moment, or say which one by \
             --serial: 1, 2",
        ),
        // None is in use: another is on its way.
        (
            case(|c| {
                let revoked = json!({"state": "Revoked", "revocation": {
                    "by": "joe", "reason": "keyCompromise", "time": "2026-02-02T00:00:00Z",
                }});
                let mut second = with_status("2", revoked);
                second.spec.not_before = later("2", "Active").spec.not_before;
                c.records = Some(vec![
                    second,
                    later("1", "Revoked"),
                    record("3", "Superseded"),
                ]);
            }),
            "certificate 2 for www.example.com, valid until 2026-04-01T00:00:00Z, is revoked since \
             2026-02-02T00:00:00Z, for keyCompromise, as joe asked for",
        ),
        (
            case(|c| {
                let mut record = record("1", "Active");
                record.spec.revocable = Some(false);
                c.records = Some(vec![record]);
            }),
            "unrecorded",
        ),
        (
            case(|c| c.records = Some(vec![record("1", "Revoking"), later("2", "Revoked")])),
            "superseded,serial=1",
        ),
        (
            case(|c| {
                c.records = Some(vec![record("1", "Superseded"), later("2", "Active")]);
                c.serial = Some("3");
            }),
            "no certificate 3 was issued for Certificate web/www, but: 2 (Active), 1 (Superseded)",
        ),
        (case(|c| c.records = Some(Vec::new())), "unrecorded"),
        (
            case(|c| {
                c.records = Some(Vec::new());
                c.serial = Some("3");
            }),
            "unrecorded",
        ),
    ];
    for (case, want) in table {
        assert_eq!(word(&answered(&case)), want);
    }
}

#[test]
fn what_stands_is_not_asked_for_again() {
    let table = [
        // About an earlier certificate, as it seems: this one is named.
        (
            case(|c| c.certificate = annotated("superseded")),
            "superseded,serial=abc".to_owned(),
        ),
        (
            case(|c| c.certificate = annotated("superseded,serial=abc")),
            format!("{SHOWN} {NOT_TAKEN_UP}"),
        ),
        (
            case(|c| c.records = Some(vec![requested("Revoking", "superseded")])),
            format!(
                "{SHOWN} is to be revoked already, for superseded, as user joe asked for on \
                 2026-01-02T00:00:00Z"
            ),
        ),
        // Worse than what was asked for.
        (
            case(|c| {
                c.records = Some(vec![requested("Revoking", "superseded")]);
                c.reason = RevocationReason::KeyCompromise;
            }),
            "keyCompromise,serial=abc".to_owned(),
        ),
        (
            case(|c| {
                let done = json!({
                    "by": "user joe", "reason": "superseded", "time": "2026-01-02T00:00:00Z",
                });
                let status = json!({"state": "Revoked", "revocation": done});
                c.records = Some(vec![with_status("abc", status)]);
            }),
            format!(
                "{SHOWN} is revoked since 2026-01-02T00:00:00Z, for superseded, as user joe asked for"
            ),
        ),
        (
            case(|c| c.records = Some(vec![record("abc", "Expired")])),
            format!("{SHOWN} has expired"),
        ),
        (
            case(|c| {
                let status = json!({"state": "Unrevocable", "message": "no key is left"});
                c.records = Some(vec![with_status("abc", status)]);
            }),
            format!("{SHOWN} cannot be revoked: no key is left"),
        ),
        (
            case(|c| c.cluster = Some("there")),
            format!(
                "{SHOWN} was issued in another cluster, whose Issuance came along with a backup: it \
                 has to be revoked there"
            ),
        ),
        (
            case(|c| c.cluster = None),
            "superseded,serial=abc".to_owned(),
        ),
    ];
    for (case, want) in table {
        assert_eq!(word(&answered(&case)), want);
    }
}

#[test]
fn who_may_not_see_the_records_asks_all_the_same() {
    let blind = |change: &dyn Fn(&mut Case)| {
        case(|c| {
            c.records = None;
            change(c);
        })
    };
    let table = [
        (blind(&|_| ()), "superseded"),
        (
            blind(&|c| c.answered = Some("abc")),
            "superseded,serial=abc",
        ),
        (
            blind(&|c| {
                c.answered = Some("abc");
                c.serial = Some("1");
            }),
            "superseded,serial=1",
        ),
        (
            blind(&|c| c.certificate = annotated("superseded")),
            "annotation certwright.io/revoke=superseded stands already, and may be about an earlier \
             certificate: say which one is meant by --serial",
        ),
        (
            blind(&|c| {
                c.certificate = annotated("superseded,serial=abc");
                c.answered = Some("abc");
            }),
            "certificate abc is to be revoked already: the annotation stands",
        ),
    ];
    for (case, want) in table {
        assert_eq!(word(&answered(&case)), want);
    }
}

#[test]
fn what_will_happen_is_said() {
    let will = |case: &Case| match answered(case) {
        Answer::Write { will, target, .. } => {
            assert_eq!(target.record.is_some(), case.records.is_some());
            will
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        will(&case(|_| ())),
        format!(
            "{SHOWN} is replaced in Secret web/www-tls by another with a new key, and then revoked, \
             for superseded."
        )
    );
    let compromised = will(&case(|c| c.reason = RevocationReason::KeyCompromise));
    assert!(compromised.contains("is revoked at once, for keyCompromise"));
    assert!(compromised.contains("until it is in Secret web/www-tls"));
    let old = |reason| {
        will(&case(|c| {
            c.reason = reason;
            c.records = Some(vec![record("abc", "Superseded")]);
            c.serial = Some("abc");
        }))
    };
    assert_eq!(
        old(RevocationReason::Unspecified),
        format!("{SHOWN} is not in use any more. It is revoked at once, for unspecified.")
    );
    let compromised = old(RevocationReason::KeyCompromise);
    assert!(compromised.contains("is never used again") && !compromised.contains("Secret"));
    let blind = will(&case(|c| c.records = None));
    assert!(
        blind.starts_with("the certificate in use is replaced"),
        "{blind}"
    );
}
