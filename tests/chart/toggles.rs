//! Does each value of the chart change what it says it does?

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::render::{Objects, Render};

/// A row of `toggles.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Toggle {
    set: BTreeMap<String, Value>,
    object: Option<String>,
    at: Option<String>,
    #[serde(default)]
    is: Value,
    argument: Option<String>,
}

impl Toggle {
    fn holds(&self, objects: &Objects) -> bool {
        if let Some(argument) = &self.argument {
            return objects.arguments().contains(&argument.as_str());
        }
        let (kind, name) = self.object.as_deref().unwrap().split_once('/').unwrap();
        let found = objects
            .find(kind, name)
            .and_then(|object| object.pointer(self.at.as_deref().unwrap()));
        found.unwrap_or(&Value::Null) == &self.is
    }
}

#[test]
fn each_value_does_something() {
    let toggles: Vec<Toggle> = serde_saphyr::from_str(include_str!("toggles.yaml")).unwrap();
    let without = Render::of("x").objects();
    for toggle in toggles {
        assert!(!toggle.holds(&without), "holds without: {toggle:?}");
        let mut render = Render::of("x");
        for (path, value) in &toggle.set {
            render = render.set(path, value.clone());
        }
        assert!(toggle.holds(&render.objects()), "{toggle:?}");
    }
}
