//! Which issuer does a signer name mean?

use crate::{
    api::{
        names,
        reference::{IssuerAddress, IssuerRef},
    },
    cluster::ObjectKey,
    issuer::IssuerKind,
};

/// Before the slash, for an Issuer: `issuers.cert-manager.io/NAMESPACE.NAME`.
const ISSUERS: &str = "issuers.cert-manager.io";
/// Before the slash, for a ClusterIssuer: `clusterissuers.cert-manager.io/NAME`.
const CLUSTER_ISSUERS: &str = "clusterissuers.cert-manager.io";

/// An issuer of ours, as `spec.signerName` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerName {
    /// Issuer or ClusterIssuer.
    pub kind: IssuerKind,
    /// Name, and namespace of an Issuer; that is empty where the signer name has none.
    pub key: ObjectKey,
}

impl SignerName {
    /// What `text` means; `None` if it is not an issuer of ours. A namespace has no dots, so it ends
    /// at the first one.
    pub fn parse(text: &str) -> Option<Self> {
        let (domain, name) = text.split_once('/')?;
        if name.is_empty() || name.starts_with('.') || name.contains('/') {
            return None;
        }
        match domain {
            ISSUERS => {
                let (namespace, name) = name.split_once('.').unwrap_or(("", name));
                Some(Self {
                    kind: IssuerKind::Issuer,
                    key: ObjectKey::new(namespace, name),
                })
            }
            CLUSTER_ISSUERS => Some(Self {
                kind: IssuerKind::ClusterIssuer,
                key: ObjectKey::cluster(name),
            }),
            _ => None,
        }
    }

    /// As an Order refers to it.
    pub fn reference(&self) -> IssuerRef {
        IssuerRef {
            group: Some(names::GROUP.to_owned()),
            kind: Some(self.kind.as_str().to_owned()),
            name: self.key.name.to_string(),
        }
    }

    /// The issuer, fully named.
    pub fn address(&self) -> IssuerAddress {
        self.reference().address(&self.key.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signer_names_are_read_as_cert_manager_does() {
        let issuer = |namespace: &str, name: &str| {
            Some(SignerName {
                kind: IssuerKind::Issuer,
                key: ObjectKey::new(namespace, name),
            })
        };
        let cluster = |name: &str| {
            Some(SignerName {
                kind: IssuerKind::ClusterIssuer,
                key: ObjectKey::cluster(name),
            })
        };
        let table = [
            ("issuers.cert-manager.io/web.le", issuer("web", "le")),
            ("issuers.cert-manager.io/web.le.x", issuer("web", "le.x")),
            ("issuers.cert-manager.io/le", issuer("", "le")),
            ("clusterissuers.cert-manager.io/le", cluster("le")),
            ("clusterissuers.cert-manager.io/le.x", cluster("le.x")),
            ("issuers.cert-manager.io/.le", None),
            ("issuers.cert-manager.io/", None),
            ("issuers.cert-manager.io", None),
            ("issuers.cert-manager.io/web.le/x", None),
            ("orders.cert-manager.io/web.le", None),
            ("issuers.example.com/web.le", None),
            ("kubernetes.io/kubelet-serving", None),
        ];
        for (text, want) in table {
            assert_eq!(SignerName::parse(text), want, "{text}");
        }
    }

    #[test]
    fn it_refers_to_the_issuer_in_full() {
        let signer = SignerName::parse("issuers.cert-manager.io/web.le").unwrap();
        let address = signer.address();
        assert_eq!((&*address.namespace, &*address.name), ("web", "le"));
        assert_eq!((&*address.kind, &*address.group), ("Issuer", names::GROUP));
        let signer = SignerName::parse("clusterissuers.cert-manager.io/le").unwrap();
        assert_eq!(signer.address().namespace, "");
    }
}
