//! May the requester use an Issuer?
//!
//! Requests have no namespace: who may make them at all could have any Issuer sign. So the Issuer's
//! namespace has a say, by a right that exists for this alone: verb `reference` on `signers`.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use crate::{
    api::names,
    cluster::{ObjectKey, RequestError},
    signing_request::facts::Requester,
};

/// Given by name, or for every issuer of the namespace by this one.
const ANY_NAME: &str = "*";

/// Whether `requester` may have the Issuer `issuer` sign.
///
/// # Errors
/// The API server does not say.
pub async fn may_reference(
    client: &Client,
    requester: &Requester,
    issuer: &ObjectKey,
) -> Result<bool, RequestError> {
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    for name in [&*issuer.name, ANY_NAME] {
        let answer = api
            .create(&PostParams::default(), &question(requester, issuer, name))
            .await
            .map_err(|source| {
                let user = requester.username.as_deref().unwrap_or_default();
                let key = ObjectKey::cluster(user);
                RequestError::new::<SubjectAccessReview>("create", &key, source)
            })?;
        if answer.status.is_some_and(|status| status.allowed) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn question(requester: &Requester, issuer: &ObjectKey, name: &str) -> SubjectAccessReview {
    let Requester {
        username,
        uid,
        groups,
        extra,
    } = requester.clone();
    let attributes = ResourceAttributes {
        group: Some(names::GROUP.to_owned()),
        resource: Some("signers".to_owned()),
        verb: Some("reference".to_owned()),
        version: Some("*".to_owned()),
        namespace: Some(issuer.namespace.to_string()),
        name: Some(name.to_owned()),
        ..ResourceAttributes::default()
    };
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: username,
            uid,
            groups,
            extra,
            resource_attributes: Some(attributes),
            non_resource_attributes: None,
        },
        ..SubjectAccessReview::default()
    }
}
