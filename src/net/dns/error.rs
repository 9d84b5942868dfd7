//! Why a look-up gave no answer.

use std::{io, time::Duration};

use hickory_proto::rr::{Name, RecordType};

/// "Address family not supported", which the standard library has no kind for (Linux).
const EAFNOSUPPORT: i32 = 97;

/// A DNS look-up that failed: says what was asked, of whom, and what came back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no nameserver.
    #[error("nameserver {text:?}: {problem}")]
    Nameserver {
        /// As written.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The system does not know the nameserver's host name.
    #[error("nameserver {host}: {problem}")]
    Resolve {
        /// The host name.
        host: String,
        /// What the system's resolver said.
        problem: String,
    },
    /// A message was sent, or tried to be, and no usable answer came back.
    #[error("{server}: {failure}")]
    Exchange {
        /// The nameserver, with the address where it has a name.
        server: String,
        /// What happened.
        failure: Failure,
    },
    /// No nameserver gave a usable answer.
    #[error("no answer for {kind} of {name}: {seen}")]
    Unanswered {
        /// The name asked for.
        name: Box<Name>,
        /// The record type asked for.
        kind: RecordType,
        /// What each nameserver did.
        seen: String,
    },
    /// No zone was found on the way from the name to the root.
    #[error("found no zone for {name}: no SOA record at it or above it")]
    NoZone {
        /// The name the walk started from.
        name: Box<Name>,
    },
    /// The zone has no nameserver that could be found.
    #[error("zone {zone}: {problem}")]
    NoAuthority {
        /// The zone.
        zone: Box<Name>,
        /// What was found instead.
        problem: String,
    },
    /// The CNAME records of a name lead back to themselves, or through too many names.
    #[error("CNAME records loop: {chain}")]
    CnameLoop {
        /// The names, in order.
        chain: String,
    },
}

/// Why one exchange of messages gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing came in time.
    #[error("no answer within {} s", seconds(*.0))]
    Timeout(Duration),
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// UDP and then TCP failed.
    #[error("over UDP: {udp}, over TCP: {tcp}")]
    Both {
        /// How UDP failed.
        udp: Box<Self>,
        /// How TCP failed.
        tcp: Box<Self>,
    },
    /// The bytes are not an answer to what was asked.
    #[error("answered with something else than a DNS answer ({0})")]
    Malformed(String),
    /// The query could not be written as a message.
    #[error("the query cannot be sent: {0}")]
    Query(String),
    /// The DNS-over-HTTPS request failed.
    #[error("{0}")]
    Http(String),
}

/// Rounded, so that the same failure reads the same the next time.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

impl Failure {
    /// Whether this machine has no way to such an address at all (an IPv6 address where there is
    /// only IPv4, for instance), which says nothing about the server.
    pub fn is_no_route(&self) -> bool {
        match self {
            Self::Io(error) => {
                error.raw_os_error() == Some(EAFNOSUPPORT)
                    || matches!(
                        error.kind(),
                        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable
                    )
            }
            Self::Both { udp, tcp } => udp.is_no_route() && tcp.is_no_route(),
            Self::Timeout(_) | Self::Malformed(_) | Self::Query(_) | Self::Http(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_family_that_is_missing_here_says_nothing_about_the_server() {
        let io = |kind: io::ErrorKind| Failure::Io(kind.into());
        let both = |udp, tcp| Failure::Both {
            udp: Box::new(udp),
            tcp: Box::new(tcp),
        };
        let no_route = || io(io::ErrorKind::NetworkUnreachable);
        let refused = || io(io::ErrorKind::ConnectionRefused);
        for (failure, want) in [
            (both(no_route(), io(io::ErrorKind::AddrNotAvailable)), true),
            (
                Failure::Io(io::Error::from_raw_os_error(EAFNOSUPPORT)),
                true,
            ),
            (both(no_route(), refused()), false),
            (both(refused(), refused()), false),
            (Failure::Timeout(Duration::from_secs(1)), false),
        ] {
            assert_eq!(failure.is_no_route(), want, "{failure}");
        }
    }
}
