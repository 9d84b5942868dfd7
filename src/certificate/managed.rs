//! Which fields of a Secret does our own field manager hold?

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::names::{annotation, field_manager, label, secret_key};

/// Names of fields: those that we write ourselves cost no memory.
pub type Keys = BTreeSet<Cow<'static, str>>;

/// The fields of a Secret that `cert-manager-certificates-issuing` holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedFields {
    /// Keys of labels.
    pub labels: Keys,
    /// Keys of annotations.
    pub annotations: Keys,
    /// Keys of data.
    pub data: Keys,
    /// The uids of owners.
    pub owners: BTreeSet<String>,
}

impl ManagedFields {
    /// Reads `metadata.managedFields`.
    ///
    /// # Errors
    /// Says what is wrong with an entry of our manager.
    pub fn read(entries: &[ManagedFieldsEntry]) -> Result<Self, String> {
        let mut fields = Self::default();
        let ours = entries
            .iter()
            .filter(|entry| entry.manager.as_deref() == Some(field_manager::ISSUING))
            .filter_map(|entry| entry.fields_v1.as_ref());
        for entry in ours {
            fields.add(&entry.0)?;
        }
        Ok(fields)
    }

    fn add(&mut self, entry: &Value) -> Result<(), String> {
        if !entry.is_object() {
            return Err("fieldsV1 is not an object".to_owned());
        }
        let metadata = &entry["f:metadata"];
        self.labels.extend(names(&metadata["f:labels"]));
        self.annotations.extend(names(&metadata["f:annotations"]));
        self.data.extend(names(&entry["f:data"]));
        for key in members(&metadata["f:ownerReferences"]) {
            let Some(key) = key.strip_prefix("k:") else {
                continue;
            };
            let key: Value = serde_json::from_str(key)
                .map_err(|error| format!("key of an owner reference: {error}"))?;
            self.owners
                .extend(key["uid"].as_str().map(ToOwned::to_owned));
        }
        Ok(())
    }
}

/// The patch that makes our manager hold what is ours in `standing`, a Secret that nobody holds
/// anything of, where `applied` is to be applied next: the API server would put all of it into other
/// hands then, and what we no longer want could never be taken away.
pub fn claim(applied: &Secret, standing: &Secret) -> Value {
    const OURS: [&str; 9] = [
        secret_key::CERTIFICATE,
        secret_key::PRIVATE_KEY,
        secret_key::CA,
        secret_key::DER,
        secret_key::COMBINED_PEM,
        secret_key::JKS_KEYSTORE,
        secret_key::JKS_TRUSTSTORE,
        secret_key::PKCS12_KEYSTORE,
        secret_key::PKCS12_TRUSTSTORE,
    ];
    let (applied, stands) = (&applied.metadata, &standing.metadata);
    let data = standing.data.iter().flatten().map(|(key, _)| key);
    let both = |applied: &Option<BTreeMap<String, String>>, stands| {
        let stands: &Option<BTreeMap<String, String>> = stands;
        let keys = applied.iter().flatten().map(|(key, _)| key);
        fields(keys.filter(|key| stands.as_ref().is_some_and(|all| all.contains_key(*key))))
    };
    json!({"metadata": {
        "resourceVersion": stands.resource_version,
        "managedFields": [{
            "manager": field_manager::ISSUING,
            "operation": "Apply",
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:data": fields(data.filter(|key| OURS.contains(&key.as_str()))),
                "f:metadata": {
                    "f:annotations": both(&applied.annotations, &stands.annotations),
                    "f:labels": both(&applied.labels, &stands.labels),
                },
            },
        }],
    }})
}

fn fields<'a>(keys: impl Iterator<Item = &'a String>) -> Map<String, Value> {
    keys.map(|key| (format!("f:{key}"), json!({}))).collect()
}

/// The names of the fields below `parent`.
fn names(parent: &Value) -> impl Iterator<Item = Cow<'static, str>> {
    members(parent).filter_map(|key| key.strip_prefix("f:").map(intern))
}

fn members(parent: &Value) -> impl Iterator<Item = &str> {
    parent
        .as_object()
        .into_iter()
        .flat_map(|object| object.keys().map(String::as_str))
}

/// `key`, without a copy where it is one that we write.
pub fn intern(key: &str) -> Cow<'static, str> {
    const OURS: [&str; 24] = [
        label::WATCHED_SECRET,
        annotation::CERTIFICATE_NAME,
        annotation::ISSUER_NAME,
        annotation::ISSUER_KIND,
        annotation::ISSUER_GROUP,
        annotation::COMMON_NAME,
        annotation::ALT_NAMES,
        annotation::IP_SANS,
        annotation::URI_SANS,
        annotation::EMAIL_SANS,
        annotation::SUBJECT_ORGANIZATIONS,
        annotation::SUBJECT_ORGANIZATIONAL_UNITS,
        annotation::SUBJECT_COUNTRIES,
        annotation::SUBJECT_PROVINCES,
        annotation::SUBJECT_LOCALITIES,
        annotation::SUBJECT_POSTAL_CODES,
        annotation::SUBJECT_STREET_ADDRESSES,
        annotation::SUBJECT_SERIAL_NUMBER,
        annotation::ALLOW_DIRECT_INJECTION,
        secret_key::CERTIFICATE,
        secret_key::PRIVATE_KEY,
        secret_key::CA,
        secret_key::DER,
        secret_key::COMBINED_PEM,
    ];
    OURS.iter()
        .find(|known| **known == key)
        .map_or_else(|| Cow::Owned(key.to_owned()), |known| Cow::Borrowed(*known))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;

    use super::*;

    fn entry(manager: &str, fields: Value) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.to_owned()),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }
    }

    #[test]
    fn only_our_managers_fields_count() {
        let ours = json!({
            "f:metadata": {
                "f:labels": {".": {}, "f:controller.cert-manager.io/fao": {}, "f:team": {}},
                "f:annotations": {"f:cert-manager.io/alt-names": {}},
                "f:ownerReferences": {"k:{\"uid\":\"u1\"}": {".": {}, "f:kind": {}}}
            },
            "f:data": {"f:tls.crt": {}, "f:tls.key": {}},
            "f:type": {}
        });
        let theirs = json!({"f:metadata": {"f:labels": {"f:other": {}}}, "f:data": {"f:x": {}}});
        let fields = ManagedFields::read(&[
            entry("kubectl", theirs),
            entry(field_manager::ISSUING, ours),
            ManagedFieldsEntry::default(),
        ])
        .unwrap();
        let want = ManagedFields {
            labels: [label::WATCHED_SECRET, "team"].map(intern).into(),
            annotations: [annotation::ALT_NAMES].map(intern).into(),
            data: ["tls.crt", "tls.key"].map(intern).into(),
            owners: ["u1".to_owned()].into(),
        };
        assert_eq!(fields, want);
        assert!(matches!(
            fields.labels.first(),
            Some(Cow::Borrowed(label::WATCHED_SECRET))
        ));
    }

    #[test]
    fn what_nobody_holds_is_claimed_as_far_as_it_is_ours() {
        let secret = |value: Value| serde_json::from_value::<Secret>(value).unwrap();
        let applied = secret(json!({"metadata": {
            "labels": {"team": "a", label::WATCHED_SECRET: "true"}, "annotations": {"note": "a"},
        }}));
        let standing = secret(json!({
            "metadata": {
                "resourceVersion": "7", "labels": {"team": "b", "their": "own"},
                "annotations": {"note": "a", "their": "own"},
            },
            "data": {"tls.crt": "", "key.der": "", "their": ""},
        }));
        let patch = claim(&applied, &standing);
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        let entries = patch["metadata"]["managedFields"].clone();
        let entries: Vec<ManagedFieldsEntry> = serde_json::from_value(entries).unwrap();
        let want = ManagedFields {
            labels: ["team"].map(intern).into(),
            annotations: ["note"].map(intern).into(),
            data: ["key.der", "tls.crt"].map(intern).into(),
            owners: BTreeSet::new(),
        };
        assert_eq!(ManagedFields::read(&entries), Ok(want));
    }

    #[test]
    fn broken_entries_are_told() {
        let broken = [
            json!("text"),
            json!({"f:metadata": {"f:ownerReferences": {"k:{": {}}}}),
        ];
        for fields in broken {
            let read = ManagedFields::read(&[entry(field_manager::ISSUING, fields.clone())]);
            assert!(read.is_err(), "{fields}");
            let read = ManagedFields::read(&[entry("kubectl", fields.clone())]);
            assert_eq!(read, Ok(ManagedFields::default()), "{fields}");
        }
    }
}
