//! Whose identity stands on the requests that we make ourselves?
//!
//! On those of others the API server writes it down, by a policy. We say ourselves who we are: a
//! policy for every request of ours would be the dearest part of it.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, UserInfo};
use kube::{Api, Client, api::PostParams};
use tokio::sync::Mutex;

use crate::{
    api::request::CertificateRequestSpec,
    cluster::{Clock, ObjectKey, RequestError},
};

/// A token that was renewed comes with other extras, which say which token it was.
const ASK_AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// Puts our identity on requests. Clones share what is known.
#[derive(Clone)]
pub struct Requester {
    client: Client,
    clock: Clock,
    known: Arc<Mutex<Option<Known>>>,
}

/// What the API server said, and when.
#[derive(Clone, Debug)]
struct Known {
    user: UserInfo,
    at: Timestamp,
}

impl Requester {
    /// Whoever `client` is to the API server, which is asked when it is first needed.
    pub fn new(client: Client, clock: Clock) -> Self {
        Self {
            client,
            clock,
            known: Arc::default(),
        }
    }

    /// Put our identity on a request to be made.
    ///
    /// # Errors
    /// The API server does not tell who we are.
    pub async fn sign(&self, spec: &mut CertificateRequestSpec) -> Result<(), RequestError> {
        let UserInfo {
            username,
            uid,
            groups,
            extra,
        } = self.user().await?;
        spec.username = username;
        spec.uid = uid;
        spec.groups = groups;
        spec.extra = extra;
        Ok(())
    }

    async fn user(&self) -> Result<UserInfo, RequestError> {
        // Held meanwhile: many that begin at once ask once.
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        if let Some(Known { user, at }) = &*known
            && at.duration_until(now).abs() < ASK_AGAIN
        {
            return Ok(user.clone());
        }
        let user = ask(&self.client).await?;
        *known = Some(Known {
            user: user.clone(),
            at: now,
        });
        Ok(user)
    }
}

async fn ask(client: &Client) -> Result<UserInfo, RequestError> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = api
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .map_err(|source| {
            RequestError::new::<SelfSubjectReview>("create", &ObjectKey::cluster("self"), source)
        })?;
    Ok(review
        .status
        .and_then(|status| status.user_info)
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;

    #[tokio::test]
    async fn the_api_server_is_asked_again_when_the_token_may_have_changed() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let server = service_fn(move |_: Request<Body>| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let user = json!({
                "username": "system:serviceaccount:ns:us", "uid": "7", "groups": ["g"],
                "extra": {"token": [number.to_string()]},
            });
            let review = json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
                "status": {"userInfo": user},
            });
            async move {
                Ok::<_, Infallible>(Response::new(Body::from(review.to_string().into_bytes())))
            }
        });
        let clock = Clock::default();
        let requester = Requester::new(Client::new(server, "default"), clock.clone());
        let token = async || {
            let mut spec = CertificateRequestSpec::default();
            requester.clone().sign(&mut spec).await.unwrap();
            assert_eq!(spec.username.unwrap(), "system:serviceaccount:ns:us");
            assert_eq!(
                (spec.uid.unwrap(), spec.groups.unwrap()),
                ("7".into(), vec!["g".into()])
            );
            spec.extra.unwrap()["token"][0].clone()
        };
        assert_eq!(token().await, "0");
        assert_eq!(token().await, "0");
        clock.advance(ASK_AGAIN.as_secs());
        assert_eq!(token().await, "1");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}
