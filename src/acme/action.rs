//! What do we ask of a CA, and who is told about each request?

use std::{fmt, time::Duration};

/// What is asked of a CA. The names are the values of the metrics' label `action`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Tells the CA that a challenge can be validated.
    AcceptChallenge,
    /// Fetches a certificate.
    Certificate,
    /// Gives an account up.
    DeactivateAccount,
    /// Gives an authorization up.
    DeactivateAuthorization,
    /// Hands the certificate request in.
    Finalize,
    /// Reads an account.
    Account,
    /// Reads an authorization.
    Authorization,
    /// Fetches the directory.
    Directory,
    /// Reads an order.
    Order,
    /// Makes or finds an account.
    NewAccount,
    /// Fetches a nonce.
    NewNonce,
    /// Makes an order.
    NewOrder,
    /// Asks when to renew.
    RenewalInfo,
    /// Revokes a certificate.
    Revoke,
    /// Changes an account's contacts.
    UpdateAccount,
}

impl Action {
    /// The name in metrics and as a fault point.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AcceptChallenge => "accept_challenge",
            Self::Account => "get_account",
            Self::Authorization => "get_authorization",
            Self::Certificate => "get_cert",
            Self::DeactivateAccount => "deactivate_account",
            Self::DeactivateAuthorization => "deactivate_authorization",
            Self::Directory => "get_directory",
            Self::Finalize => "finalize_order",
            Self::NewAccount => "register_account",
            Self::NewNonce => "get_nonce",
            Self::NewOrder => "authorize_order",
            Self::Order => "get_order",
            Self::RenewalInfo => "get_renewal_info",
            Self::Revoke => "revoke_cert",
            Self::UpdateAccount => "update_account",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AcceptChallenge => "accepting the challenge",
            Self::Account => "reading the ACME account",
            Self::Authorization => "reading the authorization",
            Self::Certificate => "fetching the certificate",
            Self::DeactivateAccount => "deactivating the ACME account",
            Self::DeactivateAuthorization => "deactivating the authorization",
            Self::Directory => "fetching the ACME directory",
            Self::Finalize => "finalizing the order",
            Self::NewAccount => "registering the ACME account",
            Self::NewNonce => "fetching a nonce",
            Self::NewOrder => "creating the order",
            Self::Order => "reading the order",
            Self::RenewalInfo => "asking for the renewal window",
            Self::Revoke => "revoking the certificate",
            Self::UpdateAccount => "updating the ACME account",
        })
    }
}

/// One request that was sent, for metrics and logs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Exchange<'a> {
    /// What was asked for.
    pub action: Action,
    /// `GET`, `HEAD` or `POST`.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host, with the port where it is not the scheme's own.
    pub host: &'a str,
    /// The HTTP status; `None` without an answer.
    pub status: Option<u16>,
    /// From sending to the end of the answer.
    pub duration: Duration,
}

/// Sees every request, also those that are repeated for their nonce.
pub trait Observer: Send + Sync {
    /// Just before a request is sent: a place to put a fault.
    fn before_request(&self, action: Action);
    /// When its answer has come, or failed to.
    fn after_request(&self, exchange: &Exchange<'_>);
}

/// An observer that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn before_request(&self, _: Action) {}
    fn after_request(&self, _: &Exchange<'_>) {}
}
