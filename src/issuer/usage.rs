//! What does a usage in the words of the API mean in a certificate?

use crate::{api::usage::KeyUsage, pki::usages::Usage};

impl From<KeyUsage> for Usage {
    fn from(usage: KeyUsage) -> Self {
        match usage {
            KeyUsage::Signing => Self::Signing,
            KeyUsage::DigitalSignature => Self::DigitalSignature,
            KeyUsage::ContentCommitment => Self::ContentCommitment,
            KeyUsage::KeyEncipherment => Self::KeyEncipherment,
            KeyUsage::KeyAgreement => Self::KeyAgreement,
            KeyUsage::DataEncipherment => Self::DataEncipherment,
            KeyUsage::CertSign => Self::CertSign,
            KeyUsage::CrlSign => Self::CrlSign,
            KeyUsage::EncipherOnly => Self::EncipherOnly,
            KeyUsage::DecipherOnly => Self::DecipherOnly,
            KeyUsage::Any => Self::Any,
            KeyUsage::ServerAuth => Self::ServerAuth,
            KeyUsage::ClientAuth => Self::ClientAuth,
            KeyUsage::CodeSigning => Self::CodeSigning,
            KeyUsage::EmailProtection => Self::EmailProtection,
            KeyUsage::Smime => Self::SMime,
            KeyUsage::IpsecEndSystem => Self::IpsecEndSystem,
            KeyUsage::IpsecTunnel => Self::IpsecTunnel,
            KeyUsage::IpsecUser => Self::IpsecUser,
            KeyUsage::Timestamping => Self::Timestamping,
            KeyUsage::OcspSigning => Self::OcspSigning,
            KeyUsage::MicrosoftSgc => Self::MicrosoftSgc,
            KeyUsage::NetscapeSgc => Self::NetscapeSgc,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_say_it_in_the_same_words() {
        for usage in KeyUsage::ALL {
            assert_eq!(Usage::from(usage).as_str(), usage.as_str());
        }
    }
}
