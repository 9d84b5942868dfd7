//! What is to be done for one certificate, by what is known of the CAs of its issuer? Pure.

use jiff::Timestamp;

use super::{
    Issued,
    record::{Identity, Record, SignerOf},
    turns::{Turns, Work},
};
use crate::{
    api::names::annotation, cluster::ObjectKey, issuer::view::IssuerView,
    pki::signed_by::Fingerprint,
};

/// Whether certificates are re-issued when the CA of their issuer changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    Automatic,
    /// They are left to their ordinary renewal.
    Never,
}

impl Mode {
    /// What the annotation of an issuer says.
    ///
    /// # Errors
    /// What it says, where that means nothing: then nothing is re-issued.
    pub fn of(issuer: &IssuerView) -> Result<Self, String> {
        match issuer
            .annotations
            .get(annotation::ROTATION)
            .map(String::as_str)
        {
            None | Some("Automatic") => Ok(Self::Automatic),
            Some("Never") => Ok(Self::Never),
            Some(other) => Err(other.to_owned()),
        }
    }
}

/// What decides what is to be done for a certificate.
#[derive(Clone, PartialEq)]
pub(super) struct Rules {
    /// Its CAs.
    pub(super) record: Record,
    /// Whether it asks for that.
    pub(super) mode: Mode,
    /// The Secret of the CA.
    pub(super) own_secret: ObjectKey,
}

impl Rules {
    /// What is to be done for the certificate of `certificate`, where `turns` are those of the issuer.
    pub(super) fn work(
        &self,
        turns: &Turns,
        certificate: &ObjectKey,
        issued: &Issued,
        now: Timestamp,
    ) -> Work {
        match self.mode {
            Mode::Automatic => {}
            Mode::Never => return Work::None,
        }
        let lacks = !self
            .beside(turns, certificate, &issued.roots, now)
            .is_empty();
        match self.record.signer_of(&issued.signed_by) {
            SignerOf::Former(former) => Work::Reissue {
                ca: former.certificate,
                expires: issued.not_after,
                trusted_until: former.trusted_until(),
                // One that nobody believes any more is better replaced at once.
                lacks: lacks && former.trusted_until() > now,
            },
            // Another root than ours was put there by somebody, who may put back what belongs there.
            SignerOf::Present if lacks && self.record.leads(&issued.roots) => Work::Extend,
            SignerOf::Present if self.record.is_bundle(&issued.roots) => Work::Restore,
            SignerOf::Present | SignerOf::Unknown => Work::None,
        }
    }

    /// The roots that are to stand beside `roots` in the `ca.crt` of `certificate`.
    pub(super) fn beside(
        &self,
        turns: &Turns,
        certificate: &ObjectKey,
        roots: &[Fingerprint],
        now: Timestamp,
    ) -> Vec<Box<str>> {
        match self.mode {
            Mode::Automatic => {}
            Mode::Never => return Vec::new(),
        }
        let is_needed = |former: &Identity| turns.is_needed(&former.certificate, certificate);
        self.record.missing(roots, is_needed, now)
    }
}
