//! Why a challenge's record could not be written, and who has to do what about it.

use std::fmt;

use hickory_proto::op::ResponseCode;

use super::{config::ConfigError, tsig};
use crate::net::dns::{self, Name, mnemonic, shown};

/// How to go on after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Heals by itself: try again soon.
    Transient,
    /// Heals when somebody changes a setting, here or at the provider: try again, slowly.
    Misconfigured,
    /// Cannot succeed for this record.
    Permanent,
}

/// A DNS-01 record that could not be placed, written or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The domain cannot have a challenge record.
    #[error("DNS-01 for {domain:?}: {problem}")]
    InvalidDomain {
        /// As given.
        domain: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The place of the record was not found.
    #[error("looking for the zone of {}: {source}", shown(name))]
    Lookup {
        /// The challenge's name.
        name: Box<Name>,
        /// What the nameservers did.
        source: dns::Error,
    },
    /// The solver's settings do not fit together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The record's name is not in its zone.
    #[error("{} is not in the zone {}", shown(fqdn), shown(zone))]
    NotInZone {
        /// The record's name.
        fqdn: Box<Name>,
        /// The zone.
        zone: Box<Name>,
    },
    /// The update message could not be written.
    #[error("RFC 2136 update of {zone}: {problem}")]
    Message {
        /// The zone.
        zone: Box<Name>,
        /// What is wrong.
        problem: String,
    },
    /// No answer to an RFC 2136 update: whether it was applied is not known.
    #[error("RFC 2136 update of {zone} at {nameserver}: {source}")]
    Unreachable {
        /// The server, as configured.
        nameserver: String,
        /// The zone.
        zone: Box<Name>,
        /// What happened.
        source: dns::Error,
    },
    /// The server refused an RFC 2136 update.
    #[error("RFC 2136 update of {zone} at {nameserver}: {rejection}")]
    Rejected {
        /// The server, as configured.
        nameserver: String,
        /// The zone.
        zone: Box<Name>,
        /// Its answer.
        rejection: Rejection,
    },
    /// The server's answer is not signed as it should be: it may be anybody's.
    #[error("RFC 2136 update of {zone} at {nameserver}: the answer cannot be trusted: {source}")]
    Untrusted {
        /// The server, as configured.
        nameserver: String,
        /// The zone.
        zone: Box<Name>,
        /// What is wrong with the signature.
        source: tsig::Error,
    },
}

impl Error {
    /// How to go on.
    pub fn class(&self) -> Class {
        match self {
            Self::InvalidDomain { .. } | Self::NotInZone { .. } | Self::Message { .. } => {
                Class::Permanent
            }
            Self::Config(_) => Class::Misconfigured,
            Self::Lookup { source, .. } | Self::Unreachable { source, .. } => match source {
                dns::Error::Nameserver { .. } => Class::Misconfigured,
                // A name that does not resolve now may be registered or repaired any time.
                dns::Error::Resolve { .. }
                | dns::Error::Exchange { .. }
                | dns::Error::Unanswered { .. }
                | dns::Error::NoZone { .. }
                | dns::Error::NoAuthority { .. }
                | dns::Error::CnameLoop { .. } => Class::Transient,
            },
            Self::Rejected { rejection, .. } => rejection.class(),
            Self::Untrusted { .. } => Class::Transient,
        }
    }
}

/// A server's refusal of an update: its response code, and the TSIG error beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The response code (RFC 2136 section 2.2).
    pub code: ResponseCode,
    /// The error field of the answer's TSIG record (RFC 8945 section 3), if not 0.
    pub tsig: Option<u16>,
    /// The server's clock minus ours in seconds, with BADTIME.
    pub clock_ahead: Option<i64>,
    /// Whether the update was signed.
    pub signed: bool,
}

/// RFC 8945 section 3.
const BADSIG: u16 = 16;
const BADKEY: u16 = 17;
const BADTIME: u16 = 18;
const BADTRUNC: u16 = 22;

impl Rejection {
    fn class(&self) -> Class {
        match (self.code, self.tsig) {
            // Clocks are put right by machines.
            (ResponseCode::NotAuth, Some(BADTIME)) | (ResponseCode::ServFail, _) => {
                Class::Transient
            }
            (
                ResponseCode::NotAuth
                | ResponseCode::Refused
                | ResponseCode::NotZone
                | ResponseCode::NotImp
                | ResponseCode::FormErr,
                _,
            ) => Class::Misconfigured,
            // An update without prerequisites has no business with the others.
            (_, _) => Class::Transient,
        }
    }

    fn advice(&self) -> Option<String> {
        let advice = match (self.code, self.tsig) {
            (ResponseCode::NotAuth, Some(BADKEY)) => {
                "check tsigKeyName, tsigAlgorithm and tsigSecretSecretRef, and that the server has this key"
            }
            (ResponseCode::NotAuth, Some(BADSIG)) => {
                "check tsigSecretSecretRef and tsigAlgorithm against the server's key"
            }
            (ResponseCode::NotAuth, Some(BADTRUNC)) => "the server wants longer signatures",
            (ResponseCode::NotAuth, Some(BADTIME)) => {
                return Some(match self.clock_ahead {
                    Some(ahead) if ahead < 0 => {
                        format!("its clock is {} s behind ours", -ahead)
                    }
                    Some(ahead) => format!("its clock is {ahead} s ahead of ours"),
                    None => "its clock and ours differ".to_owned(),
                });
            }
            (ResponseCode::NotAuth, _) => {
                "the server is not a primary of this zone: check nameserver"
            }
            (ResponseCode::Refused, _) if self.signed => {
                "check that the server lets this key update this name"
            }
            (ResponseCode::Refused, _) => {
                "check that the server takes unsigned updates from here, or set tsigKeyName and tsigSecretSecretRef"
            }
            (ResponseCode::NotZone, _) => "the name is not in the server's zone: check nameserver",
            (ResponseCode::NotImp, _) => "the server takes no updates: check nameserver",
            (_, _) => return None,
        };
        Some(advice.to_owned())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server answered {}", mnemonic(self.code))?;
        if let Some(tsig) = self.tsig {
            write!(f, " (TSIG {})", tsig_mnemonic(tsig))?;
        }
        match self.advice() {
            Some(advice) => write!(f, ": {advice}"),
            None => Ok(()),
        }
    }
}

fn tsig_mnemonic(error: u16) -> String {
    match error {
        BADSIG => "BADSIG".to_owned(),
        BADKEY => "BADKEY".to_owned(),
        BADTIME => "BADTIME".to_owned(),
        BADTRUNC => "BADTRUNC".to_owned(),
        other => format!("error {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_check_and_how_to_go_on() {
        use Class::{Misconfigured, Transient};
        use ResponseCode as C;
        for (code, tsig, signed, want, class) in [
            (
                C::NotAuth,
                Some(BADKEY),
                true,
                "NOTAUTH (TSIG BADKEY): check tsigKeyName",
                Misconfigured,
            ),
            (
                C::NotAuth,
                Some(BADSIG),
                true,
                "NOTAUTH (TSIG BADSIG): check tsigSecret",
                Misconfigured,
            ),
            (
                C::NotAuth,
                Some(BADTRUNC),
                true,
                "NOTAUTH (TSIG BADTRUNC): the server",
                Misconfigured,
            ),
            (
                C::NotAuth,
                Some(BADTIME),
                true,
                "NOTAUTH (TSIG BADTIME): its clock is 7 s behind",
                Transient,
            ),
            (
                C::NotAuth,
                Some(23),
                true,
                "NOTAUTH (TSIG error 23): ",
                Misconfigured,
            ),
            (
                C::NotAuth,
                None,
                true,
                "NOTAUTH: the server is not a primary",
                Misconfigured,
            ),
            (
                C::Refused,
                None,
                true,
                "REFUSED: check that the server lets this key",
                Misconfigured,
            ),
            (
                C::Refused,
                None,
                false,
                "REFUSED: check that the server takes unsigned",
                Misconfigured,
            ),
            (
                C::NotZone,
                None,
                true,
                "NOTZONE: the name is not in",
                Misconfigured,
            ),
            (
                C::NotImp,
                None,
                false,
                "NOTIMP: the server takes no updates",
                Misconfigured,
            ),
            (C::FormErr, None, true, "FORMERR", Misconfigured),
            (C::ServFail, None, true, "SERVFAIL", Transient),
            (C::Unknown(3000), None, true, "RCODE3000", Transient),
        ] {
            let rejection = Rejection {
                code,
                tsig,
                clock_ahead: (tsig == Some(BADTIME)).then_some(-7),
                signed,
            };
            let text = rejection.to_string();
            assert!(
                text.starts_with(&format!("server answered {want}")),
                "{text}"
            );
            assert_eq!(rejection.class(), class, "{text}");
        }
    }
}
