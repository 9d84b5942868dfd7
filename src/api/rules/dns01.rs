//! How may a DNS-01 provider be set up?

use super::Rule;

pub(super) const RULES: &[Rule] = &[
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
];
