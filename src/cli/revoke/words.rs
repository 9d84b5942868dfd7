//! In which words are people told of a certificate and its revocation? Pure.

use crate::{
    api::{
        certificate::Certificate,
        condition,
        deletion::RevocationReason,
        issuance::{Issuance, IssuanceState, IssuanceStatus},
        issuer::IssuerSpec,
    },
    cli::revoke::target::Target,
    cluster::ObjectKey,
    issuer::kind::Signer,
};

/// Serials that are named where another was meant.
const MOST_NAMED: usize = 10;

/// What will happen, after the name of the certificate.
pub(super) fn will(reason: RevocationReason, is_in_use: bool, secret: &str) -> String {
    match (reason, is_in_use) {
        (RevocationReason::KeyCompromise, true) => format!(
            "is revoked at once, for keyCompromise, with every other that has the same key, and that \
             key is never used again. Another with a new key is issued; until it is in Secret \
             {secret}, whoever uses that shows a revoked certificate."
        ),
        (RevocationReason::KeyCompromise, false) => {
            "is not in use any more. It is revoked at once, for keyCompromise, with every other that \
             has the same key, and that key is never used again."
                .to_owned()
        }
        (reason, true) => format!(
            "is replaced in Secret {secret} by another with a new key, and then revoked, for {reason}."
        ),
        (reason, false) => {
            format!("is not in use any more. It is revoked at once, for {reason}.")
        }
    }
}

/// Why nothing of `certificate` can be revoked, which has no record that says otherwise. `issuer` is its issuer, if that
/// could be read.
pub(super) fn unrecorded(certificate: &Certificate, issuer: Option<&IssuerSpec>) -> String {
    let status = certificate.status.clone().unwrap_or_default();
    let reference = &certificate.spec.issuer_ref;
    let whose = format!("{} {}", reference.kind_or_default(), reference.name);
    if status.revision.is_none() {
        let ready = condition::find(status.conditions.as_ref(), condition::kind::READY);
        let why = ready.and_then(|ready| ready.message.clone());
        return format!(
            "nothing was issued for it yet: {}",
            why.unwrap_or_else(|| "certwright has not seen it".to_owned())
        );
    }
    if !reference.is_ours() {
        return format!(
            "it is issued by {whose} of {}: certwright does not revoke for that",
            reference.group_or_default()
        );
    }
    match issuer.map(Signer::of) {
        Some(Ok(Signer::SelfSigned(_))) => {
            "it signs itself: nobody would learn of a revocation".to_owned()
        }
        Some(Ok(Signer::Ca(ca))) if ca.crl.is_none() => format!(
            "{whose} publishes no list of what it revokes: set its spec.ca.crl, and what is issued \
             from then on can be revoked"
        ),
        Some(Ok(Signer::Acme(_) | Signer::Ca(_)) | Err(_)) | None => {
            "certwright cannot revoke it: it was issued before certwright was there, or before its \
             CA published a list, or put into its Secret by hand. Revoke it at the CA"
                .to_owned()
        }
    }
}

/// What is left of a Certificate that is gone, if something can still be done about that.
pub(super) fn gone(key: &ObjectKey, records: Option<&[Issuance]>) -> Option<String> {
    let orphans: Vec<&Issuance> = records?
        .iter()
        .filter(|record| record.spec.revocable != Some(false))
        .filter(|record| match state(record) {
            IssuanceState::Active
            | IssuanceState::Orphaned
            | IssuanceState::Held
            | IssuanceState::Revoking => true,
            IssuanceState::Superseded
            | IssuanceState::Revoked
            | IssuanceState::Unrevocable
            | IssuanceState::Deleted
            | IssuanceState::Expired => false,
        })
        .collect();
    let first = orphans.first()?;
    Some(format!(
        "it is gone; what becomes of its certificates stands in their Issuances: {}. \
         spec.deletionPolicy: Revoke there has them revoked: kubectl -n {} edit issuance {}",
        named(orphans.iter().copied()),
        first.metadata.namespace.as_deref().unwrap_or_default(),
        first.metadata.name.as_deref().unwrap_or(&key.name),
    ))
}

/// Where it can be seen what comes of it.
pub(super) fn where_to_look(key: &ObjectKey, target: &Target) -> String {
    match &target.record {
        Some(ObjectKey { namespace, name }) => {
            format!("What comes of it: kubectl -n {namespace} get issuance {name}")
        }
        None => format!(
            "What comes of it: kubectl -n {} events --for certificate/{}",
            key.namespace, key.name
        ),
    }
}

/// A certificate, as people tell it from others.
pub(super) fn shown(record: &Issuance) -> String {
    let names = &record.spec.names;
    let first = names.first().map_or("no name", String::as_str);
    let more = match names.len() {
        0 | 1 => String::new(),
        many => format!(" and {} more", many - 1),
    };
    format!(
        "certificate {} for {first}{more}, valid until {},",
        record.spec.serial, record.spec.not_after.0
    )
}

/// The newest of `records`, by serial and state.
pub(super) fn named<'a>(records: impl IntoIterator<Item = &'a Issuance>) -> String {
    let mut newest: Vec<&Issuance> = records.into_iter().collect();
    newest.sort_by_key(|one| std::cmp::Reverse(one.spec.not_before.0));
    let named = newest.iter().take(MOST_NAMED);
    let named: Vec<String> = named
        .map(|one| format!("{} ({})", one.spec.serial, state(one)))
        .collect();
    named.join(", ")
}

/// When a certificate was revoked, and why, after its name.
pub(super) fn revoked(status: &IssuanceStatus) -> String {
    let note = status.message.as_ref();
    let note = note.map_or_else(String::new, |note| format!("; {note}"));
    match &status.revocation {
        Some(done) => format!(
            "is revoked since {}, for {}, as {} asked for{note}",
            done.time.0, done.reason, done.by
        ),
        None => format!("is revoked{note}"),
    }
}

/// The state; a record without one stands for a certificate that is kept.
pub(super) fn state(record: &Issuance) -> IssuanceState {
    let status = record.status.as_ref();
    status
        .and_then(|status| status.state)
        .unwrap_or(IssuanceState::Active)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::revoke::samples::{certificate, record};

    #[test]
    fn what_is_left_of_a_certificate_is_said() {
        let key = ObjectKey::new("web", "www");
        let left = [
            record("1", "Revoked"),
            record("2", "Orphaned"),
            record("3", "Held"),
        ];
        assert_eq!(
            gone(&key, Some(&left)).as_deref(),
            Some(
                "it is gone; what becomes of its certificates stands in their Issuances: 2 (Orphaned), \
                 3 (Held). spec.deletionPolicy: Revoke there has them revoked: kubectl -n certwright edit \
                 issuance www-2"
            )
        );
        assert_eq!(gone(&key, Some(&left[..1])), None);
        assert_eq!(gone(&key, Some(&[])), None);
        assert_eq!(gone(&key, None), None);
    }

    #[test]
    fn without_a_record_it_is_said_why() {
        let spec = |value: Value| serde_json::from_value::<IssuerSpec>(value).unwrap();
        let acme = spec(json!({"acme": {
            "server": "https://ca.example/dir", "privateKeySecretRef": {"name": "account"},
        }}));
        let table = [
            (Some(acme.clone()), "certwright cannot revoke it"),
            (None, "certwright cannot revoke it"),
            (Some(spec(json!({"selfSigned": {}}))), "it signs itself"),
            (
                Some(spec(json!({"ca": {"secretName": "root"}}))),
                "Issuer ca publishes no list",
            ),
            (
                Some(spec(json!({"ca": {"secretName": "root", "crl": {}}}))),
                "certwright cannot revoke it",
            ),
        ];
        for (issuer, want) in table {
            let said = unrecorded(&certificate(), issuer.as_ref());
            assert!(said.starts_with(want), "{said}");
        }
        let mut foreign = certificate();
        foreign.spec.issuer_ref.group = Some("example.com".to_owned());
        foreign.spec.issuer_ref.kind = Some("Robot".to_owned());
        let said = unrecorded(&foreign, None);
        assert!(
            said.starts_with("it is issued by Robot ca of example.com"),
            "{said}"
        );
        let mut new = certificate();
        let status = json!({"conditions": [
            {"type": "Ready", "status": "False", "message": "waits for DNS"},
        ]});
        new.status = serde_json::from_value(status).unwrap();
        assert_eq!(
            unrecorded(&new, Some(&acme)),
            "nothing was issued for it yet: waits for DNS"
        );
    }
}
