//! What does a certificate say about whom it names?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Subject of the certificate, apart from the common name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// Countries (C).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub countries: Option<Vec<String>>,
    /// Cities (L).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localities: Option<Vec<String>>,
    /// Organizational units (OU).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organizational_units: Option<Vec<String>>,
    /// Organizations (O).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organizations: Option<Vec<String>>,
    /// Postal codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postal_codes: Option<Vec<String>>,
    /// States or provinces (ST).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provinces: Option<Vec<String>>,
    /// The X.520 attribute serialNumber, for instance of a device. Not the serial number of the
    /// certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// Street addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub street_addresses: Option<Vec<String>>,
}

/// A subject alternative name of a kind that has no field of its own, for instance a UPN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OtherName {
    /// Kind of name, as dotted object identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oid: Option<String>,
    /// The name, written as UTF8String.
    #[serde(rename = "utf8Value", skip_serializing_if = "Option::is_none")]
    pub utf8_value: Option<String>,
}

/// Which names a CA certificate may sign for (RFC 5280 section 4.2.1.10).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameConstraints {
    /// Whether a client that does not know the extension must refuse the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical: Option<bool>,
    /// Names that may not be signed, even if permitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excluded: Option<NameConstraintItem>,
    /// Names that may be signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permitted: Option<NameConstraintItem>,
}

/// Name spaces by kind of name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameConstraintItem {
    /// DNS domains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_domains: Option<Vec<String>>,
    /// E-mail addresses or the domains of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_addresses: Option<Vec<String>>,
    /// IP ranges in CIDR notation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_ranges: Option<Vec<String>>,
    /// Host domains of URIs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri_domains: Option<Vec<String>>,
}
