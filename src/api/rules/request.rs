//! What may a CertificateRequest ask for, and how may it change?

use super::Rule;
use super::certificate::{ISSUER_KIND, ISSUER_KIND_MESSAGE};

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "",
        "has(self.spec) == has(oldSelf.spec)",
        "cannot change spec after creation",
    )
    .on(".spec")
    .forbidden(),
    Rule::new(
        "spec",
        "self == oldSelf",
        "cannot change spec after creation",
    )
    .forbidden(),
    Rule::filled("spec.issuerRef.name"),
    Rule::new("spec.issuerRef", ISSUER_KIND, ISSUER_KIND_MESSAGE).on(".kind"),
    Rule::new(
        "status.conditions",
        "!(self.exists(c, c.type == 'Approved') && self.exists(c, c.type == 'Denied'))",
        "both 'Denied' and 'Approved' conditions cannot coexist",
    )
    .forbidden(),
    Rule::new(
        "status.conditions[]",
        "!(self.type in ['Approved', 'Denied']) || self.status == 'True'",
        "'Approved' and 'Denied' conditions may only be set to True",
    ),
    Rule::new(
        "status.conditions[]",
        "!(oldSelf.type in ['Approved', 'Denied']) || self == oldSelf",
        "'Approved' and 'Denied' conditions may not be modified once set",
    )
    .forbidden(),
];
