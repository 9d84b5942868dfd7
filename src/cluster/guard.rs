//! May this request be sent? Writes only while this process leads, to the moment.
//!
//! A reconcile under way does not notice that leadership ended, least of all when the whole process
//! was frozen and wakes up late. Its next write does: it is refused before it is sent.

use std::{
    future::{Ready, ready},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use futures::future::Either;
use http::{Method, Request};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

use crate::cluster::leader::Leadership;

/// Groups whose objects are no work: the lease itself, what users are told, and questions that are
/// asked by POST.
const FREE: [&str; 4] = [
    "/apis/authentication.k8s.io/",
    "/apis/authorization.k8s.io/",
    "/apis/coordination.k8s.io/",
    "/apis/events.k8s.io/",
];

/// Lets writes pass while this process leads; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct WriteGuard {
    leadership: Arc<OnceLock<Leadership>>,
}

/// A write that was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not sent: this replica does not lead")]
pub struct NotLeading;

impl WriteGuard {
    /// Go by `leadership` from now on; until then no write passes. Only the first call counts.
    pub fn follow(&self, leadership: Leadership) {
        let _ = self.leadership.set(leadership);
    }

    fn lets_pass(&self, method: &Method, path: &str) -> bool {
        matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
            || FREE.iter().any(|group| path.starts_with(group))
            || self.leadership.get().is_some_and(Leadership::is_leading)
    }
}

impl<S> Layer<S> for WriteGuard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            guard: self.clone(),
        }
    }
}

/// A client's service behind a [`WriteGuard`].
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    guard: WriteGuard,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Error = BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<S::Future, Ready<Result<S::Response, BoxError>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if self.guard.lets_pass(request.method(), request.uri().path()) {
            Either::Left(self.inner.call(request))
        } else {
            Either::Right(ready(Err(NotLeading.into())))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Response;
    use tower::ServiceExt;

    use super::*;

    async fn send(guard: &WriteGuard, method: Method, path: &str) -> bool {
        let sent = tower::service_fn(|_| async { Ok::<_, BoxError>(Response::new(())) });
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        match guard.layer(sent).oneshot(request).await {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.downcast_ref(), Some(&NotLeading));
                false
            }
        }
    }

    #[tokio::test]
    async fn only_the_leader_writes() {
        let secret = "/api/v1/namespaces/a/secrets/b";
        let lease = "/apis/coordination.k8s.io/v1/namespaces/a/leases/b";
        let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let guard = WriteGuard::default();
        assert!(send(&guard, Method::GET, secret).await);
        assert!(send(&guard, Method::PUT, lease).await);
        assert!(send(&guard, Method::POST, review).await);
        for method in [Method::DELETE, Method::PATCH, Method::POST, Method::PUT] {
            assert!(!send(&guard, method, secret).await);
        }
        let leadership = Leadership::alone();
        guard.clone().follow(leadership.clone());
        assert!(send(&guard, Method::PATCH, secret).await);
        leadership.lost().cancel();
        assert!(!send(&guard, Method::PATCH, secret).await);
        assert!(send(&guard, Method::GET, secret).await);
    }
}
