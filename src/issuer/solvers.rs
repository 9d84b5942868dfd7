//! Which solvers of an ACME issuer can be used, what do they need, and what has no effect?

use std::fmt;

use crate::api::{
    acme::{AcmeIssuer, Solver},
    dns01::Dns01Solver,
    http01::Http01Solver,
    reference::{SecretKeySelector, named},
};

/// How many remarks a condition's message carries; the others are counted.
const MOST_REMARKS: usize = 5;

/// How a solver proves a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// HTTP-01 through an Ingress.
    Ingress,
    /// HTTP-01 through a Gateway.
    GatewayHttpRoute,
    /// DNS-01.
    Dns01(Provider),
    /// Nothing is set.
    Nothing,
    /// More than one way, or provider, is set.
    Several,
}

/// Who takes the DNS record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// acme-dns.
    AcmeDns,
    /// Akamai Edge DNS.
    Akamai,
    /// Azure DNS.
    AzureDns,
    /// Google Cloud DNS.
    CloudDns,
    /// Cloudflare.
    Cloudflare,
    /// DigitalOcean.
    DigitalOcean,
    /// Dynamic updates.
    Rfc2136,
    /// AWS Route 53.
    Route53,
    /// An external solver.
    Webhook,
}

impl Way {
    /// The way of `solver`.
    pub fn of(solver: &Solver) -> Self {
        let Solver {
            dns01,
            http01,
            selector: _,
            wait_instead_of_self_check: _,
        } = solver;
        match (http01, dns01) {
            (None, None) => Self::Nothing,
            (Some(_), Some(_)) => Self::Several,
            (Some(http01), None) => Self::of_http01(http01),
            (None, Some(dns01)) => Self::of_dns01(dns01),
        }
    }

    /// Whether this version can go it.
    pub fn is_supported(self) -> bool {
        match self {
            Self::Ingress | Self::Dns01(Provider::Rfc2136) => true,
            Self::GatewayHttpRoute | Self::Dns01(_) | Self::Nothing | Self::Several => false,
        }
    }

    fn of_http01(http01: &Http01Solver) -> Self {
        let Http01Solver {
            gateway_http_route,
            ingress,
        } = http01;
        match (ingress, gateway_http_route) {
            (Some(_), None) => Self::Ingress,
            (None, Some(_)) => Self::GatewayHttpRoute,
            (None, None) => Self::Nothing,
            (Some(_), Some(_)) => Self::Several,
        }
    }

    fn of_dns01(dns01: &Dns01Solver) -> Self {
        let Dns01Solver {
            acme_dns,
            akamai,
            azure_dns,
            cloud_dns,
            cloudflare,
            cname_strategy: _,
            digitalocean,
            nameservers: _,
            rfc2136,
            route53,
            webhook,
        } = dns01;
        let mut set = [
            (acme_dns.is_some(), Provider::AcmeDns),
            (akamai.is_some(), Provider::Akamai),
            (azure_dns.is_some(), Provider::AzureDns),
            (cloud_dns.is_some(), Provider::CloudDns),
            (cloudflare.is_some(), Provider::Cloudflare),
            (digitalocean.is_some(), Provider::DigitalOcean),
            (rfc2136.is_some(), Provider::Rfc2136),
            (route53.is_some(), Provider::Route53),
            (webhook.is_some(), Provider::Webhook),
        ]
        .into_iter()
        .filter_map(|(is_set, provider)| is_set.then_some(provider));
        match (set.next(), set.next()) {
            (None, _) => Self::Nothing,
            (Some(provider), None) => Self::Dns01(provider),
            (Some(_), Some(_)) => Self::Several,
        }
    }
}

impl fmt::Display for Way {
    /// The field of the solver, as in manifests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "http01.ingress",
            Self::GatewayHttpRoute => "http01.gatewayHTTPRoute",
            Self::Dns01(Provider::AcmeDns) => "dns01.acmeDNS",
            Self::Dns01(Provider::Akamai) => "dns01.akamai",
            Self::Dns01(Provider::AzureDns) => "dns01.azureDNS",
            Self::Dns01(Provider::CloudDns) => "dns01.cloudDNS",
            Self::Dns01(Provider::Cloudflare) => "dns01.cloudflare",
            Self::Dns01(Provider::DigitalOcean) => "dns01.digitalocean",
            Self::Dns01(Provider::Rfc2136) => "dns01.rfc2136",
            Self::Dns01(Provider::Route53) => "dns01.route53",
            Self::Dns01(Provider::Webhook) => "dns01.webhook",
            Self::Nothing => "nothing set",
            Self::Several => "several ways set",
        })
    }
}

/// A Secret's entry that a solver needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential<'a> {
    /// Position of the solver in the list, from 0.
    pub solver: usize,
    /// The field that names the Secret.
    pub field: &'static str,
    /// Secret and entry.
    pub secret: &'a SecretKeySelector,
}

/// The entries of Secrets that the solvers we can use need.
pub fn credentials(solvers: &[Solver]) -> Vec<Credential<'_>> {
    let mut all = Vec::new();
    for (position, solver) in solvers.iter().enumerate() {
        let Way::Dns01(Provider::Rfc2136) = Way::of(solver) else {
            continue;
        };
        let rfc2136 = solver
            .dns01
            .as_ref()
            .and_then(|dns01| dns01.rfc2136.as_ref());
        let secret = rfc2136.and_then(|rfc2136| named(rfc2136.tsig_secret_secret_ref.as_ref()));
        all.extend(secret.map(|secret| Credential {
            solver: position,
            field: "dns01.rfc2136.tsigSecretSecretRef",
            secret,
        }));
    }
    all
}

/// What of the issuer is stored but not acted on, for its Ready condition; `None` when all is.
pub fn remarks(acme: &AcmeIssuer) -> Option<String> {
    // A new field of the issuer must be thought of here.
    let AcmeIssuer {
        solvers,
        ca_bundle: _,
        disable_account_key_generation: _,
        email: _,
        enable_duration_feature: _,
        external_account_binding: _,
        preferred_chain: _,
        private_key_secret_ref: _,
        profile: _,
        renewal_information_source: _,
        server: _,
        skip_tls_verify: _,
    } = acme;
    let mut all: Vec<String> = solvers
        .iter()
        .flatten()
        .enumerate()
        .filter_map(|(position, solver)| remark(position, solver))
        .collect();
    if all.is_empty() {
        return None;
    }
    let more = all.len().saturating_sub(MOST_REMARKS);
    all.truncate(MOST_REMARKS);
    let mut text = all.join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    Some(text)
}

fn remark(position: usize, solver: &Solver) -> Option<String> {
    let way = Way::of(solver);
    match way {
        Way::Nothing => Some(format!(
            "solvers[{position}] has neither an http01 nor a dns01 way set: it is never chosen"
        )),
        Way::Several => Some(format!(
            "solvers[{position}] has several ways set: challenges that it is chosen for fail; make \
             a solver of each"
        )),
        _ if !way.is_supported() => Some(format!(
            "solvers[{position}] ({way}) is not supported by this version of certwright: challenges \
             that it is chosen for fail"
        )),
        Way::Ingress if has_pod_template(solver) => Some(format!(
            "solvers[{position}].http01.ingress.podTemplate has no effect: challenges are answered \
             without a pod"
        )),
        _ => None,
    }
}

fn has_pod_template(solver: &Solver) -> bool {
    solver
        .http01
        .as_ref()
        .and_then(|http01| http01.ingress.as_ref())
        .is_some_and(|ingress| ingress.pod_template.is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn solvers(value: Value) -> Vec<Solver> {
        serde_json::from_value(value).unwrap()
    }

    fn issuer(value: Value) -> AcmeIssuer {
        AcmeIssuer {
            solvers: Some(solvers(value)),
            ..AcmeIssuer::default()
        }
    }

    #[test]
    fn each_way_has_its_name() {
        let secret = json!({"name": "s", "key": "k"});
        let table = [
            (json!({}), "nothing set", false),
            (json!({"http01": {}}), "nothing set", false),
            (json!({"dns01": {}}), "nothing set", false),
            (json!({"http01": {"ingress": {}}}), "http01.ingress", true),
            (
                json!({"http01": {"gatewayHTTPRoute": {}}}),
                "http01.gatewayHTTPRoute",
                false,
            ),
            (
                json!({"http01": {"ingress": {}}, "dns01": {}}),
                "several ways set",
                false,
            ),
            (
                json!({"dns01": {"rfc2136": {"nameserver": "ns"}}}),
                "dns01.rfc2136",
                true,
            ),
            (
                json!({"dns01": {"digitalocean": {"tokenSecretRef": secret}}}),
                "dns01.digitalocean",
                false,
            ),
            (
                json!({"dns01": {"route53": {}, "cloudflare": {}}}),
                "several ways set",
                false,
            ),
        ];
        for (solver, name, supported) in table {
            let way = Way::of(&serde_json::from_value(solver.clone()).unwrap());
            assert_eq!(way.to_string(), name, "{solver}");
            assert_eq!(way.is_supported(), supported, "{solver}");
        }
    }

    #[test]
    fn credentials_of_usable_solvers_are_found() {
        let solvers = solvers(json!([
            {"http01": {"ingress": {}}},
            {"dns01": {"rfc2136": {"nameserver": "ns"}}},
            {"dns01": {"rfc2136": {
                "nameserver": "ns", "tsigSecretSecretRef": {"name": "tsig", "key": "k"},
            }}},
            {"dns01": {"rfc2136": {"nameserver": "ns", "tsigSecretSecretRef": {"name": ""}}}},
            {"dns01": {"digitalocean": {"tokenSecretRef": {"name": "token", "key": "k"}}}},
        ]));
        let found: Vec<(usize, &str)> = credentials(&solvers)
            .iter()
            .map(|credential| (credential.solver, credential.secret.name.as_str()))
            .collect();
        assert_eq!(found, [(2, "tsig")]);
    }

    #[test]
    fn what_has_no_effect_is_said() {
        assert_eq!(remarks(&AcmeIssuer::default()), None);
        assert_eq!(remarks(&issuer(json!([{"http01": {"ingress": {}}}]))), None);
        let text = remarks(&issuer(json!([
            {"http01": {"ingress": {"podTemplate": {}}}},
            {"dns01": {"route53": {}}},
        ])))
        .unwrap();
        assert_eq!(
            text,
            "solvers[0].http01.ingress.podTemplate has no effect: challenges are answered without a \
             pod; solvers[1] (dns01.route53) is not supported by this version of certwright: \
             challenges that it is chosen for fail"
        );
        let many: Vec<Value> = (0..9).map(|_| json!({"dns01": {"route53": {}}})).collect();
        let text = remarks(&issuer(json!(many))).unwrap();
        assert!(text.ends_with("; and 4 more"), "{text}");
    }
}
