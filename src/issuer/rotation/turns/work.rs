//! What is to be done for a Certificate as the CA of its issuer changed?

use jiff::Timestamp;

use crate::pki::signed_by::Fingerprint;

/// What is to be done for a Certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    None,
    /// It is re-issued: it is of a CA that signs no more.
    Reissue {
        /// That CA.
        ca: Fingerprint,
        /// When the certificate expires: the soonest is the most urgent.
        expires: Timestamp,
        /// Until when its CA is trusted.
        trusted_until: Timestamp,
        /// Whether its `ca.crt` lacks a root that others are of, or will be: it gets that first.
        lacks: bool,
    },
    /// It is of the present CA, and its `ca.crt` lacks the root of one that others are of.
    Extend,
    /// Its `ca.crt` is put back to the one root.
    Restore,
}

impl Work {
    /// Whether its `ca.crt` lacks roots.
    pub fn lacks_roots(self) -> bool {
        match self {
            Self::Reissue { lacks, .. } => lacks,
            Self::Extend => true,
            Self::None | Self::Restore => false,
        }
    }
}
