//! Which Secrets does an issuer name?

use std::collections::BTreeSet;

use crate::{
    api::{
        acme::AcmeIssuer,
        issuer::IssuerSpec,
        vault::{VaultAuth, VaultIssuer},
        venafi::VenafiIssuer,
    },
    issuer::solvers,
};

/// The names of the Secrets that an issuer uses, also of a kind that we cannot sign by: who takes one
/// away takes it from whoever can.
pub fn secrets(spec: &IssuerSpec) -> BTreeSet<String> {
    let IssuerSpec {
        acme,
        ca,
        deletion_policy: _,
        self_signed: _,
        vault,
        venafi,
    } = spec;
    let mut all: BTreeSet<&str> = ca.iter().map(|ca| ca.secret_name.as_str()).collect();
    all.extend(acme.iter().flat_map(of_acme));
    all.extend(vault.iter().flat_map(of_vault));
    all.extend(venafi.iter().flat_map(of_venafi));
    all.into_iter()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn of_acme(acme: &AcmeIssuer) -> impl Iterator<Item = &str> {
    let binding = acme.external_account_binding.as_ref();
    let solvers = acme.solvers.as_deref().unwrap_or_default();
    let credentials = solvers::credentials(solvers);
    [&acme.private_key_secret_ref]
        .into_iter()
        .chain(binding.map(|binding| &binding.key_secret_ref))
        .chain(credentials.into_iter().map(|found| found.secret))
        .map(|secret| secret.name.as_str())
}

fn of_vault(vault: &VaultIssuer) -> impl Iterator<Item = &str> {
    let VaultAuth {
        app_role,
        aws: _,
        client_certificate,
        kubernetes,
        token_secret_ref,
    } = &vault.auth;
    let by_certificate = client_certificate.as_ref();
    let entries = [
        vault.ca_bundle_secret_ref.as_ref(),
        vault.client_cert_secret_ref.as_ref(),
        vault.client_key_secret_ref.as_ref(),
        app_role.as_ref().map(|role| &role.secret_ref),
        kubernetes
            .as_ref()
            .and_then(|auth| auth.secret_ref.as_ref()),
        token_secret_ref.as_ref(),
    ];
    let entries = entries.into_iter().flatten();
    entries
        .map(|secret| secret.name.as_str())
        .chain(by_certificate.and_then(|auth| auth.secret_name.as_deref()))
}

fn of_venafi(venafi: &VenafiIssuer) -> impl Iterator<Item = &str> {
    let VenafiIssuer {
        cloud,
        ngts,
        tpp,
        zone: _,
    } = venafi;
    let tpp_bundle = tpp
        .as_ref()
        .and_then(|tpp| tpp.ca_bundle_secret_ref.as_ref());
    let entries = [
        cloud.as_ref().map(|cloud| &cloud.api_token_secret_ref),
        tpp_bundle,
    ];
    let whole = [
        ngts.as_ref().map(|ngts| &ngts.credentials_ref),
        tpp.as_ref().map(|tpp| &tpp.credentials_ref),
    ];
    let entries = entries.into_iter().flatten();
    entries.map(|secret| secret.name.as_str()).chain(
        whole
            .into_iter()
            .flatten()
            .map(|secret| secret.name.as_str()),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn every_kind_of_issuer_has_its_secrets() {
        let acme = json!({"acme": {
            "server": "https://ca.example/dir",
            "privateKeySecretRef": {"name": "account"},
            "externalAccountBinding": {"keyID": "k", "keySecretRef": {"name": "eab", "key": "k"}},
            "solvers": [{"dns01": {"rfc2136": {
                "nameserver": "ns", "tsigSecretSecretRef": {"name": "tsig", "key": "k"},
            }}}],
        }});
        let vault = json!({"vault": {
            "server": "https://v", "path": "pki/sign/a", "caBundleSecretRef": {"name": "bundle"},
            "clientCertSecretRef": {"name": "client"}, "clientKeySecretRef": {"name": "client"},
            "auth": {
                "appRole": {"path": "p", "roleId": "r", "secretRef": {"name": "role"}},
                "clientCertificate": {"secretName": "login"},
                "kubernetes": {"role": "r", "secretRef": {"name": "account"}},
                "tokenSecretRef": {"name": "token"},
            },
        }});
        let venafi = json!({"venafi": {
            "zone": "z",
            "cloud": {"apiTokenSecretRef": {"name": "api"}},
            "ngts": {"tsgID": "1", "credentialsRef": {"name": "ngts"}},
            "tpp": {
                "url": "u", "credentialsRef": {"name": "tpp"}, "caBundleSecretRef": {"name": "root"},
            },
        }});
        let table: [(Value, &[&str]); 6] = [
            (acme, &["account", "eab", "tsig"]),
            (json!({"ca": {"secretName": "root"}}), &["root"]),
            (json!({"selfSigned": {}}), &[]),
            (
                vault,
                &["account", "bundle", "client", "login", "role", "token"],
            ),
            (venafi, &["api", "ngts", "root", "tpp"]),
            // Go sends empty names for what nobody set.
            (
                json!({"ca": {"secretName": ""}, "vault": {
                    "server": "v", "path": "p", "auth": {"tokenSecretRef": {"name": ""}},
                }}),
                &[],
            ),
        ];
        for (spec, want) in table {
            let found = secrets(&serde_json::from_value(spec.clone()).unwrap());
            assert!(found.iter().eq(want), "{spec}: {found:?}");
        }
    }
}
