//! Can the server of an ACME issuer be used as its settings are?

use reqwest::Url;

use crate::{api::acme::AcmeIssuer, issuer::error::Error};

/// Directories of Let's Encrypt as they were before RFC 8555, and what they became.
const OLD_SERVERS: [(&str, &str); 2] = [
    (
        "https://acme-v01.api.letsencrypt.org/directory",
        "https://acme-v02.api.letsencrypt.org/directory",
    ),
    (
        "https://acme-staging.api.letsencrypt.org/directory",
        "https://acme-staging-v02.api.letsencrypt.org/directory",
    ),
];

/// The directory URL of `acme`, when its settings can work at all.
///
/// # Errors
/// The setting that cannot.
pub(super) fn server_of(acme: &AcmeIssuer) -> Result<Url, Error> {
    let server = acme.server.as_str();
    let plain = server.strip_suffix('/').unwrap_or(server);
    if let Some((_, successor)) = OLD_SERVERS.iter().find(|(old, _)| *old == plain) {
        return Err(Error::OldServer {
            server: server.to_owned(),
            successor,
        });
    }
    let wrong = |why: String| Error::ServerUrl {
        server: server.to_owned(),
        why,
    };
    let is_web = server.starts_with("https://") || server.starts_with("http://");
    if !is_web {
        return Err(wrong("it must begin with https://".to_owned()));
    }
    let url = Url::parse(server).map_err(|error| wrong(error.to_string()))?;
    let has_bundle = acme.ca_bundle.as_ref().is_some_and(|pem| !pem.0.is_empty());
    if has_bundle && acme.skip_tls_verify == Some(true) {
        return Err(Error::Trust);
    }
    if acme.private_key_secret_ref.name.is_empty() {
        return Err(Error::KeyUnnamed);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SERVER: &str = "https://ca.example/dir";

    #[test]
    fn servers_that_cannot_work_are_told() {
        let acme = |value: Value| -> AcmeIssuer { serde_json::from_value(value).unwrap() };
        let with = |server: &str| {
            acme(json!({"server": server, "privateKeySecretRef": {"name": "account"}}))
        };
        let table = [
            (with(SERVER), None),
            (with("http://ca.internal:14000/dir"), None),
            (with("ca.example/dir"), Some("InvalidURL")),
            (with("ftp://ca.example/dir"), Some("InvalidURL")),
            (with("https://"), Some("InvalidURL")),
            (with(""), Some("InvalidURL")),
            (
                with("https://acme-v01.api.letsencrypt.org/directory"),
                Some("InvalidConfig"),
            ),
            (
                with("https://acme-staging.api.letsencrypt.org/directory/"),
                Some("InvalidConfig"),
            ),
            (with("https://acme-v02.api.letsencrypt.org/directory"), None),
            (
                acme(json!({
                    "server": SERVER, "privateKeySecretRef": {"name": "account"},
                    "caBundle": "YQ==", "skipTLSVerify": true,
                })),
                Some("InvalidConfig"),
            ),
            (
                acme(json!({"server": SERVER, "privateKeySecretRef": {"name": ""}})),
                Some("ErrVerifyACMEAccount"),
            ),
        ];
        for (acme, reason) in table {
            let error = server_of(&acme).err();
            let found = error.as_ref().map(Error::condition_reason);
            assert_eq!(found, reason, "{}", acme.server);
        }
        let old = with("https://acme-v01.api.letsencrypt.org/directory");
        let message = server_of(&old).unwrap_err().to_string();
        assert!(message.ends_with("use https://acme-v02.api.letsencrypt.org/directory"));
    }
}
