//! What may a key be used for, in the words of the API?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A key usage or extended key usage (RFC 5280 sections 4.2.1.3 and 4.2.1.12).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum KeyUsage {
    /// Another word for digital signature.
    #[serde(rename = "signing")]
    Signing,
    /// Sign data other than certificates and revocation lists.
    #[serde(rename = "digital signature")]
    DigitalSignature,
    /// Sign so that it cannot be denied later.
    #[serde(rename = "content commitment")]
    ContentCommitment,
    /// Encrypt keys.
    #[serde(rename = "key encipherment")]
    KeyEncipherment,
    /// Agree on keys.
    #[serde(rename = "key agreement")]
    KeyAgreement,
    /// Encrypt data directly.
    #[serde(rename = "data encipherment")]
    DataEncipherment,
    /// Sign certificates.
    #[serde(rename = "cert sign")]
    CertSign,
    /// Sign revocation lists.
    #[serde(rename = "crl sign")]
    CrlSign,
    /// With key agreement: only encrypt.
    #[serde(rename = "encipher only")]
    EncipherOnly,
    /// With key agreement: only decrypt.
    #[serde(rename = "decipher only")]
    DecipherOnly,
    /// Any extended usage.
    #[serde(rename = "any")]
    Any,
    /// Be a TLS server.
    #[serde(rename = "server auth")]
    ServerAuth,
    /// Be a TLS client.
    #[serde(rename = "client auth")]
    ClientAuth,
    /// Sign code.
    #[serde(rename = "code signing")]
    CodeSigning,
    /// Sign and encrypt mail.
    #[serde(rename = "email protection")]
    EmailProtection,
    /// Another word for email protection.
    #[serde(rename = "s/mime")]
    Smime,
    /// Be an IPsec end system.
    #[serde(rename = "ipsec end system")]
    IpsecEndSystem,
    /// Be an IPsec tunnel.
    #[serde(rename = "ipsec tunnel")]
    IpsecTunnel,
    /// Be an IPsec user.
    #[serde(rename = "ipsec user")]
    IpsecUser,
    /// Sign timestamps.
    #[serde(rename = "timestamping")]
    Timestamping,
    /// Sign OCSP answers.
    #[serde(rename = "ocsp signing")]
    OcspSigning,
    /// Microsoft's old server gated cryptography.
    #[serde(rename = "microsoft sgc")]
    MicrosoftSgc,
    /// Netscape's old server gated cryptography.
    #[serde(rename = "netscape sgc")]
    NetscapeSgc,
}

impl KeyUsage {
    /// Every usage, in the order of the contract.
    pub const ALL: [Self; 23] = [
        Self::Signing,
        Self::DigitalSignature,
        Self::ContentCommitment,
        Self::KeyEncipherment,
        Self::KeyAgreement,
        Self::DataEncipherment,
        Self::CertSign,
        Self::CrlSign,
        Self::EncipherOnly,
        Self::DecipherOnly,
        Self::Any,
        Self::ServerAuth,
        Self::ClientAuth,
        Self::CodeSigning,
        Self::EmailProtection,
        Self::Smime,
        Self::IpsecEndSystem,
        Self::IpsecTunnel,
        Self::IpsecUser,
        Self::Timestamping,
        Self::OcspSigning,
        Self::MicrosoftSgc,
        Self::NetscapeSgc,
    ];

    /// The usages of a certificate that asks for none.
    pub const DEFAULT: [Self; 2] = [Self::DigitalSignature, Self::KeyEncipherment];

    /// The usage as it is written in a resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::DigitalSignature => "digital signature",
            Self::ContentCommitment => "content commitment",
            Self::KeyEncipherment => "key encipherment",
            Self::KeyAgreement => "key agreement",
            Self::DataEncipherment => "data encipherment",
            Self::CertSign => "cert sign",
            Self::CrlSign => "crl sign",
            Self::EncipherOnly => "encipher only",
            Self::DecipherOnly => "decipher only",
            Self::Any => "any",
            Self::ServerAuth => "server auth",
            Self::ClientAuth => "client auth",
            Self::CodeSigning => "code signing",
            Self::EmailProtection => "email protection",
            Self::Smime => "s/mime",
            Self::IpsecEndSystem => "ipsec end system",
            Self::IpsecTunnel => "ipsec tunnel",
            Self::IpsecUser => "ipsec user",
            Self::Timestamping => "timestamping",
            Self::OcspSigning => "ocsp signing",
            Self::MicrosoftSgc => "microsoft sgc",
            Self::NetscapeSgc => "netscape sgc",
        }
    }
}

impl std::str::FromStr for KeyUsage {
    type Err = UnknownUsage;

    fn from_str(text: &str) -> Result<Self, UnknownUsage> {
        Self::ALL
            .into_iter()
            .find(|usage| usage.as_str() == text)
            .ok_or_else(|| UnknownUsage(text.to_owned()))
    }
}

/// A word that is no key usage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no key usage; see spec.usages of Certificate for those that are")]
pub struct UnknownUsage(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_json() {
        for usage in KeyUsage::ALL {
            assert_eq!(serde_json::json!(usage), usage.as_str());
            assert_eq!(usage.as_str().parse(), Ok(usage));
        }
        assert!("Server Auth".parse::<KeyUsage>().is_err());
    }
}
