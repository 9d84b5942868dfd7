//! By what does an issuer sign, and can this version do so?

use std::fmt;

use crate::api::{
    acme::AcmeIssuer,
    issuer::{CaIssuer, IssuerConfig, IssuerSpec, SelfSignedIssuer},
    reason::issuer as reason,
};

/// What an issuer signs by.
#[derive(Clone, Copy, Debug)]
pub enum Signer<'a> {
    /// An ACME server.
    Acme(&'a AcmeIssuer),
    /// A CA in a Secret.
    Ca(&'a CaIssuer),
    /// Each certificate signs itself.
    SelfSigned(&'a SelfSignedIssuer),
}

/// Why an issuer cannot be used, whatever its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// Vault.
    Vault,
    /// Venafi.
    Venafi,
    /// No kind is set.
    Nothing,
    /// More than one kind is set.
    Several,
}

impl<'a> Signer<'a> {
    /// What `spec` says.
    ///
    /// # Errors
    /// It names nothing that works here.
    pub fn of(spec: &'a IssuerSpec) -> Result<Self, Unsupported> {
        match spec.config() {
            Some(IssuerConfig::Acme(acme)) => Ok(Self::Acme(acme)),
            Some(IssuerConfig::Ca(ca)) => Ok(Self::Ca(ca)),
            Some(IssuerConfig::SelfSigned(itself)) => Ok(Self::SelfSigned(itself)),
            Some(IssuerConfig::Vault(_)) => Err(Unsupported::Vault),
            Some(IssuerConfig::Venafi(_)) => Err(Unsupported::Venafi),
            None => {
                let nothing = IssuerSpec {
                    deletion_policy: spec.deletion_policy,
                    ..IssuerSpec::default()
                };
                Err(if *spec == nothing {
                    Unsupported::Nothing
                } else {
                    Unsupported::Several
                })
            }
        }
    }
}

impl Unsupported {
    /// Reason of the Ready condition.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Vault | Self::Venafi => NOT_SUPPORTED,
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
            Self::Vault => "vault",
            Self::Venafi => "venafi",
            Self::Nothing => {
                return f.write_str(
                    "the spec names no kind of issuer: set spec.acme, spec.ca or spec.selfSigned",
                );
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
             spec.acme, spec.ca or spec.selfSigned"
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
            (json!({"ca": {"secretName": "s"}}), None),
            (json!({"selfSigned": {}}), None),
            (
                json!({"vault": {"auth": {}, "path": "p", "server": "s"}}),
                Some(("NotSupported", "spec.vault is not")),
            ),
            (
                json!({"venafi": {"zone": "z"}}),
                Some(("NotSupported", "spec.venafi is not")),
            ),
            (json!({}), Some(("InvalidConfig", "names no kind"))),
            (
                json!({"deletionPolicy": "Retain"}),
                Some(("InvalidConfig", "names no kind")),
            ),
            (
                json!({"acme": acme, "selfSigned": {}}),
                Some(("InvalidConfig", "names several kinds")),
            ),
        ];
        for (spec, want) in table {
            let spec: IssuerSpec = serde_json::from_value(spec).unwrap();
            match (Signer::of(&spec), want) {
                (Ok(_), None) => {}
                (Err(unsupported), Some((reason, message))) => {
                    assert_eq!(unsupported.reason(), reason);
                    assert!(unsupported.to_string().contains(message), "{unsupported}");
                }
                (signer, want) => panic!("{signer:?} is not {want:?}"),
            }
        }
    }
}
