//! Which Certificates ask for exactly the same certificate? Pure.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::{
    api::{acme::AcmeIssuer, certificate::CertificateSpec, names::annotation},
    certificate::{
        facts::CertificateFacts,
        key,
        request::{literal_subject, subject_fields},
    },
    issuer::{IssuerView, kind::Signer, profile},
};

/// Value of an annotation that says no.
const FALSE: &str = "false";

/// A hash of all that makes a difference to a certificate and its key. It is stored, and compared
/// with nothing else: should a later version hash something else, that costs an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AskedFor(u128);

impl AskedFor {
    /// What `certificate` asks `issuer` for, if that is an ACME server with an account.
    pub fn of(certificate: &CertificateFacts, issuer: &IssuerView) -> Option<Self> {
        let Ok(Signer::Acme(acme)) = issuer.signer() else {
            return None;
        };
        let asked = json!({
            "issuer": [issuer.kind.as_str(), &*issuer.key.name],
            "server": server(acme, issuer.account_url()?),
            "profile": profile::asked(&certificate.annotations),
            "spec": spec(&certificate.spec)?,
        });
        let text = serde_json::to_vec(&asked).ok()?;
        let hash = digest(&SHA256, &text);
        let first: [u8; 16] = hash.as_ref().get(..16)?.try_into().ok()?;
        Some(Self(u128::from_be_bytes(first)))
    }
}

/// Whether a certificate of an object with these annotations may be that of another, too.
pub fn may_be_shared(annotations: &BTreeMap<String, String>) -> bool {
    let value = annotations.get(annotation::REUSE);
    value.is_none_or(|value| value.trim() != FALSE)
}

impl fmt::Display for AskedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for AskedFor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

/// What of the issuer makes a difference.
fn server(acme: &AcmeIssuer, account: &str) -> Value {
    let AcmeIssuer {
        ca_bundle: _,
        disable_account_key_generation: _,
        email: _,
        enable_duration_feature,
        external_account_binding: _,
        preferred_chain,
        private_key_secret_ref: _,
        profile: _,
        renewal_information_source: _,
        server,
        skip_tls_verify: _,
        solvers: _,
    } = acme;
    json!([
        server,
        account,
        *enable_duration_feature == Some(true),
        preferred_chain.as_deref().unwrap_or_default(),
        profile::of_issuer(acme),
    ])
}

/// What of the spec makes a difference; lists in order and without repetition, as they are compared.
fn spec(spec: &CertificateSpec) -> Option<Value> {
    let CertificateSpec {
        additional_output_formats: _,
        common_name: _,
        deletion_policy: _,
        dns_names,
        duration,
        email_addresses,
        encode_usages_in_request,
        ip_addresses,
        is_ca,
        issuer_ref: _,
        keystores: _,
        literal_subject: _,
        name_constraints,
        other_names,
        private_key: _,
        renew_before: _,
        renew_before_percentage: _,
        renewal: _,
        revision_history_limit: _,
        secret_name: _,
        secret_template: _,
        signature_algorithm,
        subject: _,
        uris,
        usages,
    } = spec;
    let addresses: Option<Vec<IpAddr>> = ip_addresses
        .iter()
        .flatten()
        .map(|text| text.parse().ok().map(|ip: IpAddr| ip.to_canonical()))
        .collect();
    let duration = duration.as_ref().map(|duration| match duration.parse() {
        Ok(value) => value.to_string(),
        Err(_) => duration.as_str().to_owned(),
    });
    Some(json!({
        "addresses": sorted(addresses?),
        "constraints": name_constraints,
        "dns": sorted(dns_names.clone().unwrap_or_default()),
        "duration": duration,
        "emails": sorted(email_addresses.clone().unwrap_or_default()),
        "isCA": *is_ca == Some(true),
        // Its kind and size; how it is written is the Secret's.
        "key": key::parameters(spec).ok()?.to_string(),
        "others": sorted(other_names.iter().flatten().map(|name| json!(name).to_string()).collect()),
        "signed": signature_algorithm,
        "subject": subject(spec),
        "uris": sorted(uris.clone().unwrap_or_default()),
        "usages": sorted(usages.clone().unwrap_or_default()),
        "usagesEncoded": *encode_usages_in_request != Some(false),
    }))
}

fn subject(spec: &CertificateSpec) -> Value {
    if let Some(literal) = literal_subject(spec) {
        return json!(literal);
    }
    let crate::pki::subject::Subject {
        common_name,
        countries,
        organizations,
        organizational_units,
        localities,
        provinces,
        street_addresses,
        postal_codes,
        serial_number,
    } = subject_fields(spec);
    json!([
        common_name,
        serial_number,
        [
            sorted(countries),
            sorted(organizations),
            sorted(organizational_units),
            sorted(localities),
            sorted(provinces),
            sorted(street_addresses),
            sorted(postal_codes),
        ],
    ])
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list.dedup();
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{
            certificate::{
                KeyUsage, OtherName, PrivateKeyAlgorithm, PrivateKeyEncoding, RotationPolicy,
                SignatureAlgorithm, Subject,
            },
            issuer::IssuerSpec,
        },
        certificate::stories::{World, spec},
        cluster::ObjectKey,
        issuer::IssuerKind,
    };

    fn issuer() -> IssuerView {
        let acme = AcmeIssuer {
            server: "https://ca.example/dir".into(),
            ..AcmeIssuer::default()
        };
        let status = serde_json::from_value(json!({"acme": {"uri": "https://ca.example/acct/1"}}));
        IssuerView {
            kind: IssuerKind::Issuer,
            key: ObjectKey::new("web", "ca"),
            uid: "u".into(),
            resource_version: "1".into(),
            generation: 1,
            deleting: false,
            annotations: std::sync::Arc::default(),
            spec: IssuerSpec {
                acme: Some(acme),
                ..IssuerSpec::default()
            }
            .into(),
            status: std::sync::Arc::new(status.unwrap()),
            secrets_namespace: "web".into(),
        }
    }

    fn asked(world: &World, issuer: &IssuerView) -> AskedFor {
        AskedFor::of(&world.facts(), issuer).unwrap()
    }

    fn rich() -> CertificateSpec {
        CertificateSpec {
            dns_names: Some(vec!["a.example".into(), "b.example".into()]),
            duration: Some("2160h".into()),
            ip_addresses: Some(vec!["192.0.2.1".into()]),
            usages: Some(vec![KeyUsage::ServerAuth, KeyUsage::ClientAuth]),
            ..spec()
        }
    }

    type Change = fn(&mut CertificateSpec);

    #[test]
    fn what_makes_no_difference_is_the_same() {
        let table: [Change; 9] = [
            |spec| spec.dns_names.as_mut().unwrap().reverse(),
            |spec| spec.dns_names.as_mut().unwrap().push("a.example".into()),
            |spec| spec.usages.as_mut().unwrap().reverse(),
            |spec| spec.duration = Some("2159h60m".into()),
            |spec| spec.ip_addresses = Some(vec!["::ffff:192.0.2.1".into()]),
            |spec| spec.secret_name = "other".into(),
            |spec| spec.renew_before = Some("100h".into()),
            |spec| spec.issuer_ref.kind = Some("Issuer".into()),
            |spec| {
                let key = spec.private_key.as_mut().unwrap();
                key.encoding = Some(PrivateKeyEncoding::Pkcs8);
                key.rotation_policy = Some(RotationPolicy::Never);
            },
        ];
        let want = asked(&World::new(rich()), &issuer());
        assert_eq!(want.to_string().parse(), Ok(want));
        for (number, change) in table.into_iter().enumerate() {
            let mut changed = rich();
            change(&mut changed);
            let found = asked(&World::new(changed), &issuer());
            assert_eq!(found, want, "change {number}");
        }
    }

    #[test]
    fn what_makes_a_difference_is_another() {
        let table: [Change; 13] = [
            |spec| spec.dns_names.as_mut().unwrap().push("c.example".into()),
            |spec| spec.common_name = Some("a.example".into()),
            |spec| spec.duration = None,
            |spec| spec.usages = None,
            |spec| spec.encode_usages_in_request = Some(false),
            |spec| spec.is_ca = Some(true),
            |spec| spec.ip_addresses = None,
            |spec| spec.uris = Some(vec!["spiffe://a/b".into()]),
            |spec| spec.email_addresses = Some(vec!["a@example.com".into()]),
            |spec| spec.other_names = Some(vec![OtherName::default()]),
            |spec| spec.signature_algorithm = Some(SignatureAlgorithm::EcdsaWithSha384),
            |spec| {
                spec.subject = Some(Subject {
                    organizations: Some(vec!["a".into()]),
                    ..Subject::default()
                });
            },
            |spec| {
                let key = spec.private_key.as_mut().unwrap();
                key.algorithm = Some(PrivateKeyAlgorithm::Rsa);
            },
        ];
        let want = asked(&World::new(rich()), &issuer());
        for (number, change) in table.into_iter().enumerate() {
            let mut changed = rich();
            change(&mut changed);
            let found = asked(&World::new(changed), &issuer());
            assert_ne!(found, want, "change {number}");
        }
        let mut world = World::new(rich());
        let annotations = world
            .certificate
            .metadata
            .annotations
            .get_or_insert_default();
        annotations.insert(annotation::ACME_PROFILE.into(), "tlsserver".into());
        assert_ne!(asked(&world, &issuer()), want);

        type IssuerChange = fn(&mut AcmeIssuer);
        let table: [IssuerChange; 4] = [
            |acme| acme.server = "https://ca.example/staging".into(),
            |acme| acme.profile = Some("shortlived".into()),
            |acme| acme.preferred_chain = Some("Root X2".into()),
            |acme| acme.enable_duration_feature = Some(true),
        ];
        let world = World::new(rich());
        for (number, change) in table.into_iter().enumerate() {
            let mut issuer = issuer();
            let mut spec = (*issuer.spec).clone();
            change(spec.acme.as_mut().unwrap());
            issuer.spec = spec.into();
            assert_ne!(asked(&world, &issuer), want, "change {number}");
        }
        let other = IssuerView {
            kind: IssuerKind::ClusterIssuer,
            ..issuer()
        };
        assert_ne!(asked(&world, &other), want);
        let status = serde_json::from_value(json!({"acme": {"uri": "https://ca.example/acct/2"}}));
        let other = IssuerView {
            status: std::sync::Arc::new(status.unwrap()),
            ..issuer()
        };
        assert_ne!(asked(&world, &other), want);
    }

    #[test]
    fn who_orders_nothing_asks_for_nothing() {
        let world = World::new(rich());
        let unregistered = IssuerView {
            status: std::sync::Arc::default(),
            ..issuer()
        };
        let ca = IssuerView {
            spec: serde_json::from_value::<IssuerSpec>(json!({"ca": {"secretName": "root"}}))
                .unwrap()
                .into(),
            ..issuer()
        };
        for issuer in [unregistered, ca] {
            assert_eq!(AskedFor::of(&world.facts(), &issuer), None);
        }
    }

    #[test]
    fn only_no_is_no() {
        for (value, want) in [
            (None, true),
            (Some("true"), true),
            (Some(""), true),
            (Some("false"), false),
            (Some(" false "), false),
        ] {
            let value = value.map(|value| (annotation::REUSE.to_owned(), value.to_owned()));
            assert_eq!(may_be_shared(&value.into_iter().collect()), want);
        }
    }
}
