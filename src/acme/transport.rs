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
    answer::{Answer, clipped},
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
/// More characters of what should have been a URL are in no error.
const LONGEST_URL: usize = 200;
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
        self.recent_directory(DIRECTORY_LIFETIME).await
    }

    /// The same, from memory only if it was fetched less than `age` ago.
    ///
    /// # Errors
    /// As [`Client::directory`].
    pub async fn recent_directory(&self, age: Duration) -> Result<Arc<Directory>, Error> {
        // Held over the request on purpose: one fetches, the others wait for the result.
        let mut cached = self.shared.directory.lock().await;
        if let Some((fetched, directory)) = cached.as_ref()
            && fetched.elapsed() < age
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
            url: clipped(url, LONGEST_URL),
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};

    use super::*;
    use crate::{
        acme::Class,
        net::script::{Script, answer},
    };

    const DIRECTORY: &str =
        r#"{"newNonce": "{url}/n", "newAccount": "{url}/a", "newOrder": "{url}/o"}"#;
    const BAD_NONCE: &str = r#"{"type": "urn:ietf:params:acme:error:badNonce"}"#;

    fn client(url: &str) -> Client {
        let options = http::Options {
            redirects: 0,
            ..http::Options::default()
        };
        let http = options.builder().unwrap().no_proxy().build().unwrap();
        Client::new(http, &format!("{url}/dir")).unwrap()
    }

    /// A session at a server that first gives its directory and one nonce, then these answers.
    async fn session(answers: &[String]) -> (Script, Session) {
        let mut all = vec![
            answer("200 OK", DIRECTORY),
            answer("200 OK\nReplay-Nonce: n0", ""),
        ];
        all.extend_from_slice(answers);
        let server = Script::start(&all).await;
        let key = AccountKey::generate().unwrap();
        let session = client(server.url()).session(key, format!("{}/a/1", server.url()));
        (server, session)
    }

    /// The nonces of the signed requests.
    fn nonces(server: &Script) -> Vec<String> {
        let nonce = |request: &String| {
            let (_, body) = request.split_once("\r\n\r\n")?;
            let jws = serde_json::from_str::<serde_json::Value>(body).ok()?;
            let header = BASE64_URL_SAFE_NO_PAD.decode(jws["protected"].as_str()?);
            let header = serde_json::from_slice::<serde_json::Value>(&header.unwrap()).unwrap();
            Some(header["nonce"].as_str()?.to_owned())
        };
        server.requests().iter().filter_map(nonce).collect()
    }

    #[tokio::test]
    async fn every_nonce_is_used_once_and_none_is_fetched_in_vain() {
        let (server, session) = session(&[
            answer("200 OK\nReplay-Nonce: n1", "{}"),
            answer("404 Not Found\nReplay-Nonce: n2", "nothing"),
            answer("200 OK\nReplay-Nonce: n3", "{}"),
        ])
        .await;
        session.account().await.unwrap();
        session.account().await.unwrap_err();
        session.account().await.unwrap();
        assert_eq!(nonces(&server), ["n0", "n1", "n2"]);
        assert_eq!(server.requests().len(), 5);
    }

    #[tokio::test]
    async fn bad_nonces_are_retried_five_times() {
        let refusals = |count: usize| {
            (1..=count)
                .map(|at| answer(&format!("400 Bad Request\nReplay-Nonce: n{at}"), BAD_NONCE))
                .collect::<Vec<_>>()
        };
        let mut answers = refusals(5);
        answers.push(answer("200 OK", "{}"));
        let (server, patient) = session(&answers).await;
        patient.account().await.unwrap();
        assert_eq!(nonces(&server), ["n0", "n1", "n2", "n3", "n4", "n5"]);

        let (server, unlucky) = session(&refusals(6)).await;
        let error = unlucky.account().await.unwrap_err();
        assert_eq!(error.problem().unwrap().kind, ProblemType::BadNonce);
        assert_eq!(error.class(), Class::Transient);
        assert_eq!(nonces(&server).len(), 6);
    }

    #[tokio::test]
    async fn refusals_keep_status_reason_and_time() {
        let limited = r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "slow"}"#;
        let cases = [
            (
                answer("429 Too Many Requests\nRetry-After: 7", limited),
                "reading the ACME account: slow (rateLimited)",
                Class::RateLimited(http::RetryAfter::parse("7")),
            ),
            (
                answer("502 Bad Gateway", "<h1>\n Bad Gateway</h1>"),
                "reading the ACME account: {url}/a/1 answered HTTP 502: \"<h1> Bad Gateway</h1>\"",
                Class::Transient,
            ),
            (
                answer("503 Service Unavailable\nRetry-After: 9", ""),
                "reading the ACME account: {url}/a/1 answered HTTP 503",
                Class::RateLimited(http::RetryAfter::parse("9")),
            ),
            (
                answer("307 Temporary Redirect\nLocation: {url}/b", ""),
                "reading the ACME account: {url}/a/1 answered HTTP 307",
                Class::Misconfigured,
            ),
            (
                answer("200 OK", "<html>"),
                "reading the ACME account: the answer of {url}/a/1 makes no sense: expected value \
                 at line 1 column 1",
                Class::Transient,
            ),
            (
                answer("200 OK", &" ".repeat(MAX_BODY + 1)),
                "reading the ACME account: the answer of {url}/a/1 is larger than 1048576 bytes",
                Class::Misconfigured,
            ),
        ];
        for (answer, message, class) in cases {
            let (server, session) = session(&[answer]).await;
            let error = session.account().await.unwrap_err();
            assert_eq!(error.to_string(), message.replace("{url}", server.url()));
            assert_eq!(error.class(), class, "{error}");
        }
    }

    #[tokio::test]
    async fn directories_may_move_and_are_fetched_once() {
        let server = Script::start(&[
            answer("301 Moved Permanently\nLocation: /moved", ""),
            answer("200 OK", DIRECTORY),
        ])
        .await;
        let first = client(server.url());
        let second = first.clone();
        let (one, two) = tokio::join!(first.directory(), second.directory());
        assert_eq!(one.unwrap().new_order, two.unwrap().new_order);
        assert_eq!(server.requests().len(), 2);

        let turn = answer("302 Found\nLocation: /dir", "");
        let server = Script::start(&vec![turn; 10]).await;
        let error = client(server.url()).directory().await.unwrap_err();
        assert!(error.to_string().ends_with("too many redirects"), "{error}");
        assert_eq!(server.requests().len(), REDIRECTS + 1);
    }

    #[tokio::test]
    async fn a_server_without_nonces_is_named() {
        let server = Script::start(&[answer("200 OK", DIRECTORY), answer("200 OK", "")]).await;
        let client = client(server.url());
        let session = client.session(AccountKey::generate().unwrap(), "x");
        let error = session.account().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "fetching a nonce: the answer of {}/n makes no sense: there is no Replay-Nonce \
                 header",
                server.url()
            )
        );
    }

    #[tokio::test]
    async fn an_observer_sees_also_what_got_no_answer() {
        #[derive(Default)]
        struct Counts(AtomicUsize, AtomicUsize);
        impl Observer for Counts {
            fn before_request(&self, _: Action) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
            fn after_request(&self, exchange: &Exchange<'_>) {
                assert_eq!(exchange.status, None);
                assert_eq!(exchange.method, "GET");
                self.1.fetch_add(1, Ordering::Relaxed);
            }
        }
        let server = Script::start(&[]).await;
        let counts = Arc::new(Counts::default());
        let client = client(server.url()).observed_by(counts.clone());
        let error = client.directory().await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error}");
        assert_eq!(counts.0.load(Ordering::Relaxed), 1);
        assert_eq!(counts.1.load(Ordering::Relaxed), 1);
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
