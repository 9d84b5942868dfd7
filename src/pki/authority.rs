//! Can a certificate and key sign others, and what goes with what they sign?

use std::fmt;

use jiff::Timestamp;

use super::{
    Error,
    certificate::{CertificateFacts, leaf_der},
    chain::Chain,
    key::PrivateKey,
    pem::{self, Limits},
    signed_by::{Fingerprint, key_id},
};

/// A CA's certificate with its key. `Debug` shows neither.
pub struct Authority {
    key: PrivateKey,
    fingerprint: Fingerprint,
    subject_der: Vec<u8>,
    subject_key_id: Option<Vec<u8>>,
    signs_lists: bool,
    not_before: Timestamp,
    not_after: Timestamp,
    intermediates_pem: String,
    ca_pem: String,
}

impl Authority {
    /// Reads the CA's certificate, followed by those above it as far as they are there, its private
    /// key, and the certificate on top if that is kept apart; all PEM.
    ///
    /// # Errors
    /// [`Error::Authority`] if they are read and cannot sign, [`Error::Chain`] if they form no
    /// chain; otherwise why they cannot be read.
    pub fn from_pem(chain: &[u8], key: &[u8], root: Option<&[u8]>) -> Result<Self, Error> {
        let refused = |why: &str| Err(Error::Authority(why.to_owned()));
        let leaf = leaf_der(chain)?;
        let facts = CertificateFacts::from_der(&leaf)?;
        let key = PrivateKey::from_pem(key)?;
        if !facts.is_ca() {
            return refused("certificate is not a CA");
        }
        if facts.usages.bits() != 0 && !facts.usages.can_sign_certificates() {
            return refused(
                "the key usage of the certificate does not allow it: add \"cert sign\"",
            );
        }
        if key.public_key_hash()? != facts.public_key {
            return refused("the private key does not belong to the certificate");
        }

        let Limits {
            chain: most_chain,
            certificate: most_root,
            ..
        } = Limits::current();
        let mut all = chain.to_vec();
        if let Some(root) = root {
            all.push(b'\n');
            all.extend(pem::encode(pem::CERTIFICATE, &leaf_der(root)?).bytes());
        }
        let Chain { chain_pem, ca_pem } = Chain::from_pem_within(&all, most_chain + most_root)?;
        let leaf_pem = pem::encode(pem::CERTIFICATE, &leaf);
        let Some(above) = chain_pem.strip_prefix(&leaf_pem) else {
            return refused("the first certificate is not the last of its chain");
        };
        let intermediates_pem = match &ca_pem {
            // It is its own root, and not sent along.
            Some(root) if *root == leaf_pem => String::new(),
            _ => leaf_pem.clone() + above,
        };
        let signs_lists = facts.usages.bits() == 0 || facts.usages.can_sign_lists();
        Ok(Self {
            key,
            fingerprint: Fingerprint::of(&leaf),
            signs_lists,
            subject_der: facts.subject_der,
            subject_key_id: facts.subject_key_id,
            not_before: facts.not_before,
            not_after: facts.not_after,
            intermediates_pem,
            ca_pem: ca_pem.unwrap_or(leaf_pem),
        })
    }

    /// Whether what it signs at `now` is believed by anybody.
    ///
    /// # Errors
    /// [`Error::Authority`] if its certificate has expired, or is not valid yet.
    pub fn check_validity(&self, now: Timestamp) -> Result<(), Error> {
        let shown = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        if now >= self.not_after {
            return Err(Error::Authority(format!(
                "certificate expired at {}",
                shown(self.not_after)
            )));
        }
        if now < self.not_before {
            return Err(Error::Authority(format!(
                "certificate is not valid before {}",
                shown(self.not_before)
            )));
        }
        Ok(())
    }

    /// When the answer of [`Authority::check_validity`] changes next after `now`.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        [self.not_before, self.not_after]
            .into_iter()
            .find(|change| *change > now)
    }

    /// The last moment of its certificate's validity.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Which certificate it signs with.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The identifier of its key, as what it signs names it.
    pub fn key_id(&self) -> Option<Box<str>> {
        self.subject_key_id().map(key_id)
    }

    /// Whether it may sign revocation lists (RFC 5280, 4.2.1.3).
    pub fn signs_lists(&self) -> bool {
        self.signs_lists
    }

    pub(super) fn key(&self) -> &PrivateKey {
        &self.key
    }

    pub(super) fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    pub(super) fn subject_key_id(&self) -> Option<&[u8]> {
        self.subject_key_id.as_deref().filter(|id| !id.is_empty())
    }

    /// Its certificate and those above, without the root.
    pub(super) fn intermediates_pem(&self) -> &str {
        &self.intermediates_pem
    }

    /// The root, or the topmost certificate that is known, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("key", &self.key)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
