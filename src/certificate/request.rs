//! Which CertificateRequest does a Certificate make?

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use crate::{
    api::{
        certificate::{self, CertificateSpec, NameConstraintItem, NameConstraints},
        names::annotation,
        request::{CertificateRequest, CertificateRequestSpec},
    },
    certificate::{
        content::owner,
        facts::{CertificateFacts, Reused},
    },
    cluster::name::hash_of,
    pki::{
        csr::{self, RequestParameters, Subtrees},
        names::{Names, OtherName},
        signature::SignatureAlgorithm,
        subject::{DistinguishedName, Subject, SubjectName},
        usages::Usage,
    },
};

/// The longest name of a Certificate that stands in the names of its requests as it is.
const LONGEST_PLAIN_NAME: usize = 233;
/// How much of a longer one stands there, before its hash.
const KEPT_OF_NAME: usize = 168;

/// The name of the request for a revision of the Certificate `certificate`.
pub fn name(certificate: &str, revision: i64) -> String {
    if certificate.len() <= LONGEST_PLAIN_NAME {
        return format!("{certificate}-{revision}");
    }
    let hash = hash_of(certificate.as_bytes(), 32);
    // Names of objects are ASCII. A part of one may not end in a dot.
    let start = certificate.get(..KEPT_OF_NAME).unwrap_or_default();
    let start = start.trim_end_matches(|end: char| !end.is_ascii_alphanumeric());
    format!("{start}-{hash}-{revision}")
}

/// The key that a request is signed with.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The Secret that holds it, or would.
    pub secret: &'a str,
    /// The certificate that it is of already, where one is used again.
    pub reused: Option<&'a Reused>,
}

/// The request for a revision of `certificate`, with that key.
pub fn build(
    certificate: &CertificateFacts,
    revision: i64,
    key: Key<'_>,
    csr_pem: String,
    copied_annotation_prefixes: &[String],
) -> CertificateRequest {
    let mut annotations = copied_annotations(&certificate.annotations, copied_annotation_prefixes);
    // Whatever is copied: what the profile was is compared with what it is to be.
    let profile = certificate.annotations.get(annotation::ACME_PROFILE);
    annotations.extend(profile.map(|text| (annotation::ACME_PROFILE.to_owned(), text.clone())));
    // Nobody else may say it: nothing is ordered for such a request.
    annotations.remove(annotation::REUSED_ISSUANCE);
    annotations.extend(key.reused.map(|reused| {
        let issuance = reused.issuance.name.to_string();
        (annotation::REUSED_ISSUANCE.to_owned(), issuance)
    }));
    annotations.extend(
        [
            (annotation::CERTIFICATE_REVISION, revision.to_string()),
            (annotation::PRIVATE_KEY_SECRET_NAME, key.secret.to_owned()),
            (
                annotation::CERTIFICATE_NAME,
                certificate.meta.key.name.to_string(),
            ),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    CertificateRequest {
        metadata: ObjectMeta {
            name: Some(name(&certificate.meta.key.name, revision)),
            namespace: Some(certificate.meta.key.namespace.to_string()),
            annotations: Some(annotations),
            labels: Some(certificate.labels.clone()).filter(|labels| !labels.is_empty()),
            owner_references: Some(vec![owner(certificate)]),
            ..ObjectMeta::default()
        },
        spec: CertificateRequestSpec {
            duration: certificate.spec.duration.clone(),
            is_ca: certificate.spec.is_ca,
            issuer_ref: certificate.spec.issuer_ref.clone(),
            request: ByteString(csr_pem.into_bytes()),
            usages: certificate.spec.usages.clone(),
            ..CertificateRequestSpec::default()
        },
        status: None,
    }
}

/// The annotations that pass `prefixes`, looked at in order: a prefix adds, `-prefix` takes away.
/// Where `*` stands anywhere, each prefix that adds, adds everything.
pub fn copied_annotations(
    all: &BTreeMap<String, String>,
    prefixes: &[String],
) -> BTreeMap<String, String> {
    let everything = prefixes.iter().any(|prefix| prefix == "*");
    let mut copied = BTreeMap::new();
    for prefix in prefixes {
        if let Some(prefix) = prefix.strip_prefix('-') {
            copied.retain(|key: &String, _| !key.starts_with(prefix));
            continue;
        }
        let added = all
            .iter()
            .filter(|(key, _)| everything || key.starts_with(prefix.as_str()));
        copied.extend(added.map(|(key, value)| (key.clone(), value.clone())));
    }
    copied
}

/// What is to be signed for `spec`.
///
/// # Errors
/// Says which field cannot be put into a request.
pub fn parameters(spec: &CertificateSpec) -> Result<RequestParameters, String> {
    let names = names(spec)?;
    let subject = subject(spec)?;
    if names.is_empty() && subject.common_name().is_none() {
        return Err(
            "at least one of commonName, dnsNames, uris, emailAddresses, ipAddresses and \
             otherNames must be set"
                .to_owned(),
        );
    }
    Ok(RequestParameters {
        subject,
        names,
        is_ca: spec.is_ca == Some(true),
        usages: spec
            .usages
            .iter()
            .flatten()
            .copied()
            .map(Usage::from)
            .collect(),
        omit_usages: spec.encode_usages_in_request == Some(false),
        basic_constraints: false,
        name_constraints: spec.name_constraints.as_ref().map(name_constraints),
        signature_algorithm: spec.signature_algorithm.map(signature_algorithm),
    })
}

fn names(spec: &CertificateSpec) -> Result<Names, String> {
    let ips = spec
        .ip_addresses
        .iter()
        .flatten()
        .map(|text| {
            text.parse::<IpAddr>()
                .map_err(|_| format!("spec.ipAddresses: {text:?} is not an IP address"))
        })
        .collect::<Result<_, _>>()?;
    let others = spec.other_names.iter().flatten().map(other_name).collect();
    Ok(Names {
        dns: spec.dns_names.clone().unwrap_or_default(),
        emails: spec.email_addresses.clone().unwrap_or_default(),
        ips,
        uris: spec.uris.clone().unwrap_or_default(),
        others,
        unrecognized: Vec::new(),
    })
}

pub(super) fn other_name(other: &certificate::OtherName) -> OtherName {
    OtherName {
        oid: other.oid.clone().unwrap_or_default(),
        utf8_value: other.utf8_value.clone().unwrap_or_default(),
    }
}

fn subject(spec: &CertificateSpec) -> Result<SubjectName, String> {
    if let Some(literal) = literal_subject(spec) {
        return DistinguishedName::parse(literal)
            .map(SubjectName::Literal)
            .map_err(|error| format!("spec.literalSubject: {error}"));
    }
    Ok(SubjectName::Fields(subject_fields(spec)))
}

pub(super) fn literal_subject(spec: &CertificateSpec) -> Option<&str> {
    spec.literal_subject
        .as_deref()
        .filter(|literal| !literal.is_empty())
}

pub(super) fn subject_fields(spec: &CertificateSpec) -> Subject {
    let certificate::Subject {
        countries,
        localities,
        organizational_units,
        organizations,
        postal_codes,
        provinces,
        serial_number,
        street_addresses,
    } = spec.subject.clone().unwrap_or_default();
    Subject {
        common_name: spec.common_name.clone().unwrap_or_default(),
        countries: countries.unwrap_or_default(),
        organizations: organizations.unwrap_or_default(),
        organizational_units: organizational_units.unwrap_or_default(),
        localities: localities.unwrap_or_default(),
        provinces: provinces.unwrap_or_default(),
        street_addresses: street_addresses.unwrap_or_default(),
        postal_codes: postal_codes.unwrap_or_default(),
        serial_number: serial_number.unwrap_or_default(),
    }
}

fn name_constraints(constraints: &NameConstraints) -> csr::NameConstraints {
    let subtrees = |item: &Option<NameConstraintItem>| {
        let NameConstraintItem {
            dns_domains,
            email_addresses,
            ip_ranges,
            uri_domains,
        } = item.clone().unwrap_or_default();
        Subtrees {
            dns_domains: dns_domains.unwrap_or_default(),
            email_addresses: email_addresses.unwrap_or_default(),
            ip_ranges: ip_ranges.unwrap_or_default(),
            uri_domains: uri_domains.unwrap_or_default(),
        }
    };
    csr::NameConstraints {
        critical: constraints.critical == Some(true),
        permitted: subtrees(&constraints.permitted),
        excluded: subtrees(&constraints.excluded),
    }
}

fn signature_algorithm(algorithm: certificate::SignatureAlgorithm) -> SignatureAlgorithm {
    match algorithm {
        certificate::SignatureAlgorithm::Sha256WithRsa => SignatureAlgorithm::RsaSha256,
        certificate::SignatureAlgorithm::Sha384WithRsa => SignatureAlgorithm::RsaSha384,
        certificate::SignatureAlgorithm::Sha512WithRsa => SignatureAlgorithm::RsaSha512,
        certificate::SignatureAlgorithm::EcdsaWithSha256 => SignatureAlgorithm::EcdsaSha256,
        certificate::SignatureAlgorithm::EcdsaWithSha384 => SignatureAlgorithm::EcdsaSha384,
        certificate::SignatureAlgorithm::EcdsaWithSha512 => SignatureAlgorithm::EcdsaSha512,
        certificate::SignatureAlgorithm::PureEd25519 => SignatureAlgorithm::Ed25519,
    }
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        certificate::{
            fit,
            stories::{World, spec},
        },
        cluster::Facts,
        request::facts::RequestFacts,
    };

    #[test]
    fn names_of_requests_are_short_enough() {
        let longest = "a".repeat(233);
        let longer = "a".repeat(234);
        assert_eq!(name("web", 12), "web-12");
        assert_eq!(name(&longest, 1), format!("{longest}-1"));
        let hashed = name(&longer, i64::MAX);
        assert!(hashed.len() <= 253, "{}", hashed.len());
        assert!(hashed.starts_with(&"a".repeat(168)));
        assert_ne!(hashed, name(&format!("{longest}b"), i64::MAX));
        assert_eq!(name(&longer, 1).rsplit('-').nth(1).unwrap().len(), 64);
        let dotted = format!("{}.-.{}", "a".repeat(165), "b".repeat(100));
        assert!(name(&dotted, 1).starts_with(&format!("{}-", "a".repeat(165))));
    }

    #[test]
    fn annotations_are_copied_by_prefix_in_order() {
        let all: BTreeMap<String, String> = ["a.io/x", "a.io/y", "b.io/x", "c"]
            .map(|key| (key.to_owned(), "1".to_owned()))
            .into();
        let table: [(&[&str], &[&str]); 8] = [
            (&[], &[]),
            (&["*"], &["a.io/x", "a.io/y", "b.io/x", "c"]),
            (&["a.io/"], &["a.io/x", "a.io/y"]),
            (&["*", "-a.io/"], &["b.io/x", "c"]),
            (&["-a.io/", "*"], &["a.io/x", "a.io/y", "b.io/x", "c"]),
            // Where `*` stands, whatever adds, adds everything, what was taken away too.
            (&["*", "-a.io/", "c"], &["a.io/x", "a.io/y", "b.io/x", "c"]),
            (&["a.io/", "-a.io/x", "c"], &["a.io/y", "c"]),
            (&["-a.io/"], &[]),
        ];
        for (prefixes, want) in table {
            let prefixes: Vec<String> = prefixes.iter().map(|p| (*p).to_owned()).collect();
            let copied = copied_annotations(&all, &prefixes);
            assert_eq!(copied.keys().collect::<Vec<_>>(), want, "{prefixes:?}");
        }
    }

    #[test]
    fn a_request_carries_what_the_certificate_asks_for() {
        let mut world = World::new(spec());
        world.spec().duration = Some("2160h".into());
        world.spec().is_ca = Some(true);
        world.spec().usages = Some(vec![crate::api::usage::KeyUsage::ServerAuth]);
        world.certificate.metadata.labels = Some([("team".to_owned(), "a".to_owned())].into());
        let annotations = ["example.com/note", "kubectl.kubernetes.io/x"];
        world.certificate.metadata.annotations = Some(
            annotations
                .map(|key| (key.to_owned(), "b".to_owned()))
                .into(),
        );
        world.settle();
        let made = &world.requests["web-1"];
        assert_eq!(made.metadata.labels, world.certificate.metadata.labels);
        let annotations = made.metadata.annotations.as_ref().unwrap();
        assert_eq!(annotations["example.com/note"], "b");
        assert!(!annotations.contains_key("kubectl.kubernetes.io/x"));
        let owner = &made.metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!(
            (&*owner.kind, owner.controller),
            ("Certificate", Some(true))
        );
        assert_eq!(made.spec.duration, world.certificate.spec.duration);
        assert_eq!(made.spec.usages, world.certificate.spec.usages);
        assert_eq!(made.spec.is_ca, Some(true));
        let facts = RequestFacts::reduce(made.clone());
        let csr = facts.csr.as_ref().unwrap();
        assert_eq!(csr.names.dns, ["www.example.com"]);
        assert!(csr.usages.can_sign_certificates());
        assert_eq!(csr.basic_constraints, None);
        assert_eq!(fit::violations(&facts, &world.certificate.spec), Ok(vec![]));
    }

    #[test]
    fn what_cannot_be_requested_is_told() {
        type Change = fn(&mut CertificateSpec);
        let table: [(Change, &str); 3] = [
            (
                |spec| spec.dns_names = None,
                "at least one of commonName, dnsNames",
            ),
            (
                |spec| spec.ip_addresses = Some(vec!["300.1.1.1".into()]),
                "spec.ipAddresses: \"300.1.1.1\" is not an IP address",
            ),
            (
                |spec| spec.literal_subject = Some("CN=a,blah=b".into()),
                "spec.literalSubject: ",
            ),
        ];
        for (change, want) in table {
            let mut spec = spec();
            change(&mut spec);
            let problem = parameters(&spec).unwrap_err();
            assert!(problem.starts_with(want), "{problem}");
        }
    }
}
