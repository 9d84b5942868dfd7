//! What may a Certificate ask for?

use super::Rule;

/// Go's syntax of a duration; CEL stops with an error of its own on a text that is none.
macro_rules! duration_syntax {
    () => {
        r"r'^[-+]?((\d+\.?\d*|\.\d+)([nuµμm]?s|m|h))+$|^[-+]?0$'"
    };
}

const NO_DURATION: &str =
    "must be a duration in hours, minutes and seconds, such as 2160h or 1h30m";

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "",
        "has(self.spec) || (oldSelf.hasValue() && !has(oldSelf.value().spec))",
        "must be specified",
    )
    .on(".spec")
    .required()
    .sees_creation(),
    // Names.
    Rule::new(
        "spec",
        "(has(self.commonName) && self.commonName != '') \
         || (has(self.literalSubject) && self.literalSubject != '') \
         || (has(self.dnsNames) && size(self.dnsNames) > 0) \
         || (has(self.uris) && size(self.uris) > 0) \
         || (has(self.emailAddresses) && size(self.emailAddresses) > 0) \
         || (has(self.ipAddresses) && size(self.ipAddresses) > 0) \
         || (has(self.otherNames) && size(self.otherNames) > 0)",
        "at least one of commonName, dnsNames, emailAddresses, ipAddresses, literalSubject, \
         otherNames and uris must be set",
    ),
    Rule::new("spec.commonName", "size(self) <= 64", "may not be longer than 64 characters"),
    Rule::new(
        "spec",
        "!has(self.literalSubject) || self.literalSubject == '' \
         || !has(self.commonName) || self.commonName == ''",
        "may not be set together with literalSubject: put CN into literalSubject",
    )
    .on(".commonName"),
    Rule::new(
        "spec",
        "!has(self.literalSubject) || self.literalSubject == '' || !has(self.subject) || (\
         (!has(self.subject.countries) || size(self.subject.countries) == 0) \
         && (!has(self.subject.localities) || size(self.subject.localities) == 0) \
         && (!has(self.subject.organizationalUnits) || size(self.subject.organizationalUnits) == 0) \
         && (!has(self.subject.organizations) || size(self.subject.organizations) == 0) \
         && (!has(self.subject.postalCodes) || size(self.subject.postalCodes) == 0) \
         && (!has(self.subject.provinces) || size(self.subject.provinces) == 0) \
         && (!has(self.subject.streetAddresses) || size(self.subject.streetAddresses) == 0) \
         && (!has(self.subject.serialNumber) || self.subject.serialNumber == ''))",
        "may not be set together with literalSubject: put its parts into literalSubject",
    )
    .on(".subject"),
    Rule::new("spec.otherNames[]", "has(self.oid) && self.oid != ''", "must be specified")
        .on(".oid")
        .required(),
    Rule::new(
        "spec.otherNames[]",
        "has(self.utf8Value) && self.utf8Value != ''",
        "must be set to a valid non-empty UTF8 string",
    )
    .on(".utf8Value")
    .required(),
    Rule::new(
        "spec",
        "!has(self.nameConstraints) || (has(self.isCA) && self.isCA)",
        "may be set only with isCA",
    )
    .on(".nameConstraints"),
    Rule::new(
        "spec.nameConstraints",
        "has(self.permitted) || has(self.excluded)",
        "permitted or excluded must be set",
    ),
    // Time.
    Rule::new("spec.duration", concat!("self.matches(", duration_syntax!(), ")"), NO_DURATION),
    Rule::new(
        "spec.duration",
        concat!("!self.matches(", duration_syntax!(), ") || duration(self) >= duration('1h')"),
        "must be at least 1h",
    ),
    Rule::new("spec.renewBefore", concat!("self.matches(", duration_syntax!(), ")"), NO_DURATION),
    Rule::new(
        "spec.renewBefore",
        concat!("!self.matches(", duration_syntax!(), ") || duration(self) >= duration('5m')"),
        "must be at least 5m",
    ),
    Rule::new(
        "spec",
        concat!(
            "!has(self.renewBefore) || !self.renewBefore.matches(",
            duration_syntax!(),
            ") || (has(self.duration) && !self.duration.matches(",
            duration_syntax!(),
            ")) || duration(self.renewBefore) \
             < (has(self.duration) ? duration(self.duration) : duration('2160h'))"
        ),
        "must be shorter than duration, which is 2160h unless set",
    )
    .on(".renewBefore"),
    Rule::new(
        "spec",
        "!(has(self.renewBefore) && has(self.renewBeforePercentage))",
        "may not be set together with renewBefore",
    )
    .on(".renewBeforePercentage"),
    Rule::new(
        "spec",
        "!has(self.duration) || !has(self.renewBeforePercentage) \
         || (self.renewBeforePercentage > 0 && self.renewBeforePercentage < 100)",
        "must be between 1 and 99",
    )
    .on(".renewBeforePercentage"),
    Rule::new("spec.renewal", "has(self.policy)", "must be RenewBefore or Disabled")
        .on(".policy")
        .required(),
    Rule::new(
        "spec.renewal",
        "!has(self.windows) || size(self.windows) == 0 || !has(self.policy) \
         || self.policy != 'Disabled'",
        "may not be set when policy is Disabled",
    )
    .on(".windows")
    .forbidden(),
    // Key.
    Rule::new(
        "spec.privateKey",
        "!has(self.size) || self.size <= 0 || (has(self.algorithm) && self.algorithm != 'RSA') \
         || (self.size >= 2048 && self.size <= 8192)",
        "must be between 2048 and 8192 for RSA",
    )
    .on(".size"),
    Rule::new(
        "spec.privateKey",
        "!has(self.size) || self.size <= 0 || !has(self.algorithm) || self.algorithm != 'ECDSA' \
         || self.size in [256, 384, 521]",
        "must be 256, 384 or 521 for ECDSA",
    )
    .on(".size"),
    Rule::new(
        "spec",
        "!has(self.signatureAlgorithm) \
         || (!has(self.privateKey) || !has(self.privateKey.algorithm) \
             || self.privateKey.algorithm == 'RSA' \
         ? self.signatureAlgorithm.endsWith('WithRSA') \
         : self.privateKey.algorithm == 'ECDSA' \
         ? self.signatureAlgorithm.startsWith('ECDSAWith') \
         : self.signatureAlgorithm == 'PureEd25519')",
        "must fit privateKey.algorithm, which is RSA unless set",
    )
    .on(".signatureAlgorithm"),
    // Issuer.
    Rule::filled("spec.issuerRef.name"),
    Rule::new("spec.issuerRef", ISSUER_KIND, ISSUER_KIND_MESSAGE).on(".kind"),
    // Secret.
    Rule::new(
        "spec.secretName",
        "size(self) <= 253 \
         && self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "must be the name of a Secret: at most 253 lower-case letters, digits, '-' and '.', with a \
         letter or digit at both ends",
    ),
    Rule::new(
        "spec.secretTemplate.annotations",
        "self.all(k, !k.startsWith('cert-manager.io/') \
         || k == 'cert-manager.io/allow-direct-injection')",
        "cert-manager.io/ annotations are not allowed, but for \
         cert-manager.io/allow-direct-injection",
    ),
    Rule::new(
        "spec.secretTemplate.labels",
        "self.all(k, size(self[k]) <= 63)",
        "values of labels may not be longer than 63 characters",
    ),
    Rule::new(
        "spec.additionalOutputFormats",
        "self.filter(f, f.type == 'DER').size() < 2 \
         && self.filter(f, f.type == 'CombinedPEM').size() < 2",
        "each type may be given once",
    )
    .duplicate(),
    Rule::new("spec.keystores.jks", ONE_PASSWORD, ONE_PASSWORD_MESSAGE).forbidden(),
    Rule::new("spec.keystores.pkcs12", ONE_PASSWORD, ONE_PASSWORD_MESSAGE).forbidden(),
    Rule::new("spec.keystores.jks.password", "self != ''", EMPTY_PASSWORD).forbidden(),
    Rule::new("spec.keystores.pkcs12.password", "self != ''", EMPTY_PASSWORD).forbidden(),
    Rule::new("spec.revisionHistoryLimit", "self >= 1", "must be at least 1"),
];

/// Only kinds that we have, unless the issuer is of another API group.
pub(super) const ISSUER_KIND: &str = "(has(self.group) && self.group != '' \
     && self.group != 'cert-manager.io') \
     || !has(self.kind) || self.kind in ['', 'Issuer', 'ClusterIssuer']";
pub(super) const ISSUER_KIND_MESSAGE: &str =
    "must be one of Issuer or ClusterIssuer, unless group names another API group";

const ONE_PASSWORD: &str = "has(self.password) \
     != (has(self.passwordSecretRef) && self.passwordSecretRef.name != '')";
const ONE_PASSWORD_MESSAGE: &str = "exactly one of password and passwordSecretRef must be set";
const EMPTY_PASSWORD: &str = "may not be empty";
