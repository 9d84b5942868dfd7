//! How is an issued certificate fetched, and which other chains are there (RFC 8555, 7.4.2)?

use super::{Action, Error, Session};
use crate::pki::chain;

/// More alternates are not fetched.
const MAX_ALTERNATES: usize = 10;

/// An issued certificate with its chain.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct IssuedChain {
    /// The leaf and its chain in PEM.
    pub pem: String,
    /// Where the same certificate is with other chains.
    pub alternates: Vec<String>,
}

impl Session {
    /// Fetches a certificate with the chain that the CA prefers, or, by the URL of an alternate,
    /// with that one.
    ///
    /// # Errors
    /// Those of the request; [`Error::Malformed`] if it is not a PEM chain.
    pub async fn certificate(&self, url: &str) -> Result<IssuedChain, Error> {
        let answer = self.post_as_get(Action::Certificate, url).await?;
        let mut alternates = answer.links("alternate");
        alternates.truncate(MAX_ALTERNATES);
        if let Err(error) = chain::certificates(&answer.body) {
            return Err(answer.malformed(error));
        }
        Ok(IssuedChain {
            pem: answer.text()?,
            alternates,
        })
    }

    /// Fetches a certificate with the first chain, of the default one and the alternates in their
    /// order, whose topmost certificate was issued by `common_name`; if there is none, with the
    /// default chain.
    ///
    /// # Errors
    /// As [`Session::certificate`]; an alternate that cannot be fetched is an error too, as it may
    /// be the wanted one.
    pub async fn certificate_preferring(
        &self,
        url: &str,
        common_name: &str,
    ) -> Result<IssuedChain, Error> {
        let default = self.certificate(url).await?;
        if default.ends_at(common_name) {
            return Ok(default);
        }
        for alternate in &default.alternates {
            let chain = self.certificate(alternate).await?;
            if chain.ends_at(common_name) {
                return Ok(chain);
            }
        }
        Ok(default)
    }
}

impl IssuedChain {
    fn ends_at(&self, common_name: &str) -> bool {
        match chain::topmost_issuer_common_name(self.pem.as_bytes()) {
            Ok(issuer) => issuer.as_deref() == Some(common_name),
            Err(_) => false,
        }
    }
}
