//! What may an Issuer be, apart from ACME?

use super::Rule;

const NO_DOTS: &str = "!self.matches('(^|/)[.][.](/|$)')";
const NO_DOTS_MESSAGE: &str = "must not contain '..' path segments";

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "spec",
        "has(self.acme) || has(self.ca) || has(self.selfSigned) || has(self.vault) \
         || has(self.venafi)",
        "one of acme, ca, selfSigned, vault and venafi must be set",
    )
    .required(),
    Rule::new(
        "spec",
        "(has(self.acme) ? 1 : 0) + (has(self.ca) ? 1 : 0) + (has(self.selfSigned) ? 1 : 0) \
         + (has(self.vault) ? 1 : 0) + (has(self.venafi) ? 1 : 0) <= 1",
        "only one of acme, ca, selfSigned, vault and venafi may be set",
    )
    .forbidden(),
    Rule::filled("spec.ca.secretName"),
    Rule::new("spec.ca.ocspServers[]", "size(self) > 0", "must be a URL"),
    Rule::new(
        "spec.ca.issuingCertificateURLs[]",
        "size(self) > 0",
        "must be a URL",
    ),
    Rule::new(
        "spec.ca.crl.url",
        "self.matches('^https?://[^/ ]+')",
        "must be a URL that begins with http:// or https://",
    ),
    Rule::new(
        "spec.ca.crl.validity",
        "self.matches('^([0-9]+([.][0-9]+)?[hms])+$') && duration(self) >= duration('1h')",
        "must be a duration of at least 1h, such as 168h",
    ),
    Rule::filled("spec.vault.server"),
    Rule::filled("spec.vault.path"),
    Rule::new("spec.vault.path", NO_DOTS, NO_DOTS_MESSAGE),
    Rule::new(
        "spec.vault",
        "!has(self.caBundle) || !has(self.caBundleSecretRef)",
        "specified caBundleSecretRef and caBundle cannot be used together",
    )
    .on(".caBundleSecretRef"),
    Rule::new(
        "spec.vault",
        "has(self.clientCertSecretRef) == has(self.clientKeySecretRef)",
        "clientCertSecretRef and clientKeySecretRef must be set together",
    ),
    Rule::new(
        "spec.vault.auth",
        "has(self.tokenSecretRef) || has(self.appRole) || has(self.clientCertificate) \
         || has(self.kubernetes) || has(self.aws)",
        "one of appRole, aws, clientCertificate, kubernetes and tokenSecretRef must be set",
    )
    .required(),
    Rule::filled("spec.vault.auth.appRole.roleId"),
    Rule::filled("spec.vault.auth.appRole.secretRef.name"),
    Rule::new("spec.vault.auth.appRole.path", NO_DOTS, NO_DOTS_MESSAGE),
    Rule::new(
        "spec.vault.auth.clientCertificate.mountPath",
        NO_DOTS,
        NO_DOTS_MESSAGE,
    ),
    Rule::filled("spec.vault.auth.kubernetes.role"),
    Rule::new(
        "spec.vault.auth.kubernetes.mountPath",
        NO_DOTS,
        NO_DOTS_MESSAGE,
    ),
    Rule::new(
        "spec.vault.auth.kubernetes",
        "(has(self.secretRef) && self.secretRef.name != '') != has(self.serviceAccountRef)",
        "exactly one of secretRef and serviceAccountRef must be set",
    )
    .required(),
    Rule::filled("spec.vault.auth.kubernetes.serviceAccountRef.name"),
    Rule::new("spec.vault.auth.aws.mountPath", NO_DOTS, NO_DOTS_MESSAGE),
    Rule::filled("spec.vault.auth.aws.serviceAccountRef.name"),
    Rule::new(
        "spec.vault.auth.aws",
        "!has(self.serviceAccountRef) || (has(self.iamRoleArn) && self.iamRoleArn != '')",
        "must be set together with serviceAccountRef",
    )
    .on(".iamRoleArn")
    .required(),
    Rule::filled("spec.venafi.zone"),
    Rule::new(
        "spec.venafi",
        "(has(self.tpp) ? 1 : 0) + (has(self.cloud) ? 1 : 0) + (has(self.ngts) ? 1 : 0) == 1",
        "exactly one of tpp, cloud, or ngts must be configured",
    ),
    Rule::filled("spec.venafi.tpp.url"),
    Rule::new(
        "spec.venafi.tpp",
        "!has(self.caBundle) || !has(self.caBundleSecretRef)",
        "caBundle and caBundleSecretRef may not both be set",
    )
    .forbidden(),
    Rule::filled("spec.venafi.ngts.tsgID"),
    Rule::filled("spec.venafi.ngts.credentialsRef.name"),
];
