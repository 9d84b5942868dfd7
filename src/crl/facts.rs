//! What is kept of a ConfigMap that holds a list, and whose list is it?

use std::{collections::BTreeMap, sync::Arc};

use axum::body::Bytes;
use k8s_openapi::api::core::v1::ConfigMap;

use crate::{
    api::issuer::{CaIssuer, RevocationListSpec},
    cluster::{Facts, Meta, ObjectKey, name::hash_of},
    issuer::{IssuerKind, IssuerView, Issuers, kind::Signer},
    pki::crl::{self, RevocationList},
};

/// On a ConfigMap that holds a list. Value `true`.
pub const LABEL: &str = "certwright.io/crl";
/// On a ConfigMap that holds a list: its number, for people.
pub const NUMBER: &str = "certwright.io/crl-number";
/// On a ConfigMap that holds a list: until when it is good, for people.
pub const NEXT_UPDATE: &str = "certwright.io/crl-next-update";
/// The list as PEM.
pub const PEM_ENTRY: &str = "ca.crl";
/// The list as DER.
pub const DER_ENTRY: &str = "ca.crl.der";
/// What follows the name of the issuer.
const SUFFIX: &str = "-crl";

/// What is kept of a ConfigMap that holds a list.
#[derive(Debug)]
pub struct ListFacts {
    /// Name and versions.
    pub meta: Meta,
    /// The list in DER, as it is served.
    pub der: Bytes,
    /// SHA-256 of that, in part, in hexadecimal.
    pub hash: String,
    /// What it says; `None` where it cannot be read.
    pub list: Option<RevocationList>,
    /// Whether the other entry says the same, and the annotations do.
    pub is_whole: bool,
}

impl Facts for ListFacts {
    type Object = ConfigMap;
    type Index = ();

    fn reduce(object: ConfigMap) -> Self {
        let meta = Meta::of(&object.metadata);
        let der = object
            .binary_data
            .and_then(|mut data| data.remove(DER_ENTRY));
        let der = der.map(|der| der.0).unwrap_or_default();
        let pem = object.data.and_then(|mut data| data.remove(PEM_ENTRY));
        let list = RevocationList::from_der(&der).ok();
        let noted = object.metadata.annotations.unwrap_or_default();
        let is_noted = list.as_ref().is_some_and(|list| {
            let wanted = annotations(list);
            wanted
                .iter()
                .all(|(name, value)| noted.get(name) == Some(value))
        });
        Self {
            meta,
            hash: hash_of(&der, 8),
            is_whole: is_noted && pem.is_some_and(|pem| pem == crl::to_pem(&der)),
            list,
            der: der.into(),
        }
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn indexes(&self) -> Vec<()> {
        Vec::new()
    }
}

impl ListFacts {
    /// Whether it is that of `issuer`.
    pub fn is_of(&self, issuer: &IssuerView) -> bool {
        self.meta.controller.as_ref() == Some(&issuer.uid)
    }

    /// The issuer whose list it is, if that stands and publishes one.
    pub fn issuer(&self, issuers: &Issuers) -> Option<IssuerView> {
        let uid = self.meta.controller.as_ref()?;
        let named = issuers_at(&self.meta.key, &issuers.cluster_resource_namespace);
        let mut found = named
            .iter()
            .filter_map(|key| issuers.get(kind_of(key), key));
        let found = found.find(|issuer| issuer.uid == *uid)?;
        published_by(&found).is_some().then_some(found)
    }
}

/// What is noted on the ConfigMap of a list, for people.
pub(super) fn annotations(list: &RevocationList) -> BTreeMap<String, String> {
    let until = list.next_update.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    [(NUMBER, list.number.to_string()), (NEXT_UPDATE, until)]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// Its CA and what it says of its list, if `issuer` publishes one.
pub fn published_by(issuer: &IssuerView) -> Option<(&CaIssuer, &RevocationListSpec)> {
    match issuer.signer() {
        Ok(Signer::Ca(ca)) => Some((ca, ca.crl.as_ref()?)),
        Ok(Signer::Acme(_) | Signer::SelfSigned(_)) | Err(_) => None,
    }
}

/// The ConfigMap that holds the list of `issuer`.
pub fn place_of(issuer: &IssuerView) -> ObjectKey {
    let name = format!("{}{SUFFIX}", issuer.key.name);
    ObjectKey::new(Arc::clone(&issuer.secrets_namespace), name)
}

/// The issuers, of either kind, whose list the ConfigMap `place` might hold.
pub fn issuers_at(place: &ObjectKey, cluster_resource_namespace: &str) -> Vec<ObjectKey> {
    let Some(name) = place.name.strip_suffix(SUFFIX) else {
        return Vec::new();
    };
    let of_cluster =
        (*place.namespace == *cluster_resource_namespace).then(|| ObjectKey::cluster(name));
    let namespaced = ObjectKey::new(Arc::clone(&place.namespace), name);
    [namespaced].into_iter().chain(of_cluster).collect()
}

/// The kind of an issuer of that name: one of a namespace has one.
pub fn kind_of(issuer: &ObjectKey) -> IssuerKind {
    if issuer.namespace.is_empty() {
        IssuerKind::ClusterIssuer
    } else {
        IssuerKind::Issuer
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn a_place_leads_to_its_issuers() {
        let place = ObjectKey::new("system", "ca-crl");
        let namespaced = ObjectKey::new("system", "ca");
        assert_eq!(
            issuers_at(&place, "system"),
            [namespaced.clone(), ObjectKey::cluster("ca")]
        );
        assert_eq!(issuers_at(&place, "other"), [namespaced]);
        assert!(issuers_at(&ObjectKey::new("system", "ca"), "system").is_empty());
    }

    #[test]
    fn what_is_not_as_it_was_written_is_seen() {
        let list = RevocationList {
            number: 7,
            this_update: Timestamp::UNIX_EPOCH,
            next_update: Timestamp::UNIX_EPOCH,
            entries: BTreeMap::new(),
        };
        assert_eq!(annotations(&list)[NEXT_UPDATE], "1970-01-01T00:00:00Z");
        let broken = ConfigMap {
            binary_data: Some([(DER_ENTRY.to_owned(), ByteString(vec![1, 2]))].into()),
            ..ConfigMap::default()
        };
        let facts = ListFacts::reduce(broken);
        assert!(facts.list.is_none() && !facts.is_whole);
        assert!(ListFacts::reduce(ConfigMap::default()).list.is_none());
    }
}
