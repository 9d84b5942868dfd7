//! How is a certificate revoked (RFC 8555, 7.6)?

use instant_acme::{RevocationReason, RevocationRequest};
use rustls::pki_types::CertificateDer;

use super::{AccountKey, Action, Client, Error, ProblemType, Session, jws::Signatory};

/// How a revocation ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Revoked {
    /// It had been revoked before.
    Already,
    /// It is revoked now.
    Now,
}

impl Session {
    /// Revokes a certificate, given in DER, that this account ordered or whose names it has valid
    /// authorizations for.
    ///
    /// # Errors
    /// Those of the request; [`Error::Unsupported`] if the CA does not revoke.
    pub async fn revoke(
        &self,
        certificate_der: &[u8],
        reason: Option<RevocationReason>,
    ) -> Result<Revoked, Error> {
        let signatory = Signatory::Account(&self.account_url);
        self.client
            .revoke(certificate_der, reason, &self.key, signatory)
            .await
    }
}

impl Client {
    /// Revokes a certificate, given in DER, with its own private key, for when the account is not
    /// known any more.
    ///
    /// # Errors
    /// As [`Session::revoke`].
    pub async fn revoke_with_certificate_key(
        &self,
        certificate_der: &[u8],
        reason: Option<RevocationReason>,
        key: &AccountKey,
    ) -> Result<Revoked, Error> {
        self.revoke(certificate_der, reason, key, Signatory::Key(key.jwk()))
            .await
    }

    async fn revoke(
        &self,
        certificate_der: &[u8],
        reason: Option<RevocationReason>,
        key: &AccountKey,
        signatory: Signatory<'_>,
    ) -> Result<Revoked, Error> {
        let action = Action::Revoke;
        let directory = self.directory().await?;
        let url = directory
            .revoke_cert
            .as_deref()
            .ok_or(Error::Unsupported { action })?;
        let payload = serde_json::to_vec(&RevocationRequest {
            certificate: &CertificateDer::from(certificate_der),
            reason,
        })
        .map_err(|_| Error::Sign { action })?;
        match self.post(action, url, key, signatory, &payload).await {
            Ok(_) => Ok(Revoked::Now),
            Err(Error::Problem { problem, .. }) if problem.kind == ProblemType::AlreadyRevoked => {
                Ok(Revoked::Already)
            }
            Err(error) => Err(error),
        }
    }
}
