//! When does the CA want a certificate renewed (ARI, RFC 9773)?

use instant_acme::CertificateIdentifier;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use serde::{
    Deserialize,
    de::value::{BorrowedStrDeserializer, Error as ValueError},
};

use super::{Action, Client, Error};
use crate::net::http::RetryAfter;

/// The CA's wish.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RenewalInfo {
    /// Renew at a random moment in this window; at once if it has passed.
    pub suggested_window: Window,
    /// A page that says why.
    #[serde(rename = "explanationURL")]
    pub explanation_url: Option<String>,
    /// When to ask again.
    #[serde(skip)]
    pub retry_after: Option<RetryAfter>,
}

impl RenewalInfo {
    /// This window, with no reason given and no time to ask again.
    pub fn new(suggested_window: Window) -> Self {
        Self {
            suggested_window,
            explanation_url: None,
            retry_after: None,
        }
    }
}

/// A span of time.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub struct Window {
    /// Its start.
    pub start: Timestamp,
    /// Its end, after the start.
    pub end: Timestamp,
}

/// The identifier of a certificate, given in DER, for renewal information and `replaces`. `None`
/// if it does not parse or has no authority key identifier.
pub fn certificate_identifier(certificate_der: &[u8]) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(&CertificateDer::from(certificate_der))
        .ok()
        .map(CertificateIdentifier::into_owned)
}

/// The identifier that `text` is.
pub fn parse_identifier(text: &str) -> Option<CertificateIdentifier<'_>> {
    CertificateIdentifier::deserialize(BorrowedStrDeserializer::<ValueError>::new(text)).ok()
}

impl Client {
    /// Asks when to renew a certificate.
    ///
    /// # Errors
    /// Those of the request; [`Error::Unsupported`] if the CA has no opinion on any certificate,
    /// [`Error::Malformed`] if the window ends before it starts.
    pub async fn renewal_info(
        &self,
        certificate: &CertificateIdentifier<'_>,
    ) -> Result<RenewalInfo, Error> {
        let action = Action::RenewalInfo;
        let directory = self.directory().await?;
        let base = directory
            .renewal_info
            .as_deref()
            .ok_or(Error::Unsupported { action })?;
        let url = format!("{}/{certificate}", base.trim_end_matches('/'));
        let answer = self.get(action, &url).await?;
        let info = answer.json::<RenewalInfo>()?;
        if info.suggested_window.end <= info.suggested_window.start {
            return Err(answer.malformed("the window ends before it starts"));
        }
        Ok(RenewalInfo {
            retry_after: answer.retry_after(),
            ..info
        })
    }
}
