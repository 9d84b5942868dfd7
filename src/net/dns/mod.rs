//! DNS look-ups: what does a nameserver say about a name, and which zone is the name in?
//!
//! Nothing is cached: a check that just failed is made to be repeated. Every look-up ends within
//! its time, and what comes back is only believed after its ID and question fit.

mod answer;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod nameserver;
mod transport;
mod zone;

pub use answer::{Answer, Question, mnemonic, shown};
pub use error::{Error, Failure};
pub use hickory_proto::rr::{Name, RecordType};
pub use nameserver::{DNS_PORT, Nameserver, parse_resolv_conf, system_nameservers};
pub use transport::{Timing, Transport, exchange, exchange_either};
pub use zone::Authority;

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;

use super::http;

/// At most so many addresses of one nameserver's host name are tried.
const MAX_ADDRESSES: usize = 4;
/// No server is given less time than this because there are others to ask.
const MIN_SHARE: Duration = Duration::from_secs(3);

/// Asks nameservers.
#[derive(Clone, Debug)]
pub struct Client {
    /// For DNS-over-HTTPS. Made for the first query: it holds the system's trust store, and few need it.
    http: Arc<OnceLock<reqwest::Client>>,
    timing: Timing,
    authority_port: u16,
}

impl Default for Client {
    /// A client that sends DNS-over-HTTPS queries by the common settings.
    fn default() -> Self {
        Self {
            http: Arc::default(),
            timing: Timing::default(),
            authority_port: DNS_PORT,
        }
    }
}

impl Client {
    /// A client that sends DNS-over-HTTPS queries with `http`.
    pub fn new(http: reqwest::Client) -> Self {
        Self {
            http: Arc::new(OnceLock::from(http)),
            ..Self::default()
        }
    }

    /// With other waiting times.
    #[must_use]
    pub fn with_timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    /// With another port than 53 for the servers that NS records name: for servers of a test, which
    /// may not use that one.
    #[must_use]
    pub fn with_authority_port(self, authority_port: u16) -> Self {
        Self {
            authority_port,
            ..self
        }
    }

    /// The waiting times.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Asks one nameserver, whatever it then answers.
    ///
    /// # Errors
    /// When its name does not resolve, or no address of it gave an answer in time.
    pub async fn ask(&self, server: &Nameserver, question: &Question) -> Result<Answer, Error> {
        self.ask_within(server, question, &self.timing).await
    }

    /// Asks one after the other until one knows that the name exists, or that it does not.
    ///
    /// # Errors
    /// When none does; the message has what each of them did.
    pub async fn lookup(
        &self,
        servers: &[Nameserver],
        name: &Name,
        kind: RecordType,
    ) -> Result<Answer, Error> {
        let question = Question {
            name: name.clone(),
            kind,
            recursion: true,
        };
        let timing = share(&self.timing, servers.len());
        let mut seen = Vec::new();
        for server in servers {
            match self.ask_within(server, &question, &timing).await {
                Ok(answer) if answer.is_definite() => return Ok(answer),
                Ok(answer) => seen.push(format!("{} answered {}", server, mnemonic(answer.code))),
                Err(error) => seen.push(error.to_string()),
            }
        }
        if seen.is_empty() {
            seen.push("no nameserver is configured".to_owned());
        }
        Err(Error::Unanswered {
            name: Box::new(question.name),
            kind,
            seen: seen.join("; "),
        })
    }

    /// Where messages to a plain nameserver go.
    ///
    /// # Errors
    /// When the host name does not resolve, or the nameserver is a DNS-over-HTTPS service.
    pub async fn addresses_of(&self, server: &Nameserver) -> Result<Vec<SocketAddr>, Error> {
        match server {
            Nameserver::Address(address) => Ok(vec![*address]),
            Nameserver::Host { host, port } => resolve(host, *port, self.timing.total).await,
            Nameserver::Https(url) => Err(Error::Nameserver {
                text: url.to_string(),
                problem: "want a host name or address here, no URL",
            }),
        }
    }

    fn http(&self) -> Result<&reqwest::Client, http::Error> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let http = http::Options::default().client()?;
        Ok(self.http.get_or_init(|| http))
    }

    async fn ask_within(
        &self,
        server: &Nameserver,
        question: &Question,
        timing: &Timing,
    ) -> Result<Answer, Error> {
        let text = server.to_string();
        let (id, request) = question.message().map_err(|failure| Error::Exchange {
            server: text.clone(),
            failure,
        })?;
        if let Nameserver::Https(url) = server {
            let answer = match self.http() {
                Ok(http) => transport::over_https(http, url, &request, timing).await,
                Err(error) => Err(Failure::Http(error.to_string())),
            };
            return answer
                .and_then(|bytes| Answer::read(text.clone(), question.clone(), id, &bytes))
                .map_err(|failure| Error::Exchange {
                    server: text,
                    failure,
                });
        }
        let addresses = self.addresses_of(server).await?;
        let deadline = Instant::now() + timing.total;
        let mut last = None;
        for (index, address) in addresses.iter().enumerate() {
            let shown = match server {
                Nameserver::Host { host, .. } => format!("{host} ({address})"),
                _ => text.clone(),
            };
            let left = Timing {
                total: deadline.saturating_duration_since(Instant::now()),
                ..*timing
            };
            let timing = share(&left, addresses.len() - index);
            let answer = exchange_either(*address, &request, &timing)
                .await
                .and_then(|bytes| Answer::read(shown.clone(), question.clone(), id, &bytes));
            match answer {
                Ok(answer) => return Ok(answer),
                Err(failure) => {
                    last = Some(Error::Exchange {
                        server: shown,
                        failure,
                    });
                }
            }
        }
        Err(last.unwrap_or(Error::Resolve {
            host: text,
            problem: "has no address".to_owned(),
        }))
    }
}

/// The time for one of `among` that are asked one after the other.
fn share(timing: &Timing, among: usize) -> Timing {
    let among = u32::try_from(among.max(1)).unwrap_or(u32::MAX);
    if among == 1 {
        return *timing;
    }
    let total = (timing.total / among).max(MIN_SHARE).min(timing.total);
    Timing {
        total,
        udp: timing.udp.min(total / 2),
        resend: timing.resend.min(total / 4),
    }
}

/// The system's own way from names to addresses: it knows /etc/hosts and the search list, so that
/// `dns.kube-system` works as in any other program.
async fn resolve(host: &str, port: u16, limit: Duration) -> Result<Vec<SocketAddr>, Error> {
    let problem = |problem: String| Error::Resolve {
        host: host.to_owned(),
        problem,
    };
    let found = tokio::time::timeout(limit, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| problem(format!("no address within {} s", error::seconds(limit))))?
        .map_err(|error| problem(error.to_string()))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) && addresses.len() < MAX_ADDRESSES {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(problem("has no address".to_owned()));
    }
    Ok(addresses)
}
