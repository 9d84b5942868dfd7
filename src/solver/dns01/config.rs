//! Do the settings of an RFC 2136 solver make sense, as plain values?

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

use super::tsig::{Algorithm, Key};
use crate::net::dns::{self, Name, Nameserver, Transport};

/// Settings of `dns01.rfc2136`, read and found good.
#[derive(Debug)]
pub struct Rfc2136Config {
    /// The zone's primary, which takes the updates.
    pub nameserver: Nameserver,
    /// What updates are sent over.
    pub transport: Transport,
    /// The key they are signed with, if any.
    pub tsig: Option<Key>,
}

/// Settings of `dns01.rfc2136` as the user wrote them; empty texts count as absent.
pub struct Rfc2136Settings<'a> {
    /// `nameserver`.
    pub nameserver: &'a str,
    /// `protocol`: `UDP` (default) or `TCP`.
    pub protocol: Option<&'a str>,
    /// `tsigKeyName`.
    pub tsig_key_name: Option<&'a str>,
    /// `tsigAlgorithm`: `HMACMD5` (default), `HMACSHA1`, `HMACSHA256`, `HMACSHA512`, in any case.
    pub tsig_algorithm: Option<&'a str>,
    /// What the Secret that `tsigSecretSecretRef` names holds: the key in base64, as nameservers
    /// have it in their configuration.
    pub tsig_secret: Option<&'a [u8]>,
}

impl fmt::Debug for Rfc2136Settings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            nameserver,
            protocol,
            tsig_key_name,
            tsig_algorithm,
            tsig_secret: _,
        } = self;
        f.debug_struct("Rfc2136Settings")
            .field("nameserver", nameserver)
            .field("protocol", protocol)
            .field("tsig_key_name", tsig_key_name)
            .field("tsig_algorithm", tsig_algorithm)
            .finish_non_exhaustive()
    }
}

/// A setting of an RFC 2136 solver that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `nameserver` is absent or no nameserver.
    #[error("rfc2136.nameserver: {0}")]
    Nameserver(String),
    /// `protocol` is neither.
    #[error("rfc2136.protocol {0:?}: want UDP or TCP")]
    Protocol(String),
    /// The key's name is no domain name.
    #[error("rfc2136.tsigKeyName {name:?}: {problem}")]
    KeyName {
        /// As written.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A secret without a name.
    #[error("rfc2136.tsigSecretSecretRef is set without tsigKeyName: set both or none")]
    KeyNameMissing,
    /// A name without a secret.
    #[error("rfc2136.tsigKeyName is set without tsigSecretSecretRef: set both or none")]
    SecretMissing,
    /// The algorithm is unknown.
    #[error("rfc2136.tsigAlgorithm {0:?}: want HMACMD5, HMACSHA1, HMACSHA256 or HMACSHA512")]
    Algorithm(String),
    /// The secret is not base64 or empty. What it is instead is not said.
    #[error(
        "rfc2136.tsigSecretSecretRef: want the key in base64, as in the nameserver's configuration"
    )]
    Secret,
}

impl Rfc2136Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Names the setting that cannot be used.
    pub fn parse(settings: &Rfc2136Settings<'_>) -> Result<Self, ConfigError> {
        let Rfc2136Settings {
            nameserver,
            protocol,
            tsig_key_name,
            tsig_algorithm,
            tsig_secret,
        } = settings;
        let key_name = tsig_key_name.filter(|name| !name.is_empty());
        let secret = tsig_secret.filter(|secret| !secret.is_empty());
        // Checked also without a key: a typo is better found now than with the key.
        let algorithm = parse_algorithm(tsig_algorithm.unwrap_or_default())?;
        let tsig = match (key_name, secret) {
            (None, None) => None,
            (None, Some(_)) => return Err(ConfigError::KeyNameMissing),
            (Some(_), None) => return Err(ConfigError::SecretMissing),
            (Some(name), Some(secret)) => Some(Key::new(
                &parse_key_name(name)?,
                algorithm,
                decode_secret(secret)?,
            )),
        };
        Ok(Self {
            nameserver: parse_nameserver(nameserver)?,
            transport: parse_protocol(protocol.unwrap_or_default())?,
            tsig,
        })
    }
}

fn parse_nameserver(text: &str) -> Result<Nameserver, ConfigError> {
    if text.trim().is_empty() {
        return Err(ConfigError::Nameserver("is not set".to_owned()));
    }
    let nameserver: Nameserver = text
        .parse()
        .map_err(|error: dns::Error| ConfigError::Nameserver(error.to_string()))?;
    if !nameserver.is_plain() {
        return Err(ConfigError::Nameserver(format!(
            "{text:?}: updates cannot be sent over HTTPS; want a host name or address"
        )));
    }
    Ok(nameserver)
}

fn parse_protocol(text: &str) -> Result<Transport, ConfigError> {
    match text.to_ascii_uppercase().as_str() {
        "" | "UDP" => Ok(Transport::Udp),
        "TCP" => Ok(Transport::Tcp),
        _ => Err(ConfigError::Protocol(text.to_owned())),
    }
}

fn parse_algorithm(text: &str) -> Result<Algorithm, ConfigError> {
    if text.is_empty() {
        return Ok(Algorithm::HmacMd5);
    }
    text.parse()
        .map_err(|()| ConfigError::Algorithm(text.to_owned()))
}

fn parse_key_name(text: &str) -> Result<Name, ConfigError> {
    let mut name = Name::from_ascii(text).map_err(|error| ConfigError::KeyName {
        name: text.to_owned(),
        problem: error.to_string(),
    })?;
    name.set_fqdn(true);
    if name.is_root() {
        return Err(ConfigError::KeyName {
            name: text.to_owned(),
            problem: "it is empty".to_owned(),
        });
    }
    Ok(name)
}

fn decode_secret(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let packed: Zeroizing<Vec<u8>> = Zeroizing::new(
        text.iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect(),
    );
    let mut secret = Zeroizing::new(vec![0; packed.len()]);
    let length = BASE64_STANDARD
        .decode_slice(&packed, &mut secret)
        .map_err(|_| ConfigError::Secret)?;
    if length == 0 {
        return Err(ConfigError::Secret);
    }
    secret.truncate(length);
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings<'a>() -> Rfc2136Settings<'a> {
        Rfc2136Settings {
            nameserver: "10.0.0.1",
            protocol: None,
            tsig_key_name: None,
            tsig_algorithm: None,
            tsig_secret: None,
        }
    }

    #[test]
    fn defaults_are_those_of_cert_manager() {
        let config = Rfc2136Config::parse(&Rfc2136Settings {
            tsig_key_name: Some("Key.Example"),
            tsig_secret: Some(b"c2Vj\ncmV0\n"),
            tsig_algorithm: Some(""),
            protocol: Some(""),
            ..settings()
        })
        .unwrap();
        assert_eq!(config.nameserver.to_string(), "10.0.0.1:53");
        assert_eq!(config.transport, Transport::Udp);
        let key = config.tsig.unwrap();
        assert_eq!(key.name().to_ascii(), "key.example.");
        assert_eq!(key.algorithm(), Algorithm::HmacMd5);
        assert!(Rfc2136Config::parse(&settings()).unwrap().tsig.is_none());
    }

    #[test]
    fn algorithms_and_protocols_are_read_in_any_case() {
        for (text, algorithm) in [
            ("HMACMD5", Algorithm::HmacMd5),
            ("hmacsha1", Algorithm::HmacSha1),
            ("HmacSha256", Algorithm::HmacSha256),
            ("HMACSHA512", Algorithm::HmacSha512),
        ] {
            let config = Rfc2136Config::parse(&Rfc2136Settings {
                protocol: Some("tcp"),
                tsig_key_name: Some("k"),
                tsig_secret: Some(b"c2VjcmV0"),
                tsig_algorithm: Some(text),
                ..settings()
            })
            .unwrap();
            assert_eq!(config.tsig.unwrap().algorithm(), algorithm, "{text}");
            assert_eq!(config.transport, Transport::Tcp);
        }
    }

    #[test]
    fn a_bad_setting_is_named_and_the_secret_is_not() {
        let with = |change: fn(&mut Rfc2136Settings<'_>)| {
            let mut settings = settings();
            change(&mut settings);
            Rfc2136Config::parse(&settings).unwrap_err().to_string()
        };
        for (error, part) in [
            (
                with(|s| s.nameserver = ""),
                "rfc2136.nameserver: is not set",
            ),
            (
                with(|s| s.nameserver = "https://dns.example/q"),
                "over HTTPS",
            ),
            (with(|s| s.nameserver = ":53"), "rfc2136.nameserver"),
            (
                with(|s| s.protocol = Some("TLS")),
                "rfc2136.protocol \"TLS\"",
            ),
            (
                with(|s| s.tsig_key_name = Some("k")),
                "without tsigSecretSecretRef",
            ),
            (
                with(|s| s.tsig_secret = Some(b"c2VjcmV0")),
                "without tsigKeyName",
            ),
            (
                with(|s| s.tsig_algorithm = Some("HMACSHA384")),
                "rfc2136.tsigAlgorithm",
            ),
            (
                with(|s| {
                    s.tsig_key_name = Some("a..b");
                    s.tsig_secret = Some(b"c2VjcmV0");
                }),
                "rfc2136.tsigKeyName \"a..b\"",
            ),
            (
                with(|s| {
                    s.tsig_key_name = Some("k");
                    s.tsig_secret = Some(b"not base64!");
                }),
                "want the key in base64",
            ),
        ] {
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("not base64!"), "{error}");
        }
        let config = Rfc2136Config::parse(&Rfc2136Settings {
            tsig_key_name: Some("k"),
            tsig_secret: Some(b"c2VjcmV0"),
            ..settings()
        });
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("secret") && !shown.contains("115"),
            "{shown}"
        );
    }
}
