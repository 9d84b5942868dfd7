//! What may a key be used for: the 23 names that users write, and their bits and identifiers?

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Error;

/// A key usage or extended key usage, by the name that users write.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Usage {
    /// `any`
    Any,
    /// `cert sign`
    CertSign,
    /// `client auth`
    ClientAuth,
    /// `code signing`
    CodeSigning,
    /// `content commitment`
    ContentCommitment,
    /// `crl sign`
    CrlSign,
    /// `data encipherment`
    DataEncipherment,
    /// `decipher only`
    DecipherOnly,
    /// `digital signature`
    DigitalSignature,
    /// `email protection`
    EmailProtection,
    /// `encipher only`
    EncipherOnly,
    /// `ipsec end system`
    IpsecEndSystem,
    /// `ipsec tunnel`
    IpsecTunnel,
    /// `ipsec user`
    IpsecUser,
    /// `key agreement`
    KeyAgreement,
    /// `key encipherment`
    KeyEncipherment,
    /// `microsoft sgc`
    MicrosoftSgc,
    /// `netscape sgc`
    NetscapeSgc,
    /// `ocsp signing`
    OcspSigning,
    /// `s/mime`, the same as `email protection`
    SMime,
    /// `server auth`
    ServerAuth,
    /// `signing`, the same as `digital signature`
    Signing,
    /// `timestamping`
    Timestamping,
}

/// Where a usage stands in a certificate.
enum Place {
    /// A bit of the KeyUsage extension, counted from the first (RFC 5280, 4.2.1.3).
    Bit(u8),
    /// An identifier of the ExtendedKeyUsage extension (RFC 5280, 4.2.1.12).
    Extended(&'static [u64]),
}

impl Usage {
    /// Every usage; where two names mean the same, the one that is shown comes first.
    pub const ALL: [Self; 23] = [
        Self::DigitalSignature,
        Self::ContentCommitment,
        Self::KeyEncipherment,
        Self::DataEncipherment,
        Self::KeyAgreement,
        Self::CertSign,
        Self::CrlSign,
        Self::EncipherOnly,
        Self::DecipherOnly,
        Self::Any,
        Self::ServerAuth,
        Self::ClientAuth,
        Self::CodeSigning,
        Self::EmailProtection,
        Self::IpsecEndSystem,
        Self::IpsecTunnel,
        Self::IpsecUser,
        Self::Timestamping,
        Self::OcspSigning,
        Self::MicrosoftSgc,
        Self::NetscapeSgc,
        Self::Signing,
        Self::SMime,
    ];

    /// What a Certificate without usages gets.
    pub const DEFAULT: [Self; 2] = [Self::DigitalSignature, Self::KeyEncipherment];

    /// The name that users write.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::CertSign => "cert sign",
            Self::ClientAuth => "client auth",
            Self::CodeSigning => "code signing",
            Self::ContentCommitment => "content commitment",
            Self::CrlSign => "crl sign",
            Self::DataEncipherment => "data encipherment",
            Self::DecipherOnly => "decipher only",
            Self::DigitalSignature => "digital signature",
            Self::EmailProtection => "email protection",
            Self::EncipherOnly => "encipher only",
            Self::IpsecEndSystem => "ipsec end system",
            Self::IpsecTunnel => "ipsec tunnel",
            Self::IpsecUser => "ipsec user",
            Self::KeyAgreement => "key agreement",
            Self::KeyEncipherment => "key encipherment",
            Self::MicrosoftSgc => "microsoft sgc",
            Self::NetscapeSgc => "netscape sgc",
            Self::OcspSigning => "ocsp signing",
            Self::SMime => "s/mime",
            Self::ServerAuth => "server auth",
            Self::Signing => "signing",
            Self::Timestamping => "timestamping",
        }
    }

    fn place(self) -> Place {
        match self {
            Self::DigitalSignature | Self::Signing => Place::Bit(0),
            Self::ContentCommitment => Place::Bit(1),
            Self::KeyEncipherment => Place::Bit(2),
            Self::DataEncipherment => Place::Bit(3),
            Self::KeyAgreement => Place::Bit(4),
            Self::CertSign => Place::Bit(5),
            Self::CrlSign => Place::Bit(6),
            Self::EncipherOnly => Place::Bit(7),
            Self::DecipherOnly => Place::Bit(8),
            Self::Any => Place::Extended(&[2, 5, 29, 37, 0]),
            Self::ServerAuth => Place::Extended(&[1, 3, 6, 1, 5, 5, 7, 3, 1]),
            Self::ClientAuth => Place::Extended(&[1, 3, 6, 1, 5, 5, 7, 3, 2]),
            Self::CodeSigning => Place::Extended(&[1, 3, 6, 1, 5, 5, 7, 3, 3]),
            Self::EmailProtection | Self::SMime => Place::Extended(&[1, 3, 6, 1, 5, 5, 7, 3, 4]),
            Self::IpsecEndSystem => Place::Extended(&[1, 3, 6, 1, 5, 5, 7, 3, 5]),
            Self::IpsecTunnel => Place::Extended(&[1, 3, 6, 1, 5, 5, 7, 3, 6]),
            Self::IpsecUser => Place::Extended(&[1, 3, 6, 1, 5, 5, 7, 3, 7]),
            Self::Timestamping => Place::Extended(&[1, 3, 6, 1, 5, 5, 7, 3, 8]),
            Self::OcspSigning => Place::Extended(&[1, 3, 6, 1, 5, 5, 7, 3, 9]),
            Self::MicrosoftSgc => Place::Extended(&[1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
            Self::NetscapeSgc => Place::Extended(&[2, 16, 840, 1, 113_730, 4, 1]),
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Usage {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|usage| usage.as_str() == name)
            .ok_or_else(|| Error::Usage(name.to_owned()))
    }
}

/// Usages as a certificate or request holds them: equal when the encoded extensions are.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct UsageSet {
    /// Bit `n` of RFC 5280's KeyUsage is `1 << n`.
    bits: u16,
    /// Identifiers in dotted form, in the order of the extension.
    extended: Vec<String>,
}

impl UsageSet {
    /// What a request for these usages holds: none means [`Usage::DEFAULT`], and a CA can sign
    /// certificates. An identifier that is named twice stands there twice: other issuers compare the
    /// request with the list that it was made from.
    pub fn of(usages: &[Usage], is_ca: bool) -> Self {
        let usages = match usages {
            [] => Usage::DEFAULT.as_slice(),
            some => some,
        };
        let mut set = Self::default();
        for usage in usages {
            match usage.place() {
                Place::Bit(bit) => set.bits |= 1 << bit,
                Place::Extended(oid) => set.extended.push(dotted(oid)),
            }
        }
        if is_ca {
            set.bits |= 1 << 5;
        }
        set
    }

    pub(super) fn from_parts(bits: u16, extended: Vec<String>) -> Self {
        Self { bits, extended }
    }

    /// Whether neither extension is present.
    pub fn is_empty(&self) -> bool {
        self.bits == 0 && self.extended.is_empty()
    }

    /// Bit `n` of RFC 5280's KeyUsage is `1 << n`.
    pub fn bits(&self) -> u16 {
        self.bits
    }

    /// The identifiers of ExtendedKeyUsage in dotted form, in order.
    pub fn extended(&self) -> &[String] {
        &self.extended
    }

    /// Whether certificates may be signed with the key.
    pub fn can_sign_certificates(&self) -> bool {
        self.bits & (1 << 5) != 0
    }

    /// Whether revocation lists may be signed with the key.
    pub fn can_sign_lists(&self) -> bool {
        self.bits & (1 << 6) != 0
    }

    /// The known usages in the set: key usages first, each under one name.
    pub fn known(&self) -> Vec<Usage> {
        let mut seen = Self::default();
        let mut known = Vec::new();
        for usage in Usage::ALL {
            match usage.place() {
                Place::Bit(bit) if self.bits & !seen.bits & (1 << bit) != 0 => {
                    seen.bits |= 1 << bit;
                    known.push(usage);
                }
                Place::Bit(_) | Place::Extended(_) => {}
            }
        }
        for usage in self.extended.iter().filter_map(|oid| named(oid)) {
            if !known.contains(&usage) {
                known.push(usage);
            }
        }
        known
    }

    /// The extended identifiers in the set that have a name here.
    pub(super) fn known_extended(&self) -> Vec<String> {
        let known = self.extended.iter().filter(|oid| named(oid).is_some());
        known.cloned().collect()
    }

    /// The extended identifiers in the set that have no name here.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        let all = self.extended.iter().map(String::as_str);
        all.filter(|oid| named(oid).is_none())
    }
}

/// The usage with this identifier, under the name that is shown.
fn named(oid: &str) -> Option<Usage> {
    let is = |place: &[u64]| {
        let arcs = oid.split('.').map(|arc| arc.parse().ok());
        arcs.eq(place.iter().copied().map(Some))
    };
    Usage::ALL
        .into_iter()
        .find(|usage| matches!(usage.place(), Place::Extended(place) if is(place)))
}

fn dotted(oid: &[u64]) -> String {
    let parts = oid.iter().map(u64::to_string).collect::<Vec<_>>();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_round_trips() {
        for usage in Usage::ALL {
            assert_eq!(usage.as_str().parse(), Ok(usage));
        }
        assert_eq!(
            "Server Auth".parse::<Usage>(),
            Err(Error::Usage("Server Auth".to_owned()))
        );
    }

    #[test]
    fn sets_by_input() {
        let cases: &[(&[Usage], bool, &[&str])] = &[
            (&[], false, &["digital signature", "key encipherment"]),
            (
                &[],
                true,
                &["digital signature", "key encipherment", "cert sign"],
            ),
            (&[Usage::Signing], false, &["digital signature"]),
            (
                &[Usage::ClientAuth, Usage::ServerAuth, Usage::ClientAuth],
                false,
                &["client auth", "server auth"],
            ),
            (
                &[Usage::SMime, Usage::EmailProtection],
                true,
                &["cert sign", "email protection"],
            ),
            (&[Usage::DecipherOnly], false, &["decipher only"]),
        ];
        for (usages, is_ca, want) in cases {
            let known = UsageSet::of(usages, *is_ca).known();
            let known = known.into_iter().map(Usage::as_str).collect::<Vec<_>>();
            assert_eq!(known, *want, "{usages:?} {is_ca}");
        }
    }

    #[test]
    fn an_identifier_that_is_named_twice_stands_there_twice() {
        let usages = [Usage::ClientAuth, Usage::ServerAuth, Usage::ClientAuth];
        assert_eq!(UsageSet::of(&usages, false).extended().len(), 3);
        let usages = [Usage::SMime, Usage::EmailProtection];
        assert_eq!(UsageSet::of(&usages, false).extended().len(), 2);
    }

    #[test]
    fn unknown_identifiers_are_kept() {
        let set = UsageSet::from_parts(0, vec!["1.2.3".to_owned(), "2.5.29.37.0".to_owned()]);
        assert_eq!(set.unknown().collect::<Vec<_>>(), ["1.2.3"]);
        assert_eq!(set.known(), [Usage::Any]);
    }

    #[test]
    fn what_is_there_twice_is_named_once() {
        let set = UsageSet::from_parts(1, vec!["2.5.29.37.0".to_owned(); 3]);
        assert_eq!(set.known(), [Usage::DigitalSignature, Usage::Any]);
        assert_eq!(set.known_extended().len(), 3);
    }
}
