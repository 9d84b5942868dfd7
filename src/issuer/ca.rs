//! An issuer with a CA in a Secret: can it sign, and what does it answer to a request?

use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use crate::{
    api::{
        issuer::CaIssuer,
        names::secret_key::{CA, CERTIFICATE, PRIVATE_KEY},
        reason::request as reason,
    },
    cluster::ObjectKey,
    issuer::{
        error::Error,
        local::{
            Certificate, Job, KnownAuthority, LocalSigners, Outcome, OwnedUrls, Refused,
            SigningError, SigningInput, not_signed, secret_missing, shortened,
        },
        order_request::Said,
        rotation::record::Identity,
        secret::{self, Entries},
        view::IssuerView,
    },
    pki::{self, authority::Authority, issue},
};

/// Why a CA cannot be had.
enum Unavailable {
    /// The message of its issuer tells why.
    Issuer(Error),
    /// It could not be found out.
    Unknown(SigningError),
}

impl From<Unavailable> for Error {
    fn from(why: Unavailable) -> Self {
        match why {
            Unavailable::Issuer(error) => error,
            Unavailable::Unknown(error) => Self::AuthorityRead(Box::new(error)),
        }
    }
}

impl LocalSigners {
    /// The CA of `issuer`, if it can sign, and when that will change, if nothing else does.
    pub(super) async fn check_ca(
        &self,
        issuer: &IssuerView,
        ca: &CaIssuer,
    ) -> Result<(Identity, Option<Timestamp>), Error> {
        let authority = self.authority(issuer, ca).await.map_err(Error::from)?;
        Ok((
            Identity::from(&*authority),
            authority.next_change(self.clock.now()),
        ))
    }

    /// What becomes of a request at the CA of `issuer`.
    ///
    /// # Errors
    /// It could not be found out.
    pub(super) async fn sign_by_ca(
        &self,
        issuer: &IssuerView,
        ca: &CaIssuer,
        input: &SigningInput<'_>,
    ) -> Result<Outcome, SigningError> {
        let authority = match self.authority(issuer, ca).await {
            Ok(authority) => authority,
            Err(Unavailable::Issuer(Error::AuthorityMissing { .. })) => {
                return Ok(secret_missing(reason::SECRET_MISSING, &place(issuer, ca)));
            }
            Err(Unavailable::Issuer(error)) => {
                let place = place(issuer, ca);
                return Ok(Outcome::Pending(Said {
                    reason: reason::SECRET_INVALID_DATA,
                    message: format!(
                        "Failed to parse signing CA keypair from secret {place}: {error}"
                    ),
                }));
            }
            Err(Unavailable::Unknown(error)) => return Err(error),
        };
        let failed = |message| {
            Ok(Outcome::Failed(Said {
                reason: reason::SIGNING_ERROR,
                message,
            }))
        };
        let urls = OwnedUrls {
            crl: distribution_points(ca),
            ocsp: ca.ocsp_servers.clone().unwrap_or_default(),
            issuing: ca.issuing_certificate_urls.clone().unwrap_or_default(),
        };
        let job = match Job::new(input, urls, self.clock.now()) {
            Ok(job) => job,
            Err(Refused::Random) => return Err(SigningError::Random),
            Err(error) => return failed(error.to_string()),
        };
        match job
            .run(move |template| issue::sign(template, &authority))
            .await?
        {
            Ok(signed) => Ok(Outcome::Issued(Box::new(Certificate {
                chain_pem: signed.chain_pem,
                ca_pem: signed.ca_pem,
                remark: signed.shortened_to.map(|end| shortened(issuer, end)),
            }))),
            Err(error) => failed(not_signed(&error)),
        }
    }

    /// The CA of `issuer`, to sign lists of revoked certificates.
    ///
    /// # Errors
    /// There is none that is valid now.
    pub async fn list_authority(
        &self,
        issuer: &IssuerView,
        ca: &CaIssuer,
    ) -> Result<Arc<Authority>, Error> {
        self.authority(issuer, ca).await.map_err(Error::from)
    }

    /// The CA of `issuer`, valid now.
    async fn authority(
        &self,
        issuer: &IssuerView,
        ca: &CaIssuer,
    ) -> Result<Arc<Authority>, Unavailable> {
        let place = place(issuer, ca);
        let invalid = |source| {
            Unavailable::Issuer(Error::Authority {
                name: place.name.to_string(),
                namespace: place.namespace.to_string(),
                source,
            })
        };
        let known = self.authorities.get(&place);
        let version = (self.versions)(&place);
        let authority = match known.filter(|known| version.as_ref() == Some(&known.version)) {
            Some(known) => known.authority,
            None => {
                self.authorities.remove(&place);
                let read = self.read_authority(&place).await?;
                let authority = Arc::clone(&read.authority);
                self.authorities.put(place.clone(), read);
                authority
            }
        };
        authority
            .check_validity(self.clock.now())
            .map_err(invalid)?;
        Ok(authority)
    }

    async fn read_authority(&self, place: &ObjectKey) -> Result<KnownAuthority, Unavailable> {
        let unknown = Unavailable::Unknown;
        let entries = secret::read_all(&self.cluster, place)
            .await
            .map_err(|error| unknown(error.into()))?;
        let (name, namespace) = (place.name.to_string(), place.namespace.to_string());
        let Some(entries) = entries else {
            return Err(Unavailable::Issuer(Error::AuthorityMissing {
                name,
                namespace,
            }));
        };
        for entry in [CERTIFICATE, PRIVATE_KEY] {
            if entries.get(entry).is_none() {
                return Err(Unavailable::Issuer(Error::AuthorityEntryMissing {
                    name,
                    namespace,
                    entry,
                }));
            }
        }
        let version = entries.version.clone();
        let parsed = spawn_blocking(move || parse(&entries))
            .await
            .map_err(|error| unknown(error.into()))?;
        match parsed {
            Ok(authority) => Ok(KnownAuthority {
                version,
                authority: Arc::new(authority),
            }),
            Err(source) => Err(Unavailable::Issuer(Error::Authority {
                name,
                namespace,
                source,
            })),
        }
    }
}

fn parse(entries: &Entries) -> Result<Authority, pki::Error> {
    let chain = entries.get(CERTIFICATE).unwrap_or_default();
    let key = entries.get(PRIVATE_KEY).unwrap_or_default();
    Authority::from_pem(chain, key, entries.get(CA))
}

/// Where clients get lists of revoked certificates: as the user wrote, and the one published here.
fn distribution_points(ca: &CaIssuer) -> Vec<String> {
    let mut urls = ca.crl_distribution_points.clone().unwrap_or_default();
    let own = ca.crl.as_ref().and_then(|crl| crl.url.as_ref());
    if let Some(own) = own.filter(|own| !urls.contains(own)) {
        urls.push(own.clone());
    }
    urls
}

/// The Secret of the CA of `issuer`.
pub(super) fn place(issuer: &IssuerView, ca: &CaIssuer) -> ObjectKey {
    ObjectKey::new(
        Arc::clone(&issuer.secrets_namespace),
        ca.secret_name.as_str(),
    )
}
