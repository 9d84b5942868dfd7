//! What stands in the record of an issued certificate?

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

use crate::{
    api::{
        acme::AcmeIssuer,
        deletion::DeletionPolicy,
        issuance::{AcmeOrigin, CertificateRef, Issuance, IssuanceSpec, IssuanceStatus, KeyPlace},
        names::label,
        reference::IssuerRef,
    },
    certificate::{asked_for::AskedFor, secret::Leaf},
    cluster::name::hash_of,
    crl::published_by,
    issuer::{IssuerView, account::DEFAULT_KEY_ENTRY, kind::Signer},
    retire::facts::IssuanceFacts,
};

/// Value of the label that says who made a record.
const CERTWRIGHT: &str = "certwright";
/// How much of the name of a Certificate stands in that of a record.
const KEPT_OF_NAME: usize = 200;

/// A record that is to be made, but for what the certificate says.
pub(super) struct Entry {
    /// The Certificate.
    pub(super) certificate: CertificateRef,
    /// Its Secret.
    pub(super) secret_name: String,
    /// The issuer, as it was written.
    pub(super) issuer: IssuerRef,
    /// Who revokes what it issues.
    pub(super) revoker: Revoker,
    /// What is to become of it.
    pub(super) policy: DeletionPolicy,
    /// The annotation that asks for the revocation of another.
    pub(super) earlier_request: Option<String>,
    /// What was asked for, where another Certificate that asks for the same may have it.
    pub(super) asked_for: Option<AskedFor>,
    /// How it stands.
    pub(super) status: IssuanceStatus,
}

/// Who revokes what an issuer issued.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Revoker {
    /// An ACME server, asked by that account.
    Acme(Box<AcmeOrigin>),
    /// An ACME server, by an account that is not known.
    NoAccount,
    /// Whoever reads the list that the issuer publishes.
    List,
    /// There is nobody to tell.
    Nobody,
}

impl Revoker {
    /// Who revokes what `issuer` issues now.
    pub(super) fn of(issuer: &IssuerView) -> Self {
        match issuer.signer() {
            Ok(Signer::Acme(acme)) => match issuer.account_url() {
                Some(url) => Self::Acme(Box::new(origin(issuer, acme, url))),
                None => Self::NoAccount,
            },
            Ok(Signer::Ca(_) | Signer::SelfSigned(_)) | Err(_) => match published_by(issuer) {
                Some(_) => Self::List,
                None => Self::Nobody,
            },
        }
    }
}

impl Entry {
    /// The record in `namespace` of the certificate `der` of this `cluster`, of which `leaf` is read.
    pub(super) fn issuance(
        self,
        namespace: &str,
        cluster: &str,
        der: Vec<u8>,
        leaf: &Leaf,
    ) -> Issuance {
        let Self {
            certificate,
            secret_name,
            issuer,
            revoker,
            policy,
            earlier_request,
            asked_for,
            status,
        } = self;
        let labels = BTreeMap::from([(label::MANAGED_BY.to_owned(), CERTWRIGHT.to_owned())]);
        let (acme, revocable) = match revoker {
            Revoker::Acme(origin) => (Some(*origin), None),
            Revoker::List => (None, None),
            Revoker::NoAccount | Revoker::Nobody => (None, Some(false)),
        };
        Issuance {
            metadata: ObjectMeta {
                namespace: Some(namespace.to_owned()),
                name: Some(name(&certificate.name, cluster, &der)),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            spec: IssuanceSpec {
                acme,
                also_in: None,
                asked_for: asked_for.map(|asked| asked.to_string()),
                certificate: ByteString(der),
                certificate_ref: certificate,
                cluster: cluster.to_owned(),
                deletion_policy: policy,
                earlier_request,
                issuer_ref: issuer,
                names: names(leaf),
                not_after: Time(leaf.not_after),
                not_before: Time(leaf.not_before),
                public_key: leaf.public_key.to_string(),
                revocable,
                secret_name,
                serial: leaf.serial.clone(),
            },
            status: Some(status),
        }
    }
}

impl IssuanceFacts {
    /// Whether it is the record of that certificate, in DER: its name says so.
    pub fn is_record_of(&self, der: &[u8]) -> bool {
        let hash = |name: &str| name.rsplit('-').next().map(str::to_owned);
        let name = name(&self.certificate.name, &self.cluster, der);
        hash(&name) == hash(&self.meta.key.name)
    }
}

/// The name of the record of a certificate: the same for the same certificate in the same cluster.
pub(super) fn name(certificate: &str, cluster: &str, der: &[u8]) -> String {
    let cause = [cluster.as_bytes(), b"/", der].concat();
    let hash = hash_of(&cause, 10);
    // Names of objects are ASCII.
    let kept = certificate.get(..KEPT_OF_NAME).unwrap_or(certificate);
    format!("{}-{hash}", kept.trim_end_matches(['-', '.']))
}

fn origin(issuer: &IssuerView, acme: &AcmeIssuer, account_url: &str) -> AcmeOrigin {
    let key = &acme.private_key_secret_ref;
    AcmeOrigin {
        account_key: KeyPlace {
            key: key.key_or(DEFAULT_KEY_ENTRY).to_owned(),
            name: key.name.clone(),
            namespace: issuer.secrets_namespace.to_string(),
        },
        account_url: account_url.to_owned(),
        ca_bundle: acme.ca_bundle.clone().filter(|pem| !pem.0.is_empty()),
        server: acme.server.clone(),
        skip_tls_verify: acme.skip_tls_verify.filter(|skip| *skip),
    }
}

fn names(leaf: &Leaf) -> Vec<String> {
    let names = &leaf.names;
    let mut all: Vec<String> = names.dns.clone();
    all.extend(names.ips.iter().map(ToString::to_string));
    all.extend(names.uris.iter().cloned());
    all.extend(names.emails.iter().cloned());
    if all.is_empty() && !leaf.common_name.is_empty() {
        all.push(leaf.common_name.clone());
    }
    all
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::issuer::Issuer,
        cluster::Facts,
        issuer::{IssuerFacts, IssuerKind},
    };

    #[test]
    fn only_an_account_at_the_server_can_revoke() {
        let acme = || json!({"acme": {"server": "https://ca.example/dir", "privateKeySecretRef": {"name": "account"}}});
        let account = |url: &str| json!({"acme": {"uri": url}});
        let table = [
            (acme(), account("https://ca.example/acct/1"), "acme"),
            (acme(), json!({}), "no account"),
            (acme(), account(""), "no account"),
            // That of the server that it had before.
            (acme(), account("https://old.example/acct/1"), "no account"),
            (
                json!({"ca": {"secretName": "root", "crl": {}}}),
                json!({}),
                "list",
            ),
            (json!({"ca": {"secretName": "root"}}), json!({}), "nobody"),
            (
                json!({"selfSigned": {}}),
                account("https://ca.example/acct/1"),
                "nobody",
            ),
            (json!({}), json!({}), "nobody"),
        ];
        for (spec, status, want) in table {
            let found = match Revoker::of(&issuer(&spec, &status)) {
                Revoker::Acme(origin) => {
                    assert_eq!(origin.account_url, "https://ca.example/acct/1");
                    "acme"
                }
                Revoker::NoAccount => "no account",
                Revoker::List => "list",
                Revoker::Nobody => "nobody",
            };
            assert_eq!(found, want, "{spec} {status}");
        }
    }

    fn issuer(spec: &Value, status: &Value) -> IssuerView {
        let issuer: Issuer = serde_json::from_value(json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
            "metadata": {"namespace": "web", "name": "ca", "uid": "i", "generation": 1},
            "spec": spec, "status": status,
        }))
        .unwrap();
        let view = IssuerView::of(&IssuerFacts::<Issuer>::reduce(issuer), &Arc::from("system"));
        assert_eq!(view.kind, IssuerKind::Issuer);
        view
    }
}
