//! Do our CRDs say what users' objects rely on, and do the files hold what the types say?

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use certwright::api::certificate::Certificate;
use certwright::api::challenge::Challenge;
use certwright::api::issuance::Issuance;
use certwright::api::issuer::{ClusterIssuer, Issuer};
use certwright::api::order::Order;
use certwright::api::request::CertificateRequest;
use certwright::api::{additions, crd};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

/// What one row of the contract says of a field.
#[derive(Debug, PartialEq)]
struct Field {
    type_: String,
    required: bool,
    constraints: Map<String, Value>,
}

type Fields = BTreeMap<String, Field>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract")
}

static DEFINITIONS: LazyLock<Vec<CustomResourceDefinition>> = LazyLock::new(crd::all);

fn definition(kind: &str) -> &'static CustomResourceDefinition {
    DEFINITIONS
        .iter()
        .find(|crd| crd.spec.names.kind == kind)
        .expect(kind)
}

fn schema(crd: &CustomResourceDefinition) -> Value {
    let schema = crd.spec.versions[0].schema.as_ref().unwrap();
    serde_json::to_value(schema.open_api_v3_schema.as_ref().unwrap()).unwrap()
}

/// The rows of a contract file.
fn contract(file: &str) -> Fields {
    let text = std::fs::read_to_string(folder().join(file)).unwrap();
    let rows: Fields = text
        .lines()
        .skip(1)
        .map(|line| {
            let mut cells = line.split('\t');
            let mut cell = || cells.next().unwrap_or_default();
            let (path, type_, required, constraints) = (cell(), cell(), cell(), cell());
            let constraints = match constraints {
                "" => Map::new(),
                json => serde_json::from_str(json).unwrap(),
            };
            let required = required == "required";
            (
                path.to_owned(),
                Field {
                    type_: type_.to_owned(),
                    required,
                    constraints,
                },
            )
        })
        .collect();
    assert!(
        rows.len() > 20,
        "{file} holds too few rows to be the contract"
    );
    rows
}

/// The rows that a schema amounts to, in the words of the contract.
fn rows(schema: &Value) -> Fields {
    let mut rows = Fields::new();
    for (name, property) in schema["properties"].as_object().unwrap() {
        if !["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
            collect(property, name.clone(), is_required(schema, name), &mut rows);
        }
    }
    rows
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema["required"]
        .as_array()
        .is_some_and(|names| names.contains(&json!(name)))
}

fn collect(schema: &Value, path: String, required: bool, rows: &mut Fields) {
    let mut constraints = schema.as_object().unwrap().clone();
    for said_elsewhere in [
        "description",
        "type",
        "properties",
        "items",
        "additionalProperties",
        "required",
    ] {
        constraints.remove(said_elsewhere);
    }
    let type_ = if schema["x-kubernetes-int-or-string"] == true {
        "int-or-string"
    } else if schema["additionalProperties"].is_object() {
        "map"
    } else {
        schema["type"].as_str().unwrap_or("any")
    };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        collect(
            property,
            format!("{path}.{name}"),
            is_required(schema, name),
            rows,
        );
    }
    if schema["items"].is_object() {
        collect(&schema["items"], format!("{path}[]"), false, rows);
    }
    if schema["additionalProperties"].is_object() {
        collect(
            &schema["additionalProperties"],
            format!("{path}{{}}"),
            false,
            rows,
        );
    }
    rows.insert(
        path,
        Field {
            type_: type_.to_owned(),
            required,
            constraints,
        },
    );
}

/// The contract and our additions: what the schema of a kind must say, to the letter.
fn expected(kind: &str, file: &str) -> Fields {
    let mut fields = contract(file);
    for (of, path, type_, values) in additions::FIELDS {
        if *of == kind {
            let mut constraints = Map::new();
            if !values.is_empty() {
                constraints.insert("enum".to_owned(), json!(values));
            }
            let field = Field {
                type_: (*type_).to_owned(),
                required: false,
                constraints,
            };
            assert_eq!(fields.insert((*path).to_owned(), field), None, "{path}");
        }
    }
    for rule in additions::rules(kind).filter(|rule| !rule.path.is_empty()) {
        let field = fields
            .get_mut(rule.path)
            .unwrap_or_else(|| panic!("no field {}", rule.path));
        let rules = field
            .constraints
            .entry("x-kubernetes-validations")
            .or_insert(json!([]));
        let rules = rules.as_array_mut().unwrap();
        if rules.iter().all(|known| known["rule"] != rule.rule) {
            rules.push(as_validation(rule));
        }
    }
    fields
}

fn as_validation(rule: &certwright::api::rules::Rule) -> Value {
    let mut validation = json!({ "rule": rule.rule, "message": rule.message });
    if let Some(field) = rule.field {
        validation["fieldPath"] = json!(field);
    }
    if let Some(reason) = rule.reason.as_str() {
        validation["reason"] = json!(reason);
    }
    if rule.sees_creation {
        validation["optionalOldSelf"] = json!(true);
    }
    validation
}

/// Numbers such as bounds are written as 1 or 1.0; that is the same bound.
fn same_numbers(value: Value) -> Value {
    match value {
        Value::Number(n) => json!(n.as_f64().unwrap()),
        Value::Array(items) => items.into_iter().map(same_numbers).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, same_numbers(v))).collect(),
        other => other,
    }
}

fn differences(want: &Fields, have: &Fields) -> Vec<String> {
    let paths: BTreeSet<_> = want.keys().chain(have.keys()).collect();
    let mut found = vec![];
    for path in paths {
        let (Some(want), Some(have)) = (want.get(path), have.get(path)) else {
            let which = if want.contains_key(path) {
                "lacks"
            } else {
                "adds"
            };
            found.push(format!("{path}: our schema {which} it"));
            continue;
        };
        if want.type_ != have.type_ {
            found.push(format!(
                "{path}: type {} instead of {}",
                have.type_, want.type_
            ));
        }
        if want.required != have.required {
            found.push(format!(
                "{path}: required {} instead of {}",
                have.required, want.required
            ));
        }
        let (want, have) = (
            same_numbers(Value::Object(want.constraints.clone())),
            same_numbers(Value::Object(have.constraints.clone())),
        );
        if want != have {
            found.push(format!("{path}: {have} instead of {want}"));
        }
    }
    found
}

const KINDS: [(&str, &str); 6] = [
    ("Certificate", "certificate"),
    ("CertificateRequest", "certificaterequest"),
    ("Issuer", "issuer"),
    ("ClusterIssuer", "issuer"),
    ("Order", "order"),
    ("Challenge", "challenge"),
];

#[test]
fn schemas_are_the_contract_and_our_additions() {
    for (kind, file) in KINDS {
        let have = rows(&schema(definition(kind)));
        let found = differences(&expected(kind, &format!("{file}.tsv")), &have);
        assert!(found.is_empty(), "{kind}:\n{}", found.join("\n"));
    }
}

#[test]
fn rules_on_the_root_are_our_additions() {
    for (kind, _) in KINDS {
        let want: Vec<_> = additions::rules(kind)
            .filter(|rule| rule.path.is_empty())
            .map(as_validation)
            .collect();
        let have = schema(definition(kind))["x-kubernetes-validations"].clone();
        assert_eq!(
            have,
            if want.is_empty() {
                Value::Null
            } else {
                json!(want)
            },
            "{kind}"
        );
    }
}

#[test]
fn kinds_of_our_own_are_in_a_group_of_our_own() {
    for crd in DEFINITIONS.iter() {
        let kind = crd.spec.names.kind.as_str();
        let is_known = KINDS.iter().any(|(known, _)| *known == kind);
        let is_ours = additions::KINDS.contains(&kind);
        assert_ne!(is_known, is_ours, "{kind}");
        assert_eq!(is_ours, crd.spec.group == "certwright.io", "{kind}");
    }
    assert_eq!(DEFINITIONS.len(), KINDS.len() + additions::KINDS.len());
}

#[test]
fn differences_are_seen() {
    let want = contract("certificate.tsv");
    let mut have = contract("certificate.tsv");
    assert_eq!(differences(&want, &have), Vec::<String>::new());
    have.remove("spec.dnsNames");
    have.get_mut("spec.isCA").unwrap().type_ = "string".to_owned();
    have.get_mut("spec.secretName").unwrap().required = false;
    have.get_mut("spec.uris").unwrap().constraints.clear();
    have.get_mut("spec.privateKey.algorithm")
        .unwrap()
        .constraints["enum"] = json!(["RSA"]);
    have.insert(
        "spec.ours".to_owned(),
        contract("order.tsv").remove("spec").unwrap(),
    );
    assert_eq!(differences(&want, &have).len(), 6);
}

#[test]
fn names_scope_columns_and_selectable_fields_are_the_contract() {
    for (kind, _) in KINDS {
        let file = folder().join(format!("{}.names.json", kind.to_lowercase()));
        let want: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let crd = serde_json::to_value(definition(kind)).unwrap();
        let (spec, version) = (&crd["spec"], &crd["spec"]["versions"][0]);
        let have = json!({
            "group": spec["group"],
            "names": spec["names"],
            "scope": spec["scope"],
            "version": version["name"],
            "subresources": version["subresources"],
            "additionalPrinterColumns": version["additionalPrinterColumns"],
            "selectableFields": version.get("selectableFields"),
            "requiredTopLevel": version["schema"]["openAPIV3Schema"].get("required"),
        });
        assert_eq!(have, want, "{kind}");
        assert_eq!(spec["versions"].as_array().unwrap().len(), 1, "{kind}");
        assert_eq!(
            (&version["served"], &version["storage"]),
            (&json!(true), &json!(true)),
            "{kind}"
        );
    }
}

#[test]
fn definitions_fit_into_the_annotation_of_kubectl_apply() {
    for crd in DEFINITIONS.iter() {
        let bytes = serde_json::to_vec(crd).unwrap().len();
        assert!(bytes < 200_000, "{} has {bytes} bytes", crd::file_name(crd));
    }
}

#[test]
fn files_are_what_the_types_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["crds", "charts/certwright/files/crds"] {
        let mut files: BTreeSet<_> = std::fs::read_dir(root.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        for crd in DEFINITIONS.iter() {
            let name = crd::file_name(crd);
            let stored = std::fs::read_to_string(root.join(folder).join(&name)).unwrap_or_default();
            assert!(
                stored == crd::yaml(crd).unwrap(),
                "{folder}/{name} is old: run `cargo run -- crds --output-dir {folder}`"
            );
            files.remove(&name);
        }
        assert_eq!(
            files,
            BTreeSet::new(),
            "{folder} holds files that no type stands behind"
        );
    }
}

#[test]
fn objects_pass_through_the_types_unchanged() {
    pass_through::<Certificate>("Certificate");
    pass_through::<CertificateRequest>("CertificateRequest");
    pass_through::<Issuer>("Issuer");
    pass_through::<ClusterIssuer>("ClusterIssuer");
    pass_through::<Order>("Order");
    pass_through::<Challenge>("Challenge");
    pass_through::<Issuance>("Issuance");
}

fn pass_through<K: Serialize + DeserializeOwned>(kind: &str) {
    let crd = serde_json::to_value(definition(kind)).unwrap();
    let full = objects::full(&crd);
    let used: BTreeSet<_> = full
        .iter()
        .flat_map(|object| objects::paths(object, false))
        .collect();
    let there = objects::paths(&schema(definition(kind)), true);
    let unused: Vec<_> = there.difference(&used).collect();
    assert!(unused.is_empty(), "{kind}: no object uses {unused:?}");
    for object in full.into_iter().chain(objects::with_empty_lists(&crd)) {
        let typed: K = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), object, "{kind}");
    }
}
