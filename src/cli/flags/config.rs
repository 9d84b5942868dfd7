//! What does a configuration file say, in terms of flags?

use std::collections::BTreeMap;

use serde_json::Value;

use super::table::{Flag, Kind, find_key};

const API_VERSION: &str = "controller.config.cert-manager.io/v1alpha1";
const KIND: &str = "ControllerConfiguration";

/// A configuration file larger than this is none.
pub(super) const MAX_BYTES: usize = 1024 * 1024;

/// What a file gives a flag: under which key, and the values as they would be typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) values: Vec<String>,
}

/// A configuration file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not YAML.
    #[error("not YAML: {0}")]
    Syntax(String),
    /// Another kind of file.
    #[error("want apiVersion {API_VERSION} and kind {KIND}, found {0}")]
    Kind(String),
    /// A key that cert-manager's configuration does not have, or that certwright does not know.
    #[error("unknown key {0}")]
    Unknown(String),
    /// A value that the key cannot have.
    #[error("{key}: want {want}")]
    Value {
        /// The path of the key.
        key: String,
        /// What it may have.
        want: &'static str,
    },
}

/// The flags that a file of that text gives.
pub(super) fn read(text: &str) -> Result<BTreeMap<&'static str, Entry>, ConfigError> {
    let mut file: BTreeMap<String, Value> =
        serde_saphyr::from_str(text).map_err(|error| ConfigError::Syntax(error.to_string()))?;
    let mut head = |key| match file.remove(key) {
        Some(Value::String(text)) => text,
        _ => String::from("none"),
    };
    let (version, kind) = (head("apiVersion"), head("kind"));
    if version != API_VERSION || kind != KIND {
        return Err(ConfigError::Kind(format!("{version} and {kind}")));
    }
    let mut entries = BTreeMap::new();
    for (key, value) in file {
        flatten(key, value, &mut entries)?;
    }
    Ok(entries)
}

fn flatten(
    key: String,
    value: Value,
    entries: &mut BTreeMap<&'static str, Entry>,
) -> Result<(), ConfigError> {
    if value.is_null() {
        return Ok(());
    }
    if let Some(flag) = find_key(&key) {
        let values = values(flag, &key, value)?;
        entries.insert(flag.name, Entry { key, values });
        return Ok(());
    }
    let Value::Object(inner) = value else {
        return Err(ConfigError::Unknown(key));
    };
    for (name, value) in inner {
        flatten(format!("{key}.{name}"), value, entries)?;
    }
    Ok(())
}

fn values(flag: &Flag, key: &str, value: Value) -> Result<Vec<String>, ConfigError> {
    let wrong = |want| ConfigError::Value {
        key: key.to_owned(),
        want,
    };
    match (flag.kind, value) {
        (Kind::Bool, Value::Bool(value)) => Ok(vec![value.to_string()]),
        (Kind::Bool, _) => Err(wrong("true or false")),
        (Kind::Duration, Value::String(text)) => Ok(vec![text]),
        // As Go encodes a duration: nanoseconds.
        (Kind::Duration, Value::Number(nanos)) => Ok(vec![format!("{nanos}ns")]),
        (Kind::Duration, _) => Err(wrong("a duration, such as 60s")),
        (Kind::List, Value::Array(items)) => {
            let item = |item: Value| scalar(&item).ok_or_else(|| wrong("a list of texts"));
            items.into_iter().map(item).collect()
        }
        (Kind::List, _) => Err(wrong("a list of texts")),
        (Kind::Map, Value::Object(pairs)) => {
            let pair = |(name, value): (String, Value)| {
                let value = scalar(&value).ok_or_else(|| wrong("names and values"))?;
                Ok(format!("{name}={value}"))
            };
            pairs.into_iter().map(pair).collect()
        }
        (Kind::Map, _) => Err(wrong("names and values")),
        (Kind::Number, Value::Number(number)) => Ok(vec![number.to_string()]),
        (Kind::Number, _) => Err(wrong("a number")),
        (Kind::Text, value) => Ok(vec![scalar(&value).ok_or_else(|| wrong("a text"))?]),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        Value::Array(_) | Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: controller.config.cert-manager.io/v1alpha1\n\
                        kind: ControllerConfiguration\n";

    #[test]
    fn keys_become_flags() {
        let text = format!(
            "{HEAD}leaderElectionConfig:\n  enabled: false\n  leaseDuration: 30s\n  \
             renewDeadline: 20000000000\nkubernetesAPIQPS: 9000\ncontrollers: ['*', -orders]\n\
             featureGates:\n  OtherNames: true\nmetricsTLSConfig:\n  filesystem: {{}}\n\
             namespace:\nlogging: {{verbosity: 3}}\n"
        );
        let entries = read(&text).unwrap();
        let values = |name: &str| entries[name].values.join("|");
        assert_eq!(values("leader-elect"), "false");
        assert_eq!(values("leader-election-lease-duration"), "30s");
        assert_eq!(values("leader-election-renew-deadline"), "20000000000ns");
        assert_eq!(values("kube-api-qps"), "9000");
        assert_eq!(values("controllers"), "*|-orders");
        assert_eq!(values("feature-gates"), "OtherNames=true");
        assert_eq!(values("v"), "3");
        assert_eq!(entries["v"].key, "logging.verbosity");
        assert_eq!(entries.len(), 7);
    }

    #[test]
    fn mistakes_are_named() {
        let read = |text: &str| read(&format!("{HEAD}{text}")).unwrap_err().to_string();
        assert_eq!(read("nonsense: 1"), "unknown key nonsense");
        assert_eq!(read("logging: {colour: red}"), "unknown key logging.colour");
        assert_eq!(read("logging: loud"), "unknown key logging");
        assert_eq!(read("namespace: [a]"), "namespace: want a text");
        assert_eq!(
            read("controllers: orders"),
            "controllers: want a list of texts"
        );
        let other = super::read("apiVersion: v1\nkind: ConfigMap\n").unwrap_err();
        assert!(
            other.to_string().ends_with("found v1 and ConfigMap"),
            "{other}"
        );
        assert!(matches!(
            super::read("a: [").unwrap_err(),
            ConfigError::Syntax(_)
        ));
    }
}
