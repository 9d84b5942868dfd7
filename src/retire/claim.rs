//! How is it written down that another Certificate is to keep a certificate too, before it does?

use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::info;

use crate::{
    api::{condition::to_the_second, deletion::DeletionPolicy, issuance::Issuance},
    certificate::facts::CertificateFacts,
    cluster::{
        RequestError,
        write::{self, api_of},
    },
    retire::{facts::IssuanceFacts, record::Recorder, share::Share},
};

/// More Secrets than this do not share a certificate: its record must stay small.
const MOST_SHARES: usize = 15;

impl Recorder {
    /// Write down that `certificate` is to keep what `issuance` is the record of, in the version that
    /// is known: so it is not revoked meanwhile, or was before.
    ///
    /// # Errors
    /// The API server refuses, or the record has changed.
    pub async fn claim(
        &self,
        certificate: &CertificateFacts,
        issuance: &IssuanceFacts,
        now: Timestamp,
    ) -> Result<(), RequestError> {
        let namespace = &certificate.meta.key.namespace;
        let reference = &certificate.spec.issuer_ref;
        let issuer = self.issuers.lookup(reference, namespace).ok();
        let policy = self.settings.policy(
            certificate.spec.deletion_policy,
            issuer.and_then(|issuer| issuer.spec.deletion_policy),
        );
        let key = &issuance.meta.key;
        let patch = patch(certificate, issuance, policy, now);
        let api = api_of::<Issuance>(&self.client, key);
        let written = write::merge(&api, key, &patch).await?;
        info!(issuance = %key, serial = issuance.serial, "certificate is used again");
        self.issuances.observe(written);
        Ok(())
    }
}

impl IssuanceFacts {
    /// Whether it is written down that `certificate` keeps it in its Secret, or is to.
    pub fn is_claimed_by(&self, certificate: &CertificateFacts) -> bool {
        let secret = certificate.secret();
        self.places()
            .any(|place| place == (&secret, certificate.meta.uid.as_str()))
    }

    /// Whether it can be written down that `certificate` keeps it.
    pub fn has_room_for(&self, certificate: &CertificateFacts) -> bool {
        let secret = certificate.secret();
        self.also_in.len() < MOST_SHARES || self.places().any(|(known, _)| *known == secret)
    }
}

fn patch(
    certificate: &CertificateFacts,
    issuance: &IssuanceFacts,
    policy: DeletionPolicy,
    now: Timestamp,
) -> Value {
    let metadata = json!({"resourceVersion": issuance.meta.resource_version});
    let secret = certificate.secret();
    if secret == issuance.secret {
        // In the very Secret that it was issued into, for a Certificate of another name.
        let keeper = json!({
            "name": &*certificate.meta.key.name,
            "uid": certificate.meta.uid,
            "since": to_the_second(now),
        });
        return json!({
            "metadata": metadata,
            "spec": {"certificateRef": keeper, "deletionPolicy": policy, "earlierRequest": null},
            "status": {"state": "Active", "orphanedSince": null, "message": null},
        });
    }
    let mut shares: Vec<_> = issuance
        .also_in
        .iter()
        .filter(|share| share.secret != secret)
        .map(Share::to_api)
        .collect();
    let share = Share {
        secret,
        certificate: certificate.meta.key.name.clone(),
        uid: certificate.meta.uid.clone(),
        since: now,
        policy,
        orphaned_since: None,
    };
    shares.push(share.to_api());
    json!({"metadata": metadata, "spec": {"alsoIn": shares}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::Facts,
        retire::samples::{at, issuance},
    };

    /// The Certificate `web` in the namespace of the sample, with this Secret.
    fn certificate(secret: &str) -> CertificateFacts {
        let certificate = json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": {"namespace": "web", "name": "web", "uid": "uid-web"},
            "spec": {"secretName": secret, "issuerRef": {"name": "ca"}},
        });
        CertificateFacts::reduce(serde_json::from_value(certificate).unwrap())
    }

    fn claimed(issuance: &IssuanceFacts, certificate: &CertificateFacts) -> IssuanceFacts {
        let now = at("2026-02-01T00:00:00Z");
        let patch = patch(certificate, issuance, DeletionPolicy::Delete, now);
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        let mut changed = issuance.clone();
        if let Some(shares) = patch["spec"].get("alsoIn") {
            let record: Vec<crate::api::issuance::Share> =
                serde_json::from_value(shares.clone()).unwrap();
            let namespace = &issuance.secret.namespace;
            let shares = record.into_iter().map(|share| Share::of(namespace, share));
            changed.also_in = shares.collect();
        } else {
            changed.uid = patch["spec"]["certificateRef"]["uid"]
                .as_str()
                .unwrap()
                .into();
            assert_eq!(patch["status"]["state"], "Active");
        }
        changed
    }

    #[test]
    fn a_claim_is_found_by_its_secret_and_uid() {
        let issuance = issuance();
        let other = certificate("other");
        assert!(!issuance.is_claimed_by(&other));
        let shared = claimed(&issuance, &other);
        assert!(shared.is_claimed_by(&other));
        assert_eq!(shared.secret, issuance.secret);
        // The same Certificate made anew takes its own place.
        let mut anew = other.clone();
        anew.meta.uid = "anew".into();
        assert!(!shared.is_claimed_by(&anew));
        let again = claimed(&shared, &anew);
        assert!(again.is_claimed_by(&anew) && !again.is_claimed_by(&other));
        assert_eq!(again.also_in.len(), 1);
        assert_eq!(again.also_in[0].policy, DeletionPolicy::Delete);

        let same = certificate("www-tls");
        let kept = claimed(&issuance, &same);
        assert!(kept.is_claimed_by(&same) && kept.also_in.is_empty());
    }

    #[test]
    fn a_record_has_room_for_so_many() {
        let mut record = issuance();
        let newcomer = certificate("newcomer");
        for number in 0..MOST_SHARES {
            assert!(record.has_room_for(&newcomer));
            record = claimed(&record, &certificate(&format!("secret-{number}")));
        }
        assert!(!record.has_room_for(&newcomer));
        assert!(record.has_room_for(&certificate("secret-3")));
        assert!(record.has_room_for(&certificate("www-tls")));
    }
}
