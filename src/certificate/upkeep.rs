//! Does the Secret still carry what we put on it, when nothing is to be issued?

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    api::{
        certificate::OutputFormat,
        names::{TRUE, annotation, label, secret_key},
        reason::secret as reason,
    },
    certificate::{
        content::owner,
        facts::CertificateFacts,
        keystores,
        managed::{Keys, ManagedFields},
        policy::Violation,
        secret::SecretFacts,
    },
};

/// Why the Secret is to be written again from its own data, if it is.
pub fn violation(
    certificate: &CertificateFacts,
    secret: &SecretFacts,
    owner_reference: bool,
) -> Option<Violation> {
    let managed = match &secret.managed {
        Ok(managed) => managed,
        Err(error) => {
            return Some(Violation::new(
                reason::MANAGED_FIELDS_PARSE_ERROR,
                format!("failed to decode managed fields on Secret: {error}"),
            ));
        }
    };
    base_label(secret)
        .or_else(|| details(secret))
        .or_else(|| managed_metadata(secret, managed))
        .or_else(|| template_values(certificate, secret))
        .or_else(|| template_fields(certificate, managed))
        .or_else(|| output_values(certificate, secret))
        .or_else(|| output_fields(certificate, managed))
        .or_else(|| owner_field(certificate, managed, owner_reference))
        .or_else(|| owner_value(certificate, secret, owner_reference))
        .or_else(|| keystores::violation(&certificate.spec, secret, managed))
}

fn base_label(secret: &SecretFacts) -> Option<Violation> {
    let value = secret.labels.get(label::WATCHED_SECRET)?;
    (value != TRUE).then(|| {
        Violation::new(
            reason::MANAGED_METADATA_MISMATCH,
            format!(
                "wrong base label {} value {value:?}, expected \"true\"",
                label::WATCHED_SECRET
            ),
        )
    })
}

fn details(secret: &SecretFacts) -> Option<Violation> {
    let (stored, wanted) = secret.details.mismatch.as_ref()?;
    Some(Violation::new(
        reason::TEMPLATE_MISMATCH,
        format!("Secret metadata {stored} does not match certificate metadata {wanted}"),
    ))
}

/// Whether a key of metadata is one that we write, rather than one of the template.
fn is_ours(key: &str) -> bool {
    key.starts_with("cert-manager.io/") || key.starts_with("controller.cert-manager.io/")
}

fn managed_metadata(secret: &SecretFacts, managed: &ManagedFields) -> Option<Violation> {
    let reason = reason::MANAGED_METADATA_MISMATCH;
    let ours = |keys: &Keys| -> Keys { keys.iter().filter(|key| is_ours(key)).cloned().collect() };
    let labels = ours(&managed.labels);
    let wanted = Keys::from([Cow::Borrowed(label::WATCHED_SECRET)]);
    if let Some(violation) = difference(reason, "Managed Labels", "Labels", &wanted, &labels) {
        return Some(violation);
    }

    let mut annotations = ours(&managed.annotations);
    // Known when it was issued, and not to be found out later.
    for key in [
        annotation::CERTIFICATE_NAME,
        annotation::ISSUER_NAME,
        annotation::ISSUER_KIND,
        annotation::ISSUER_GROUP,
    ] {
        annotations.remove(key);
    }
    // The one key of ours that a template may set.
    annotations.remove(annotation::ALLOW_DIRECT_INJECTION);
    let wanted: Keys = secret
        .details
        .keys
        .iter()
        .copied()
        .map(Cow::Borrowed)
        .collect();
    difference(
        reason,
        "Managed Annotations",
        "Annotations",
        &wanted,
        &annotations,
    )
}

fn template_values(certificate: &CertificateFacts, secret: &SecretFacts) -> Option<Violation> {
    let template = certificate.spec.secret_template.as_ref()?;
    let differs = |wanted: Option<&BTreeMap<String, String>>, stored: &BTreeMap<String, String>| {
        wanted
            .into_iter()
            .flatten()
            .any(|(key, value)| !is_ours(key) && stored.get(key).is_some_and(|old| old != value))
    };
    let mismatch = |what| {
        Violation::new(
            reason::TEMPLATE_MISMATCH,
            format!("Certificate's SecretTemplate {what} missing or incorrect value on Secret"),
        )
    };
    if differs(template.annotations.as_ref(), &secret.annotations) {
        return Some(mismatch("Annotations"));
    }
    differs(template.labels.as_ref(), &secret.labels).then(|| mismatch("Labels"))
}

fn template_fields(certificate: &CertificateFacts, managed: &ManagedFields) -> Option<Violation> {
    let reason = reason::TEMPLATE_MISMATCH;
    let theirs = |keys: &Keys| -> Keys {
        keys.iter()
            .filter(|key| !is_ours(key) || key.as_ref() == annotation::ALLOW_DIRECT_INJECTION)
            .cloned()
            .collect()
    };
    let template = certificate.spec.secret_template.as_ref();
    let wanted = |map: Option<&BTreeMap<String, String>>| -> Keys {
        let keys: Keys = map
            .into_iter()
            .flat_map(|map| map.keys().cloned().map(Cow::Owned))
            .collect();
        theirs(&keys)
    };
    let labels = wanted(template.and_then(|template| template.labels.as_ref()));
    let annotations = wanted(template.and_then(|template| template.annotations.as_ref()));
    difference(
        reason,
        "Template Labels",
        "Labels",
        &labels,
        &theirs(&managed.labels),
    )
    .or_else(|| {
        difference(
            reason,
            "Template Annotations",
            "Annotations",
            &annotations,
            &theirs(&managed.annotations),
        )
    })
}

fn difference(
    reason: &'static str,
    missing_what: &str,
    extra_what: &str,
    wanted: &Keys,
    held: &Keys,
) -> Option<Violation> {
    let list = |keys: Vec<&str>| keys.join(" ");
    let missing: Vec<&str> = wanted.difference(held).map(AsRef::as_ref).collect();
    if !missing.is_empty() {
        return Some(Violation::new(
            reason,
            format!(
                "Secret is missing these {missing_what}: [{}]",
                list(missing)
            ),
        ));
    }
    let extra: Vec<&str> = held.difference(wanted).map(AsRef::as_ref).collect();
    (!extra.is_empty()).then(|| {
        Violation::new(
            reason,
            format!("Secret has these extra {extra_what}: [{}]", list(extra)),
        )
    })
}

fn wants(certificate: &CertificateFacts, format: OutputFormat) -> bool {
    certificate
        .spec
        .additional_output_formats
        .iter()
        .flatten()
        .any(|wanted| wanted.type_ == format)
}

fn output_values(certificate: &CertificateFacts, secret: &SecretFacts) -> Option<Violation> {
    let fits = [
        (OutputFormat::CombinedPem, secret.combined_fits),
        (OutputFormat::Der, secret.der_fits),
    ];
    fits.into_iter()
        .any(|(format, fits)| wants(certificate, format) && fits != Some(true))
        .then(|| {
            Violation::new(
                reason::ADDITIONAL_OUTPUT_FORMATS_MISMATCH,
                "Certificate's AdditionalOutputFormats doesn't match Secret Data",
            )
        })
}

fn output_fields(certificate: &CertificateFacts, managed: &ManagedFields) -> Option<Violation> {
    let keys = [
        (OutputFormat::CombinedPem, secret_key::COMBINED_PEM),
        (OutputFormat::Der, secret_key::DER),
    ];
    keys.into_iter()
        .any(|(format, key)| wants(certificate, format) != managed.data.contains(key))
        .then(|| {
            Violation::new(
                reason::ADDITIONAL_OUTPUT_FORMATS_MISMATCH,
                "Certificate's AdditionalOutputFormats doesn't match Secret ManagedFields",
            )
        })
}

fn owner_field(
    certificate: &CertificateFacts,
    managed: &ManagedFields,
    owner_reference: bool,
) -> Option<Violation> {
    let held = managed.owners.contains(&certificate.meta.uid);
    (held != owner_reference).then(|| {
        Violation::new(
            reason::OWNER_REF_MISMATCH,
            format!(
                "unexpected managed Secret Owner Reference field on Secret \
                 --enable-certificate-owner-ref={owner_reference}"
            ),
        )
    })
}

fn owner_value(
    certificate: &CertificateFacts,
    secret: &SecretFacts,
    owner_reference: bool,
) -> Option<Violation> {
    (owner_reference && !secret.owners.contains(&owner(certificate))).then(|| {
        Violation::new(
            reason::OWNER_REF_MISMATCH,
            format!(
                "unexpected Secret Owner Reference value on Secret \
                 --enable-certificate-owner-ref={owner_reference}"
            ),
        )
    })
}

#[cfg(test)]
mod tests;
