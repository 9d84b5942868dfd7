//! What does the API server say, just before something that cannot be undone?

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::Secret,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, CustomResourceExt};

use crate::{
    api::{certificate::Certificate, names::secret_key},
    cluster::{
        Meta, ObjectKey, RequestError,
        write::{self, api_of},
    },
    pki::certificate::leaf_der,
    retire::{
        copies,
        facts::{Definition, IssuanceFacts, Live, Stored},
        reconcile::IssuanceReconciler,
        share::Share,
    },
};

/// A Secret, as it was when it was looked at.
pub(super) struct Seen {
    /// Its uid and version.
    pub(super) meta: Meta,
    /// Whether it holds the certificate.
    pub(super) stored: Stored,
    /// Who copies it to other namespaces, in words.
    pub(super) copied: Option<String>,
}

impl IssuanceReconciler {
    /// Ask for everything that speaks for or against going on.
    pub(super) async fn ask(&self, issuance: &IssuanceFacts) -> Result<Live, RequestError> {
        let (key, uid) = (&issuance.certificate, &issuance.uid);
        let mut is_kept = is_kept(&self.client, key, uid, &issuance.secret).await?;
        for share in &issuance.also_in {
            is_kept = is_kept || self.keeps(share).await?;
        }
        let definition = definition(&self.client).await?;
        let Seen { stored, copied, .. } = self.secret(issuance, &issuance.secret).await?;
        let mut used_by = match stored {
            Stored::This => self.users(issuance).await?,
            Stored::Gone | Stored::Other => self.elsewhere(issuance),
        };
        used_by.extend(copied);
        Ok(Live {
            is_kept,
            definition,
            used_by,
            stored,
        })
    }

    /// The same about another Secret that it is in. That others keep it does not count.
    pub(super) async fn ask_about(
        &self,
        issuance: &IssuanceFacts,
        share: &Share,
    ) -> Result<Live, RequestError> {
        let is_kept = self.keeps(share).await?;
        let definition = definition(&self.client).await?;
        let Seen { stored, copied, .. } = self.secret(issuance, &share.secret).await?;
        let mut used_by = match stored {
            Stored::This => self.routes_and_issuers(&share.secret).await?,
            Stored::Gone | Stored::Other => Vec::new(),
        };
        used_by.extend(copied);
        Ok(Live {
            is_kept,
            definition,
            used_by,
            stored,
        })
    }

    async fn keeps(&self, share: &Share) -> Result<bool, RequestError> {
        let namespace = Arc::clone(&share.secret.namespace);
        let certificate = ObjectKey::new(namespace, Arc::clone(&share.certificate));
        is_kept(&self.client, &certificate, &share.uid, &share.secret).await
    }

    /// The Secret `key`, and whether it still holds the certificate.
    pub(super) async fn secret(
        &self,
        issuance: &IssuanceFacts,
        key: &ObjectKey,
    ) -> Result<Seen, RequestError> {
        let Some(found) = write::get(&api_of::<Secret>(&self.client, key), key).await? else {
            return Ok(Seen {
                meta: Meta::of(&Default::default()),
                stored: Stored::Gone,
                copied: None,
            });
        };
        let meta = Meta::of(&found.metadata);
        let mut data = found.data.unwrap_or_default();
        let chain = data.remove(secret_key::CERTIFICATE).unwrap_or_default();
        crate::certificate::secret::wipe(&mut data);
        let is_this = leaf_der(&chain.0).is_ok_and(|der| issuance.is_record_of(&der));
        let stored = if is_this { Stored::This } else { Stored::Other };
        let annotations = found.metadata.annotations.as_ref();
        let copied = annotations.filter(|_| is_this).and_then(copies::told);
        Ok(Seen {
            meta,
            stored,
            copied,
        })
    }
}

/// Whether the API server knows a Certificate `key` that is the one of that `uid`, or names `secret`.
pub(super) async fn is_kept(
    client: &Client,
    key: &ObjectKey,
    uid: &str,
    secret: &ObjectKey,
) -> Result<bool, RequestError> {
    let found = match write::get(&api_of::<Certificate>(client, key), key).await {
        // The kind is not served: the definition tells.
        Err(error) if error.status() == Some(404) => None,
        found => found?,
    };
    Ok(found.is_some_and(|found| {
        found.metadata.uid.as_deref() == Some(uid) || found.spec.secret_name == *secret.name
    }))
}

/// The definition of Certificates. To be asked for after [`is_kept`]: where there is none, there is no
/// Certificate either.
pub(super) async fn definition(client: &Client) -> Result<Definition, RequestError> {
    let key = ObjectKey::cluster(Certificate::crd_name());
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let Some(found) = write::get(&api, &key).await? else {
        return Ok(Definition::Ending);
    };
    let meta = Meta::of(&found.metadata);
    Ok(match meta.created {
        Some(created) if !meta.deleting => Definition::Since(created),
        Some(_) | None => Definition::Ending,
    })
}
