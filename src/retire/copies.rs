//! Is a Secret copied to other namespaces? Pure.
//!
//! Copies carry no Certificate, so that nothing else tells who serves them. Those who make them go by an
//! annotation of the Secret.

use std::collections::BTreeMap;

/// Annotations by which a Secret is copied, and when they say so.
const ASKING: [(&str, Asks); 7] = [
    // emberstack/kubernetes-reflector
    (
        "reflector.v1.k8s.emberstack.com/reflection-allowed",
        Asks::IfTrue,
    ),
    (
        "reflector.v1.k8s.emberstack.com/reflection-auto-enabled",
        Asks::IfTrue,
    ),
    // mittwald/kubernetes-replicator
    ("replicator.v1.mittwald.de/replicate-to", Asks::IfSet),
    (
        "replicator.v1.mittwald.de/replicate-to-matching",
        Asks::IfSet,
    ),
    (
        "replicator.v1.mittwald.de/replication-allowed",
        Asks::IfTrue,
    ),
    // kubed, now config-syncer: an empty value means every namespace
    ("kubed.appscode.com/sync", Asks::UnlessFalse),
    ("kubed.appscode.com/sync-contexts", Asks::IfSet),
];

/// Which values ask for copies.
#[derive(Clone, Copy, Debug)]
enum Asks {
    IfTrue,
    IfSet,
    UnlessFalse,
}

/// By what it is copied, in words, if it is.
pub(super) fn told(annotations: &BTreeMap<String, String>) -> Option<String> {
    let (name, _) = ASKING.iter().find(|(name, asks)| {
        let value = annotations.get(*name);
        value.is_some_and(|value| asks.by(value.trim()))
    })?;
    Some(format!(
        "its Secret is copied to other namespaces, by annotation {name}; once no copy is in use, take \
         that off the Secret"
    ))
}

impl Asks {
    fn by(self, value: &str) -> bool {
        let is = |words: [&str; 3]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
        match self {
            Self::IfTrue => is(["true", "t", "1"]),
            Self::IfSet => !value.is_empty(),
            Self::UnlessFalse => !is(["false", "f", "0"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_says_so_itself() {
        let reflector = "reflector.v1.k8s.emberstack.com";
        let replicator = "replicator.v1.mittwald.de";
        let table = [
            (format!("{reflector}/reflection-allowed"), "true", true),
            (format!("{reflector}/reflection-allowed"), "True", true),
            (format!("{reflector}/reflection-allowed"), "false", false),
            (format!("{reflector}/reflection-allowed"), "", false),
            (format!("{reflector}/reflection-auto-enabled"), "true", true),
            (
                format!("{reflector}/reflection-allowed-namespaces"),
                "a",
                false,
            ),
            // A copy of another.
            (format!("{reflector}/reflects"), "web/www-tls", false),
            (format!("{replicator}/replicate-to"), "a,b-.*", true),
            (format!("{replicator}/replicate-to"), " ", false),
            (format!("{replicator}/replicate-to-matching"), "a=b", true),
            (format!("{replicator}/replication-allowed"), "true", true),
            (format!("{replicator}/replication-allowed"), "0", false),
            (format!("{replicator}/replicate-from"), "web/www-tls", false),
            ("kubed.appscode.com/sync".to_owned(), "", true),
            ("kubed.appscode.com/sync".to_owned(), "app=web", true),
            ("kubed.appscode.com/sync".to_owned(), "false", false),
            ("kubed.appscode.com/sync-contexts".to_owned(), "a", true),
            ("cert-manager.io/certificate-name".to_owned(), "true", false),
        ];
        for (name, value, want) in table {
            let annotations = [(name.clone(), value.to_owned())].into();
            let told = told(&annotations);
            assert_eq!(told.is_some(), want, "{name}: {value:?}");
            assert!(told.is_none_or(|told| told.contains(&name)));
        }
        assert_eq!(told(&BTreeMap::new()), None);
    }
}
