//! How may a DNS-01 provider be set up?

use super::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule::filled("spec.acme.solvers[].dns01.acmeDNS.host"),
    Rule::filled("spec.acme.solvers[].dns01.akamai.serviceConsumerDomain"),
    Rule::filled("spec.acme.solvers[].dns01.azureDNS.subscriptionID"),
    Rule::filled("spec.acme.solvers[].dns01.azureDNS.resourceGroupName"),
    Rule::filled("spec.acme.solvers[].dns01.cloudDNS.project"),
    Rule::new(
        "spec.acme.solvers[].dns01.cloudflare",
        "has(self.apiKeySecretRef) != has(self.apiTokenSecretRef)",
        "exactly one of apiKeySecretRef and apiTokenSecretRef must be set",
    ),
    Rule::new(
        "spec.acme.solvers[].dns01.cloudflare",
        "!has(self.apiKeySecretRef) || (has(self.email) && self.email != '')",
        "must be set together with apiKeySecretRef",
    )
    .on(".email")
    .required(),
    Rule::new(
        "spec.acme.solvers[].dns01.route53",
        "!has(self.accessKeyID) || self.accessKeyID == '' || !has(self.accessKeyIDSecretRef)",
        "accessKeyID and accessKeyIDSecretRef cannot both be specified",
    ),
    Rule::filled("spec.acme.solvers[].dns01.rfc2136.nameserver"),
    Rule::filled("spec.acme.solvers[].dns01.webhook.solverName"),
    Rule::new(
        "spec.acme.solvers[].dns01",
        "has(self.acmeDNS) || has(self.akamai) || has(self.azureDNS) || has(self.cloudDNS) \
         || has(self.cloudflare) || has(self.digitalocean) || has(self.rfc2136) \
         || has(self.route53) || has(self.webhook)",
        "a provider must be set",
    )
    .required(),
];
