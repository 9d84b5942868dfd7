//! How is a certificate written down before it is stored, and what does its record say of it later?

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use tokio::sync::OnceCell;
use tracing::info;

use crate::{
    api::{
        condition::to_the_second,
        deletion::RevocationRequest,
        issuance::{CertificateRef, Issuance, IssuanceState, IssuanceStatus},
        names::annotation,
        reference::IssuerRef,
    },
    caches::Caches,
    certificate::{
        asked_for::{AskedFor, may_be_shared},
        facts::CertificateFacts,
        issued::{Issued, Readable},
        secret::{Leaf, SecretFacts},
    },
    cluster::{
        Cache, ObjectKey, RequestError,
        events::{EventType, Events},
        write::{self, Created, api_of},
    },
    issuer::Issuers,
    pki::{PublicKeyHash, certificate::leaf_der},
    retire::{
        departed::Departed,
        entry::{self, Entry, Revoker},
        facts::{IssuanceFacts, IssuanceIndex, Settings},
        room::no_room,
    },
};

/// The namespace whose uid tells one cluster from another.
const OLDEST_NAMESPACE: &str = "kube-system";
/// Certificates that were told something of their annotation.
const MOST_TOLD: usize = 4096;

/// Which cluster this is. Asked for once.
pub struct ClusterId {
    client: Client,
    uid: OnceCell<Arc<str>>,
}

impl ClusterId {
    /// Asked for through `client`, when it is needed first.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            uid: OnceCell::new(),
        }
    }

    /// The uid of the oldest namespace.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn get(&self) -> Result<Arc<str>, RequestError> {
        let key = ObjectKey::cluster(OLDEST_NAMESPACE);
        let read = async || {
            let api: Api<Namespace> = Api::all(self.client.clone());
            let found = api.get(OLDEST_NAMESPACE).await;
            let found =
                found.map_err(|error| RequestError::new::<Namespace>("get", &key, error))?;
            Ok(found.metadata.uid.unwrap_or_default().into())
        };
        self.uid.get_or_try_init(read).await.cloned()
    }
}

/// Writes issued certificates down, and says what became of those that Certificates keep.
pub struct Recorder {
    /// For the API server.
    pub client: Client,
    /// The records.
    pub issuances: Arc<Cache<IssuanceFacts>>,
    /// Who issues.
    pub issuers: Issuers,
    /// Who did, and is gone.
    pub departed: Arc<Departed>,
    /// What users are told.
    pub events: Events,
    /// Where records are kept.
    pub namespace: Arc<str>,
    /// This cluster.
    pub cluster: Arc<ClusterId>,
    /// What counts where nobody says what becomes of a certificate.
    pub settings: Settings,
    told: Mutex<HashSet<(String, String)>>,
}

/// Whether an issued certificate is written down.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Recording {
    /// It is, or need not be.
    #[default]
    Settled,
    /// Not yet.
    Missing(Arc<Issuance>),
    /// It should be and cannot be, for this reason.
    Impossible(String),
}

/// What became of a certificate that a Certificate keeps, or its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawal {
    /// Why another certificate is needed, if that is so.
    pub why: Option<String>,
    /// Whether the one at hand is of no use already.
    pub is_revoked: bool,
    /// Keys that others may have.
    pub compromised: Vec<PublicKeyHash>,
}

impl Recorder {
    /// Keeps records in `namespace`.
    pub fn new(
        client: Client,
        caches: &Caches,
        events: Events,
        namespace: &str,
        cluster: Arc<ClusterId>,
        settings: Settings,
    ) -> Self {
        Self {
            client,
            issuances: Arc::clone(&caches.issuances),
            issuers: caches.issuers.clone(),
            departed: Arc::clone(&caches.departed),
            events,
            namespace: namespace.into(),
            cluster,
            settings,
            told: Mutex::default(),
        }
    }

    /// Whether what was issued for `certificate` is still to be written down, as it may have to be
    /// revoked. `is_ordered`: an ACME server issued it.
    ///
    /// # Errors
    /// It is not known which cluster this is.
    pub async fn recording(
        &self,
        certificate: &CertificateFacts,
        issued: &Issued,
        is_ordered: bool,
        now: Timestamp,
    ) -> Result<Recording, RequestError> {
        let namespace = &certificate.meta.key.namespace;
        let Ok(Readable { leaf, details: _ }) = &issued.certificate else {
            return Ok(Recording::Settled);
        };
        let issuer = self
            .departed
            .issuer(&self.issuers, &issued.issuer, namespace);
        let revoker = issuer.as_ref().map_or(Revoker::Nobody, Revoker::of);
        match revoker {
            Revoker::Acme(_) => {}
            Revoker::NoAccount => {
                let why = unknown_account(leaf, &issued.issuer);
                return Ok(Recording::Impossible(why));
            }
            Revoker::List | Revoker::Nobody if is_ordered => {
                let why = unknown_account(leaf, &issued.issuer);
                return Ok(Recording::Impossible(why));
            }
            Revoker::List => {}
            Revoker::Nobody => return Ok(Recording::Settled),
        }
        let Ok(der) = leaf_der(&issued.chain_pem) else {
            return Ok(Recording::Settled);
        };
        let cluster = self.cluster.get().await?;
        let name = entry::name(&certificate.meta.key.name, &cluster, &der);
        let key = ObjectKey::new(Arc::clone(&self.namespace), name);
        if self.issuances.get(&key).is_some() || self.is_shared(certificate, leaf) {
            return Ok(Recording::Settled);
        }
        if let Some(why) = no_room(&self.issuances, namespace, &certificate.meta.uid) {
            let serial = &leaf.serial;
            return Ok(Recording::Impossible(format!(
                "certificate {serial} is stored without an Issuance: {why}"
            )));
        }
        let asked_for = issuer
            .as_ref()
            .ok()
            .filter(|_| issued.issuer.same(&certificate.spec.issuer_ref))
            .filter(|_| may_be_shared(&certificate.annotations))
            .and_then(|issuer| AskedFor::of(certificate, issuer));
        let policy = self.settings.policy(
            certificate.spec.deletion_policy,
            issuer.ok().and_then(|issuer| issuer.spec.deletion_policy),
        );
        let entry = Entry {
            certificate: CertificateRef {
                name: certificate.meta.key.name.to_string(),
                namespace: namespace.to_string(),
                since: to_the_second(now),
                uid: certificate.meta.uid.clone(),
            },
            secret_name: certificate.spec.secret_name.clone(),
            issuer: issued.issuer.clone(),
            revoker,
            policy,
            earlier_request: certificate.annotations.get(annotation::REVOKE).cloned(),
            asked_for,
            status: IssuanceStatus {
                state: Some(IssuanceState::Active),
                ..IssuanceStatus::default()
            },
        };
        let issuance = entry.issuance(&self.namespace, &cluster, der, leaf);
        Ok(Recording::Missing(Arc::new(issuance)))
    }

    /// Whether it is the certificate of another that `certificate` was written down to keep too.
    fn is_shared(&self, certificate: &CertificateFacts, leaf: &Leaf) -> bool {
        let index = IssuanceIndex::Secret(certificate.secret());
        let key = leaf.public_key.to_string();
        let records = self.issuances.find(&index);
        records
            .iter()
            .any(|record| record.is_of(&leaf.serial, &key) && record.is_claimed_by(certificate))
    }

    /// Write a record. One that stands is the same: its name says of which certificate it is. Answers
    /// the one that stands.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn write(&self, issuance: &Issuance) -> Result<Issuance, RequestError> {
        let key = ObjectKey::of(&issuance.metadata);
        let api = api_of::<Issuance>(&self.client, &key);
        let standing = match write::create(&api, issuance).await? {
            Created::New(created) => {
                info!(issuance = %key, serial = issuance.spec.serial, "certificate recorded");
                created
            }
            Created::Exists => {
                let standing = write::get(&api, &key).await?;
                standing.ok_or_else(|| RequestError::stale::<Issuance>(&key))?
            }
        };
        self.issuances.observe(standing.clone());
        Ok(standing)
    }

    /// What became of the certificate that `secret` holds, and of the keys of `certificate`.
    pub fn withdrawal(
        &self,
        certificate: &CertificateFacts,
        secret: Option<&SecretFacts>,
        keys: &[Arc<SecretFacts>],
    ) -> Withdrawal {
        let leaf = secret.and_then(|secret| secret.leaf.read());
        if self.issuances.is_empty() {
            return Withdrawal::default();
        }
        let compromised = secret
            .into_iter()
            .chain(keys.iter().map(AsRef::as_ref))
            .filter_map(|secret| Some(secret.key.read()?.public_key))
            .filter(|key| {
                let index = IssuanceIndex::CompromisedKey(key.to_string());
                !self.issuances.find_keys(&index).is_empty()
            })
            .collect();
        let records = self
            .issuances
            .find(&IssuanceIndex::Secret(certificate.secret()));
        let withdrawn = leaf.and_then(|leaf| {
            let mut of_leaf = records.iter().filter(|record| record.serial == leaf.serial);
            of_leaf.find(|record| record.is_withdrawn())
        });
        let Some(record) = withdrawn else {
            return Withdrawal {
                compromised,
                ..Withdrawal::default()
            };
        };
        let request = record.status.request.as_ref();
        let why = request.map_or_else(
            || format!("certificate {} is {}", record.serial, record.state()),
            |request| {
                format!(
                    "certificate {} is to be revoked for {}, as {} asks for",
                    record.serial, request.reason, request.by
                )
            },
        );
        let is_revoked = matches!(
            record.state(),
            IssuanceState::Revoking | IssuanceState::Revoked
        );
        Withdrawal {
            why: Some(why),
            is_revoked,
            compromised,
        }
    }

    /// Tell who asks for a revocation by annotation if nothing can come of it.
    ///
    /// # Errors
    /// It is not known which cluster this is.
    pub async fn answer(
        &self,
        certificate: &CertificateFacts,
        secret: Option<&SecretFacts>,
    ) -> Result<(), RequestError> {
        let Some(text) = certificate.annotations.get(annotation::REVOKE) else {
            return Ok(());
        };
        let cluster = self.cluster.get().await?;
        let problem = match text.parse::<RevocationRequest>() {
            Err(problem) => Some(problem),
            Ok(request) => {
                let of_secret = IssuanceIndex::Secret(certificate.secret());
                let records = self.issuances.find(&of_secret);
                let leaf = secret.and_then(|secret| secret.leaf.read());
                let current = leaf.map(|leaf| leaf.serial.as_str());
                let serial = request.serial.as_deref().or(current);
                let record = |serial: &str| {
                    let mut of_serial = records.iter().filter(|record| record.serial == serial);
                    of_serial.find(|record| record.is_revocable())
                };
                serial.and_then(|serial| match record(serial) {
                    None => Some(format!(
                        "certificate {serial} was not issued here by an issuer that revokes, and \
                         cannot be revoked"
                    )),
                    Some(record) if record.cluster != cluster => Some(format!(
                        "certificate {serial} was issued in another cluster, and has to be revoked \
                         there"
                    )),
                    Some(_) => None,
                })
            }
        };
        let Some(problem) = problem else {
            return Ok(());
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST_TOLD {
            told.clear();
        }
        if told.insert((certificate.meta.uid.clone(), problem.clone())) {
            self.events.publish(
                certificate
                    .meta
                    .reference("cert-manager.io/v1", "Certificate"),
                EventType::Warning,
                "NotRevoked",
                format!("annotation {}: {problem}", annotation::REVOKE),
            );
        }
        Ok(())
    }
}

/// Why what an ACME server issued is not written down.
fn unknown_account(leaf: &Leaf, issuer: &IssuerRef) -> String {
    format!(
        "certificate {} is stored without an Issuance: {} {:?} that ordered it is gone, or has no account \
         any more at the server that it names. Unless it has when the Certificate is deleted, nothing will be \
         revoked",
        leaf.serial,
        issuer.kind_or_default(),
        issuer.name
    )
}

#[cfg(test)]
mod tests;
