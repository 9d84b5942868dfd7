//! Which nameservers are asked: how they are written, and which ones the system has.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::Path,
    str::FromStr,
};

use super::Error;

/// The port of DNS over UDP and TCP.
pub const DNS_PORT: u16 = 53;

/// At most so many `nameserver` lines are taken from a resolver configuration.
const MAX_SYSTEM_NAMESERVERS: usize = 8;

/// A nameserver as a person writes it: an address or a host name, with or without a port (53 when
/// absent), or the URL of a DNS-over-HTTPS service (RFC 8484).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Nameserver {
    /// `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5353`.
    Address(SocketAddr),
    /// `ns1.example.com`, `ns1.example.com:5353`; resolved by the system when it is asked.
    Host {
        /// The name, as written.
        host: String,
        /// UDP and TCP port.
        port: u16,
    },
    /// `https://dns.example.com/dns-query`.
    Https(reqwest::Url),
}

impl Nameserver {
    /// Whether messages can be sent to it over plain UDP or TCP, as updates must be.
    pub fn is_plain(&self) -> bool {
        match self {
            Self::Address(_) | Self::Host { .. } => true,
            Self::Https(_) => false,
        }
    }
}

impl From<SocketAddr> for Nameserver {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for Nameserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Https(url) => url.fmt(f),
        }
    }
}

impl FromStr for Nameserver {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text.trim()).map_err(|problem| Error::Nameserver {
            text: text.to_owned(),
            problem,
        })
    }
}

fn parse(text: &str) -> Result<Nameserver, &'static str> {
    if text.contains("://") {
        return parse_url(text);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 {
            Err("the port must be between 1 and 65535")
        } else {
            Ok(Nameserver::Address(address))
        };
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
        return match (bare, address) {
            (Some(_), IpAddr::V4(_)) => Err("only IPv6 addresses are written in brackets"),
            _ => Ok(Nameserver::Address((address, DNS_PORT).into())),
        };
    }
    let (host, port) = match text.rsplit_once(':') {
        None => (text, DNS_PORT),
        Some((host, port)) => {
            let port = port.parse::<u16>().ok().filter(|port| *port != 0);
            (host, port.ok_or("the port must be between 1 and 65535")?)
        }
    };
    if !is_host_name(host) {
        return Err("want a host name or address, with an optional port, or an https:// URL");
    }
    Ok(Nameserver::Host {
        host: host.to_owned(),
        port,
    })
}

fn parse_url(text: &str) -> Result<Nameserver, &'static str> {
    let url = reqwest::Url::parse(text).map_err(|_| "the URL does not parse")?;
    if url.scheme() != "https" {
        return Err("the URL must begin with https://");
    }
    if !url.has_host() {
        return Err("the URL names no host");
    }
    Ok(Nameserver::Https(url))
}

/// RFC 1123 names; underscores are let through, as resolvers do.
fn is_host_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    // Four numbers that are no address are a mistyped address, never a name.
    let mistyped = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    !host.is_empty()
        && host.len() <= 253
        && !mistyped
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

/// The system's nameservers from `resolv_conf` (usually `/etc/resolv.conf`), or Google's public
/// ones where the file cannot be read or names none, as cert-manager does.
pub fn system_nameservers(resolv_conf: &Path) -> Vec<Nameserver> {
    let found = std::fs::read_to_string(resolv_conf)
        .map(|text| parse_resolv_conf(&text))
        .unwrap_or_default();
    if found.is_empty() {
        return vec![
            Nameserver::Address(([8, 8, 8, 8], DNS_PORT).into()),
            Nameserver::Address(([8, 8, 4, 4], DNS_PORT).into()),
        ];
    }
    found
}

/// The `nameserver` lines of resolv.conf(5); what does not parse is skipped, as the C library does.
pub fn parse_resolv_conf(text: &str) -> Vec<Nameserver> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then_some(())?;
            // A scope (`fe80::1%eth0`) belongs to an interface and is of no use to a socket address.
            words.next()?.parse::<IpAddr>().ok()
        })
        .take(MAX_SYSTEM_NAMESERVERS)
        .map(|address| Nameserver::Address((address, DNS_PORT).into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameservers_are_read_as_people_write_them() {
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1:53"),
            (" 192.0.2.1:5353 ", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]", "[2001:db8::1]:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
            ("ns1.example.com", "ns1.example.com:53"),
            ("ns1.example.com.:54", "ns1.example.com.:54"),
            ("kube-dns", "kube-dns:53"),
            (
                "https://dns.example/dns-query",
                "https://dns.example/dns-query",
            ),
        ] {
            assert_eq!(
                text.parse::<Nameserver>().unwrap().to_string(),
                shown,
                "{text}"
            );
        }
        for text in [
            "",
            ":53",
            "[192.0.2.1]:x",
            "[192.0.2.1]",
            "192.0.2.1:0",
            "192.0.2.1:65536",
            "192.0.2",
            "192.0.2.256",
            "ns1.example.com:",
            "ns1.example.com:dns",
            "ns1..example.com",
            "-ns.example.com",
            "ns 1.example.com",
            "http://dns.example/dns-query",
            "tls://dns.example",
            "https://",
        ] {
            assert!(text.parse::<Nameserver>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_nameserver_that_does_not_parse_is_named() {
        let error = "http://dns.example".parse::<Nameserver>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "nameserver \"http://dns.example\": the URL must begin with https://"
        );
    }

    #[test]
    fn resolv_conf_gives_its_nameservers() {
        let text = "# a comment\nsearch web.svc.cluster.local\nnameserver 10.96.0.10\n\
                    nameserver\t2001:db8::53 # second\nnameserver fe80::1%eth0\nnameserver x\n\
                    options ndots:5\n";
        let shown: Vec<String> = parse_resolv_conf(text)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(shown, ["10.96.0.10:53", "[2001:db8::53]:53"]);
        assert_eq!(
            parse_resolv_conf(&"nameserver 10.0.0.1\n".repeat(100)).len(),
            8
        );
    }

    #[test]
    fn without_a_resolver_configuration_public_ones_are_asked() {
        let shown: Vec<String> = system_nameservers(Path::new("/nonexistent/resolv.conf"))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(shown, ["8.8.8.8:53", "8.8.4.4:53"]);
    }
}
