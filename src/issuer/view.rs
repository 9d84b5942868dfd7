//! How does the rest of the house see an issuer, and how is the one that a reference names found?

use std::{collections::BTreeMap, fmt, sync::Arc};

use k8s_openapi::api::core::v1::ObjectReference;
use reqwest::Url;

use crate::{
    api::{
        acme::{AcmeIssuer, RenewalInformationSource},
        condition::{self, Condition, ConditionStatus},
        issuer::{ClusterIssuer, Issuer, IssuerSpec, IssuerStatus},
        names::{self, annotation},
        reason::request as reason,
        reference::IssuerRef,
    },
    cluster::{Cache, ObjectKey},
    issuer::{
        account,
        facts::{IssuerFacts, IssuerKind, IssuerResource},
        kind::{Signer, Unsupported},
        limits::{Limits, SettingsError},
        named,
    },
};

/// An account at an ACME server. A URL alone is the word of the server that named it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId {
    /// The server's directory.
    pub server: String,
    /// The account.
    pub url: String,
}

/// One issuer as others see it, of either kind. Cheap to clone.
#[derive(Clone, Debug)]
pub struct IssuerView {
    /// Issuer or ClusterIssuer.
    pub kind: IssuerKind,
    /// Name, and namespace of an Issuer.
    pub key: ObjectKey,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// `metadata.annotations`.
    pub annotations: Arc<BTreeMap<String, String>>,
    /// What the user wrote.
    pub spec: Arc<IssuerSpec>,
    /// What is known of it.
    pub status: Arc<IssuerStatus>,
    /// Where its Secrets are.
    pub secrets_namespace: Arc<str>,
}

impl IssuerView {
    /// The issuer of which these facts are known, or were.
    pub fn of<K: IssuerResource>(
        facts: &IssuerFacts<K>,
        cluster_resource_namespace: &Arc<str>,
    ) -> Self {
        let meta = &facts.meta;
        let secrets_namespace = match K::KIND {
            IssuerKind::Issuer => &meta.key.namespace,
            IssuerKind::ClusterIssuer => cluster_resource_namespace,
        };
        Self {
            kind: K::KIND,
            key: meta.key.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            generation: meta.generation,
            deleting: meta.deleting,
            annotations: Arc::clone(&facts.annotations),
            spec: Arc::clone(&facts.spec),
            status: Arc::clone(&facts.status),
            secrets_namespace: Arc::clone(secrets_namespace),
        }
    }

    /// Its Ready condition.
    pub fn ready_condition(&self) -> Option<&Condition> {
        condition::find(self.status.conditions.as_ref(), condition::kind::READY)
    }

    /// Whether its Ready condition is True.
    pub fn ready(&self) -> bool {
        self.ready_condition()
            .is_some_and(|ready| ready.status == ConditionStatus::True)
    }

    /// What it signs by.
    ///
    /// # Errors
    /// It is of no kind that works here.
    pub fn signer(&self) -> Result<Signer<'_>, Unsupported> {
        Signer::of(&self.spec)
    }

    /// The URL of its account at its present ACME server, once registered.
    pub fn account_url(&self) -> Option<&str> {
        let server = self.acme_server()?;
        account::url_of(&self.status, &server, self.generation)
    }

    /// Its account, once registered.
    pub fn account(&self) -> Option<AccountId> {
        let server = self.acme_server()?;
        let url = account::url_of(&self.status, &server, self.generation)?.to_owned();
        let server = server.into();
        Some(AccountId { server, url })
    }

    fn acme_server(&self) -> Option<Url> {
        let Ok(Signer::Acme(acme)) = self.signer() else {
            return None;
        };
        Url::parse(&acme.server).ok()
    }

    /// What it signs by, if it can now.
    ///
    /// # Errors
    /// Why not, in words for the request that waits for it.
    pub fn usable(&self) -> Result<Signer<'_>, NotUsable> {
        let signer = self.signer().map_err(|what| NotUsable::Unsupported {
            issuer: self.to_string(),
            what,
        })?;
        if self.ready() {
            return Ok(signer);
        }
        let message = self
            .ready_condition()
            .and_then(|ready| ready.message.as_deref());
        Err(NotUsable::NotReady {
            issuer: self.to_string(),
            why: message.unwrap_or("it has not been checked yet").to_owned(),
        })
    }

    /// The Secrets that it uses.
    pub fn secrets(&self) -> impl Iterator<Item = ObjectKey> {
        let names = named::secrets(&self.spec).into_iter();
        names.map(|name| ObjectKey::new(Arc::clone(&self.secrets_namespace), name))
    }

    /// Its ACME settings, if it can sign now.
    ///
    /// # Errors
    /// Why not, in words for the order that waits for it.
    pub fn usable_acme(&self) -> Result<&AcmeIssuer, NotUsable> {
        match self.usable()? {
            Signer::Acme(acme) => Ok(acme),
            Signer::Ca(_) | Signer::SelfSigned(_) => Err(NotUsable::NotAcme {
                issuer: self.to_string(),
            }),
        }
    }

    /// How many orders its CA takes.
    ///
    /// # Errors
    /// What the annotation says is no limit.
    pub fn limits(&self) -> Result<Limits, SettingsError> {
        let text = self.annotations.get(annotation::RATE_LIMITS);
        let server = match self.signer() {
            Ok(Signer::Acme(acme)) => acme.server.as_str(),
            Ok(Signer::Ca(_) | Signer::SelfSigned(_)) | Err(_) => "",
        };
        Limits::of(server, text.map(String::as_str))
    }

    /// Whether its CA is asked when to renew (RFC 9773).
    pub fn asks_renewal_info(&self) -> bool {
        match self.signer() {
            Ok(Signer::Acme(acme)) => {
                acme.renewal_information_source != Some(RenewalInformationSource::None)
            }
            Ok(Signer::Ca(_) | Signer::SelfSigned(_)) | Err(_) => false,
        }
    }

    /// How events refer to it.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(format!("{}/v1", names::GROUP)),
            kind: Some(self.kind.as_str().to_owned()),
            namespace: Some(self.key.namespace.to_string()).filter(|name| !name.is_empty()),
            name: Some(self.key.name.to_string()),
            uid: Some(self.uid.clone()),
            resource_version: Some(self.resource_version.clone()),
            field_path: None,
        }
    }
}

impl fmt::Display for IssuerView {
    /// For messages: kind and name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind, self.key.name)
    }
}

/// Why an issuer that exists cannot sign now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotUsable {
    /// Its Ready condition is not True.
    #[error("{issuer} is not ready: {why}")]
    NotReady {
        /// Kind and name.
        issuer: String,
        /// The condition's message.
        why: String,
    },
    /// It takes no orders.
    #[error("{issuer} cannot be used: it is not an ACME issuer (any more)")]
    NotAcme {
        /// Kind and name.
        issuer: String,
    },
    /// It is of a kind that we cannot sign by.
    #[error("{issuer} cannot be used: {what}")]
    Unsupported {
        /// Kind and name.
        issuer: String,
        /// Which, and what to use instead.
        what: Unsupported,
    },
}

impl NotUsable {
    /// Reason of the event on the request.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unsupported {
                what: Unsupported::Nothing | Unsupported::Several,
                ..
            } => reason::ISSUER_TYPE_MISSING,
            Self::NotReady { .. } | Self::NotAcme { .. } | Self::Unsupported { .. } => {
                reason::ISSUER_NOT_READY
            }
        }
    }
}

/// Why no issuer is found for a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// It is of another API group: not ours to look at.
    #[error("issuers of API group {group:?} are not ours")]
    Foreign {
        /// The group.
        group: String,
    },
    /// Our group has no such kind.
    #[error("issuerRef.kind {kind:?} is unknown: use Issuer or ClusterIssuer")]
    Kind {
        /// The kind.
        kind: String,
    },
    /// There is none of that name.
    #[error("{}", not_found(*.kind, .key))]
    NotFound {
        /// Issuer or ClusterIssuer.
        kind: IssuerKind,
        /// The name.
        key: ObjectKey,
    },
}

fn not_found(kind: IssuerKind, key: &ObjectKey) -> String {
    match kind {
        IssuerKind::Issuer => {
            format!(
                "Issuer {:?} not found in namespace {:?}",
                key.name, key.namespace
            )
        }
        IssuerKind::ClusterIssuer => format!("ClusterIssuer {:?} not found", key.name),
    }
}

/// The issuers of both kinds.
#[derive(Clone)]
pub struct Issuers {
    /// For their namespace.
    pub namespaced: Arc<Cache<IssuerFacts<Issuer>>>,
    /// For every namespace.
    pub cluster: Arc<Cache<IssuerFacts<ClusterIssuer>>>,
    /// Where the Secrets of ClusterIssuers are.
    pub cluster_resource_namespace: Arc<str>,
}

impl Issuers {
    /// The issuer that an object in `namespace` refers to.
    ///
    /// # Errors
    /// Why there is none.
    pub fn lookup(&self, reference: &IssuerRef, namespace: &str) -> Result<IssuerView, Missing> {
        let address = reference.address(namespace);
        if !reference.is_ours() {
            return Err(Missing::Foreign {
                group: address.group,
            });
        }
        let kind = match address.kind.as_str() {
            names::ISSUER_KIND => IssuerKind::Issuer,
            names::CLUSTER_ISSUER_KIND => IssuerKind::ClusterIssuer,
            _ => return Err(Missing::Kind { kind: address.kind }),
        };
        let key = ObjectKey::new(address.namespace, address.name);
        self.get(kind, &key).ok_or(Missing::NotFound { kind, key })
    }

    /// The issuer of that kind and name.
    pub fn get(&self, kind: IssuerKind, key: &ObjectKey) -> Option<IssuerView> {
        let namespace = &self.cluster_resource_namespace;
        match kind {
            IssuerKind::Issuer => {
                let facts = self.namespaced.get(key)?;
                Some(IssuerView::of(&facts, namespace))
            }
            IssuerKind::ClusterIssuer => {
                let facts = self.cluster.get(key)?;
                Some(IssuerView::of(&facts, namespace))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ObjectMeta;
    use serde_json::{Value, json};

    use super::*;

    fn meta(namespace: Option<&str>, name: &str) -> ObjectMeta {
        ObjectMeta {
            namespace: namespace.map(str::to_owned),
            name: Some(name.into()),
            uid: Some(format!("uid-{name}")),
            resource_version: Some("1".into()),
            generation: Some(1),
            ..ObjectMeta::default()
        }
    }

    fn issuers(spec: Value, status: Value) -> Issuers {
        let issuers = Issuers {
            namespaced: Arc::default(),
            cluster: Arc::default(),
            cluster_resource_namespace: "system".into(),
        };
        let mut issuer = Issuer::new("le", serde_json::from_value(spec.clone()).unwrap());
        issuer.metadata = meta(Some("web"), "le");
        issuer.status = serde_json::from_value(status.clone()).unwrap();
        issuers.namespaced.observe(issuer);
        let mut issuer = ClusterIssuer::new("le", serde_json::from_value(spec).unwrap());
        issuer.metadata = meta(None, "le");
        issuer.status = serde_json::from_value(status).unwrap();
        issuers.cluster.observe(issuer);
        issuers
    }

    fn acme() -> Value {
        json!({"acme": {
            "server": "https://ca.example/dir",
            "privateKeySecretRef": {"name": "account"},
            "externalAccountBinding": {"keyID": "k", "keySecretRef": {"name": "eab", "key": "k"}},
            "solvers": [{"dns01": {"rfc2136": {
                "nameserver": "ns", "tsigSecretSecretRef": {"name": "tsig", "key": "k"},
            }}}],
        }})
    }

    fn reference(kind: Option<&str>, group: Option<&str>, name: &str) -> IssuerRef {
        IssuerRef {
            name: name.into(),
            kind: kind.map(str::to_owned),
            group: group.map(str::to_owned),
        }
    }

    #[test]
    fn references_are_looked_up_with_the_defaults_of_kind_and_group() {
        let issuers = issuers(acme(), json!({}));
        let found = [
            (reference(None, None, "le"), IssuerKind::Issuer, "web"),
            (
                reference(Some(""), Some(""), "le"),
                IssuerKind::Issuer,
                "web",
            ),
            (
                reference(Some("Issuer"), Some("cert-manager.io"), "le"),
                IssuerKind::Issuer,
                "web",
            ),
            (
                reference(Some("ClusterIssuer"), None, "le"),
                IssuerKind::ClusterIssuer,
                "system",
            ),
        ];
        for (reference, kind, secrets) in found {
            let view = issuers.lookup(&reference, "web").unwrap();
            assert_eq!((view.kind, &*view.secrets_namespace), (kind, secrets));
        }
        let missing = [
            (
                reference(None, None, "no"),
                "Issuer \"no\" not found in namespace \"web\"",
            ),
            (
                reference(Some("ClusterIssuer"), None, "no"),
                "ClusterIssuer \"no\" not found",
            ),
            (
                reference(Some("Foo"), None, "le"),
                "issuerRef.kind \"Foo\" is unknown: use Issuer or ClusterIssuer",
            ),
            (
                reference(None, Some("example.com"), "le"),
                "issuers of API group \"example.com\" are not ours",
            ),
        ];
        for (reference, message) in missing {
            let error = issuers.lookup(&reference, "web").unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        assert!(
            issuers
                .lookup(&reference(None, None, "le"), "other")
                .is_err()
        );
    }

    #[test]
    fn an_issuer_that_cannot_sign_says_why() {
        let ready = |status: &str, message: &str| json!({"conditions": [{"type": "Ready", "status": status, "message": message}]});
        let table = [
            (acme(), ready("True", "fine"), None),
            (
                acme(),
                json!({}),
                Some((
                    "IssuerNotReady",
                    "Issuer \"le\" is not ready: it has not been checked yet",
                )),
            ),
            (
                acme(),
                ready("False", "EAB Secret \"eab\" not found"),
                Some((
                    "IssuerNotReady",
                    "Issuer \"le\" is not ready: EAB Secret \"eab\" not found",
                )),
            ),
            (
                json!({}),
                ready("True", "fine"),
                Some((
                    "IssuerTypeMissing",
                    "Issuer \"le\" cannot be used: the spec names no kind of issuer: set spec.acme, spec.ca or spec.selfSigned",
                )),
            ),
            (
                json!({"venafi": {"zone": "z"}}),
                ready("True", "made so by cert-manager"),
                Some((
                    "IssuerNotReady",
                    "Issuer \"le\" cannot be used: spec.venafi is not supported by this version \
                     of certwright: use an issuer with spec.acme, spec.ca or spec.selfSigned",
                )),
            ),
            (json!({"selfSigned": {}}), ready("True", ""), None),
        ];
        for (spec, status, want) in table {
            let view = issuers(spec, status)
                .lookup(&reference(None, None, "le"), "web")
                .unwrap();
            let said = view
                .usable()
                .err()
                .map(|error| (error.reason(), error.to_string()));
            let said = said.as_ref().map(|(reason, text)| (*reason, text.as_str()));
            assert_eq!(said, want);
        }
    }
}
