//! Is a new certificate needed, and is the one in the Secret good?

use jiff::Timestamp;

use crate::{
    api::{names::annotation, reason::certificate as reason, reference::IssuerRef},
    certificate::{
        facts::CertificateFacts,
        fit, key,
        renewal::renewal_time,
        request, rotation,
        secret::{Entry, KeyFacts, Leaf, SecretFacts},
        suggestion::suggestion,
    },
    issuer::rotation::Turn,
    request::facts::RequestFacts,
    retire::record::Withdrawal,
};

/// What a check looks at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The Certificate.
    pub certificate: &'a CertificateFacts,
    /// The Secret that it keeps its key pair in.
    pub secret: Option<&'a SecretFacts>,
    /// The request that the key pair in the Secret came from.
    pub current: Option<&'a RequestFacts>,
    /// What it may do as the CA of its issuer changed.
    pub turn: Turn,
    /// What became of the certificate in the Secret.
    pub withdrawal: &'a Withdrawal,
    /// Now.
    pub now: Timestamp,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// In one word, for programs.
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
}

impl Violation {
    /// A violation.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// Why a new certificate is needed, if it is.
pub fn trigger(view: View<'_>) -> Option<Violation> {
    let pair = match fitting(view) {
        Ok(pair) => pair,
        Err(violation) => return Some(violation),
    };
    withdrawn(view.withdrawal)
        .or_else(|| nearing_expiry(view, pair.leaf))
        .or_else(|| rotation::trigger(view.turn, &view.certificate.spec.issuer_ref))
}

/// Why what is in the Secret is not what is asked for, if it is not; it may be due or withdrawn.
pub fn misfit(view: View<'_>) -> Option<Violation> {
    fitting(view).err()
}

/// Whether this key and its certificate are what `certificate` asks for, as far as they tell.
pub fn fits(certificate: &CertificateFacts, key: &KeyFacts, leaf: &Leaf) -> bool {
    !leaf.is_temporary
        && key_mismatches_spec(certificate, key).is_none()
        && leaf_violations(leaf, certificate).is_empty()
}

/// Why the certificate in the Secret is not good, if it is not.
pub fn readiness(view: View<'_>) -> Option<Violation> {
    let pair = match fitting(view) {
        Ok(pair) => pair,
        Err(violation) => return Some(violation),
    };
    withdrawn(view.withdrawal)
        .filter(|_| view.withdrawal.is_revoked)
        .or_else(|| expired(view, pair.leaf))
}

/// Why the Secret is no use to anybody, if it is not: then a temporary certificate helps.
pub fn temporary(view: View<'_>) -> Option<Violation> {
    pair(view).err()
}

/// A Secret with a key and a certificate that belong together.
#[derive(Clone, Copy)]
struct Pair<'a> {
    secret: &'a SecretFacts,
    key: &'a KeyFacts,
    leaf: &'a Leaf,
}

fn pair(view: View<'_>) -> Result<Pair<'_>, Violation> {
    let Some(secret) = view.secret else {
        return Err(Violation::new(
            reason::DOES_NOT_EXIST,
            "Issuing certificate as Secret does not exist",
        ));
    };
    let missing = |what| {
        Violation::new(
            reason::MISSING_DATA,
            format!("Issuing certificate as Secret does not contain {what}"),
        )
    };
    if !secret.has_data {
        return Err(missing("any data"));
    }
    if secret.key == Entry::Missing {
        return Err(missing("a private key"));
    }
    if secret.leaf == Entry::Missing {
        return Err(missing("a certificate"));
    }
    let key = match &secret.key {
        Entry::Read(key) => key,
        Entry::Missing => return Err(missing("a private key")),
        Entry::Broken(error) => {
            return Err(Violation::new(
                reason::INVALID_KEY_PAIR,
                format!("Issuing certificate as Secret contains invalid private key data: {error}"),
            ));
        }
    };
    let leaf = match &secret.leaf {
        Entry::Read(leaf) => leaf,
        Entry::Missing => return Err(missing("a certificate")),
        Entry::Broken(error) => {
            return Err(Violation::new(
                reason::INVALID_CERTIFICATE,
                format!("Issuing certificate as Secret contains an invalid certificate: {error}"),
            ));
        }
    };
    if key.public_key != leaf.public_key {
        return Err(Violation::new(
            reason::INVALID_KEY_PAIR,
            "Issuing certificate as Secret contains a private key that does not match the \
             certificate",
        ));
    }
    Ok(Pair { secret, key, leaf })
}

/// The key pair in the Secret, if it is what is asked for.
fn fitting(view: View<'_>) -> Result<Pair<'_>, Violation> {
    let pair = pair(view)?;
    up_to_date(view, pair).map_or(Ok(pair), Err)
}

fn up_to_date(view: View<'_>, pair: Pair<'_>) -> Option<Violation> {
    temporary_certificate(pair.leaf)
        .or_else(|| incorrect_issuer(&view.certificate.spec.issuer_ref, pair.secret))
        .or_else(|| incorrect_certificate(view.certificate, pair.secret))
        .or_else(|| key_mismatches_spec(view.certificate, pair.key))
        .or_else(|| key_differs_from_request(view.current, pair.key))
        .or_else(|| request_mismatches_spec(view, pair.leaf))
}

fn withdrawn(withdrawal: &Withdrawal) -> Option<Violation> {
    let why = withdrawal.why.as_ref()?;
    Some(Violation::new(
        reason::REVOKED,
        format!("Issuing certificate as {why}"),
    ))
}

fn temporary_certificate(leaf: &Leaf) -> Option<Violation> {
    leaf.is_temporary.then(|| {
        Violation::new(
            reason::INCORRECT_ISSUER,
            "Issuing certificate as Secret contains a temporary certificate",
        )
    })
}

/// Whether the certificate is from another issuer than the one that is wanted.
pub(super) fn incorrect_issuer(wanted: &IssuerRef, secret: &SecretFacts) -> Option<Violation> {
    let name = secret.annotation(annotation::ISSUER_NAME);
    let kind = secret.annotation(annotation::ISSUER_KIND);
    let group = secret.annotation(annotation::ISSUER_GROUP);
    let stored = IssuerRef {
        name: name.unwrap_or_default().to_owned(),
        kind: kind.map(ToOwned::to_owned),
        group: group.map(ToOwned::to_owned),
    };
    // A Secret that says nothing of its issuer fits every name of the default kind and group.
    let says_nothing = name.is_none() && kind.is_none() && group.is_none();
    let fits = (says_nothing || stored.name == wanted.name)
        && stored.kind_or_default() == wanted.kind_or_default()
        && stored.group_or_default() == wanted.group_or_default();
    (!fits).then(|| {
        let issuer = format!(
            "{}.{}/{}",
            stored.kind_or_default(),
            stored.group_or_default(),
            stored.name
        );
        Violation::new(
            reason::INCORRECT_ISSUER,
            format!("Issuing certificate as Secret was previously issued by {issuer:?}"),
        )
    })
}

fn incorrect_certificate(
    certificate: &CertificateFacts,
    secret: &SecretFacts,
) -> Option<Violation> {
    let name = secret.annotation(annotation::CERTIFICATE_NAME)?;
    (name != &*certificate.meta.key.name).then(|| {
        Violation::new(
            reason::INCORRECT_CERTIFICATE,
            format!(
                "Secret was issued for {name:?}. If this message is not transient, you might have \
                 two conflicting Certificates pointing to the same secret."
            ),
        )
    })
}

fn key_mismatches_spec(certificate: &CertificateFacts, key: &KeyFacts) -> Option<Violation> {
    // A spec that no key can fit is told before anything is issued.
    let wanted = key::parameters(&certificate.spec).ok()?;
    let fields = key::violations(key.parameters, wanted);
    (!fields.is_empty()).then(|| {
        Violation::new(
            reason::SECRET_MISMATCH,
            format!(
                "Existing private key is not up to date for spec: [{}]",
                fields.join(" ")
            ),
        )
    })
}

fn key_differs_from_request(current: Option<&RequestFacts>, key: &KeyFacts) -> Option<Violation> {
    match &current?.csr {
        Err(error) => Some(Violation::new(
            reason::INVALID_CERTIFICATE_REQUEST,
            format!("Failed to decode current CertificateRequest: {error}"),
        )),
        Ok(csr) if csr.public_key != key.public_key => Some(Violation::new(
            reason::SECRET_MISMATCH,
            "Secret contains a private key that does not match the current CertificateRequest",
        )),
        Ok(_) => None,
    }
}

fn request_mismatches_spec(view: View<'_>, leaf: &Leaf) -> Option<Violation> {
    let spec = &view.certificate.spec;
    let Some(current) = view.current else {
        let fields = leaf_violations(leaf, view.certificate);
        return (!fields.is_empty()).then(|| {
            Violation::new(
                reason::SECRET_MISMATCH,
                format!(
                    "Issuing certificate as Existing issued Secret is not up to date for spec: \
                     [{}]",
                    fields.join(" ")
                ),
            )
        });
    };
    // What cannot be compared is no reason to issue: the certificate may well be good.
    let mut fields = fit::violations(current, spec).ok()?;
    fields.extend(fit::another_profile(current, view.certificate));
    (!fields.is_empty()).then(|| {
        Violation::new(
            reason::REQUEST_CHANGED,
            format!(
                "Fields on existing CertificateRequest resource not up to date: [{}]",
                fields.join(" ")
            ),
        )
    })
}

/// The fields of the spec that the certificate does not have, where its request is gone. Issuers
/// may move names between common name and DNS names.
fn leaf_violations(leaf: &Leaf, certificate: &CertificateFacts) -> Vec<&'static str> {
    let spec = &certificate.spec;
    let mut fields = Vec::new();
    let wanted_dns = spec.dns_names.as_deref().unwrap_or_default();
    let common_name = match request::parameters(spec) {
        Ok(parameters) => parameters.subject.common_name().map(ToOwned::to_owned),
        Err(_) => spec.common_name.clone(),
    }
    .filter(|name| !name.is_empty());

    let stored = |name: &str| leaf.common_name == name || leaf.names.dns.iter().any(|n| n == name);
    let wanted = |name: &str| {
        common_name.as_deref() == Some(name) || wanted_dns.iter().any(|wanted| wanted == name)
    };
    let common_name_differs = common_name.as_deref().is_some_and(|name| !stored(name))
        || !leaf.common_name.is_empty() && !wanted(&leaf.common_name);
    if common_name_differs {
        fields.push("spec.commonName");
    }
    if !wanted_dns.iter().all(|name| stored(name)) || !leaf.names.dns.iter().all(|n| wanted(n)) {
        fields.push("spec.dnsNames");
    }
    if !fit::same_addresses(&leaf.names.ips, spec.ip_addresses.as_deref()) {
        fields.push("spec.ipAddresses");
    }
    if !fit::same(&leaf.names.uris, spec.uris.as_deref()) {
        fields.push("spec.uris");
    }
    if !fit::same(&leaf.names.emails, spec.email_addresses.as_deref()) {
        fields.push("spec.emailAddresses");
    }
    fields
}

fn nearing_expiry(view: View<'_>, leaf: &Leaf) -> Option<Violation> {
    let CertificateFacts { spec, status, .. } = view.certificate;
    let suggestion = suggestion(status, leaf);
    let renewal = renewal_time(spec, suggestion, leaf.not_before, leaf.not_after);
    let due = renewal.at?;
    if view.now < due {
        return None;
    }
    let due = due.strftime("%Y-%m-%d %H:%M:%S +0000 UTC");
    let ari = status.acme.as_ref().and_then(|acme| acme.ari.as_ref());
    let url = ari.and_then(|ari| ari.explanation_url.as_deref());
    let message = match (renewal.problem, suggestion, url) {
        (Some(_), ..) => {
            format!("Renewing certificate without satisfying renewal windows at: {due}")
        }
        (None, None, _) => format!("Renewing certificate as renewal was scheduled at {due}"),
        (None, Some(_), None) => {
            format!("Renewing certificate as the CA suggested renewal at {due}")
        }
        (None, Some(_), Some(url)) => {
            format!("Renewing certificate as the CA suggested renewal at {due}: see {url}")
        }
    };
    Some(Violation::new(reason::RENEWING, message))
}

fn expired(view: View<'_>, leaf: &Leaf) -> Option<Violation> {
    (view.now > leaf.not_after).then(|| {
        Violation::new(
            reason::EXPIRED,
            format!(
                "Certificate expired on {}",
                leaf.not_after.strftime("%a, %d %b %Y %H:%M:%S UTC")
            ),
        )
    })
}

#[cfg(test)]
mod tests;
