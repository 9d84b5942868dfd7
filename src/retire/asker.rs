//! Who asks for a revocation by annotation?

use std::{collections::BTreeMap, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

use crate::api::names::annotation;

/// How much of a name is written down.
const LONGEST: usize = 256;

/// Who set the annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A user of the API server, as a policy wrote it down.
    User(String),
    /// Whoever wrote under this name, which everybody chooses freely.
    Manager(String),
}

impl Asker {
    /// Who set the annotation that stands among `annotations`, which `manager` holds. What they say of
    /// the user counts if that `is_checked`.
    pub fn of(
        annotations: &BTreeMap<String, String>,
        manager: Option<&str>,
        is_checked: bool,
    ) -> Option<Self> {
        let user = annotations.get(annotation::REVOKE_REQUESTED_BY);
        let user = user.filter(|user| is_checked && !user.is_empty());
        match (user, manager) {
            (Some(user), _) => Some(Self::User(shortened(user))),
            (None, Some(manager)) => Some(Self::Manager(shortened(manager))),
            (None, None) => None,
        }
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Manager(name) => write!(f, "field manager {name}"),
        }
    }
}

/// The manager that wrote the annotation that asks for a revocation, by `metadata.managedFields`: of
/// several, who was there last.
pub fn manager(entries: &[ManagedFieldsEntry]) -> Option<String> {
    let field = format!("f:{}", annotation::REVOKE);
    let holds = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| {
            let annotations = &fields.0["f:metadata"]["f:annotations"];
            annotations.get(&field).is_some()
        })
    };
    let last = entries
        .iter()
        .filter(holds)
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    let name = last.manager.as_deref().filter(|name| !name.is_empty())?;
    Some(shortened(name))
}

fn shortened(name: &str) -> String {
    name.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_user_counts_where_that_is_checked() {
        let annotations = |user: Option<&str>| -> BTreeMap<String, String> {
            let asks = (annotation::REVOKE.to_owned(), "superseded".to_owned());
            let by = user.map(|user| (annotation::REVOKE_REQUESTED_BY.to_owned(), user.to_owned()));
            [asks].into_iter().chain(by).collect()
        };
        let table = [
            (Some("jane"), Some("kubectl"), true, "user jane"),
            (Some("jane"), None, true, "user jane"),
            (
                Some("jane"),
                Some("kubectl"),
                false,
                "field manager kubectl",
            ),
            (Some("jane"), None, false, "nobody"),
            (Some(""), Some("kubectl"), true, "field manager kubectl"),
            (None, Some("kubectl"), true, "field manager kubectl"),
            (None, None, true, "nobody"),
        ];
        for (user, manager, is_checked, want) in table {
            let found = Asker::of(&annotations(user), manager, is_checked);
            let found = found.map_or_else(|| "nobody".to_owned(), |asker| asker.to_string());
            assert_eq!(found, want, "{user:?} {manager:?} {is_checked}");
        }
        let long = Asker::of(&annotations(Some(&"ä".repeat(9000))), None, true);
        assert_eq!(long, Some(Asker::User("ä".repeat(LONGEST))));
    }

    #[test]
    fn the_manager_is_who_wrote_it_last() {
        let entries = |value| -> Vec<ManagedFieldsEntry> { serde_json::from_value(value).unwrap() };
        let asks =
            json!({"f:metadata": {"f:annotations": {".": {}, "f:certwright.io/revoke": {}}}});
        let other = json!({"f:metadata": {"f:annotations": {"f:certwright.io/revoked": {}}}});
        let entry = |manager: &str, time: &str, fields: &serde_json::Value| json!({"manager": manager, "time": time, "operation": "Update", "fieldsV1": fields});
        let found = manager(&entries(json!([
            entry("argocd", "2026-01-01T00:00:00Z", &asks),
            entry("kubectl-annotate", "2026-01-02T00:00:00Z", &asks),
            entry("certwright", "2026-01-03T00:00:00Z", &other),
        ])));
        assert_eq!(found.as_deref(), Some("kubectl-annotate"));
        for nobody in [
            json!([]),
            json!([{}]),
            json!([entry("", "2026-01-01T00:00:00Z", &asks)]),
            json!([entry("kubectl", "2026-01-01T00:00:00Z", &other)]),
            json!([entry("kubectl", "2026-01-01T00:00:00Z", &json!("text"))]),
        ] {
            assert_eq!(manager(&entries(nobody.clone())), None, "{nobody}");
        }
    }
}
