//! An issuer without a key of its own: what does it answer to a request that signs itself?

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::{
    api::{issuer::SelfSignedIssuer, names::secret_key::PRIVATE_KEY, reason::request as reason},
    cluster::ObjectKey,
    issuer::{
        local::{
            Certificate, Job, LocalSigners, Outcome, OwnedUrls, Refused, SigningError,
            SigningInput, not_signed, secret_missing,
        },
        order_request::Said,
        secret::{self, Entry},
    },
    pki::{self, csr::CsrFacts, issue, key::PrivateKey},
};

/// What kept a certificate from being signed.
enum Trouble {
    Key(pki::Error),
    OtherKey,
    Sign(pki::Error),
}

/// The key of a request.
enum Key {
    /// As it is used.
    AtHand(Arc<PrivateKey>),
    /// As PEM.
    Stored(Zeroizing<Vec<u8>>),
}

impl Key {
    fn parse(self) -> Result<Arc<PrivateKey>, pki::Error> {
        match self {
            Self::AtHand(key) => Ok(key),
            Self::Stored(pem) => PrivateKey::from_pem(&pem).map(Arc::new),
        }
    }
}

impl LocalSigners {
    /// What becomes of a request that is signed with its own key.
    ///
    /// # Errors
    /// It could not be found out.
    pub(super) async fn sign_itself(
        &self,
        issuer: &SelfSignedIssuer,
        input: &SigningInput<'_>,
    ) -> Result<Outcome, SigningError> {
        let failed = |reason, message| Ok(Outcome::Failed(Said { reason, message }));
        let annotation = input.key_annotation;
        let named = input.annotations.get(annotation);
        let Some(name) = named.filter(|name| !name.is_empty()) else {
            return failed(
                reason::MISSING_ANNOTATION,
                format!(
                    "Annotation {annotation:?} missing or reference empty: secret name missing: make \
                     the request again with the name of the Secret that holds its private key"
                ),
            );
        };
        let place = ObjectKey::new(input.namespace, name.as_str());
        let unreadable = |why: &str| {
            Ok(Outcome::Pending(Said {
                reason: reason::ERROR_PARSING_KEY,
                message: format!(
                    "Failed to get key {name:?} referenced in annotation {annotation:?}: {why}"
                ),
            }))
        };
        let key = match input.key {
            Some(key) => Key::AtHand(Arc::clone(key)),
            None => match secret::read(&self.cluster, &place, PRIVATE_KEY).await? {
                Entry::NoSecret => return Ok(secret_missing(reason::MISSING_SECRET, &place)),
                Entry::Absent => return unreadable(&format!("no entry {PRIVATE_KEY:?}")),
                Entry::Found { bytes, version: _ } => Key::Stored(bytes),
            },
        };
        let urls = OwnedUrls {
            crl: issuer.crl_distribution_points.clone().unwrap_or_default(),
            ..OwnedUrls::default()
        };
        let job = match Job::new(input, urls, self.clock.now()) {
            Ok(job) => job,
            Err(Refused::Random) => return Err(SigningError::Random),
            Err(error) => return failed(reason::ERROR_GENERATING, error.to_string()),
        };
        let is_nameless = input.csr.is_ok_and(CsrFacts::has_empty_subject);
        let signed = job.run(move |template| {
            let key = key.parse().map_err(Trouble::Key)?;
            if key.public_key_hash().map_err(Trouble::Key)? != template.facts.public_key {
                return Err(Trouble::OtherKey);
            }
            issue::sign_itself(template, &key).map_err(Trouble::Sign)
        });
        match signed.await? {
            Ok(pem) => Ok(Outcome::Issued(Box::new(Certificate {
                chain_pem: pem.clone(),
                ca_pem: pem,
                remark: is_nameless.then(nameless),
            }))),
            Err(Trouble::Key(error)) => unreadable(&error.to_string()),
            Err(Trouble::OtherKey) => failed(
                reason::ERROR_KEY_MATCH,
                format!(
                    "Error generating certificate template: CSR not signed by referenced private \
                     key: the request is for another key than the one in Secret {place}"
                ),
            ),
            Err(Trouble::Sign(error)) => failed(
                match error {
                    pki::Error::Request(_) | pki::Error::RequestParameters(_) => {
                        reason::ERROR_GENERATING
                    }
                    _ => reason::ERROR_SIGNING,
                },
                not_signed(&error),
            ),
        }
    }
}

/// What is said of a certificate whose issuer, itself, has no name.
fn nameless() -> Said {
    Said {
        reason: reason::BAD_CONFIG,
        message: "Certificate will be issued with an empty Issuer DN, which contravenes RFC 5280 \
                  and could break some strict clients: set commonName or subject"
            .to_owned(),
    }
}
