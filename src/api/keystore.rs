//! In which other formats does the Secret hold the certificate and its key?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reference::SecretKeySelector;
use super::secret_text::SecretText;

/// Key stores kept in the Secret beside `tls.crt` and `tls.key`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Keystores {
    /// A Java key store: `keystore.jks`, and `truststore.jks` when the CA is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jks: Option<JksKeystore>,
    /// A PKCS#12 store: `keystore.p12`, and `truststore.p12` when the CA is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pkcs12: Option<Pkcs12Keystore>,
}

/// A Java key store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JksKeystore {
    /// Alias of the key in the store. Absent means `certificate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Whether the store is made.
    pub create: bool,
    /// The password itself. Prefer passwordSecretRef: everyone who may read the Certificate can
    /// read this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretText>,
    /// Secret that holds the password of the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeySelector>,
}

/// A PKCS#12 key store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pkcs12Keystore {
    /// Whether the store is made.
    pub create: bool,
    /// The password itself. Prefer passwordSecretRef: everyone who may read the Certificate can
    /// read this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretText>,
    /// Secret that holds the password of the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeySelector>,
    /// Algorithms that protect the store. Absent means LegacyRC2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Pkcs12Profile>,
}

/// Algorithms that protect a PKCS#12 store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Pkcs12Profile {
    /// RC2 and 3DES with SHA-1. Read by everything, and weak.
    #[serde(rename = "LegacyRC2")]
    LegacyRc2,
    /// 3DES with SHA-1. Read by everything but the very old, and weak.
    #[serde(rename = "LegacyDES")]
    LegacyDes,
    /// AES-256 with PBKDF2 and SHA-256.
    Modern2023,
    /// As Modern2023, with PBMAC1 as the integrity check.
    Modern2026,
}

/// One more form in which the Secret holds the key or certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdditionalOutputFormat {
    /// The form.
    #[serde(rename = "type")]
    pub type_: OutputFormat,
}

/// A further form of key and certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OutputFormat {
    /// The private key as DER, in `key.der`.
    #[serde(rename = "DER")]
    Der,
    /// Private key and chain in one PEM file, in `tls-combined.pem`.
    #[serde(rename = "CombinedPEM")]
    CombinedPem,
}
