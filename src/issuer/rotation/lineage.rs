//! Does the CA of an issuer come from another, over any number of issuers? Pure.
//!
//! What would be re-issued in a circle never comes to an end: a CA that signs its own successor, or
//! issuers that sign each other's CAs.

use super::IssuerName;
use crate::cluster::ObjectKey;

/// More issuers above one are not looked at. A circle further up is none that this one is part of.
const MOST: usize = 16;

/// The Secrets with the CA of `issuer`, and with those that it comes from. `place_of` says which Secret the
/// CA of an issuer is in, `signer_of` which issuer has signed what a Secret holds.
pub(super) fn lineage(
    issuer: &IssuerName,
    place_of: impl Fn(&IssuerName) -> Option<ObjectKey>,
    signer_of: impl Fn(&ObjectKey) -> Option<IssuerName>,
) -> Vec<ObjectKey> {
    let mut lineage = Vec::new();
    let mut at = Some(issuer.clone());
    while let Some(place) = at.as_ref().and_then(&place_of)
        && lineage.len() < MOST
        && !lineage.contains(&place)
    {
        at = signer_of(&place);
        lineage.push(place);
    }
    lineage
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::IssuerKind;

    fn name(issuer: &str) -> IssuerName {
        (IssuerKind::Issuer, ObjectKey::new("web", issuer))
    }

    #[test]
    fn what_an_issuer_comes_from_is_found_and_nothing_else() {
        // Issuers, with who signed their CA. The Secret of a CA is called as its issuer.
        let alone = [("a", "")];
        let itself = [("a", "a")];
        let mutual = [("a", "b"), ("b", "a")];
        let three = [("a", "b"), ("b", "c"), ("c", "a")];
        let tree = [
            ("root", "self-signed"),
            ("a", "root"),
            ("b", "root"),
            ("c", "a"),
        ];
        // The circle is above the issuer, and it is no part of it.
        let below = [("a", "b"), ("b", "c"), ("c", "b")];
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str, bool);
        let cases: [Case<'_>; 16] = [
            (&alone, "a", "a", true),
            (&alone, "a", "leaf", false),
            (&itself, "a", "a", true),
            (&itself, "a", "leaf", false),
            (&mutual, "a", "b", true),
            (&mutual, "b", "a", true),
            (&mutual, "a", "leaf", false),
            (&three, "a", "c", true),
            (&three, "c", "b", true),
            (&three, "b", "leaf", false),
            // A hierarchy is followed down.
            (&tree, "root", "a", false),
            (&tree, "a", "c", false),
            (&tree, "c", "leaf", false),
            (&tree, "a", "b", false),
            (&below, "a", "leaf", false),
            (&below, "b", "c", true),
        ];
        for (issuers, issuer, secret, want) in cases {
            let find = |issuer: &str| issuers.iter().find(|(name, _)| *name == issuer);
            let place_of = |(_, key): &IssuerName| find(&key.name).map(|_| key.clone());
            let signer_of = |secret: &ObjectKey| find(&secret.name).map(|(_, by)| name(by));
            let secret = ObjectKey::new("web", secret);
            let lineage = lineage(&name(issuer), place_of, signer_of);
            let found = lineage.contains(&secret);
            assert_eq!(found, want, "{issuers:?}: {issuer} from {secret}");
        }
    }
}
