//! Whose identity stands on the requests that we make ourselves?
//!
//! The API server writes it down by a mutating policy. Where it has no such API, we write our own,
//! and a validating policy sees to it that nobody claims another's.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{Api, Client, api::PostParams};
use tracing::warn;

use crate::{
    api::request::CertificateRequestSpec,
    cluster::{ObjectKey, RequestError},
};

/// Where the mutating policies are.
const GROUP_VERSION: &str = "admissionregistration.k8s.io/v1";
const RESOURCE: &str = "mutatingadmissionpolicies";

/// Puts an identity on requests where the API server does not.
#[derive(Clone)]
pub struct Requester {
    client: Client,
    is_stamped: bool,
}

impl Requester {
    /// Find out who writes the identity down. If the API server does not say, nobody need.
    pub async fn find(client: Client) -> Self {
        let is_stamped = match client.list_api_group_resources(GROUP_VERSION).await {
            Ok(known) => known
                .resources
                .iter()
                .any(|resource| resource.name == RESOURCE),
            Err(error) => {
                warn!(%error, "could not find out who writes identities on requests");
                true
            }
        };
        Self { client, is_stamped }
    }

    /// Put our identity on a request to be made, where the API server would not.
    ///
    /// # Errors
    /// The API server does not tell who we are.
    pub async fn sign(&self, spec: &mut CertificateRequestSpec) -> Result<(), RequestError> {
        if self.is_stamped {
            return Ok(());
        }
        // Asked each time: a token that was renewed comes with other extras.
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = api
            .create(&PostParams::default(), &SelfSubjectReview::default())
            .await;
        let review = review.map_err(|source| {
            RequestError::new::<SelfSubjectReview>("create", &ObjectKey::cluster("self"), source)
        })?;
        let Some(user) = review.status.and_then(|status| status.user_info) else {
            return Ok(());
        };
        spec.username = user.username;
        spec.uid = user.uid;
        spec.groups = user.groups;
        spec.extra = user.extra;
        Ok(())
    }
}
