//! What does the API server make of a Secret that is applied?

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, ObjectMeta},
};
use serde_json::{Map, Value, json};

use super::world::World;
use crate::{
    api::names::{field_manager, secret_key},
    certificate::{
        action,
        content::{self, Content},
        facts::{CertificateFacts, Roots, Write},
        keystores::Standing,
        secret::ChainHash,
        temporary,
    },
    issuer::rotation::Turn,
    pki::signed_by::Fingerprint,
};

impl World {
    pub(in crate::certificate) fn apply_secret(
        &mut self,
        facts: &CertificateFacts,
        content: action::Content,
    ) {
        let target = facts.spec.secret_name.clone();
        let standing = self.secrets.get(&target).cloned();
        let built = match content {
            action::Content::Issued { key: place } => {
                let issued = self.situation().issued.unwrap();
                let key = self.key_at(&place);
                let key_pem = key.to_pem(content::encoding(facts)).unwrap();
                let content = Content {
                    key_pem: key_pem.as_bytes(),
                    chain_pem: &issued.chain_pem,
                    ca_pem: issued.ca_pem.as_deref(),
                    certificate_name: Some(&facts.meta.key.name),
                    issuer: Some((&issued.issuer).into()),
                };
                self.build(facts, content, standing.as_ref())
            }
            action::Content::Temporary { key_secret } => {
                let key = self.key(&key_secret.name);
                let key_pem = key.to_pem(content::encoding(facts)).unwrap();
                let chain = temporary::sign(&facts.spec, &key, self.now).unwrap();
                let content = Content {
                    key_pem: key_pem.as_bytes(),
                    chain_pem: chain.as_bytes(),
                    ca_pem: None,
                    certificate_name: Some(&facts.meta.key.name),
                    issuer: None,
                };
                self.build(facts, content, standing.as_ref())
            }
            action::Content::Again(_) => {
                let issuer = facts.spec.issuer_ref.clone();
                let ca_pem = match self.turn {
                    Turn::Extend | Turn::Restore => &self.bundle,
                    Turn::None | Turn::Reissue => self.entry(&target, secret_key::CA),
                };
                let content = Content {
                    key_pem: self.entry(&target, secret_key::PRIVATE_KEY),
                    chain_pem: self.entry(&target, secret_key::CERTIFICATE),
                    ca_pem: Some(ca_pem),
                    certificate_name: Some(&facts.meta.key.name),
                    issuer: Some((&issuer).into()),
                };
                self.build(facts, content, standing.as_ref())
            }
        };
        let before = standing.as_ref().and_then(|secret| secret.data.clone());
        let mut applied = self.server_side_apply(standing, built);
        let data = applied.data.as_mut().unwrap();
        let roots = data.get(secret_key::CA).map_or(&[][..], |ca| &ca.0);
        self.written = Some(Write {
            version: applied.metadata.resource_version.clone().unwrap(),
            generation: facts.meta.generation,
            roots: Roots::from(&*Fingerprint::all(roots)),
            chain: ChainHash::of(&data[secret_key::CERTIFICATE].0),
        });
        let roots = before.and_then(|mut before| before.remove(secret_key::CA));
        match roots.filter(|_| self.is_meddled_with) {
            Some(roots) => drop(data.insert(secret_key::CA.to_owned(), roots)),
            None if matches!(self.turn, Turn::Extend | Turn::Restore) => self.turn = Turn::None,
            None => {}
        }
        self.secrets.insert(target, applied);
        self.keystores = Standing::Fine;
    }

    fn build(
        &self,
        facts: &CertificateFacts,
        content: Content<'_>,
        standing: Option<&Secret>,
    ) -> Secret {
        let type_ = standing.and_then(|secret| secret.type_.as_deref());
        content::build(facts, content, type_, self.settings.owner_reference)
            .unwrap()
            .0
            .clone()
    }

    /// What our manager held and does not apply any more goes; what others hold stays.
    fn server_side_apply(&mut self, standing: Option<Secret>, built: Secret) -> Secret {
        let mut merged = standing.unwrap_or_else(|| Secret {
            metadata: ObjectMeta {
                name: built.metadata.name.clone(),
                namespace: built.metadata.namespace.clone(),
                ..ObjectMeta::default()
            },
            type_: built.type_.clone(),
            ..Secret::default()
        });
        assert_eq!(merged.type_, built.type_, "the type cannot change");
        let held = merged.metadata.managed_fields.take().unwrap_or_default();
        let held = &held.first().and_then(|entry| entry.fields_v1.clone());
        let held = held.as_ref().map_or(Value::Null, |fields| fields.0.clone());
        let metadata = &held["f:metadata"];
        put(
            &mut merged.metadata.labels,
            built.metadata.labels.clone(),
            &metadata["f:labels"],
        );
        put(
            &mut merged.metadata.annotations,
            built.metadata.annotations.clone(),
            &metadata["f:annotations"],
        );
        put(&mut merged.data, built.data.clone(), &held["f:data"]);
        merged
            .metadata
            .owner_references
            .clone_from(&built.metadata.owner_references);

        let owners = built.metadata.owner_references.iter().flatten();
        let owners: Map<String, Value> = owners
            .map(|owner| (format!("k:{}", json!({"uid": owner.uid})), json!({})))
            .collect();
        let fields = json!({
            "f:metadata": {
                "f:labels": fields(built.metadata.labels.as_ref()),
                "f:annotations": fields(built.metadata.annotations.as_ref()),
                "f:ownerReferences": owners,
            },
            "f:data": fields(built.data.as_ref()),
        });
        merged.metadata.managed_fields = Some(vec![ManagedFieldsEntry {
            manager: Some(field_manager::ISSUING.to_owned()),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }]);
        merged.metadata = self.meta(merged.metadata);
        merged
    }
}

fn put<V>(
    standing: &mut Option<BTreeMap<String, V>>,
    applied: Option<BTreeMap<String, V>>,
    held: &Value,
) {
    let standing = standing.get_or_insert_default();
    standing.retain(|key, _| held.get(format!("f:{key}")).is_none());
    standing.extend(applied.unwrap_or_default());
}

fn fields<V>(map: Option<&BTreeMap<String, V>>) -> Map<String, Value> {
    map.into_iter()
        .flat_map(BTreeMap::keys)
        .map(|key| (format!("f:{key}"), json!({})))
        .collect()
}
