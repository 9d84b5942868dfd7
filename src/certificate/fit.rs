//! Does a request that stands still fit what its Certificate asks for?

use std::{collections::HashSet, hash::Hash, net::IpAddr};

use crate::{
    api::certificate::CertificateSpec,
    certificate::{
        facts::CertificateFacts,
        request::{literal_subject, other_name, subject_fields},
    },
    issuer::profile,
    pki::{
        self,
        names::OtherName,
        subject::{DistinguishedName, Subject},
    },
    request::facts::RequestFacts,
};

/// The fields of `spec` that `request` does not have as they are now.
///
/// # Errors
/// When the signing request, or the literal subject, cannot be read.
pub fn violations(
    request: &RequestFacts,
    spec: &CertificateSpec,
) -> Result<Vec<&'static str>, String> {
    let csr = request.csr.as_ref().map_err(Clone::clone)?;
    let mut differ = Vec::new();
    let mut check = |same: bool, field| {
        if !same {
            differ.push(field);
        }
    };

    let names = &csr.names;
    check(
        same_addresses(&names.ips, spec.ip_addresses.as_deref()),
        "spec.ipAddresses",
    );
    check(same(&names.uris, spec.uris.as_deref()), "spec.uris");
    check(
        same(&names.emails, spec.email_addresses.as_deref()),
        "spec.emailAddresses",
    );
    check(same(&names.dns, spec.dns_names.as_deref()), "spec.dnsNames");
    if let Some(others) = &spec.other_names {
        let wanted: Vec<OtherName> = others.iter().map(other_name).collect();
        check(same(&names.others, Some(&wanted)), "spec.otherNames");
    }

    match literal_subject(spec) {
        Some(literal) => {
            let wanted =
                DistinguishedName::parse(literal).map_err(|error: pki::Error| error.to_string())?;
            check(wanted.to_der() == csr.subject_der, "spec.literalSubject");
        }
        None => {
            for (field, same) in subject_violations(&csr.subject, &subject_fields(spec)) {
                check(same, field);
            }
        }
    }

    check(
        request.is_ca.unwrap_or_default() == spec.is_ca.unwrap_or_default(),
        "spec.isCA",
    );
    check(
        same(
            request.usages.as_deref().unwrap_or_default(),
            spec.usages.as_deref(),
        ),
        "spec.usages",
    );
    if let (Some(requested), Some(wanted)) = (&request.duration, &spec.duration) {
        check(
            requested == wanted || same_value(requested.parse(), wanted.parse()),
            "spec.duration",
        );
    }
    check(request.issuer_ref.same(&spec.issuer_ref), "spec.issuerRef");
    Ok(differ)
}

/// The annotation that says which profile to order, if it says another one than when `request` was
/// made for `certificate`. Requests of cert-manager knew none, and what it issued stays.
pub fn another_profile(
    request: &RequestFacts,
    certificate: &CertificateFacts,
) -> Option<&'static str> {
    let is_another =
        profile::asked(&request.annotations) != profile::asked(&certificate.annotations);
    (request.is_own && is_another).then_some("metadata.annotations[certwright.io/acme-profile]")
}

fn subject_violations(requested: &Subject, wanted: &Subject) -> [(&'static str, bool); 9] {
    let list = |of: fn(&Subject) -> &Vec<String>| same(of(requested), Some(of(wanted)));
    [
        (
            "spec.commonName",
            requested.common_name == wanted.common_name,
        ),
        (
            "spec.subject.serialNumber",
            requested.serial_number == wanted.serial_number,
        ),
        (
            "spec.subject.organizations",
            list(|subject| &subject.organizations),
        ),
        ("spec.subject.countries", list(|subject| &subject.countries)),
        (
            "spec.subject.localities",
            list(|subject| &subject.localities),
        ),
        (
            "spec.subject.organizationalUnits",
            list(|subject| &subject.organizational_units),
        ),
        (
            "spec.subject.postalCodes",
            list(|subject| &subject.postal_codes),
        ),
        ("spec.subject.provinces", list(|subject| &subject.provinces)),
        (
            "spec.subject.streetAddresses",
            list(|subject| &subject.street_addresses),
        ),
    ]
}

fn same_value<T: PartialEq, E>(one: Result<T, E>, other: Result<T, E>) -> bool {
    matches!((one, other), (Ok(one), Ok(other)) if one == other)
}

/// Whether a list that was requested holds what is wanted, in any order, however often.
pub fn same<T: Eq + Hash>(requested: &[T], wanted: Option<&[T]>) -> bool {
    let requested: HashSet<&T> = requested.iter().collect();
    let wanted: HashSet<&T> = wanted.unwrap_or_default().iter().collect();
    requested == wanted
}

/// As [`same`], for addresses: an IPv4 address may be written as IPv6.
pub fn same_addresses(requested: &[IpAddr], wanted: Option<&[String]>) -> bool {
    let wanted: Option<Vec<IpAddr>> = wanted
        .unwrap_or_default()
        .iter()
        .map(|text| text.parse().ok().map(|ip: IpAddr| ip.to_canonical()))
        .collect();
    let requested: Vec<IpAddr> = requested.iter().map(IpAddr::to_canonical).collect();
    wanted.is_some_and(|wanted| same(&requested, Some(&wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{
            certificate::{self, OtherName as OtherNameSpec},
            usage::KeyUsage,
        },
        certificate::stories::{World, spec},
        cluster::Facts,
    };

    #[test]
    fn every_field_that_differs_is_named() {
        type Change = fn(&mut CertificateSpec);
        let subject = |change: fn(&mut certificate::Subject)| {
            let mut subject = certificate::Subject::default();
            change(&mut subject);
            subject
        };
        let table: [(Change, &[&str]); 15] = [
            (
                |spec| spec.dns_names = Some(vec!["a".into()]),
                &["spec.dnsNames"],
            ),
            (
                |spec| spec.ip_addresses = Some(vec!["::1".into()]),
                &["spec.ipAddresses"],
            ),
            (|spec| spec.uris = Some(vec!["a:b".into()]), &["spec.uris"]),
            (
                |spec| spec.email_addresses = Some(vec!["a@b.c".into()]),
                &["spec.emailAddresses"],
            ),
            (
                |spec| spec.common_name = Some("a".into()),
                &["spec.commonName"],
            ),
            (|spec| spec.is_ca = Some(true), &["spec.isCA"]),
            (
                |spec| spec.usages = Some(vec![KeyUsage::Any]),
                &["spec.usages"],
            ),
            (|spec| spec.duration = Some("2h".into()), &["spec.duration"]),
            (|spec| spec.duration = Some("60m".into()), &[]),
            (
                |spec| spec.issuer_ref.name = "b".into(),
                &["spec.issuerRef"],
            ),
            (
                |spec| spec.literal_subject = Some("CN=a".into()),
                &["spec.literalSubject"],
            ),
            (
                |spec| spec.other_names = Some(vec![OtherNameSpec::default()]),
                &["spec.otherNames"],
            ),
            (|spec| spec.encode_usages_in_request = Some(false), &[]),
            (|spec| spec.revision_history_limit = Some(3), &[]),
            (|spec| spec.secret_name = "b".into(), &[]),
        ];
        let mut asked = spec();
        asked.duration = Some("1h".into());
        let mut world = World::new(asked.clone());
        world.settle();
        let facts = RequestFacts::reduce(world.requests["web-1"].clone());
        for (number, (change, want)) in table.into_iter().enumerate() {
            let mut changed = asked.clone();
            change(&mut changed);
            assert_eq!(
                violations(&facts, &changed).unwrap(),
                want,
                "change {number}"
            );
        }
        type SubjectChange = fn(&mut certificate::Subject);
        let subjects: [(SubjectChange, &str); 8] = [
            (
                |s| s.serial_number = Some("1".into()),
                "spec.subject.serialNumber",
            ),
            (
                |s| s.organizations = Some(vec!["a".into()]),
                "spec.subject.organizations",
            ),
            (
                |s| s.countries = Some(vec!["DE".into()]),
                "spec.subject.countries",
            ),
            (
                |s| s.localities = Some(vec!["a".into()]),
                "spec.subject.localities",
            ),
            (
                |s| s.organizational_units = Some(vec!["a".into()]),
                "spec.subject.organizationalUnits",
            ),
            (
                |s| s.postal_codes = Some(vec!["a".into()]),
                "spec.subject.postalCodes",
            ),
            (
                |s| s.provinces = Some(vec!["a".into()]),
                "spec.subject.provinces",
            ),
            (
                |s| s.street_addresses = Some(vec!["a".into()]),
                "spec.subject.streetAddresses",
            ),
        ];
        for (change, want) in subjects {
            let mut changed = asked.clone();
            changed.subject = Some(subject(change));
            assert_eq!(violations(&facts, &changed).unwrap(), [want]);
        }
    }
}
