//! Does a challenge's path answer as the CA will ask it to?

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};

use crate::{
    net::dns::{self, Nameserver, RecordType},
    solver::http01::PATH,
};

/// The longest one check may take, as a CA would wait.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Redirects followed, as Let's Encrypt does.
const REDIRECTS: usize = 10;
/// What is read of an answer: more than any key authorization.
const MAX_BODY: usize = 4096;

/// What a check saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The answer a CA wants.
    Answer,
    /// Something else: what, and from where.
    Other(String),
}

/// Asks for challenge paths.
#[derive(Clone, Debug)]
pub struct Checker {
    client: Client,
    port: u16,
}

impl Checker {
    /// Checks on `port` (80 but for tests), with names looked up by the system or, if any are
    /// given, at `nameservers`.
    ///
    /// TLS certificates go unchecked behind a redirect, as CAs do: the certificate is what we are
    /// here to get.
    pub fn new(
        dns: dns::Client,
        nameservers: Vec<Nameserver>,
        port: u16,
    ) -> Result<Self, reqwest::Error> {
        let mut builder = Client::builder()
            .user_agent(concat!("certwright/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::limited(REDIRECTS))
            .tls_danger_accept_invalid_certs(true)
            // Each check sees the world anew, not a connection from before.
            .pool_max_idle_per_host(0);
        if !nameservers.is_empty() {
            builder = builder.dns_resolver(Arc::new(Resolver { dns, nameservers }));
        }
        Ok(Self {
            client: builder.build()?,
            port,
        })
    }

    /// Ask `host` for `token` and hold the answer against `key_authorization`.
    pub async fn check(&self, host: &str, token: &str, key_authorization: &str) -> Seen {
        let url = match self.url(host, token) {
            Ok(url) => url,
            Err(error) => return Seen::Other(format!("{host} makes no URL: {error}")),
        };
        let mut response = match self.client.get(url.clone()).send().await {
            Ok(response) => response,
            Err(error) => return Seen::Other(format!("{url}: {}", cause(&error))),
        };
        let from = response.remote_addr().map(|address| address.ip());
        let from = from.map(|ip| format!(" from {ip}")).unwrap_or_default();
        let status = response.status().as_u16();
        if status != 200 {
            return Seen::Other(format!("{url} answered {status}{from}"));
        }
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_BODY => body.extend(&chunk),
                Ok(Some(_)) => break,
                Ok(None) => {
                    // RFC 8555 section 8.3: trailing white space is of no account.
                    if body.trim_ascii_end() == key_authorization.as_bytes() {
                        return Seen::Answer;
                    }
                    break;
                }
                Err(error) => return Seen::Other(format!("{url}: {}", cause(&error))),
            }
        }
        Seen::Other(format!(
            "{url} answered 200{from}, but not with the challenge's content"
        ))
    }

    fn url(&self, host: &str, token: &str) -> Result<Url, impl std::fmt::Display> {
        let host = match host.parse() {
            Ok(std::net::IpAddr::V6(address)) => format!("[{address}]"),
            _ => host.to_owned(),
        };
        match self.port {
            80 => Url::parse(&format!("http://{host}{PATH}{token}")),
            port => Url::parse(&format!("http://{host}:{port}{PATH}{token}")),
        }
    }
}

/// The innermost cause: what the layers above say of it is known.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    let mut source: &dyn std::error::Error = error;
    while let Some(next) = source.source() {
        source = next;
    }
    source.to_string()
}

/// Looks names up at given nameservers.
struct Resolver {
    dns: dns::Client,
    nameservers: Vec<Nameserver>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let dns = self.dns.clone();
        let nameservers = self.nameservers.clone();
        Box::pin(async move {
            let mut host = dns::Name::from_ascii(name.as_str())?;
            // What is asked for is never relative to a search list.
            host.set_fqdn(true);
            let mut addresses = Vec::new();
            for kind in [RecordType::A, RecordType::AAAA] {
                let answer = dns.lookup(&nameservers, &host, kind).await?;
                addresses.extend(
                    answer
                        .addresses()
                        .into_iter()
                        .map(|ip| SocketAddr::new(ip, 0)),
                );
            }
            if addresses.is_empty() {
                return Err(format!("{host} has no address").into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::StatusCode, response::Redirect, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    async fn checker() -> Checker {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Router::new()
            .route(&format!("{PATH}good"), get(|| async { "good.key\n" }))
            .route(
                &format!("{PATH}moved"),
                get(|| async { Redirect::to("/elsewhere") }),
            )
            .route("/elsewhere", get(|| async { "good.key" }))
            .route(&format!("{PATH}wrong"), get(|| async { "wrong" }))
            .route(
                &format!("{PATH}huge"),
                get(|| async { "x".repeat(1 << 20) }),
            )
            .route(
                &format!("{PATH}busy"),
                get(|| async { StatusCode::SERVICE_UNAVAILABLE }),
            );
        tokio::spawn(async move { axum::serve(listener, app).await });
        Checker::new(dns::Client::new(Client::new()), Vec::new(), port).unwrap()
    }

    #[tokio::test]
    async fn says_what_it_saw_and_from_where() {
        let checker = checker().await;
        let url = |token: &str| format!("http://127.0.0.1:{}{PATH}{token}", checker.port);
        let mismatch = |token: &str| {
            format!(
                "{} answered 200 from 127.0.0.1, but not with the challenge's content",
                url(token)
            )
        };
        let table = [
            ("good", Seen::Answer),
            ("moved", Seen::Answer),
            ("wrong", Seen::Other(mismatch("wrong"))),
            ("huge", Seen::Other(mismatch("huge"))),
            (
                "none",
                Seen::Other(format!("{} answered 404 from 127.0.0.1", url("none"))),
            ),
            (
                "busy",
                Seen::Other(format!("{} answered 503 from 127.0.0.1", url("busy"))),
            ),
        ];
        for (token, expected) in table {
            assert_eq!(
                checker.check("127.0.0.1", token, "good.key").await,
                expected
            );
        }
    }

    #[tokio::test]
    async fn a_refused_connection_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let dns = dns::Client::new(Client::new());
        let checker = Checker::new(dns, Vec::new(), port).unwrap();
        let Seen::Other(seen) = checker.check("127.0.0.1", "t", "k").await else {
            panic!("nobody answers")
        };
        assert!(seen.contains("Connection refused"), "{seen}");
    }

    #[test]
    fn addresses_of_either_family_make_urls() {
        let dns = dns::Client::new(Client::new());
        let checker = Checker::new(dns, Vec::new(), 80).unwrap();
        let shown = |host| checker.url(host, "t").map(|url| url.to_string()).ok();
        let expected = |host: &str| Some(format!("http://{host}{PATH}t"));
        assert_eq!(shown("example.com"), expected("example.com"));
        assert_eq!(shown("192.0.2.1"), expected("192.0.2.1"));
        assert_eq!(shown("2001:db8::1"), expected("[2001:db8::1]"));
    }
}
