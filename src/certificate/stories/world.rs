//! What does a cluster do with the steps of a Certificate? One in memory, for tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference, Time},
};

use crate::{
    api::{
        certificate::{Certificate, CertificateSpec, CertificateStatus},
        condition::{self, ConditionStatus},
        names::{field_manager, secret_key},
        private_key::{PrivateKey as PrivateKeySpec, PrivateKeyAlgorithm},
        reference::IssuerRef,
        request::CertificateRequest,
    },
    certificate::{
        action::{Action, Event, KeyPlace, Plan},
        basis::Anew,
        content,
        facts::{CertificateFacts, Held, Reused, Settings, Situation, Taken, Write},
        failure::Failure,
        issued::Issued,
        key::{self, Source},
        keystores::Standing,
        plan::plan,
        request,
        reuse::Candidate,
        secret::{KeyFacts, SecretFacts},
        standing::{is_issued, is_pending},
        suggestion,
    },
    cluster::Facts,
    issuer::rotation::Turn,
    pki::{csr::CertificateSigningRequest, key::PrivateKey},
    request::facts::RequestFacts,
    retire::record::{Recording, Withdrawal},
};

/// A namespace with one Certificate and everything around it.
#[derive(Clone)]
pub(in crate::certificate) struct World {
    pub(in crate::certificate) now: Timestamp,
    pub(in crate::certificate) certificate: Certificate,
    pub(in crate::certificate) rivals: Vec<Certificate>,
    pub(in crate::certificate) secrets: BTreeMap<String, Secret>,
    pub(in crate::certificate) requests: BTreeMap<String, CertificateRequest>,
    pub(in crate::certificate) events: Vec<Event>,
    /// The names of the writes, in order.
    pub(in crate::certificate) writes: Vec<&'static str>,
    pub(in crate::certificate) settings: Settings,
    pub(in crate::certificate) cause: Option<String>,
    /// Whether the CA refused for good, where a request failed.
    pub(in crate::certificate) refused: bool,
    /// What has changed since the latest request was made.
    pub(in crate::certificate) anew: Option<Anew>,
    /// The name that DNS says something else of since then.
    pub(in crate::certificate) dns_changed: Option<String>,
    pub(in crate::certificate) source: suggestion::Source,
    pub(in crate::certificate) turn: Turn,
    /// What such a turn makes of `ca.crt`.
    pub(in crate::certificate) bundle: Vec<u8>,
    /// Whether somebody leaves `ca.crt` as it is, whatever is written.
    pub(in crate::certificate) is_meddled_with: bool,
    pub(in crate::certificate) written: Option<Write>,
    pub(in crate::certificate) withdrawal: Withdrawal,
    /// Whether what is issued next is written down.
    pub(in crate::certificate) recording: Recording,
    pub(in crate::certificate) keystores: Standing,
    /// Who answers requests at once, if somebody does.
    pub(in crate::certificate) clerk: Option<Clerk>,
    /// A certificate that is there already.
    pub(in crate::certificate) stock: Option<Stock>,
    /// Whether a process that starts anew does not see the latest requests at once.
    pub(in crate::certificate) lags: bool,
    unseen: BTreeSet<String>,
    /// A key that is stored nowhere.
    held: Option<(Held, Arc<PrivateKey>)>,
    /// Whether the clerk could not answer, in this reconcile.
    pub(super) waits: bool,
    pub(super) version: u64,
}

/// A certificate that was issued for another Certificate.
#[derive(Clone)]
pub(in crate::certificate) struct Stock {
    /// What is known of it; its record changes as it is claimed.
    pub(in crate::certificate) candidate: Candidate,
    /// What its Secret holds, if it is what the record says.
    pub(in crate::certificate) held: Option<(Arc<Reused>, Arc<PrivateKey>)>,
    /// Whether its Secret was read, by this process.
    pub(in crate::certificate) is_read: bool,
}

/// Answers a request, if it can.
pub(in crate::certificate) type Clerk = fn(&mut World, &str);

pub(in crate::certificate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A spec for one DNS name, with a kind of key that is quickly made.
pub(in crate::certificate) fn spec() -> CertificateSpec {
    CertificateSpec {
        dns_names: Some(vec!["www.example.com".into()]),
        issuer_ref: IssuerRef {
            name: "ca".into(),
            ..IssuerRef::default()
        },
        private_key: Some(PrivateKeySpec {
            algorithm: Some(PrivateKeyAlgorithm::Ecdsa),
            ..PrivateKeySpec::default()
        }),
        secret_name: "web-tls".into(),
        ..CertificateSpec::default()
    }
}

pub(in crate::certificate) fn certificate(
    name: &str,
    spec: CertificateSpec,
    now: Timestamp,
) -> Certificate {
    let mut certificate = Certificate::new(name, spec);
    certificate.metadata = ObjectMeta {
        namespace: Some("web".into()),
        uid: Some(format!("uid-{name}")),
        resource_version: Some("1".into()),
        generation: Some(1),
        creation_timestamp: Some(Time(now)),
        ..certificate.metadata
    };
    certificate
}

impl World {
    pub(in crate::certificate) fn new(spec: CertificateSpec) -> Self {
        let now = at("2026-01-01T00:00:00Z");
        Self {
            now,
            certificate: certificate("web", spec, now),
            rivals: Vec::new(),
            secrets: BTreeMap::new(),
            requests: BTreeMap::new(),
            events: Vec::new(),
            writes: Vec::new(),
            settings: Settings::default(),
            refused: false,
            anew: None,
            dns_changed: None,
            source: suggestion::Source::NotAsked,
            cause: None,
            turn: Turn::None,
            bundle: Vec::new(),
            is_meddled_with: false,
            written: None,
            withdrawal: Withdrawal::default(),
            recording: Recording::Settled,
            keystores: Standing::Fine,
            clerk: None,
            stock: None,
            lags: false,
            unseen: BTreeSet::new(),
            held: None,
            waits: false,
            version: 1,
        }
    }

    /// The Certificate was issued, and nothing is left to do.
    pub(in crate::certificate) fn issued(spec: CertificateSpec) -> Self {
        let mut world = Self::new(spec);
        world.settle();
        world.sign("web-1");
        world.settle();
        world.writes.clear();
        world.events.clear();
        world
    }

    pub(in crate::certificate) fn pass(&mut self, time: SignedDuration) {
        self.now = self.now.checked_add(time).unwrap();
    }

    pub(in crate::certificate) fn spec(&mut self) -> &mut CertificateSpec {
        *self.certificate.metadata.generation.as_mut().unwrap() += 1;
        &mut self.certificate.spec
    }

    pub(in crate::certificate) fn status(&self) -> CertificateStatus {
        self.certificate.status.clone().unwrap_or_default()
    }

    /// Status, reason and message of a condition of the Certificate.
    pub(in crate::certificate) fn condition(
        &self,
        type_: &str,
    ) -> Option<(ConditionStatus, String, String)> {
        let status = self.status();
        let found = condition::find(status.conditions.as_ref(), type_)?.clone();
        Some((
            found.status,
            found.reason.unwrap_or_default(),
            found.message.unwrap_or_default(),
        ))
    }

    pub(in crate::certificate) fn facts(&self) -> Arc<CertificateFacts> {
        Arc::new(CertificateFacts::reduce(self.certificate.clone()))
    }

    pub(in crate::certificate) fn target(&self) -> Option<SecretFacts> {
        self.secrets
            .get(&self.certificate.spec.secret_name)
            .cloned()
            .map(SecretFacts::reduce)
    }

    pub(in crate::certificate) fn situation(&self) -> Situation {
        let certificate = self.facts();
        let uid = Some(&certificate.meta.uid);
        let secrets: Vec<Arc<SecretFacts>> = self
            .secrets
            .values()
            .map(|secret| Arc::new(SecretFacts::reduce(secret.clone())))
            .collect();
        let all: Vec<Arc<RequestFacts>> = self
            .requests
            .iter()
            .filter(|(name, _)| !self.unseen.contains(*name))
            .map(|(_, request)| Arc::new(RequestFacts::reduce(request.clone())))
            .collect();
        let next_request = all.iter().find(|request| {
            certificate.is_issuing() && request.revision() == Some(certificate.next_revision())
        });
        let issued = all
            .iter()
            .find(|request| request.revision() == Some(certificate.next_revision()))
            .filter(|request| is_issued(request))
            .map(|request| self.requests[&*request.meta.key.name].clone())
            .map(|request| Arc::new(Issued::of(request)));
        let cause = next_request
            .filter(|request| is_pending(request))
            .and_then(|_| self.cause.clone());
        let is_next_key = |secret: &Arc<SecretFacts>| {
            secret.is_next_key() && secret.meta.controller.as_ref() == uid
        };
        let next_key = key::parameters(&certificate.spec)
            .map(|wanted| key::next_name(&certificate, wanted))
            .unwrap_or_default();
        let held = self.held.as_ref().map(|(held, _)| held.clone());
        let next_name = request::name(&certificate.meta.key.name, certificate.next_revision());
        let taken = Taken {
            key: secrets
                .iter()
                .any(|secret| *secret.meta.key.name == *next_key && !is_next_key(secret)),
            request: all.iter().any(|request| {
                *request.meta.key.name == *next_name && request.meta.controller.as_ref() != uid
            }),
        };
        Situation {
            reuse: self.reuse(&certificate),
            secret: secrets
                .iter()
                .find(|secret| secret.meta.key == certificate.secret())
                .cloned(),
            requests: all
                .into_iter()
                .filter(|request| request.meta.controller.as_ref() == uid)
                .collect(),
            held: held.filter(|held| held.name == next_key),
            answers_at_once: self.clerk.is_some() && !self.waits,
            keys: secrets.into_iter().filter(is_next_key).collect(),
            sharing: self
                .rivals
                .iter()
                .map(|rival| Arc::new(CertificateFacts::reduce(rival.clone())))
                .chain([Arc::clone(&certificate)])
                .collect(),
            taken,
            unrequestable: None,
            issued,
            recording: self.recording.clone(),
            withdrawal: self.withdrawal.clone(),
            cause,
            failure: match self.refused {
                true => Failure::Refused,
                false => Failure::Open,
            },
            anew: self.anew,
            dns_changed: self.dns_changed.clone(),
            source: self.source,
            turn: self.turn,
            written: self.written.clone(),
            keystores: self.keystores.clone(),
            now: self.now,
            settings: Arc::new(self.settings.clone()),
            certificate,
        }
    }

    pub(in crate::certificate) fn plan(&self) -> Plan {
        plan(&self.situation())
    }

    /// Act until there is nothing to do; returns how many writes that took.
    pub(in crate::certificate) fn settle(&mut self) -> usize {
        self.settle_until(usize::MAX)
    }

    /// As [`World::settle`], but the process dies after `cut` writes, and starts again.
    pub(in crate::certificate) fn settle_until(&mut self, cut: usize) -> usize {
        let mut writes = 0;
        for _ in 0..50 {
            let plan = self.plan();
            if plan.actions.is_empty() {
                self.held = None;
                self.waits = false;
                if self.unseen.is_empty() {
                    return writes;
                }
                // The watch brings them in the end, and wakes us.
                self.unseen.clear();
                continue;
            }
            for action in plan.actions {
                let is_write = !matches!(
                    action,
                    Action::Publish(_) | Action::HoldKey { .. } | Action::Inspect(_)
                );
                self.apply(action);
                writes += usize::from(is_write);
                if is_write && writes == cut {
                    self.restart();
                    break;
                }
            }
        }
        panic!("no end: {:?}", self.plan());
    }

    /// Act on one plan.
    pub(in crate::certificate) fn step(&mut self) {
        for action in self.plan().actions {
            self.apply(action);
        }
    }

    /// The process starts anew, and knows no more than what is stored.
    pub(in crate::certificate) fn restart(&mut self) {
        self.written = None;
        self.held = None;
        if let Some(stock) = &mut self.stock {
            stock.is_read = false;
        }
        if self.lags {
            let next = format!("web-{}", self.facts().next_revision());
            self.unseen = self
                .requests
                .keys()
                .filter(|name| **name == next)
                .cloned()
                .collect();
        }
    }

    pub(in crate::certificate) fn meta(&mut self, mut meta: ObjectMeta) -> ObjectMeta {
        self.version += 1;
        meta.resource_version = Some(self.version.to_string());
        meta.uid
            .get_or_insert_with(|| format!("uid-{}", self.version));
        meta.creation_timestamp
            .get_or_insert(condition::to_the_second(self.now));
        meta
    }

    pub(in crate::certificate) fn apply(&mut self, action: Action) {
        self.writes.push(match &action {
            Action::HoldKey { .. } => "hold key",
            Action::Inspect(_) => "inspect",
            Action::Claim(_) => "claim",
            Action::AnswerRequest { .. } => "answer request",
            Action::CreateNextKey { .. } => "create key",
            Action::DeleteKey { .. } => "delete key",
            Action::CreateRequest { .. } => "create request",
            Action::DeleteRequest { .. } => "delete request",
            Action::Record(_) => "record",
            Action::ApplySecret(_) => "apply secret",
            Action::PatchStatus(_) => "patch status",
            Action::Publish(event) => return self.events.push(event.clone()),
        });
        let facts = self.facts();
        match action {
            Action::CreateNextKey { name, source } => {
                let key = self.key_from(source);
                self.create_key(&name, &key, None);
            }
            Action::HoldKey { name, source } => {
                let key = self.key_from(source);
                let stock = self.stock.as_ref().filter(|_| source == Source::Found);
                let held = Held {
                    name,
                    key: KeyFacts::of(&key).unwrap(),
                    since: self.now,
                    reused: stock.map(|stock| Arc::clone(&stock.held.as_ref().unwrap().0)),
                };
                self.held = Some((held, key));
            }
            Action::AnswerRequest { key, held } => {
                let known = self.held.as_ref().unwrap().0.clone();
                assert_eq!(known.name, held);
                if let Some(reused) = known.reused {
                    return self.hand_over(&key.name, &reused);
                }
                let before = self.requests[&*key.name].status.clone();
                self.clerk.unwrap()(self, &key.name);
                let after = self.requests.get(&*key.name).and_then(|r| r.status.clone());
                self.waits = before == after;
            }
            Action::Inspect(_) => self.stock.as_mut().unwrap().is_read = true,
            Action::Claim(issuance) => self.claim(&facts, &issuance),
            Action::DeleteKey { key, uid } => {
                let gone = self.secrets.remove(&*key.name).unwrap();
                assert_eq!(gone.metadata.uid, Some(uid));
            }
            Action::CreateRequest {
                revision,
                key: place,
            } => {
                if self.unseen.remove(&request::name("web", revision)) {
                    // It exists, and is ours.
                    return;
                }
                let key = self.key_at(&place);
                let parameters = request::parameters(&facts.spec).unwrap();
                let csr = CertificateSigningRequest::build(&parameters, &key).unwrap();
                let prefixes = &self.settings.copied_annotation_prefixes;
                let held = self.held.as_ref().map(|(held, _)| held);
                let reused = held.and_then(|held| held.reused.clone());
                let key = request::Key {
                    secret: place.name(),
                    reused: reused
                        .as_deref()
                        .filter(|_| matches!(place, KeyPlace::Held(_))),
                };
                let mut made = request::build(&facts, revision, key, csr.to_pem(), prefixes);
                made.metadata = self.meta(made.metadata);
                made.metadata.managed_fields = Some(vec![ManagedFieldsEntry {
                    manager: Some(field_manager::CERTWRIGHT.to_owned()),
                    ..ManagedFieldsEntry::default()
                }]);
                let name = made.metadata.name.clone().unwrap();
                assert!(self.requests.insert(name, made).is_none(), "it exists");
            }
            Action::DeleteRequest { key, uid } => {
                let gone = self.requests.remove(&*key.name).unwrap();
                assert_eq!(gone.metadata.uid, Some(uid));
            }
            Action::ApplySecret(content) => self.apply_secret(&facts, content),
            Action::PatchStatus(status) => {
                assert_ne!(
                    self.certificate.status.as_ref(),
                    Some(&*status),
                    "no change"
                );
                self.certificate.status = Some(*status);
            }
            Action::Record(_) => self.recording = Recording::Settled,
            Action::Publish(_) => {}
        }
    }

    /// Store a key as one of an issuance under way.
    pub(in crate::certificate) fn create_key(
        &mut self,
        name: &str,
        key: &PrivateKey,
        owners: Option<Vec<OwnerReference>>,
    ) {
        let mut secret = content::next_key(&self.facts(), name, key)
            .unwrap()
            .0
            .clone();
        if owners.is_some() {
            secret.metadata.owner_references = owners;
        }
        secret.metadata = self.meta(secret.metadata);
        assert!(self.secrets.insert(name.to_owned(), secret).is_none());
    }

    pub(in crate::certificate) fn key(&self, secret: &str) -> Arc<PrivateKey> {
        let pem = self.entry(secret, secret_key::PRIVATE_KEY);
        Arc::new(PrivateKey::from_pem(pem).unwrap())
    }

    pub(in crate::certificate) fn key_at(&self, place: &KeyPlace) -> Arc<PrivateKey> {
        match place {
            KeyPlace::Stored(secret) => self.key(&secret.name),
            KeyPlace::Held(name) => {
                let (held, key) = self.held.as_ref().unwrap();
                assert_eq!(&held.name, name);
                Arc::clone(key)
            }
        }
    }

    fn key_from(&self, source: Source) -> Arc<PrivateKey> {
        match source {
            Source::Generate(parameters) => Arc::new(PrivateKey::generate(parameters).unwrap()),
            Source::Reuse => self.key(&self.certificate.spec.secret_name),
            Source::Held => Arc::clone(&self.held.as_ref().unwrap().1),
            Source::Found => Arc::clone(&self.stock.as_ref().unwrap().held.as_ref().unwrap().1),
        }
    }

    pub(in crate::certificate) fn entry(&self, secret: &str, key: &str) -> &[u8] {
        let data = self.secrets[secret].data.as_ref();
        data.and_then(|data| data.get(key))
            .map_or(&[], |value| value.0.as_slice())
    }
}
