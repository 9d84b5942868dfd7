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
        let is_its = stored.meta.controller.as_ref() == Some(&issuer.uid);
        (is_its && stored.list.is_some()).then_some(stored)
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
        Some((namespace, _)) if namespace.is_empty() => return None,
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
