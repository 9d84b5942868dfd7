//! What becomes of a request at an issuer whose key is in the cluster?

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::task::{JoinError, spawn_blocking};

use crate::{
    api::{
        duration::{self, Duration},
        reason::request as reason,
        usage::KeyUsage,
    },
    cluster::{Class, Clock, ObjectKey, RequestError},
    issuer::{
        kind::Signer, order_request::Said, recent::Recent, secret::SecretVersion,
        sessions::SecretVersions, view::IssuerView,
    },
    pki::{
        self,
        authority::Authority,
        csr::{CsrFacts, request_der},
        issue::{Serial, Template, Urls},
        key::PrivateKey,
        usages::Usage,
    },
};

/// How many CAs are kept parsed, each as long as its Secret stays the same.
const MOST_AUTHORITIES: usize = 256;

/// Signs with keys that are in Secrets. One for all issuers.
pub struct LocalSigners {
    pub(super) cluster: Client,
    pub(super) versions: SecretVersions,
    pub(super) clock: Clock,
    pub(super) authorities: Recent<ObjectKey, KnownAuthority>,
}

#[derive(Clone)]
pub(super) struct KnownAuthority {
    pub(super) version: SecretVersion,
    pub(super) authority: Arc<Authority>,
}

/// What is known of the request.
#[derive(Clone, Copy, Debug)]
pub struct SigningInput<'a> {
    /// Its namespace; that of the issuer's Secrets, if it has none.
    pub namespace: &'a str,
    /// Its annotations; one names the Secret of its key.
    pub annotations: &'a BTreeMap<String, String>,
    /// Which one.
    pub key_annotation: &'static str,
    /// `spec.duration`.
    pub duration: Option<&'a Duration>,
    /// `spec.isCA`.
    pub is_ca: bool,
    /// `spec.usages`.
    pub usages: &'a [KeyUsage],
    /// Whether a CA may sign certificates where `usages` do not say so.
    pub ca_may_sign: bool,
    /// What the signing request says, or why it cannot be read.
    pub csr: Result<&'a CsrFacts, &'a str>,
    /// The signing request as PEM.
    pub request: &'a [u8],
    /// Its key, where that is at hand and need not be read.
    pub key: Option<&'a Arc<PrivateKey>>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is signed.
    Issued(Box<Certificate>),
    /// It has to wait.
    Pending(Said),
    /// It failed for good.
    Failed(Said),
}

/// A certificate that was signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// It and its intermediates, PEM.
    pub chain_pem: String,
    /// The root, or the topmost certificate that is known, PEM.
    pub ca_pem: String,
    /// What is to be told about it.
    pub remark: Option<Said>,
}

/// Why nothing became of a request yet.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A Secret could not be read.
    #[error(transparent)]
    Api(#[from] RequestError),
    /// The system has no random numbers.
    #[error("get random bytes for a serial number")]
    Random,
    /// The thread that signs did not come back.
    #[error("the thread that signs ended: {0}")]
    Ended(#[from] JoinError),
}

impl SigningError {
    /// How to go on.
    pub fn class(&self) -> Class {
        match self {
            Self::Api(error) => error.class(),
            Self::Random | Self::Ended(_) => Class::Transient,
        }
    }
}

impl LocalSigners {
    /// Signers that read Secrets through `cluster`.
    pub fn new(cluster: Client, versions: SecretVersions, clock: Clock) -> Self {
        Self {
            cluster,
            versions,
            clock,
            authorities: Recent::new(MOST_AUTHORITIES),
        }
    }

    /// What becomes of a request at `issuer`; `None` where that does not sign by a key in the
    /// cluster.
    ///
    /// # Errors
    /// It could not be found out.
    pub async fn sign(
        &self,
        issuer: &IssuerView,
        input: &SigningInput<'_>,
    ) -> Result<Option<Outcome>, SigningError> {
        match issuer.signer() {
            Ok(Signer::Ca(ca)) => self.sign_by_ca(issuer, ca, input).await.map(Some),
            Ok(Signer::SelfSigned(itself)) => self.sign_itself(itself, input).await.map(Some),
            Ok(Signer::Acme(_)) | Err(_) => Ok(None),
        }
    }
}

/// Everything that goes into a certificate, to be signed on another thread.
pub(super) struct Job {
    request: Vec<u8>,
    facts: CsrFacts,
    is_ca: bool,
    usages: Vec<Usage>,
    ca_may_sign: bool,
    not_before: Timestamp,
    not_after: Timestamp,
    serial: Serial,
    urls: OwnedUrls,
}

/// URLs of an issuer that go into its certificates.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnedUrls {
    pub(super) crl: Vec<String>,
    pub(super) ocsp: Vec<String>,
    pub(super) issuing: Vec<String>,
}

/// Why no certificate can be made, for good.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// What is asked for is not possible.
    #[error("Error generating certificate template: {0}")]
    Template(String),
    /// Something is random that must be.
    #[error("get random bytes for a serial number")]
    Random,
}

impl Job {
    /// For `input`, to be valid from `now`.
    pub(super) fn new(
        input: &SigningInput<'_>,
        urls: OwnedUrls,
        now: Timestamp,
    ) -> Result<Self, Refused> {
        let facts = input.csr.map_err(|why| Refused::Template(why.to_owned()))?;
        let request =
            request_der(input.request).map_err(|error| Refused::Template(error.to_string()))?;
        let lifetime = lifetime(input.duration).map_err(Refused::Template)?;
        let not_after = now
            .checked_add(lifetime)
            .map_err(|_| Refused::Template("spec.duration is too long".to_owned()))?;
        let mut serial = [0; 16];
        aws_lc_rs::rand::fill(&mut serial).map_err(|_| Refused::Random)?;
        Ok(Self {
            request,
            facts: facts.clone(),
            is_ca: input.is_ca,
            usages: input.usages.iter().copied().map(Usage::from).collect(),
            ca_may_sign: input.ca_may_sign,
            not_before: now,
            not_after,
            serial: Serial::from_random(serial),
            urls,
        })
    }

    /// Do `work` with it where nobody waits for the CPU.
    pub(super) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&Template<'_>) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        spawn_blocking(move || {
            let Self {
                request,
                facts,
                is_ca,
                usages,
                ca_may_sign,
                not_before,
                not_after,
                serial,
                urls,
            } = &self;
            work(&Template {
                request,
                facts,
                is_ca: *is_ca,
                usages,
                ca_may_sign: *ca_may_sign,
                serial: *serial,
                not_before: *not_before,
                not_after: *not_after,
                urls: Urls {
                    crl: &urls.crl,
                    ocsp: &urls.ocsp,
                    issuing: &urls.issuing,
                },
            })
        })
        .await
    }
}

/// What is said when the library did not sign.
pub(super) fn not_signed(error: &pki::Error) -> String {
    match error {
        pki::Error::Request(_) | pki::Error::RequestParameters(_) => {
            Refused::Template(error.to_string()).to_string()
        }
        _ => format!("Error signing certificate: {error}"),
    }
}

/// What is said of a Secret that does not exist.
pub(super) fn secret_missing(reason: &'static str, secret: &ObjectKey) -> Outcome {
    Outcome::Pending(Said {
        reason,
        message: format!("Referenced secret {secret} not found: it is waited for"),
    })
}

/// What is said when the certificate ends sooner than was asked for.
pub(super) fn shortened(issuer: &IssuerView, end: Timestamp) -> Said {
    Said {
        reason: reason::LIFETIME_SHORTENED,
        message: format!(
            "The certificate ends at {}, sooner than asked for: then the CA of {issuer} expires",
            end.strftime("%Y-%m-%dT%H:%M:%SZ")
        ),
    }
}

fn lifetime(asked: Option<&Duration>) -> Result<SignedDuration, String> {
    let Some(asked) = asked else {
        return Ok(duration::DEFAULT_LIFETIME);
    };
    let lifetime = asked
        .parse()
        .map_err(|error| format!("spec.duration: {error}"))?;
    match lifetime.is_positive() {
        true => Ok(lifetime),
        false => Err(format!("spec.duration {asked} is not positive")),
    }
}

#[cfg(test)]
mod tests;
