//! What did the issuer answer to a request?

use k8s_openapi::ByteString;

use crate::{
    api::{reference::IssuerRef, request::CertificateRequest},
    certificate::{
        details,
        secret::{ChainHash, Leaf},
    },
    cluster::ObjectKey,
    pki::certificate::CertificateFacts,
};

/// A certificate as it stands in the status of a CertificateRequest.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The request.
    pub request: ObjectKey,
    /// Its issuer, as it was written there.
    pub issuer: IssuerRef,
    /// Leaf and intermediates, PEM, byte for byte as they came.
    pub chain_pem: Vec<u8>,
    /// The CA, PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// The hash of the chain.
    pub chain: ChainHash,
    /// What the leaf says, or why it cannot be read.
    pub certificate: Result<Readable, String>,
}

/// What a certificate that can be read says.
#[derive(Clone, Debug)]
pub struct Readable {
    /// What decisions need.
    pub leaf: Leaf,
    /// The annotations that its Secret gets.
    pub details: Vec<(&'static str, String)>,
}

impl Issued {
    /// The certificate of `request`, empty where there is none.
    pub fn of(request: CertificateRequest) -> Self {
        let key = ObjectKey::of(&request.metadata);
        let status = request.status.unwrap_or_default();
        let ByteString(chain_pem) = status.certificate.unwrap_or_default();
        let ca_pem = status.ca.map(|ca| ca.0).filter(|ca| !ca.is_empty());
        Self::new(key, request.spec.issuer_ref, chain_pem, ca_pem)
    }

    /// The certificate `chain_pem` that `issuer` gave for `request`.
    pub fn new(
        request: ObjectKey,
        issuer: IssuerRef,
        chain_pem: Vec<u8>,
        ca_pem: Option<Vec<u8>>,
    ) -> Self {
        let certificate = CertificateFacts::from_pem(&chain_pem)
            .map(|certificate| Readable {
                leaf: Leaf::from(&certificate),
                details: details::annotations(&certificate).into_iter().collect(),
            })
            .map_err(|error| error.to_string());
        Self {
            request,
            issuer,
            chain: ChainHash::of(&chain_pem),
            chain_pem,
            ca_pem,
            certificate,
        }
    }
}
