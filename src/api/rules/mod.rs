//! What may be written in a resource, beyond its schema? Rules that the API server checks itself.
//!
//! They refuse what cert-manager's admission refused, and nothing that it accepted. Clients written
//! in Go send `{"name":""}` for a reference, and `""` for a text, that nobody set; so a rule asks
//! whether something is in a field, not whether the field is there. A rule stands on the field that
//! it is about where it can: an object stored before there was a rule can then still be edited
//! elsewhere. What is too costly for a schema is in the admission policies of the chart.

mod acme;
mod certificate;
mod dns01;
mod issuance;
mod issuer;
mod order;
mod request;

/// A rule in CEL, at one place of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands: `spec.dnsNames[]` is an item of a list, `spec.extra{}` a value of a map.
    pub path: &'static str,
    /// The expression; `self` is what is at the path.
    pub rule: &'static str,
    /// What the user is told.
    pub message: &'static str,
    /// Which field below the path the message is about.
    pub field: Option<&'static str>,
    /// What kind of mistake it is.
    pub reason: Reason,
    /// Whether a rule with `oldSelf` is asked on creation too; `oldSelf` is then an optional.
    pub sees_creation: bool,
}

/// What kind of mistake a rule finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The value is wrong.
    Invalid,
    /// Something is missing.
    Required,
    /// Something is there that may not be.
    Forbidden,
    /// Something is there twice.
    Duplicate,
}

impl Reason {
    /// The reason as it is written in a schema; invalid is what goes without saying.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Invalid => None,
            Self::Required => Some("FieldValueRequired"),
            Self::Forbidden => Some("FieldValueForbidden"),
            Self::Duplicate => Some("FieldValueDuplicate"),
        }
    }
}

impl Rule {
    const fn new(path: &'static str, rule: &'static str, message: &'static str) -> Self {
        Self {
            path,
            rule,
            message,
            field: None,
            reason: Reason::Invalid,
            sees_creation: false,
        }
    }

    const fn required(self) -> Self {
        Self {
            reason: Reason::Required,
            ..self
        }
    }

    const fn forbidden(self) -> Self {
        Self {
            reason: Reason::Forbidden,
            ..self
        }
    }

    const fn duplicate(self) -> Self {
        Self {
            reason: Reason::Duplicate,
            ..self
        }
    }

    const fn on(self, field: &'static str) -> Self {
        Self {
            field: Some(field),
            ..self
        }
    }

    const fn sees_creation(self) -> Self {
        Self {
            sees_creation: true,
            ..self
        }
    }

    /// A text that may not be empty.
    const fn filled(path: &'static str) -> Self {
        Self::new(path, "size(self) > 0", "must be specified").required()
    }
}

/// Rules of a Certificate.
pub const CERTIFICATE: &[&[Rule]] = &[certificate::RULES];
/// Rules of a CertificateRequest.
pub const REQUEST: &[&[Rule]] = &[request::RULES];
/// Rules of an Issuer, and of a ClusterIssuer.
pub const ISSUER: &[&[Rule]] = &[issuer::RULES, acme::RULES, dns01::RULES];
/// Rules of an Order.
pub const ORDER: &[&[Rule]] = &[order::ORDER];
/// Rules of an Issuance.
pub const ISSUANCE: &[&[Rule]] = &[issuance::RULES];
/// Rules of a Challenge.
pub const CHALLENGE: &[&[Rule]] = &[order::CHALLENGE];
