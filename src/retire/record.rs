//! How is a certificate written down before it is stored, and what does its record say of it later?

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::core::v1::Namespace,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{Api, Client};
use tokio::sync::OnceCell;
use tracing::info;

use crate::{
    api::{
        condition::to_the_second,
        deletion::RevocationRequest,
        issuance::{
            AcmeOrigin, CertificateRef, Issuance, IssuanceSpec, IssuanceState, IssuanceStatus,
            KeyPlace,
        },
        names::{annotation, label},
    },
    certificate::{
        asked_for::{AskedFor, may_be_shared},
        facts::CertificateFacts,
        issued::{Issued, Readable},
        secret::{Leaf, SecretFacts},
    },
    cluster::{
        Cache, ObjectKey, RequestError,
        events::{EventType, Events},
        name::hash_of,
        write::{self, Created, api_of},
    },
    crl::published_by,
    issuer::{IssuerView, Issuers, account::DEFAULT_KEY_ENTRY, kind::Signer},
    pki::{PublicKeyHash, certificate::leaf_der},
    retire::facts::{IssuanceFacts, IssuanceIndex, Settings},
};

/// The namespace whose uid tells one cluster from another.
const OLDEST_NAMESPACE: &str = "kube-system";
/// Value of the label that says who made a record.
const CERTWRIGHT: &str = "certwright";
/// How much of the name of a Certificate stands in that of a record.
const KEPT_OF_NAME: usize = 200;
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
        issuances: Arc<Cache<IssuanceFacts>>,
        issuers: Issuers,
        events: Events,
        namespace: &str,
        cluster: Arc<ClusterId>,
        settings: Settings,
    ) -> Self {
        Self {
            client,
            issuances,
            issuers,
            events,
            namespace: namespace.into(),
            cluster,
            settings,
            told: Mutex::default(),
        }
    }

    /// The record of what was issued for `certificate`, if it may have to be revoked and is not
    /// written down yet.
    ///
    /// # Errors
    /// It is not known which cluster this is.
    pub async fn missing(
        &self,
        certificate: &CertificateFacts,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<Option<Arc<Issuance>>, RequestError> {
        let namespace = &certificate.meta.key.namespace;
        let Ok(Readable { leaf, details: _ }) = &issued.certificate else {
            return Ok(None);
        };
        let Ok(issuer) = self.issuers.lookup(&issued.issuer, namespace) else {
            return Ok(None);
        };
        let acme = match issuer.signer() {
            Ok(Signer::Acme(_)) => origin(&issuer),
            Ok(Signer::Ca(_) | Signer::SelfSigned(_)) | Err(_) => None,
        };
        // A CA that publishes no list of what it revoked, and what signs itself, have nobody to tell of
        // a revocation.
        if acme.is_none() && published_by(&issuer).is_none() {
            return Ok(None);
        }
        let Ok(der) = leaf_der(&issued.chain_pem) else {
            return Ok(None);
        };
        let cluster = self.cluster.get().await?;
        let name = name(&certificate.meta.key.name, &cluster, &der);
        let key = ObjectKey::new(Arc::clone(&self.namespace), name);
        if self.issuances.get(&key).is_some() || self.is_shared(certificate, leaf) {
            return Ok(None);
        }
        let asked_for = AskedFor::of(certificate, &issuer)
            .filter(|_| issued.issuer.same(&certificate.spec.issuer_ref))
            .filter(|_| may_be_shared(&certificate.annotations));
        let policy = self.settings.policy(
            certificate.spec.deletion_policy,
            issuer.spec.deletion_policy,
        );
        let labels = BTreeMap::from([(label::MANAGED_BY.to_owned(), CERTWRIGHT.to_owned())]);
        Ok(Some(Arc::new(Issuance {
            metadata: ObjectMeta {
                namespace: Some(key.namespace.to_string()),
                name: Some(key.name.to_string()),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            spec: IssuanceSpec {
                acme,
                also_in: None,
                asked_for: asked_for.map(|asked| asked.to_string()),
                certificate: ByteString(der),
                certificate_ref: CertificateRef {
                    name: certificate.meta.key.name.to_string(),
                    namespace: namespace.to_string(),
                    since: to_the_second(now),
                    uid: certificate.meta.uid.clone(),
                },
                cluster: cluster.to_string(),
                deletion_policy: policy,
                earlier_request: certificate.annotations.get(annotation::REVOKE).cloned(),
                issuer_ref: issued.issuer.clone(),
                names: names(leaf),
                not_after: Time(leaf.not_after),
                not_before: Time(leaf.not_before),
                public_key: leaf.public_key.to_string(),
                secret_name: certificate.spec.secret_name.clone(),
                serial: leaf.serial.clone(),
            },
            status: Some(IssuanceStatus {
                state: Some(IssuanceState::Active),
                ..IssuanceStatus::default()
            }),
        })))
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

    /// Write a record. One that stands is the same: its name says of which certificate it is.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn write(&self, issuance: &Issuance) -> Result<(), RequestError> {
        let key = ObjectKey::of(&issuance.metadata);
        let api = api_of::<Issuance>(&self.client, &key);
        match write::create(&api, issuance).await? {
            Created::New(created) => {
                info!(issuance = %key, serial = issuance.spec.serial, "certificate recorded");
                self.issuances.observe(created);
                Ok(())
            }
            Created::Exists => {
                let standing = write::get(&api, &key).await?;
                let standing = standing.ok_or_else(|| RequestError::stale::<Issuance>(&key))?;
                self.issuances.observe(standing);
                Ok(())
            }
        }
    }

    /// What became of the certificate that `secret` holds, and of the keys of `certificate`.
    pub fn withdrawal(
        &self,
        certificate: &CertificateFacts,
        secret: Option<&SecretFacts>,
        keys: &[Arc<SecretFacts>],
    ) -> Withdrawal {
        let leaf = secret.and_then(|secret| secret.leaf.read());
        self.answer(certificate, leaf);
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
    fn answer(&self, certificate: &CertificateFacts, leaf: Option<&Leaf>) {
        let Some(text) = certificate.annotations.get(annotation::REVOKE) else {
            return;
        };
        let problem = match text.parse::<RevocationRequest>() {
            Err(problem) => Some(problem),
            Ok(request) => {
                let of_secret = IssuanceIndex::Secret(certificate.secret());
                let records = self.issuances.find(&of_secret);
                let current = leaf.map(|leaf| leaf.serial.as_str());
                let serial = request.serial.as_deref().or(current);
                let is_known = |serial: &str| records.iter().any(|record| record.serial == serial);
                serial.filter(|serial| !is_known(serial)).map(|serial| {
                    format!(
                        "certificate {serial} was not issued here by an issuer that revokes, and \
                         cannot be revoked"
                    )
                })
            }
        };
        let Some(problem) = problem else { return };
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
    }
}

impl IssuanceFacts {
    /// Whether it is the record of that certificate, in DER: its name says so.
    pub fn is_record_of(&self, der: &[u8]) -> bool {
        let hash = |name: &str| name.rsplit('-').next().map(str::to_owned);
        let name = name(&self.certificate.name, &self.cluster, der);
        hash(&name) == hash(&self.meta.key.name)
    }
}

/// The name of the record of a certificate: the same for the same certificate in the same cluster.
pub fn name(certificate: &str, cluster: &str, der: &[u8]) -> String {
    let cause = [cluster.as_bytes(), b"/", der].concat();
    let hash = hash_of(&cause, 10);
    // Names of objects are ASCII.
    let kept = certificate.get(..KEPT_OF_NAME).unwrap_or(certificate);
    format!("{}-{hash}", kept.trim_end_matches(['-', '.']))
}

fn origin(issuer: &IssuerView) -> Option<AcmeOrigin> {
    let acme = issuer.spec.acme.as_ref()?;
    let key = &acme.private_key_secret_ref;
    Some(AcmeOrigin {
        account_key: KeyPlace {
            key: key.key_or(DEFAULT_KEY_ENTRY).to_owned(),
            name: key.name.clone(),
            namespace: issuer.secrets_namespace.to_string(),
        },
        account_url: issuer.account_url().unwrap_or_default().to_owned(),
        ca_bundle: acme.ca_bundle.clone().filter(|pem| !pem.0.is_empty()),
        server: acme.server.clone(),
        skip_tls_verify: acme.skip_tls_verify.filter(|skip| *skip),
    })
}

fn names(leaf: &Leaf) -> Vec<String> {
    let names = &leaf.names;
    let mut all: Vec<String> = names.dns.clone();
    all.extend(names.ips.iter().map(ToString::to_string));
    all.extend(names.uris.iter().cloned());
    all.extend(names.emails.iter().cloned());
    if all.is_empty() && !leaf.common_name.is_empty() {
        all.push(leaf.common_name.clone());
    }
    all
}
