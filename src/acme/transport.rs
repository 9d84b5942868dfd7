//! How does a signed request get to the CA, and its answer back?

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{
    Method, Url,
    header::{self, HeaderMap},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Mutex;

use super::{
    AccountKey, Error, Problem, ProblemType,
    directory::Directory,
    jws::{self, Jws, Signatory},
    nonce::Nonces,
};
use crate::net::http::{self, RetryAfter, read_bounded, shown};

/// How often a request is repeated with a fresh nonce after `badNonce`.
const BAD_NONCE_RETRIES: usize = 5;
/// How many redirects a GET follows. A POST follows none: its signature is over its URL.
const REDIRECTS: usize = 5;
/// The largest answer that is read, in bytes. An order with hundreds of names stays far below.
const MAX_BODY: usize = 1 << 20;
/// How long a directory is used before it is fetched again.
const DIRECTORY_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How much of an answer that is not JSON goes into an error, in characters.
const EXCERPT: usize = 160;

/// What is asked of a CA. The names are the values of the metrics' label `action`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Tells the CA that a challenge can be validated.
    AcceptChallenge,
    /// Fetches a certificate.
    Certificate,
    /// Gives an account up.
    DeactivateAccount,
    /// Gives an authorization up.
    DeactivateAuthorization,
    /// Hands the certificate request in.
    Finalize,
    /// Reads an account.
    Account,
    /// Reads an authorization.
    Authorization,
    /// Fetches the directory.
    Directory,
    /// Reads an order.
    Order,
    /// Makes or finds an account.
    NewAccount,
    /// Fetches a nonce.
    NewNonce,
    /// Makes an order.
    NewOrder,
    /// Asks when to renew.
    RenewalInfo,
    /// Revokes a certificate.
    Revoke,
    /// Changes an account's contacts.
    UpdateAccount,
}

impl Action {
    /// The name in metrics and as a fault point.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AcceptChallenge => "accept_challenge",
            Self::Account => "get_account",
            Self::Authorization => "get_authorization",
            Self::Certificate => "get_cert",
            Self::DeactivateAccount => "deactivate_account",
            Self::DeactivateAuthorization => "deactivate_authorization",
            Self::Directory => "get_directory",
            Self::Finalize => "finalize_order",
            Self::NewAccount => "register_account",
            Self::NewNonce => "get_nonce",
            Self::NewOrder => "authorize_order",
            Self::Order => "get_order",
            Self::RenewalInfo => "get_renewal_info",
            Self::Revoke => "revoke_cert",
            Self::UpdateAccount => "update_account",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AcceptChallenge => "accepting the challenge",
            Self::Account => "reading the ACME account",
            Self::Authorization => "reading the authorization",
            Self::Certificate => "fetching the certificate",
            Self::DeactivateAccount => "deactivating the ACME account",
            Self::DeactivateAuthorization => "deactivating the authorization",
            Self::Directory => "fetching the ACME directory",
            Self::Finalize => "finalizing the order",
            Self::NewAccount => "registering the ACME account",
            Self::NewNonce => "fetching a nonce",
            Self::NewOrder => "creating the order",
            Self::Order => "reading the order",
            Self::RenewalInfo => "asking for the renewal window",
            Self::Revoke => "revoking the certificate",
            Self::UpdateAccount => "updating the ACME account",
        })
    }
}

/// One request that was sent, for metrics and logs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Exchange<'a> {
    /// What was asked for.
    pub action: Action,
    /// `GET`, `HEAD` or `POST`.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host, with the port where it is not the scheme's own.
    pub host: &'a str,
    /// The HTTP status; `None` without an answer.
    pub status: Option<u16>,
    /// From sending to the end of the answer.
    pub duration: Duration,
}

/// Sees every request, also those that are repeated for their nonce.
pub trait Observer: Send + Sync {
    /// Just before a request is sent: a place to put a fault.
    fn before_request(&self, action: Action);
    /// When its answer has come, or failed to.
    fn after_request(&self, exchange: &Exchange<'_>);
}

/// An observer that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn before_request(&self, _: Action) {}
    fn after_request(&self, _: &Exchange<'_>) {}
}

/// One CA. Cheap to clone; the clones share directory, nonces and connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    directory_url: Url,
    observer: Arc<dyn Observer>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    directory: Mutex<Option<(Instant, Arc<Directory>)>>,
    nonces: Nonces,
}

impl Client {
    /// A client for the CA with this directory. `http` should follow no redirects
    /// ([`http::Options::redirects`] 0): the client follows them itself where that is safe.
    ///
    /// # Errors
    /// [`Error::DirectoryUrl`] if it is not an http or https URL.
    pub fn new(http: reqwest::Client, directory_url: &str) -> Result<Self, Error> {
        let directory_url =
            web_url(directory_url).ok_or_else(|| Error::DirectoryUrl(directory_url.to_owned()))?;
        Ok(Self {
            http,
            directory_url,
            observer: Arc::new(Silent),
            shared: Arc::default(),
        })
    }

    /// The same client, watched by `observer`.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// The URL of the directory.
    pub fn directory_url(&self) -> &Url {
        &self.directory_url
    }

    /// What the CA offers; from memory for an hour.
    ///
    /// # Errors
    /// Those of the request, or [`Error::Malformed`] if it is not a directory.
    pub async fn directory(&self) -> Result<Arc<Directory>, Error> {
        // Held over the request on purpose: one fetches, the others wait for the result.
        let mut cached = self.shared.directory.lock().await;
        if let Some((fetched, directory)) = cached.as_ref()
            && fetched.elapsed() < DIRECTORY_LIFETIME
        {
            return Ok(Arc::clone(directory));
        }
        let answer = self
            .get(Action::Directory, self.directory_url.as_str())
            .await?;
        let directory = Arc::new(answer.json::<Directory>()?);
        *cached = Some((Instant::now(), Arc::clone(&directory)));
        Ok(directory)
    }

    /// An account at this CA, by its key and URL.
    pub fn session(&self, key: AccountKey, account_url: impl Into<String>) -> Session {
        Session {
            client: self.clone(),
            key,
            account_url: account_url.into(),
        }
    }

    /// A request without signature.
    pub(super) async fn get(&self, action: Action, url: &str) -> Result<Answer, Error> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            let answer = self.exchange(action, Method::GET, &url, None).await?;
            match answer.redirect() {
                Some(target) => url = target,
                None => return answer.check(),
            }
        }
        Err(Error::Malformed {
            action,
            url,
            reason: "too many redirects".to_owned(),
        })
    }

    /// A signed request; `payload` is empty for POST-as-GET.
    pub(super) async fn post(
        &self,
        action: Action,
        url: &str,
        key: &AccountKey,
        signatory: Signatory<'_>,
        payload: &[u8],
    ) -> Result<Answer, Error> {
        let mut tries = 0;
        loop {
            let nonce = match self.shared.nonces.take() {
                Some(nonce) => nonce,
                None => self.fresh_nonce().await?,
            };
            let jws =
                jws::sign(key, signatory, &nonce, url, payload).ok_or(Error::Sign { action })?;
            let answer = self.exchange(action, Method::POST, url, Some(&jws)).await?;
            tries += 1;
            match answer.check() {
                Err(Error::Problem { problem, .. })
                    if problem.kind == ProblemType::BadNonce && tries <= BAD_NONCE_RETRIES => {}
                result => return result,
            }
        }
    }

    async fn fresh_nonce(&self) -> Result<String, Error> {
        let action = Action::NewNonce;
        let directory = self.directory().await?;
        let url = &directory.new_nonce;
        self.exchange(action, Method::HEAD, url, None)
            .await?
            .check()?;
        self.shared.nonces.take().ok_or_else(|| Error::Malformed {
            action,
            url: url.clone(),
            reason: "there is no Replay-Nonce header".to_owned(),
        })
    }

    /// The one place through which every request goes.
    async fn exchange(
        &self,
        action: Action,
        method: Method,
        url: &str,
        jws: Option<&Jws>,
    ) -> Result<Answer, Error> {
        let target = web_url(url).ok_or_else(|| Error::Malformed {
            action,
            url: url.to_owned(),
            reason: "it is not an http or https URL".to_owned(),
        })?;
        let mut request = self.http.request(method.clone(), target.clone());
        if action == Action::Certificate {
            request = request.header(header::ACCEPT, "application/pem-certificate-chain");
        }
        if let Some(jws) = jws {
            let body = serde_json::to_vec(jws).map_err(|_| Error::Sign { action })?;
            request = request
                .header(header::CONTENT_TYPE, "application/jose+json")
                .body(body);
        }

        self.observer.before_request(action);
        let started = Instant::now();
        let result = read(request).await;
        let host = target.host_str().unwrap_or_default();
        let host = match target.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        self.observer.after_request(&Exchange {
            action,
            method: method.as_str(),
            scheme: target.scheme(),
            host: &host,
            status: result.as_ref().ok().map(|(status, ..)| *status),
            duration: started.elapsed(),
        });

        let (status, headers, body) = result.map_err(|source| Error::Network { action, source })?;
        let nonce = headers.get("replay-nonce");
        if let Some(nonce) = nonce.and_then(|nonce| nonce.to_str().ok()) {
            self.shared.nonces.put(nonce);
        }
        Ok(Answer {
            action,
            url: target,
            status,
            headers,
            body,
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", shown(&self.directory_url))
    }
}

/// One account at one CA. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Session {
    pub(super) client: Client,
    pub(super) key: AccountKey,
    pub(super) account_url: String,
}

impl Session {
    /// The CA.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The account's key.
    pub fn key(&self) -> &AccountKey {
        &self.key
    }

    /// The account's URL, by which the CA knows it.
    pub fn account_url(&self) -> &str {
        &self.account_url
    }

    pub(super) async fn post(
        &self,
        action: Action,
        url: &str,
        payload: &impl Serialize,
    ) -> Result<Answer, Error> {
        let payload = serde_json::to_vec(payload).map_err(|_| Error::Sign { action })?;
        self.send(action, url, &payload).await
    }

    pub(super) async fn post_as_get(&self, action: Action, url: &str) -> Result<Answer, Error> {
        self.send(action, url, b"").await
    }

    async fn send(&self, action: Action, url: &str, payload: &[u8]) -> Result<Answer, Error> {
        let signatory = Signatory::Account(&self.account_url);
        self.client
            .post(action, url, &self.key, signatory, payload)
            .await
    }
}

/// What a CA answered.
#[derive(Debug)]
pub(super) struct Answer {
    action: Action,
    url: Url,
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| self.malformed(error))
    }

    /// The body as text.
    pub(super) fn text(self) -> Result<String, Error> {
        String::from_utf8(self.body).map_err(|_| Error::Malformed {
            action: self.action,
            url: shown(&self.url),
            reason: "it is not text".to_owned(),
        })
    }

    pub(super) fn malformed(&self, reason: impl fmt::Display) -> Error {
        Error::Malformed {
            action: self.action,
            url: shown(&self.url),
            reason: reason.to_string(),
        }
    }

    pub(super) fn retry_after(&self) -> Option<RetryAfter> {
        RetryAfter::of(&self.headers)
    }

    /// The `Location` header, relative ones resolved.
    pub(super) fn location(&self) -> Option<String> {
        let location = self.headers.get(header::LOCATION)?.to_str().ok()?;
        Some(self.url.join(location).ok()?.into())
    }

    /// The targets of `Link` headers with this relation (RFC 8288), relative ones resolved.
    pub(super) fn links(&self, relation: &str) -> Vec<String> {
        self.headers
            .get_all(header::LINK)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| link_targets(value, relation))
            .filter_map(|target| Some(self.url.join(target).ok()?.into()))
            .collect()
    }

    fn redirect(&self) -> Option<String> {
        matches!(self.status, 301 | 302 | 303 | 307 | 308)
            .then(|| self.location())
            .flatten()
    }

    /// Turns refusals into errors.
    fn check(self) -> Result<Self, Error> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let retry_after = self.retry_after();
        Err(match Problem::parse(&self.body, self.status) {
            Some(problem) => Error::Problem {
                action: self.action,
                problem: Box::new(problem),
                retry_after,
            },
            None => Error::Http {
                action: self.action,
                url: shown(&self.url),
                status: self.status,
                excerpt: excerpt(&self.body),
                retry_after,
            },
        })
    }
}

async fn read(request: reqwest::RequestBuilder) -> Result<(u16, HeaderMap, Vec<u8>), http::Error> {
    let response = request
        .send()
        .await
        .map_err(|error| http::Error::of(&error))?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = read_bounded(response, MAX_BODY).await?;
    Ok((status, headers, body))
}

fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

/// The start of a body as one line; nothing if it is not text.
fn excerpt(body: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(body) else {
        return String::new();
    };
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

/// The targets with a relation in the value of one `Link` header: `<target>; rel="a b", <…>…`.
fn link_targets<'a>(value: &'a str, relation: &str) -> Vec<&'a str> {
    let mut targets = Vec::new();
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((target, after)) = after.split_once('>') else {
            break;
        };
        // Up to the next target; a comma or "<" inside a quoted parameter does not occur here.
        let (parameters, next) = after.split_at(after.find('<').unwrap_or(after.len()));
        let matches = parameters
            .split([';', ','])
            .filter_map(|parameter| parameter.split_once('='))
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("rel"))
            .any(|(_, relations)| {
                relations
                    .trim()
                    .trim_matches('"')
                    .split_ascii_whitespace()
                    .any(|one| one.eq_ignore_ascii_case(relation))
            });
        if matches {
            targets.push(target);
        }
        rest = next;
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let cases = [
            (r#"<https://a/1>;rel="alternate""#, vec!["https://a/1"]),
            (r#"<https://a/dir>;rel="index""#, vec![]),
            (
                r#"</1>; rel=alternate, </i>; rel="index", </2>; title="x"; rel="up Alternate""#,
                vec!["/1", "/2"],
            ),
            ("<https://a/1", vec![]),
            ("", vec![]),
        ];
        for (value, want) in cases {
            assert_eq!(link_targets(value, "alternate"), want, "{value}");
        }
    }

    #[test]
    fn excerpts_are_one_short_line() {
        assert_eq!(
            excerpt(b"<html>\n  502 Bad\tGateway"),
            "<html> 502 Bad Gateway"
        );
        assert_eq!(excerpt(&[0xff, 0xfe]), "");
        assert_eq!(
            excerpt("ä".repeat(500).as_bytes()).chars().count(),
            EXCERPT + 1
        );
    }

    #[test]
    fn only_web_urls() {
        for (url, want) in [
            ("https://ca.example/dir", true),
            ("http://[::1]:14000/dir", true),
            ("file:///etc/passwd", false),
            ("ca.example/dir", false),
            ("", false),
        ] {
            let client = Client::new(reqwest::Client::new(), url);
            assert_eq!(client.is_ok(), want, "{url}");
        }
    }
}
