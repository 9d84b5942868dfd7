//! How may the record of a certificate change?

use super::Rule;

const FOREVER: &str = "cannot change after creation";

/// What the record is about stays; who keeps the certificate and what is to become of it may change.
pub(super) const RULES: &[Rule] = &[
    Rule::new("spec.cluster", "self == oldSelf", FOREVER).forbidden(),
    Rule::new("spec.serial", "self == oldSelf", FOREVER).forbidden(),
];
