//! Working on a Certificate that is gone without a record: gather what is left, judge, make one.

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::{ObjectReference, Secret},
    apimachinery::pkg::apis::meta::v1::Time,
};
use tracing::{debug, info, warn};

use crate::{
    api::{
        condition::to_the_second,
        deletion::DeletionPolicy,
        issuance::{CertificateRef, IssuanceState, IssuanceStatus},
        names::secret_key,
    },
    caches::Caches,
    certificate::{facts::CertificateIndex, secret::SecretFacts},
    cluster::{
        Clock, Facts, Meta, Next, ObjectKey, Reconciler, RequestError,
        events::EventType,
        succession::Succession,
        write::{self, api_of},
    },
    pki::certificate::leaf_der,
    retire::{
        departed::LastWords,
        entry::{Entry, Revoker},
        error::Error,
        evidence::{Departure, Remains, Verdict, judge},
        facts::IssuanceIndex,
        live,
        orphan::fate,
        record::Recorder,
        room::no_room,
    },
};

/// Works on Certificates that are gone, by namespace and uid.
pub struct DepartureReconciler {
    clock: Clock,
    caches: Caches,
    recorder: Recorder,
    succession: Succession,
}

impl DepartureReconciler {
    /// Works on what `caches` remember, and makes records by `recorder`.
    pub fn new(clock: Clock, caches: Caches, recorder: Recorder, succession: Succession) -> Self {
        Self {
            clock,
            caches,
            recorder,
            succession,
        }
    }

    /// What its issuer is, or was, and everything else that is known without asking.
    fn gather(&self, words: LastWords) -> (Departure, Revoker) {
        let Caches {
            certificates,
            departed,
            issuers,
            namespaces,
            secrets,
            ..
        } = &self.caches;
        let namespace = &words.certificate.namespace;
        let settings = &self.recorder.settings;
        let policy = departed.policy(issuers, settings, words.policy, &words.issuer, namespace);
        let issuer = departed.issuer(issuers, &words.issuer, namespace);
        let revoker = issuer.map_or(Revoker::Nobody, |issuer| Revoker::of(&issuer));
        let naming = certificates.find(&CertificateIndex::Secret(words.secret.clone()));
        let is_there = certificates.get(&words.certificate);
        let is_there = is_there.is_some_and(|found| found.meta.uid == words.uid);
        let ending = namespaces.get(&ObjectKey::cluster(Arc::clone(namespace)));
        let departure = Departure {
            policy,
            is_recorded: self.is_recorded(&words, secrets.get(&words.secret).as_deref()),
            is_account_known: revoker != Revoker::NoAccount,
            is_kept: is_there || !naming.is_empty(),
            is_unattended: !departed
                .seen(&words.uid)
                .is_some_and(|at| self.succession.covers(at)),
            is_namespace_ending: ending.is_some_and(|namespace| namespace.meta().deleting),
            remains: None,
            words,
        };
        (departure, revoker)
    }

    /// Ask the API server what is left. The certificate comes in DER too, as a record needs it.
    async fn ask(&self, words: &LastWords) -> Result<(Remains, Option<Vec<u8>>), RequestError> {
        let client = &self.recorder.client;
        let (key, secret) = (&words.certificate, &words.secret);
        let is_kept = live::is_kept(client, key, &words.uid, secret).await?;
        let definition = live::definition(client).await?;
        let found = write::get(&api_of::<Secret>(client, secret), secret).await?;
        let chain = found.as_ref().and_then(|found| found.data.as_ref());
        let chain = chain.and_then(|data| data.get(secret_key::CERTIFICATE));
        let der = chain.and_then(|chain| leaf_der(&chain.0).ok());
        let secret = found.map(SecretFacts::reduce);
        let remains = Remains {
            is_kept,
            definition,
            is_recorded: self.is_recorded(words, secret.as_ref()),
            secret,
        };
        Ok((remains, der))
    }

    /// Whether there is a record of what `secret` holds.
    fn is_recorded(&self, words: &LastWords, secret: Option<&SecretFacts>) -> bool {
        let Some(leaf) = secret.and_then(|secret| secret.leaf.read()) else {
            return false;
        };
        let public_key = leaf.public_key.to_string();
        let index = IssuanceIndex::Secret(words.secret.clone());
        let records = self.caches.issuances.find(&index);
        let mut records = records.iter();
        records.any(|record| record.is_of(&leaf.serial, &public_key))
    }

    /// Make the record of an orphan; from then on all goes by that.
    async fn record(
        &self,
        departure: &Departure,
        revoker: Revoker,
        der: Vec<u8>,
        policy: DeletionPolicy,
    ) -> Result<(), RequestError> {
        let words = &departure.words;
        let secret = departure.remains.as_ref();
        let secret = secret.and_then(|remains| remains.secret.as_ref());
        let Some(leaf) = secret.and_then(|secret| secret.leaf.read()) else {
            return Ok(());
        };
        let now = to_the_second(self.clock.now());
        let fate = fate(policy, revoker != Revoker::Nobody);
        let entry = Entry {
            certificate: CertificateRef {
                name: words.certificate.name.to_string(),
                namespace: words.certificate.namespace.to_string(),
                since: words.created.map_or_else(|| now.clone(), Time),
                uid: words.uid.clone(),
            },
            secret_name: words.secret.name.to_string(),
            issuer: words.issuer.clone(),
            revoker,
            policy,
            earlier_request: None,
            asked_for: None,
            status: IssuanceStatus {
                state: Some(IssuanceState::Orphaned),
                orphaned_since: Some(now),
                ..IssuanceStatus::default()
            },
        };
        let cluster = self.recorder.cluster.get().await?;
        let issuance = entry.issuance(&self.recorder.namespace, &cluster, der, leaf);
        let made = self.recorder.write(&issuance).await?;
        let message = format!("Certificate {} is gone: {fate}", words.certificate);
        info!(certificate = %words.certificate, secret = %words.secret, "{message}");
        self.recorder.events.publish(
            Meta::of(&made.metadata).reference("certwright.io/v1alpha1", "Issuance"),
            EventType::Normal,
            "Orphaned",
            message,
        );
        Ok(())
    }
}

impl Reconciler for DepartureReconciler {
    const NAME: &'static str = "departures";
    type Error = Error;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(words) = self.caches.departed.last_words(&key.name) else {
            return Ok(Next::Change);
        };
        let (mut departure, revoker) = self.gather(words);
        let mut verdict = judge(&departure);
        let mut der = None;
        if verdict == Verdict::Ask {
            let (remains, found) = self.ask(&departure.words).await?;
            departure.remains = Some(remains);
            der = found;
            verdict = judge(&departure);
        }
        match verdict {
            Verdict::Record(policy) => {
                let LastWords {
                    certificate,
                    secret,
                    uid,
                    ..
                } = &departure.words;
                if let Some(why) = no_room(&self.caches.issuances, &certificate.namespace, uid) {
                    warn!(%certificate, %secret, "Certificate is gone, and its Secret stays: {why}");
                    return Ok(Next::Change);
                }
                let der = der.unwrap_or_default();
                self.record(&departure, revoker, der, policy).await?;
            }
            Verdict::Leave(why) => {
                let LastWords {
                    certificate,
                    secret,
                    ..
                } = &departure.words;
                if why.is_news() {
                    info!(%certificate, %secret, "Certificate is gone, and its Secret stays: {why}");
                } else {
                    debug!(%certificate, %secret, "Certificate is gone: {why}");
                }
            }
            Verdict::Ask => {}
        }
        Ok(Next::Change)
    }

    fn reference(&self, _key: &ObjectKey) -> Option<ObjectReference> {
        None
    }
}
