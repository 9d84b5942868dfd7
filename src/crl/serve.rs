//! What is answered to who asks for a list over HTTP: the stored one, and nothing else.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    cluster::{Cache, Clock, ObjectKey},
    crl::facts::{ListFacts, kind_of, place_of, published_by},
    issuer::Issuers,
};

/// Where lists are.
const PATH: &str = "/crl/";
/// How their names end.
const SUFFIX: &str = ".crl";
/// Longer than any path that leads to a list.
const MOST_PATH: usize = 600;
/// The longest that a client or proxy keeps a list: as long is nothing known of what is revoked.
const MOST_AGE: i64 = 300;

/// Hands lists out, on every replica.
#[derive(Clone)]
pub struct Lists {
    /// Who publishes.
    pub issuers: Issuers,
    /// The ConfigMaps that hold lists.
    pub lists: Arc<Cache<ListFacts>>,
    /// What time it is.
    pub clock: Clock,
}

impl Lists {
    /// The HTTP service: `/crl/NAMESPACE/ISSUER.crl` and `/crl/CLUSTERISSUER.crl`, and 404 for
    /// everything else.
    pub fn router(self) -> Router {
        Router::new().fallback(answer).with_state(self)
    }

    fn find(&self, issuer: &ObjectKey) -> Option<Arc<ListFacts>> {
        let issuer = self.issuers.get(kind_of(issuer), issuer)?;
        let _ = published_by(&issuer)?;
        let stored = self.lists.get(&place_of(&issuer))?;
        (stored.is_of(&issuer) && stored.list.is_some()).then_some(stored)
    }
}

async fn answer(State(lists): State<Lists>, request: Request) -> Response {
    let found = asked(&request).and_then(|issuer| lists.find(&issuer));
    let Some(stored) = found else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let now = lists.clock.now();
    let left = stored
        .list
        .as_ref()
        .map_or(0, |list| now.duration_until(list.next_update).as_secs());
    let tag = format!("\"{}\"", stored.hash);
    let known = is_known(request.headers(), &tag);
    let kept = format!("public, max-age={}", left.clamp(0, MOST_AGE));
    let headers = [(header::CACHE_CONTROL, kept), (header::ETAG, tag)];
    if known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let kind = [(header::CONTENT_TYPE, "application/pkix-crl")];
    // The server leaves the body out of the answer to HEAD.
    (headers, kind, stored.der.clone()).into_response()
}

/// Whose list a request asks for, if it asks for one.
fn asked(request: &Request) -> Option<ObjectKey> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let path = request.uri().path();
    if path.len() > MOST_PATH {
        return None;
    }
    let name = path.strip_prefix(PATH)?.strip_suffix(SUFFIX)?;
    let (namespace, name) = match name.split_once('/') {
        Some(("", _)) => return None,
        Some(parts) => parts,
        None => ("", name),
    };
    let is_name = !name.is_empty() && !name.contains('/');
    is_name.then(|| ObjectKey::new(namespace, name))
}

/// Whether the client has this very list.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut known = known.filter_map(|value| value.to_str().ok());
    known.any(|value| {
        let mut tags = value.split(',').map(str::trim);
        tags.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(method: &str, path: &str) -> Request {
        let request = Request::builder().method(method).uri(path);
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn only_paths_of_lists_are_asked_for() {
        let long = format!("/crl/{}.crl", "a".repeat(MOST_PATH));
        let table = [
            ("GET", "/crl/web/ca.crl", Some(ObjectKey::new("web", "ca"))),
            ("HEAD", "/crl/ca.crl", Some(ObjectKey::cluster("ca"))),
            ("GET", "/crl/ca.crl?a=b", Some(ObjectKey::cluster("ca"))),
            (
                "GET",
                "/crl/a.b/c.d.crl",
                Some(ObjectKey::new("a.b", "c.d")),
            ),
            ("POST", "/crl/web/ca.crl", None),
            ("GET", "/crl/web/ca", None),
            ("GET", "/crl/web/x/ca.crl", None),
            ("GET", "/crl//ca.crl", None),
            ("GET", "/crl/web/.crl", None),
            ("GET", "/crl/.crl", None),
            ("GET", "/crl/", None),
            ("GET", "/", None),
            ("GET", &long, None),
        ];
        for (method, path, want) in table {
            assert_eq!(asked(&request(method, path)), want, "{method} {path}");
        }
    }

    #[test]
    fn a_list_that_is_known_is_told_by_its_tag() {
        let table = [
            (None, false),
            (Some("\"a\""), true),
            (Some("W/\"a\""), true),
            (Some("\"b\", \"a\""), true),
            (Some("*"), true),
            (Some("\"b\""), false),
            (Some("a"), false),
        ];
        for (tags, want) in table {
            let mut headers = HeaderMap::new();
            if let Some(tags) = tags {
                headers.insert(header::IF_NONE_MATCH, tags.parse().unwrap());
            }
            assert_eq!(is_known(&headers, "\"a\""), want, "{tags:?}");
        }
    }
}
