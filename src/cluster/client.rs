//! How requests reach the API server: counted, and cut off at a chosen one in crash tests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use http::{HeaderValue, header::USER_AGENT};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tower::{BoxError, Layer, Service};

use crate::cluster::guard::WriteGuard;

/// Told of every request before it is sent.
pub trait BeforeRequest: Send + Sync {
    /// `method` and `path` of a request to the API server.
    fn before(&self, method: &str, path: &str);
}

/// A client for the API server of `config` whose requests are told to `observers`, and whose writes
/// `guard` lets pass.
pub fn client(
    mut config: Config,
    observers: Vec<Arc<dyn BeforeRequest>>,
    guard: &WriteGuard,
) -> kube::Result<Client> {
    let tell = Tell {
        observers: observers.into(),
    };
    // Its beginning is our field manager, where a request names no other.
    let agent = HeaderValue::from_static(concat!("certwright/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, agent));
    // What is refused is not sent, and not told either.
    let builder = ClientBuilder::try_from(config)?.with_layer(&tell);
    Ok(builder.with_layer(guard).build())
}

/// Ends the process before the n-th request that changes something, in a crash test.
///
/// Counts writes to the API server (leases, events and the question who we are, which carry no
/// work, aside) and every request to an ACME server: what is not written between two of them cannot be lost.
#[derive(Debug, Default)]
pub struct FaultPoint {
    at: Option<u64>,
    count: AtomicU64,
}

impl FaultPoint {
    /// Abort before request number `at`, counted from one; never when `None`.
    pub fn new(at: Option<u64>) -> Self {
        Self {
            at,
            count: AtomicU64::new(0),
        }
    }

    /// A request is about to be sent.
    pub fn pass(&self) {
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        if self.at == Some(number) {
            tracing::error!(number, "fault point reached, aborting");
            std::process::abort();
        }
    }
}

impl BeforeRequest for FaultPoint {
    fn before(&self, method: &str, path: &str) {
        let carries_work = ["/leases", "/events", "/selfsubjectreviews"]
            .iter()
            .all(|other| !path.contains(other));
        if method != "GET" && carries_work {
            self.pass();
        }
    }
}

#[derive(Clone)]
struct Tell {
    observers: Arc<[Arc<dyn BeforeRequest>]>,
}

impl<S> Layer<S> for Tell {
    type Service = Telling<S>;

    fn layer(&self, inner: S) -> Telling<S> {
        Telling {
            inner,
            observers: Arc::clone(&self.observers),
        }
    }
}

/// The service behind [`client`].
#[derive(Clone)]
struct Telling<S> {
    inner: S,
    observers: Arc<[Arc<dyn BeforeRequest>]>,
}

impl<S, R> Service<http::Request<Body>> for Telling<S>
where
    S: Service<http::Request<Body>, Response = R>,
    S::Error: Into<BoxError>,
{
    type Response = R;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> S::Future {
        for observer in self.observers.iter() {
            observer.before(request.method().as_str(), request.uri().path());
        }
        self.inner.call(request)
    }
}
