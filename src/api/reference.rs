//! How does one object name another?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names;

/// An issuer: ours by default, or one of another API group.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// API group of the issuer. Absent or empty means cert-manager.io.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind of the issuer. Absent or empty means Issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name of the issuer.
    pub name: String,
}

impl IssuerRef {
    /// The kind, `Issuer` where none is given.
    pub fn kind_or_default(&self) -> &str {
        given(self.kind.as_deref()).unwrap_or(names::ISSUER_KIND)
    }

    /// The API group, `cert-manager.io` where none is given.
    pub fn group_or_default(&self) -> &str {
        given(self.group.as_deref()).unwrap_or(names::GROUP)
    }

    /// Whether it names an Issuer or ClusterIssuer of ours, rather than one of another API group.
    pub fn is_ours(&self) -> bool {
        self.group_or_default() == names::GROUP
    }

    /// Which object is meant, when an object in `namespace` names it.
    pub fn address(&self, namespace: &str) -> IssuerAddress {
        let kind = self.kind_or_default();
        let namespace = if kind == names::CLUSTER_ISSUER_KIND {
            ""
        } else {
            namespace
        };
        IssuerAddress {
            group: self.group_or_default().to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: self.name.clone(),
        }
    }

    /// Whether both name the same issuer, written out or by default.
    pub fn same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.kind_or_default() == other.kind_or_default()
            && self.group_or_default() == other.group_or_default()
    }
}

/// One issuer, fully named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IssuerAddress {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for a ClusterIssuer.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// One entry of a Secret.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeySelector {
    /// Entry of the Secret. Some fields have a default for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Name of the Secret: in the namespace of the object that names it; for a ClusterIssuer in the
    /// cluster resource namespace.
    pub name: String,
}

impl SecretKeySelector {
    /// The entry, or the given one where none is named.
    pub fn key_or<'a>(&'a self, default: &'a str) -> &'a str {
        given(self.key.as_deref()).unwrap_or(default)
    }
}

/// The reference, unless it names nothing: clients written in Go send `{"name":""}` for a reference
/// that nobody set.
pub fn named(reference: Option<&SecretKeySelector>) -> Option<&SecretKeySelector> {
    reference.filter(|r| !r.name.is_empty())
}

/// An object named by its name alone.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// Name of the object: in the namespace of the object that names it; for a ClusterIssuer in the
    /// cluster resource namespace.
    pub name: String,
}

/// A service account whose token is asked for.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountRef {
    /// Audiences of the token, added to those that are always asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audiences: Option<Vec<String>>,
    /// Name of the service account.
    pub name: String,
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_kind_and_group_are_the_defaults() {
        let plain = IssuerRef {
            name: "a".into(),
            ..Default::default()
        };
        let empty = IssuerRef {
            kind: Some(String::new()),
            group: Some(String::new()),
            ..plain.clone()
        };
        let full = IssuerRef {
            kind: Some("Issuer".into()),
            group: Some("cert-manager.io".into()),
            ..plain.clone()
        };
        let cluster = IssuerRef {
            kind: Some("ClusterIssuer".into()),
            ..plain.clone()
        };
        assert!(plain.same(&empty) && plain.same(&full) && full.is_ours());
        assert!(!plain.same(&cluster));
        assert!(
            !IssuerRef {
                group: Some("example.com".into()),
                ..plain
            }
            .is_ours()
        );
    }

    #[test]
    fn a_reference_without_name_is_none() {
        assert_eq!(named(Some(&SecretKeySelector::default())), None);
        let some = SecretKeySelector {
            name: "s".into(),
            key: Some(String::new()),
        };
        assert_eq!(
            named(Some(&some)).map(|s| s.key_or("tls.key")),
            Some("tls.key")
        );
    }
}
