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
use serde::Serialize;
use tokio::sync::Mutex;

use super::{
    AccountKey, Action, Error, Exchange, Observer, ProblemType, Silent,
    answer::Answer,
    directory::Directory,
    jws::{self, Jws, Signatory},
    nonce::Nonces,
};
use crate::net::http::{self, read_bounded, shown};

/// How often a request is repeated with a fresh nonce after `badNonce`.
const BAD_NONCE_RETRIES: usize = 5;
/// How many redirects a GET follows. A POST follows none: its signature is over its URL.
const REDIRECTS: usize = 5;
/// The largest answer that is read, in bytes. An order with hundreds of names stays far below.
const MAX_BODY: usize = 1 << 20;
/// How long a directory is used before it is fetched again.
const DIRECTORY_LIFETIME: Duration = Duration::from_secs(60 * 60);
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

#[cfg(test)]
mod tests {
    use super::*;

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
