//! How is a step taken? Each is one request to the API server.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use tracing::{info, warn};

use crate::{
    api::{
        names::{annotation, field_manager, secret_key},
        reference::IssuerRef,
        request::CertificateRequest,
    },
    certificate::{
        action::{self, Action, KeyPlace},
        content::{self, Content, Issuer, Sensitive},
        error::Error,
        facts::{CertificateFacts, Roots, Situation, Write},
        gather::{Known, is_next_key_of},
        key::Source,
        managed,
        reconcile::{CertificateReconciler, reference},
        request, rotation,
        secret::{ChainHash, SecretFacts},
        temporary,
    },
    cluster::{
        Facts, Meta, ObjectKey,
        write::{self, Created, api_of},
    },
    issuer::rotation::Turn,
    pki::{
        csr::CertificateSigningRequest,
        key::PrivateKey,
        signed_by::{Fingerprint, first},
    },
    retire::record::Recording,
};

impl CertificateReconciler {
    /// Take one step, and have its answer known to the caches.
    pub(super) async fn act(
        &self,
        situation: &Situation,
        action: Action,
        known: &mut Known,
    ) -> Result<(), Error> {
        let certificate = &situation.certificate;
        match action {
            Action::HoldKey { name, source } => self.hold_key(situation, name, source, known).await,
            Action::Inspect(candidate) => {
                self.inspect(certificate, &candidate, situation.now, known)
                    .await
            }
            Action::Claim(issuance) => {
                let recorder = &self.desk.recorder;
                Ok(recorder
                    .claim(certificate, &issuance, situation.now)
                    .await?)
            }
            Action::CreateNextKey { name, source } => {
                self.create_next_key(certificate, name, source, known).await
            }
            Action::DeleteKey { key, uid } => {
                self.keys.forget(&uid);
                write::delete(&api_of::<Secret>(&self.client, &key), &key, &uid).await?;
                self.caches.secrets.forget(&key, &uid);
                Ok(())
            }
            Action::CreateRequest { revision, key } => {
                self.create_request(certificate, revision, &key, known)
                    .await
            }
            Action::AnswerRequest { key, held } => {
                self.answer_request(certificate, &key, &held, known).await
            }
            Action::DeleteRequest { key, uid } => {
                let api = api_of::<CertificateRequest>(&self.client, &key);
                write::delete(&api, &key, &uid).await?;
                self.caches.requests.forget(&key, &uid);
                Ok(())
            }
            Action::Record(issuance) => {
                self.desk.recorder.write(&issuance).await?;
                Ok(())
            }
            Action::ApplySecret(content) => self.apply_secret(situation, content).await,
            Action::PatchStatus(status) => self.patch_status(certificate, &status).await,
            Action::Publish(event) => {
                self.events.tell(reference(certificate), event);
                Ok(())
            }
        }
    }

    async fn create_next_key(
        &self,
        certificate: &CertificateFacts,
        name: String,
        source: Source,
        known: &mut Known,
    ) -> Result<(), Error> {
        let secret = ObjectKey::new(Arc::clone(&certificate.meta.key.namespace), name);
        let key = self.key_from(certificate, &secret, source, known).await?;
        let object =
            content::next_key(certificate, &secret.name, &key).map_err(|source| Error::Key {
                secret: secret.clone(),
                source,
            })?;
        let api = api_of::<Secret>(&self.client, &secret);
        match write::create(&api, &object.0).await? {
            Created::New(created) => {
                if let Some(uid) = &created.metadata.uid {
                    self.keys.keep(uid, key);
                }
                self.caches.secrets.observe(created);
            }
            Created::Exists => {
                let Some(standing) = write::get(&api, &secret).await? else {
                    return Err(Error::Gone(secret));
                };
                if is_next_key_of(&SecretFacts::reduce(standing.clone()), certificate) {
                    // Made before a crash, or not yet brought by the watch.
                    self.caches.secrets.observe(standing);
                } else {
                    drop(Sensitive(standing));
                    known.taken.key = true;
                }
            }
        }
        Ok(())
    }

    async fn create_request(
        &self,
        certificate: &CertificateFacts,
        revision: i64,
        key: &KeyPlace,
        known: &mut Known,
    ) -> Result<(), Error> {
        let mut parameters = match request::parameters(&certificate.spec) {
            Ok(parameters) => parameters,
            Err(problem) => {
                known.unrequestable = Some(problem);
                return Ok(());
            }
        };
        parameters.basic_constraints = self.settings.basic_constraints_in_csr;
        let signing_key = self.key_at(certificate, key).await?;
        let signed = self
            .keys
            .work(move || CertificateSigningRequest::build(&parameters, &signing_key))
            .await?;
        let csr = match signed {
            Ok(csr) => csr.to_pem(),
            Err(error) => {
                known.unrequestable = Some(error.to_string());
                return Ok(());
            }
        };
        let reused = match key {
            KeyPlace::Held(name) => self.held(certificate, name)?.0.reused,
            KeyPlace::Stored(_) => None,
        };
        let mut object = request::build(
            certificate,
            revision,
            request::Key {
                secret: key.name(),
                reused: reused.as_deref(),
            },
            csr,
            &self.settings.copied_annotation_prefixes,
        );
        self.desk.requester.sign(&mut object.spec).await?;
        let request = ObjectKey::of(&object.metadata);
        let api = api_of::<CertificateRequest>(&self.client, &request);
        match write::create_as(&api, field_manager::CERTWRIGHT, &object).await? {
            Created::New(created) => {
                info!(request = %request.name, revision, "certificate requested");
                self.caches.requests.observe(created);
            }
            Created::Exists => {
                let Some(standing) = write::get(&api, &request).await? else {
                    return Err(Error::Gone(request));
                };
                let controller = Meta::of(&standing.metadata).controller;
                if controller.as_ref() == Some(&certificate.meta.uid) {
                    self.caches.requests.observe(standing);
                    self.look_again(certificate).await?;
                } else {
                    known.taken.request = true;
                }
            }
        }
        Ok(())
    }

    async fn apply_secret(
        &self,
        situation: &Situation,
        content: action::Content,
    ) -> Result<(), Error> {
        let certificate = &situation.certificate;
        let mut object = match content {
            action::Content::Issued { key } => {
                let Some(issued) = &situation.issued else {
                    return Ok(());
                };
                let key = self.key_at(certificate, &key).await?;
                let key_pem = encode(certificate, &key)?;
                let namespace = &certificate.meta.key.namespace;
                if let Ok(issuer) = self.caches.issuers.lookup(&issued.issuer, namespace) {
                    self.rotations.recall(&issuer, situation.now).await?;
                }
                let ca_pem = issued.ca_pem.as_ref();
                let ca_pem = ca_pem.map(|ca| self.with_roots_beside(situation, &issued.issuer, ca));
                let content = Content {
                    key_pem: key_pem.as_bytes(),
                    chain_pem: &issued.chain_pem,
                    ca_pem: ca_pem.as_deref(),
                    certificate_name: Some(&certificate.meta.key.name),
                    issuer: Some(Issuer::from(&issued.issuer)),
                };
                info!(secret = %certificate.spec.secret_name, "storing the issued certificate");
                if let Recording::Impossible(why) = &situation.recording {
                    warn!(why, "it is not recorded");
                }
                build(situation, content)?
            }
            action::Content::Temporary { key_secret } => {
                let key = self.next_key(&key_secret).await?;
                let key_pem = encode(certificate, &key)?;
                let spec = certificate.spec.clone();
                let now = situation.now;
                let signed = self
                    .keys
                    .work(move || temporary::sign(&spec, &key, now))
                    .await?;
                let chain_pem = signed.map_err(|source| Error::Temporary {
                    secret: certificate.secret(),
                    source,
                })?;
                let content = Content {
                    key_pem: key_pem.as_bytes(),
                    chain_pem: chain_pem.as_bytes(),
                    ca_pem: None,
                    certificate_name: Some(&certificate.meta.key.name),
                    issuer: None,
                };
                build(situation, content)?
            }
            action::Content::Again(why) => {
                info!(
                    reason = why.reason,
                    why = why.message,
                    "writing the Secret again"
                );
                self.rebuild(situation).await?
            }
        };
        let keystores = self.add_keystores(situation, &mut object).await?;
        let api = api_of::<Secret>(&self.client, &certificate.secret());
        let written = write::apply(&api, field_manager::ISSUING, &object.0).await?;
        self.written.set(
            &certificate.meta.key,
            Write {
                version: written
                    .metadata
                    .resource_version
                    .clone()
                    .unwrap_or_default(),
                generation: certificate.meta.generation,
                chain: ChainHash::of(entry(&object.0, secret_key::CERTIFICATE)),
                roots: Roots::from(&*Fingerprint::all(entry(&object.0, secret_key::CA))),
            },
        );
        self.keystores_written(certificate, keystores, &written);
        self.caches.secrets.observe(written);
        Ok(())
    }

    /// `ca.crt` of what `issuer` has issued, with the roots of its other CAs that are needed beside.
    fn with_roots_beside(
        &self,
        situation: &Situation,
        issuer: &IssuerRef,
        ca_pem: &[u8],
    ) -> Vec<u8> {
        let certificate = &situation.certificate.meta.key;
        let mut all = ca_pem.to_vec();
        if let Some(issuer) = rotation::issuer(issuer, &certificate.namespace) {
            let roots = Fingerprint::all(ca_pem);
            let now = situation.now;
            for root in self
                .rotations
                .roots_beside(&issuer, certificate, &roots, now)
            {
                if all.last().is_some_and(|end| *end != b'\n') {
                    all.push(b'\n');
                }
                all.extend(root.bytes());
            }
        }
        all
    }

    /// The Secret as it should be, from what it holds.
    async fn rebuild(&self, situation: &Situation) -> Result<Sensitive, Error> {
        let key = situation.certificate.secret();
        let standing = Sensitive(self.read_secret(&key).await?);
        let entry = |name| entry(&standing.0, name);
        let annotations = standing.0.metadata.annotations.as_ref();
        let annotated = |name: &str| {
            annotations
                .and_then(|annotations| annotations.get(name))
                .map(String::as_str)
        };
        let (name, kind, group) = (
            annotated(annotation::ISSUER_NAME),
            annotated(annotation::ISSUER_KIND),
            annotated(annotation::ISSUER_GROUP),
        );
        let is_named = [name, kind, group].iter().any(Option::is_some);
        // Where the Secret does not say it any more, the request that its key pair came from does.
        let certificate = &situation.certificate;
        let mut requests = situation.requests.iter();
        let request = requests.find(|request| {
            request.revision().is_some() && request.revision() == certificate.revision()
        });
        let certificate_name = annotated(annotation::CERTIFICATE_NAME)
            .or_else(|| request.map(|_| &*certificate.meta.key.name));
        let issuer = match is_named {
            true => Some(Issuer {
                name: name.unwrap_or_default(),
                kind: kind.unwrap_or_default(),
                group: group.unwrap_or_default(),
            }),
            false => request.map(|request| Issuer::from(&request.issuer_ref)),
        };
        let standing_ca = entry(secret_key::CA);
        let ca_pem = match situation.turn {
            Turn::Restore => first(standing_ca),
            Turn::Extend => {
                let issuer = &certificate.spec.issuer_ref;
                Some(self.with_roots_beside(situation, issuer, standing_ca))
            }
            Turn::None | Turn::Reissue => None,
        };
        let content = Content {
            key_pem: entry(secret_key::PRIVATE_KEY),
            chain_pem: entry(secret_key::CERTIFICATE),
            ca_pem: Some(ca_pem.as_deref().unwrap_or(standing_ca)),
            certificate_name,
            issuer,
        };
        let mut object = build(situation, content)?;
        let held = standing.0.metadata.managed_fields.as_ref();
        let claimed = match held.is_none_or(Vec::is_empty) {
            true => {
                let patch = managed::claim(&object.0, &standing.0);
                let api = api_of::<Secret>(&self.client, &key);
                Some(Sensitive(write::merge(&api, &key, &patch).await?))
            }
            false => None,
        };
        // Only what was read is written again.
        let read = claimed.as_ref().unwrap_or(&standing);
        object
            .0
            .metadata
            .resource_version
            .clone_from(&read.0.metadata.resource_version);
        Ok(object)
    }

    /// The key in a next-key Secret.
    pub(super) async fn next_key(&self, secret: &ObjectKey) -> Result<Arc<PrivateKey>, Error> {
        let uid = self
            .caches
            .secrets
            .get(secret)
            .map(|facts| facts.meta.uid.clone());
        let uid = uid.ok_or_else(|| Error::Gone(secret.clone()))?;
        if let Some(key) = self.keys.get(&uid) {
            return Ok(key);
        }
        let key = Arc::new(self.read_key(secret).await?);
        self.keys.keep(&uid, Arc::clone(&key));
        Ok(key)
    }

    /// The key in a Secret, read live.
    pub(super) async fn read_key(&self, secret: &ObjectKey) -> Result<PrivateKey, Error> {
        let standing = Sensitive(self.read_secret(secret).await?);
        PrivateKey::from_pem(entry(&standing.0, secret_key::PRIVATE_KEY)).map_err(|source| {
            Error::Key {
                secret: secret.clone(),
                source,
            }
        })
    }

    async fn read_secret(&self, secret: &ObjectKey) -> Result<Secret, Error> {
        write::get(&api_of::<Secret>(&self.client, secret), secret)
            .await?
            .ok_or_else(|| Error::Gone(secret.clone()))
    }
}

pub(super) fn entry<'a>(secret: &'a Secret, name: &str) -> &'a [u8] {
    secret
        .data
        .as_ref()
        .and_then(|data| data.get(name))
        .map_or(&[], |value| value.0.as_slice())
}

fn build(situation: &Situation, content: Content<'_>) -> Result<Sensitive, Error> {
    let certificate = &situation.certificate;
    let type_ = situation
        .secret
        .as_ref()
        .map(|secret| secret.type_.as_str());
    let owner_reference = situation.settings.owner_reference;
    content::build(certificate, content, type_, owner_reference).map_err(|source| Error::Build {
        secret: certificate.secret(),
        source,
    })
}

fn encode(
    certificate: &CertificateFacts,
    key: &PrivateKey,
) -> Result<zeroize::Zeroizing<String>, Error> {
    key.to_pem(content::encoding(certificate))
        .map_err(|source| Error::Key {
            secret: certificate.secret(),
            source,
        })
}
