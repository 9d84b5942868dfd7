//! What may an ACME issuer be, and how may it prove names?

use super::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule::filled("spec.acme.server"),
    Rule::filled("spec.acme.privateKeySecretRef.name"),
    Rule::new(
        "spec.acme",
        "!has(self.caBundle) || !has(self.skipTLSVerify) \
         || !self.skipTLSVerify",
        "caBundle and skipTLSVerify are mutually exclusive and cannot both be set",
    )
    .on(".skipTLSVerify"),
    Rule::filled("spec.acme.externalAccountBinding.keyID"),
    Rule::filled("spec.acme.externalAccountBinding.keySecretRef.name"),
    Rule::new(
        "spec.acme.externalAccountBinding.keySecretRef",
        "has(self.key) && self.key != ''",
        "must be specified",
    )
    .on(".key")
    .required(),
    Rule::new(
        "spec.acme.solvers[]",
        "has(self.http01) || has(self.dns01)",
        "http01 or dns01 must be set",
    )
    .required(),
    Rule::new(
        "spec.acme.solvers[]",
        "!has(self.http01) || !has(self.dns01)",
        "http01 and dns01 may not both be set in one solver",
    )
    .forbidden(),
    Rule::new(
        "spec.acme.solvers[].http01",
        "has(self.ingress) != has(self.gatewayHTTPRoute)",
        "exactly one of ingress and gatewayHTTPRoute must be set",
    )
    .required(),
    Rule::new(
        "spec.acme.solvers[].http01.ingress",
        "(has(self.class) ? 1 : 0) + (has(self.ingressClassName) ? 1 : 0) \
         + (has(self.name) && self.name != '' ? 1 : 0) <= 1",
        "only one of 'ingressClassName', 'name' or 'class' should be specified",
    )
    .forbidden(),
    Rule::new(
        "spec.acme.solvers[].waitInsteadOfSelfCheck",
        "!self.startsWith('-')",
        "must not be negative",
    ),
];
