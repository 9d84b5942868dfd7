//! What is answered on a challenge's path: the key authorization of a known token on its host.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use kube::{Api, Client, api::ListParams};
use tracing::{debug, warn};

use crate::{
    api::challenge::{Challenge, ChallengeType},
    challenge::facts::{ChallengeFacts, ChallengeIndex},
    cluster::{Cache, Facts},
    solver::http01::PATH,
};

/// Live look-ups are made at most this often; what is asked between them gets 404.
const LIVE_INTERVAL: Duration = Duration::from_millis(250);
/// Challenges read in a live look-up.
const LIVE_LIMIT: u32 = 500;
/// The longest a live look-up may take.
const LIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// More than any token a CA hands out.
pub(super) const MAX_TOKEN: usize = 512;

/// Answers challenges, on every replica.
pub struct Responder {
    challenges: Arc<Cache<ChallengeFacts>>,
    client: Client,
    last_live: Mutex<Option<Instant>>,
}

impl Responder {
    /// A responder for what `challenges` holds. A token that is not there yet, of a host that is,
    /// is looked up with `client`.
    pub fn new(challenges: Arc<Cache<ChallengeFacts>>, client: Client) -> Self {
        Self {
            challenges,
            client,
            last_live: Mutex::new(None),
        }
    }

    /// The HTTP service: challenge paths, and 404 for everything else.
    pub fn router(self) -> Router {
        Router::new().fallback(answer).with_state(Arc::new(self))
    }

    async fn find(&self, host: &str, token: &str) -> Option<String> {
        let known = self
            .challenges
            .find(&ChallengeIndex::Token(token.to_owned()));
        if let Some(key) = known
            .iter()
            .find_map(|challenge| key_for(challenge, host, token))
        {
            return Some(key);
        }
        let same_host = self.challenges.find(&ChallengeIndex::Host(host.to_owned()));
        let namespaces: BTreeSet<&str> = same_host
            .iter()
            .map(|challenge| &*challenge.meta.key.namespace)
            .collect();
        if namespaces.is_empty() || !self.may_ask() {
            return None;
        }
        for namespace in namespaces {
            let api: Api<Challenge> = Api::namespaced(self.client.clone(), namespace);
            let params = ListParams::default().limit(LIVE_LIMIT);
            let list = match tokio::time::timeout(LIVE_TIMEOUT, api.list(&params)).await {
                Ok(Ok(list)) => list,
                Ok(Err(error)) => {
                    warn!(namespace, %error, "could not look a challenge up");
                    continue;
                }
                Err(_) => continue,
            };
            let found = list
                .into_iter()
                .map(ChallengeFacts::reduce)
                .find_map(|challenge| key_for(&challenge, host, token));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Whether a live look-up is due: anybody can ask for tokens that do not exist.
    fn may_ask(&self) -> bool {
        let now = Instant::now();
        let mut last = self
            .last_live
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now.duration_since(last) < LIVE_INTERVAL) {
            return false;
        }
        *last = Some(now);
        true
    }
}

async fn answer(State(responder): State<Arc<Responder>>, request: Request) -> Response {
    let Some((host, token)) = asked(&request) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match responder.find(&host, &token).await {
        Some(key) => ([(header::CONTENT_TYPE, "text/plain")], key).into_response(),
        None => {
            debug!(host, token, "asked for a challenge that is not known");
            StatusCode::NOT_FOUND.into_response()
        }
    }
}

/// The host and token a request asks for, if it asks for a challenge.
pub(super) fn asked(request: &Request) -> Option<(String, String)> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let token = request.uri().path().strip_prefix(PATH)?;
    if token.is_empty() || token.len() > MAX_TOKEN {
        return None;
    }
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(header::HOST)?.to_str().ok()?,
    };
    Some((host_of(authority).to_ascii_lowercase(), token.to_owned()))
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host_of(authority: &str) -> &str {
    if let Some((address, _)) = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return address;
    }
    authority
        .split_once(':')
        .map_or(authority, |(host, _)| host)
        .trim_end_matches('.')
}

fn key_for(challenge: &ChallengeFacts, host: &str, token: &str) -> Option<String> {
    let spec = &challenge.spec;
    let fits = spec.type_ == ChallengeType::Http01
        && spec.token == token
        && spec.dns_name.eq_ignore_ascii_case(host)
        && !challenge.is_final();
    fits.then(|| spec.key.clone())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde_json::json;
    use tower::ServiceExt;

    use super::*;

    fn challenge(name: &str, dns_name: &str, type_: &str, state: &str) -> Challenge {
        serde_json::from_value(json!({
            "apiVersion": "acme.cert-manager.io/v1", "kind": "Challenge",
            "metadata": {"namespace": "ns", "name": name, "uid": name, "resourceVersion": "1"},
            "spec": {
                "authorizationURL": "a", "dnsName": dns_name, "key": format!("tok-{name}.thumb"),
                "issuerRef": {"name": "ca"}, "solver": {}, "token": format!("tok-{name}"),
                "type": type_, "url": "c",
            },
            "status": {"state": state},
        }))
        .unwrap()
    }

    /// The status of requests to a responder whose API server knows one more challenge, `late`.
    async fn statuses(asked: &[(&str, &str, &str)]) -> Vec<(u16, String)> {
        let challenges = Arc::new(Cache::default());
        challenges.observe(challenge("a", "www.example.com", "HTTP-01", "pending"));
        challenges.observe(challenge("six", "2001:db8::1", "HTTP-01", "pending"));
        challenges.observe(challenge("dns", "www.example.com", "DNS-01", "pending"));
        challenges.observe(challenge("done", "www.example.com", "HTTP-01", "valid"));
        let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            let late = challenge("late", "www.example.com", "HTTP-01", "pending");
            let list = json!({
                "apiVersion": "acme.cert-manager.io/v1", "kind": "ChallengeList",
                "metadata": {}, "items": [late],
            });
            Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(list.to_string())))
        });
        let router = Responder::new(challenges, Client::new(service, "default")).router();
        let mut answers = Vec::new();
        for (method, host, path) in asked {
            let request = Request::builder()
                .method(*method)
                .uri(*path)
                .header("host", *host);
            let request = request.body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), 4096)
                .await
                .unwrap();
            answers.push((status, String::from_utf8(body.to_vec()).unwrap()));
        }
        answers
    }

    #[tokio::test]
    async fn only_known_tokens_on_their_hosts_are_answered() {
        let good = (200, "tok-a.thumb".to_owned());
        let table = [
            (
                "GET",
                "www.example.com",
                "/.well-known/acme-challenge/tok-a",
                good.clone(),
            ),
            (
                "GET",
                "WWW.Example.com:80",
                "/.well-known/acme-challenge/tok-a",
                good,
            ),
            (
                "GET",
                "[2001:db8::1]:80",
                "/.well-known/acme-challenge/tok-six",
                (200, "tok-six.thumb".into()),
            ),
            (
                "GET",
                "other.example.com",
                "/.well-known/acme-challenge/tok-a",
                (404, String::new()),
            ),
            (
                "POST",
                "www.example.com",
                "/.well-known/acme-challenge/tok-a",
                (404, String::new()),
            ),
            (
                "GET",
                "www.example.com",
                "/.well-known/acme-challenge/",
                (404, String::new()),
            ),
            (
                "GET",
                "www.example.com",
                "/.well-known/acme-challenge/tok-dns",
                (404, String::new()),
            ),
            ("GET", "www.example.com", "/", (404, String::new())),
            ("GET", "www.example.com", "/healthz", (404, String::new())),
        ];
        for (method, host, path, expected) in table {
            assert_eq!(
                statuses(&[(method, host, path)]).await,
                [expected],
                "{method} {host} {path}"
            );
        }
    }

    #[tokio::test]
    async fn a_token_the_watch_has_not_brought_yet_is_looked_up() {
        let late = "/.well-known/acme-challenge/tok-late";
        let answers = statuses(&[
            ("GET", "www.example.com", late),
            ("GET", "www.example.com", late),
            ("GET", "unknown.example.com", late),
        ])
        .await;
        assert_eq!(answers[0], (200, "tok-late.thumb".into()));
        assert_eq!(answers[1].0, 404, "look-ups are bounded");
        assert_eq!(answers[2].0, 404);
    }
}
