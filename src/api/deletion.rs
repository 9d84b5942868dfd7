//! What becomes of a certificate that is no longer wanted, and why is one revoked?

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of a certificate and its Secret once its Certificate is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It is revoked, and its Secret deleted.
    Revoke,
    /// Its Secret is deleted.
    Delete,
    /// Nothing.
    Retain,
}

impl DeletionPolicy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Revoke, Self::Delete, Self::Retain];

    /// As in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "Revoke",
            Self::Delete => "Delete",
            Self::Retain => "Retain",
        }
    }
}

impl fmt::Display for DeletionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeletionPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is none of Revoke, Delete and Retain"))
    }
}

/// Why a certificate is revoked: the reasons of RFC 5280 that a subscriber may give. The others are
/// a CA's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RevocationReason {
    /// None is given.
    Unspecified,
    /// Somebody else may have the private key.
    KeyCompromise,
    /// What the subject says is no longer true.
    AffiliationChanged,
    /// Another certificate has taken its place.
    Superseded,
    /// It is no longer used.
    CessationOfOperation,
}

impl RevocationReason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
    ];

    /// As RFC 5280 spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RevocationReason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str);
            format!("{text:?} is no reason: use one of {}", all.join(", "))
        })
    }
}

/// What the annotation `certwright.io/revoke` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRequest {
    /// Why.
    pub reason: RevocationReason,
    /// Which certificate, in lower-case hexadecimal; `None`: the one in the Secret.
    pub serial: Option<String>,
}

impl FromStr for RevocationRequest {
    type Err = String;

    /// `REASON[,serial=HEX]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',').map(str::trim);
        let reason = parts.next().unwrap_or_default().parse()?;
        let mut serial = None;
        for part in parts {
            let digits = part.strip_prefix("serial=").and_then(serial_number);
            match digits {
                Some(digits) if serial.is_none() => serial = Some(digits),
                _ => return Err(format!("{part:?} is not serial=HEX, or there twice")),
            }
        }
        Ok(Self { reason, serial })
    }
}

impl fmt::Display for RevocationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, serial } = self;
        match serial {
            Some(serial) => write!(f, "{reason},serial={serial}"),
            None => write!(f, "{reason}"),
        }
    }
}

/// A serial as we write it: lower-case hexadecimal without colons and leading zeros.
pub fn serial_number(text: &str) -> Option<String> {
    let digits = text.replace(':', "").to_ascii_lowercase();
    let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let short = digits.trim_start_matches('0');
    is_hex.then(|| if short.is_empty() { "0" } else { short }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_people_write_them() {
        let asks = |reason, serial: Option<&str>| {
            Ok(RevocationRequest {
                reason,
                serial: serial.map(str::to_owned),
            })
        };
        let table = [
            ("superseded", asks(RevocationReason::Superseded, None)),
            (" unspecified ", asks(RevocationReason::Unspecified, None)),
            (
                "keyCompromise,serial=0A:0b:C1",
                asks(RevocationReason::KeyCompromise, Some("a0bc1")),
            ),
            (
                "cessationOfOperation, serial=00",
                asks(RevocationReason::CessationOfOperation, Some("0")),
            ),
        ];
        for (text, want) in table {
            assert_eq!(text.parse::<RevocationRequest>(), want, "{text}");
            let written = want.as_ref().unwrap().to_string();
            assert_eq!(written.parse::<RevocationRequest>(), want, "{written}");
        }
        for text in [
            "",
            "keycompromise",
            // A CA's own, and not a subscriber's to give.
            "cACompromise",
            "superseded,",
            "superseded,serial=",
            "superseded,serial=xyz",
            "superseded,serial=1,serial=2",
        ] {
            assert!(text.parse::<RevocationRequest>().is_err(), "{text}");
        }
    }

    #[test]
    fn policies_are_spelled_alike_everywhere() {
        for policy in DeletionPolicy::ALL {
            assert_eq!(policy.as_str().parse(), Ok(policy));
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.as_str());
        }
        for reason in RevocationReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        assert!("revoke".parse::<DeletionPolicy>().is_err());
    }
}
