//! By what does an issuer sign, and can this version do so?

use std::fmt;

use crate::api::{
    acme::AcmeIssuer,
    issuer::{IssuerConfig, IssuerSpec},
    reason::issuer as reason,
};

/// What an issuer issues by.
#[derive(Clone, Copy, Debug)]
pub enum Config<'a> {
    /// An ACME server.
    Acme(&'a AcmeIssuer),
    /// Nothing that works here.
    Unsupported(Unsupported),
}

/// Why an issuer cannot be used, whatever its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// A CA in a Secret.
    Ca,
    /// Each certificate signs itself.
    SelfSigned,
    /// Vault.
    Vault,
    /// Venafi.
    Venafi,
    /// No kind is set.
    Nothing,
    /// More than one kind is set.
    Several,
}

impl<'a> Config<'a> {
    /// What `spec` says.
    pub fn of(spec: &'a IssuerSpec) -> Self {
        let unsupported = match spec.config() {
            Some(IssuerConfig::Acme(acme)) => return Self::Acme(acme),
            Some(IssuerConfig::Ca(_)) => Unsupported::Ca,
            Some(IssuerConfig::SelfSigned(_)) => Unsupported::SelfSigned,
            Some(IssuerConfig::Vault(_)) => Unsupported::Vault,
            Some(IssuerConfig::Venafi(_)) => Unsupported::Venafi,
            None if *spec == IssuerSpec::default() => Unsupported::Nothing,
            None => Unsupported::Several,
        };
        Self::Unsupported(unsupported)
    }
}

impl Unsupported {
    /// Reason of the Ready condition.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Ca | Self::SelfSigned | Self::Vault | Self::Venafi => NOT_SUPPORTED,
            Self::Nothing | Self::Several => reason::INVALID_CONFIG,
        }
    }
}

/// Reason of the Ready condition of an issuer of a kind that is not supported yet. Cert-manager has
/// no word for it.
const NOT_SUPPORTED: &str = "NotSupported";

impl fmt::Display for Unsupported {
    /// What it is, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = match self {
            Self::Ca => "ca",
            Self::SelfSigned => "selfSigned",
            Self::Vault => "vault",
            Self::Venafi => "venafi",
            Self::Nothing => {
                return f.write_str("the spec names no kind of issuer: set spec.acme");
            }
            Self::Several => {
                return f.write_str(
                    "the spec names several kinds of issuers: leave one, and make an issuer of each \
                     other",
                );
            }
        };
        write!(
            f,
            "spec.{field} is not supported by this version of certwright: use an issuer with \
             spec.acme"
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_has_an_answer() {
        let acme = json!({"server": "s", "privateKeySecretRef": {"name": "k"}});
        let table = [
            (json!({"acme": acme}), None),
            (
                json!({"ca": {"secretName": "s"}}),
                Some(("NotSupported", "spec.ca is not")),
            ),
            (
                json!({"selfSigned": {}}),
                Some(("NotSupported", "spec.selfSigned is not")),
            ),
            (json!({}), Some(("InvalidConfig", "names no kind"))),
            (
                json!({"acme": acme, "selfSigned": {}}),
                Some(("InvalidConfig", "names several kinds")),
            ),
        ];
        for (spec, want) in table {
            let spec: IssuerSpec = serde_json::from_value(spec).unwrap();
            match (Config::of(&spec), want) {
                (Config::Acme(_), None) => {}
                (Config::Unsupported(unsupported), Some((reason, message))) => {
                    assert_eq!(unsupported.reason(), reason);
                    assert!(unsupported.to_string().contains(message), "{unsupported}");
                }
                (config, want) => panic!("{config:?} is not {want:?}"),
            }
        }
    }
}
