//! How do we talk HTTP: which roots, proxies, timeouts, redirects and sizes?
//!
//! One client for everybody, so that no caller forgets a limit. Server certificates are checked
//! against the system's trust store (the platform verifier, which also honours `SSL_CERT_FILE` and
//! `SSL_CERT_DIR`): what an administrator trusts on the node or mounts into the pod counts, which
//! roots compiled into the binary could not offer. A CA bundle replaces that store.

use std::{error::Error as _, time::Duration};

use jiff::{SignedDuration, Timestamp};
use reqwest::{
    Certificate, Client, ClientBuilder, Response,
    header::{self, HeaderMap},
    redirect::Policy,
};
use thiserror::Error;

/// How long a connection may take to be established.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What we call ourselves in requests.
const USER_AGENT: &str = concat!("certwright/", env!("CARGO_PKG_VERSION"));
/// The latest `Retry-After` that is believed.
const MAX_RETRY_AFTER: SignedDuration = SignedDuration::from_hours(24 * 7);

/// What a client may be told.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Options {
    /// PEM certificates to trust instead of the system's; `None` or empty: the system's.
    pub ca_bundle: Option<Vec<u8>>,
    /// Accepts any server certificate. For test servers; the connection is then not protected.
    pub skip_tls_verify: bool,
    /// How long a request may take from its start to the end of the body.
    pub timeout: Duration,
    /// How many redirects are followed.
    pub redirects: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ca_bundle: None,
            skip_tls_verify: false,
            timeout: Duration::from_secs(30),
            redirects: 5,
        }
    }
}

impl Options {
    /// Builds a client. It honours `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, keeps
    /// connections, and is cheap to clone; build one per set of options and share it.
    ///
    /// # Errors
    /// [`Error::CaBundle`] if the bundle holds no certificate, [`Error::Client`] if the system's
    /// trust store cannot be read.
    pub fn client(&self) -> Result<Client, Error> {
        self.builder()?
            .build()
            .map_err(|error| Error::Client(causes(&error)))
    }

    /// As [`Options::client`], for callers that add to the client (a resolver, an identity).
    ///
    /// # Errors
    /// [`Error::CaBundle`] if the bundle holds no certificate.
    pub fn builder(&self) -> Result<ClientBuilder, Error> {
        let Self {
            ca_bundle,
            skip_tls_verify,
            timeout,
            redirects,
        } = self;
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(*timeout)
            .redirect(match redirects {
                0 => Policy::none(),
                some => Policy::limited(*some),
            })
            .tls_danger_accept_invalid_certs(*skip_tls_verify);
        if let Some(bundle) = ca_bundle.as_deref().filter(|bundle| !bundle.is_empty()) {
            let certificates = Certificate::from_pem_bundle(bundle)
                .ok()
                .filter(|certificates| !certificates.is_empty())
                .ok_or(Error::CaBundle)?;
            builder = builder.tls_certs_only(certificates);
        }
        Ok(builder)
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The answer's body broke off.
    #[error("reading the answer of {url} failed: {reason}")]
    Body {
        /// Who was asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The CA bundle is not PEM with at least one certificate.
    #[error("the CA bundle holds no PEM certificate")]
    CaBundle,
    /// The client cannot be built.
    #[error("cannot set up the HTTP client: {0}")]
    Client(String),
    /// No connection: name look-up, refused, reset.
    #[error("cannot connect to {url}: {reason}")]
    Connect {
        /// Who was asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// Something else went wrong with the request.
    #[error("request to {url} failed: {reason}")]
    Request {
        /// Who was asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// No answer in time.
    #[error("{url} did not answer in time")]
    Timeout {
        /// Who was asked.
        url: String,
    },
    /// The answer is larger than is read.
    #[error("the answer of {url} is larger than {limit} bytes")]
    TooLarge {
        /// Who was asked.
        url: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The server's certificate is not trusted.
    #[error("the certificate of {url} is not trusted: {reason}")]
    Untrusted {
        /// Who was asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
}

impl Error {
    /// Names what a failed request died of. The query and the user part of the URL are left out.
    pub fn of(error: &reqwest::Error) -> Self {
        let url = error.url().map_or_else(String::new, shown);
        let reason = causes(error);
        if is_untrusted(error) {
            return Self::Untrusted { url, reason };
        }
        if error.is_timeout() {
            return Self::Timeout { url };
        }
        if error.is_connect() {
            return Self::Connect { url, reason };
        }
        match error.is_body() || error.is_decode() {
            true => Self::Body { url, reason },
            false => Self::Request { url, reason },
        }
    }

    /// Whether another try may help without anybody changing a setting.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Body { .. }
            | Self::Connect { .. }
            | Self::Request { .. }
            | Self::Timeout { .. } => true,
            Self::CaBundle | Self::Client(_) | Self::TooLarge { .. } | Self::Untrusted { .. } => {
                false
            }
        }
    }
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// [`Error::TooLarge`] as soon as that is known; [`Error::Timeout`] or [`Error::Body`] if it
/// breaks off.
pub async fn read_bounded(mut response: Response, limit: usize) -> Result<Vec<u8>, Error> {
    let too_large = |response: &Response| Error::TooLarge {
        url: shown(response.url()),
        limit,
    };
    if response.content_length() > Some(limit as u64) {
        return Err(too_large(&response));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Error::of(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(too_large(&response));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// When a server wants to be asked again (RFC 9110, 10.2.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RetryAfter {
    /// So long after its answer.
    After(SignedDuration),
    /// Not before this moment.
    At(Timestamp),
}

impl RetryAfter {
    /// Reads the header of an answer; `None` if it is absent or makes no sense.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(header::RETRY_AFTER)?.to_str().ok()?)
    }

    /// Parses seconds or an HTTP date.
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        if value.bytes().all(|byte| byte.is_ascii_digit()) {
            let seconds = value.parse::<i64>().ok()?;
            return Some(Self::After(SignedDuration::from_secs(seconds)));
        }
        jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(value)
            .ok()
            .map(Self::At)
    }

    /// The moment meant, for an answer that came at `now`: never before `now`, never more than a
    /// week after it.
    pub fn until(self, now: Timestamp) -> Timestamp {
        let latest = now.saturating_add(MAX_RETRY_AFTER).unwrap_or(now);
        let wanted = match self {
            Self::After(delay) => now.saturating_add(delay).unwrap_or(latest),
            Self::At(moment) => moment,
        };
        wanted.clamp(now, latest)
    }
}

/// An URL for messages and errors: without user, password, query and fragment.
pub fn shown(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

/// What an error came from; the error itself only says that a request failed.
fn causes(error: &reqwest::Error) -> String {
    let mut causes = Vec::<String>::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        // Wrappers repeat what they wrap, or say no more than that it was the client.
        causes.retain(|outer| !outer.contains(&text) && !outer.starts_with("client error"));
        causes.push(text);
        next = cause_of(cause);
    }
    match causes.is_empty() {
        true => error.to_string(),
        false => causes.join(": "),
    }
}

fn is_untrusted(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(rustls::Error::InvalidCertificate(_)) = cause.downcast_ref() {
            return true;
        }
        next = cause_of(cause);
    }
    false
}

/// As `source`, but an `io::Error` shows what it holds, which it hides there.
fn cause_of<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io
            .get_ref()
            .map(|inner| inner as &(dyn std::error::Error + 'static)),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::script::{Script, answer};

    fn client(options: &Options) -> Client {
        options.builder().unwrap().no_proxy().build().unwrap()
    }

    /// Sends a GET and reads at most ten bytes.
    async fn ten_bytes(client: &Client, url: &str) -> Result<Vec<u8>, Error> {
        let response = client.get(url).send().await;
        read_bounded(response.map_err(|error| Error::of(&error))?, 10).await
    }

    #[tokio::test]
    async fn bodies_are_bounded_whether_announced_or_not() {
        let chunked = |body: &str| {
            let size = body.len();
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                 {size:x}\r\n{body}\r\n0\r\n\r\n"
            )
        };
        let server = Script::start(&[
            answer("200 OK", "0123456789"),
            answer("200 OK", "0123456789A"),
            chunked("0123456789"),
            chunked("0123456789A"),
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n012".to_owned(),
            "nonsense".to_owned(),
        ])
        .await;
        let url = format!("{}/", server.url());
        let client = client(&Options::default());
        let too_large = Err(Error::TooLarge {
            url: url.clone(),
            limit: 10,
        });
        for want in [
            Ok(b"0123456789".to_vec()),
            too_large.clone(),
            Ok(b"0123456789".to_vec()),
            too_large,
        ] {
            assert_eq!(ten_bytes(&client, &url).await, want);
        }
        let broken = ten_bytes(&client, &url).await.unwrap_err();
        assert!(matches!(broken, Error::Body { .. }), "{broken}");
        let nonsense = ten_bytes(&client, &url).await.unwrap_err();
        assert!(matches!(nonsense, Error::Request { .. }), "{nonsense}");
        assert!(broken.is_transient() && nonsense.is_transient());
        let agent = format!("user-agent: certwright/{}", env!("CARGO_PKG_VERSION"));
        assert!(server.requests()[0].contains(&agent));
    }

    #[tokio::test]
    async fn redirects_are_followed_as_often_as_allowed() {
        let again = answer("302 Found\nLocation: {url}/next", "");
        let end = answer("200 OK", "end");
        for (redirects, allowed, want) in [(1, 1, Some("end")), (2, 1, None), (1, 0, Some(""))] {
            let mut answers = vec![again.clone(); redirects];
            answers.push(end.clone());
            let server = Script::start(&answers).await;
            let client = client(&Options {
                redirects: allowed,
                ..Options::default()
            });
            let got = ten_bytes(&client, server.url()).await.ok();
            assert_eq!(got.as_deref(), want.map(str::as_bytes));
        }
    }

    #[tokio::test]
    async fn silence_and_absence() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let options = Options {
            timeout: Duration::from_millis(50),
            ..Options::default()
        };
        assert_eq!(
            ten_bytes(&client(&options), &url).await,
            Err(Error::Timeout { url: url.clone() })
        );
        drop(silent);
        let absent = ten_bytes(&client(&Options::default()), &url).await;
        let absent = absent.unwrap_err();
        assert!(matches!(absent, Error::Connect { .. }), "{absent}");
        assert_eq!(
            absent.to_string(),
            format!(
                "cannot connect to {url}: tcp connect error: Connection refused (os error 111)"
            )
        );
    }

    #[test]
    fn retry_after() {
        let now = "2026-11-22T10:00:00Z".parse::<Timestamp>().unwrap();
        let cases = [
            ("0", Some("2026-11-22T10:00:00Z")),
            ("120", Some("2026-11-22T10:02:00Z")),
            (" 7 ", Some("2026-11-22T10:00:07Z")),
            (
                "Sun, 22 Nov 2026 11:30:00 GMT",
                Some("2026-11-22T11:30:00Z"),
            ),
            // In the past, or absurdly far.
            (
                "Sun, 06 Nov 1994 08:49:37 GMT",
                Some("2026-11-22T10:00:00Z"),
            ),
            ("99999999999", Some("2026-11-29T10:00:00Z")),
            ("9223372036854775807", Some("2026-11-29T10:00:00Z")),
            ("99999999999999999999999", None),
            ("-5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, want) in cases {
            let got = RetryAfter::parse(value).map(|retry| retry.until(now));
            assert_eq!(got, want.map(|want| want.parse().unwrap()), "{value:?}");
        }
    }

    #[test]
    fn urls_are_shown_without_secrets() {
        let url = "https://user:pass@ca.example:8443/dir?key=secret#x";
        assert_eq!(shown(&url.parse().unwrap()), "https://ca.example:8443/dir");
    }

    #[test]
    fn a_bundle_must_hold_a_certificate() {
        for bundle in ["x", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            let options = Options {
                ca_bundle: Some(bundle.as_bytes().to_vec()),
                ..Options::default()
            };
            assert_eq!(options.client().err(), Some(Error::CaBundle), "{bundle}");
        }
    }
}
