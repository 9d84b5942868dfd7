//! How may an Order and a Challenge change?

use super::Rule;

const ONCE: &str = "field is immutable once set";

pub(super) const ORDER: &[Rule] = &[
    Rule::new(
        "spec",
        "self == oldSelf",
        "cannot change spec after creation",
    )
    .forbidden(),
    once_set(
        ".url",
        "!has(oldSelf.url) || oldSelf.url == '' || (has(self.url) && self.url == oldSelf.url)",
    ),
    once_set(
        ".finalizeURL",
        "!has(oldSelf.finalizeURL) || oldSelf.finalizeURL == '' \
         || (has(self.finalizeURL) && self.finalizeURL == oldSelf.finalizeURL)",
    ),
    once_set(
        ".certificate",
        "!has(oldSelf.certificate) || (has(self.certificate) && self.certificate == oldSelf.certificate)",
    ),
    once_set(
        ".authorizations",
        "!has(oldSelf.authorizations) || size(oldSelf.authorizations) == 0 \
         || (has(self.authorizations) && size(self.authorizations) == size(oldSelf.authorizations))",
    ),
];

pub(super) const CHALLENGE: &[Rule] = &[Rule::new(
    "spec",
    "self == oldSelf",
    "cannot change spec after creation",
)
.forbidden()];

const fn once_set(field: &'static str, rule: &'static str) -> Rule {
    Rule::new("status", rule, ONCE).on(field).forbidden()
}
