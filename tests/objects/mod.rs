//! Which objects use every field that a schema has?

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Fields of one object that exclude each other: the end of the object's path, and sets of fields
/// of which one set is used at a time.
const EITHER: &[(&str, &[&[&str]])] = &[
    (
        "spec",
        &[&["acme"], &["ca"], &["selfSigned"], &["vault"], &["venafi"]],
    ),
    ("spec", &[&["literalSubject"], &["commonName", "subject"]]),
    ("spec", &[&["renewBefore"], &["renewBeforePercentage"]]),
    (".keystores.jks", &[&["password"], &["passwordSecretRef"]]),
    (
        ".keystores.pkcs12",
        &[&["password"], &["passwordSecretRef"]],
    ),
    (".acme", &[&["caBundle"], &["skipTLSVerify"]]),
    (".solvers[]", &[&["http01"], &["dns01"]]),
    (".solver", &[&["http01"], &["dns01"]]),
    (".http01", &[&["ingress"], &["gatewayHTTPRoute"]]),
    (
        ".http01.ingress",
        &[&["class"], &["ingressClassName"], &["name"]],
    ),
    (
        ".dns01",
        &[
            &["acmeDNS"],
            &["akamai"],
            &["azureDNS"],
            &["cloudDNS"],
            &["cloudflare"],
            &["digitalocean"],
            &["rfc2136"],
            &["route53"],
            &["webhook"],
        ],
    ),
    (
        ".azureDNS",
        &[
            &["clientID", "clientSecretSecretRef", "tenantID"],
            &["managedIdentity"],
        ],
    ),
    (
        ".managedIdentity",
        &[&["clientID", "tenantID"], &["resourceID"]],
    ),
    (
        ".cloudflare",
        &[&["apiKeySecretRef", "email"], &["apiTokenSecretRef"]],
    ),
    (".route53", &[&["accessKeyID"], &["accessKeyIDSecretRef"]]),
    (".vault", &[&["caBundle"], &["caBundleSecretRef"]]),
    (
        ".vault.auth.kubernetes",
        &[&["secretRef"], &["serviceAccountRef"]],
    ),
    (".venafi", &[&["tpp"], &["cloud"], &["ngts"]]),
    (".venafi.tpp", &[&["caBundle"], &["caBundleSecretRef"]]),
];

/// Values where not just any text or number will do, by the end of the path.
const VALUES: &[(&str, &str)] = &[
    ("spec.duration", "2160h0m0s"),
    (".crl.url", "http://crl.example/ca.crl"),
    (".crl.validity", "168h"),
    ("spec.renewBefore", "1.5h"),
    (".renewBeforePercentage", "30"),
    (".privateKey.size", "2048"),
    (".windowDuration", "2h30m"),
    (".waitInsteadOfSelfCheck", "90s"),
    (".ipAddresses[]", "192.0.2.1"),
    (".emailAddresses[]", "a@example.com"),
    (".ipRanges[]", "192.0.2.0/24"),
    (".oid", "1.2.3"),
    (".issuerRef.kind", "Issuer"),
    (".issuerRef.group", "cert-manager.io"),
    (".serviceType", "ClusterIP"),
    (".tsigAlgorithm", "HMACSHA256"),
    ("conditions[].type", "Ready"),
    (".parentRefs[].kind", "Gateway"),
];

/// Objects of which each holds as many fields as go together, and which hold all between them.
pub(crate) fn full(crd: &Value) -> Vec<Value> {
    objects(crd, false)
}

/// The same with every list and map empty.
pub(crate) fn with_empty_lists(crd: &Value) -> Vec<Value> {
    objects(crd, true)
}

/// The paths of all fields of a schema, or of an object.
pub(crate) fn paths(value: &Value, is_schema: bool) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    if is_schema {
        schema_paths(value, "", &mut paths);
    } else {
        object_paths(value, "", &mut paths);
    }
    paths
}

fn objects(crd: &Value, empty: bool) -> Vec<Value> {
    let spec = &crd["spec"];
    let mut schema = spec["versions"][0]["schema"]["openAPIV3Schema"].clone();
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.retain(|name, _| name == "spec" || name == "status");
    }
    let mut objects = alternatives(&schema, "", empty);
    for (number, object) in objects.iter_mut().enumerate() {
        let group = spec["group"].as_str().unwrap_or_default();
        let version = spec["versions"][0]["name"].as_str().unwrap_or_default();
        object["apiVersion"] = json!(format!("{group}/{version}"));
        object["kind"] = spec["names"]["kind"].clone();
        object["metadata"] = json!({ "name": format!("full-{number}") });
    }
    objects
}

/// Values that a schema allows; together they use all of it.
fn alternatives(schema: &Value, path: &str, empty: bool) -> Vec<Value> {
    if let Some((_, value)) = VALUES.iter().find(|(end, _)| path.ends_with(end)) {
        let number = value
            .parse::<i64>()
            .ok()
            .filter(|_| schema["type"] == "integer");
        return vec![number.map_or_else(|| json!(value), |n| json!(n))];
    }
    if let Some(options) = schema["enum"].as_array() {
        return if path.ends_with("[]") {
            options.clone()
        } else {
            options[..1].to_vec()
        };
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return vec![json!("64Mi"), json!(5_000_000_000_i64)];
    }
    match schema["type"].as_str() {
        Some("object") if schema["additionalProperties"].is_object() => {
            let values = alternatives(
                &schema["additionalProperties"],
                &format!("{path}{{}}"),
                empty,
            );
            let entries = values
                .into_iter()
                .enumerate()
                .map(|(n, v)| (format!("example.com/k{n}"), v));
            vec![if empty {
                json!({})
            } else {
                entries.collect::<Map<_, _>>().into()
            }]
        }
        Some("object") => object_alternatives(schema, path, empty),
        Some("array") if empty => vec![json!([])],
        Some("array") => vec![alternatives(&schema["items"], &format!("{path}[]"), empty).into()],
        Some("string") => vec![json!(match schema["format"].as_str() {
            Some("date-time") => "2026-01-02T03:04:05Z",
            Some("byte") => "LS0tLS0K",
            _ => "a",
        })],
        Some("integer") => vec![json!(7)],
        Some("boolean") => vec![json!(true)],
        None => vec![json!({ "any": ["thing", 1, null, { "a": true }] })],
        Some(other) => panic!("{path}: no value of type {other}"),
    }
}

fn object_alternatives(schema: &Value, path: &str, empty: bool) -> Vec<Value> {
    let empty_object = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty_object);
    let mut tracks: Vec<Vec<Map<String, Value>>> = vec![];
    let mut grouped = BTreeSet::new();
    let groups = EITHER.iter().filter(|(end, sets)| {
        let here = if end.starts_with('.') {
            path.ends_with(end)
        } else {
            path == *end
        };
        here && sets
            .iter()
            .all(|set| set.iter().all(|field| properties.contains_key(*field)))
    });
    let together = |fields: &[&str]| {
        let values: Vec<_> = fields
            .iter()
            .map(|&field| {
                (
                    field,
                    alternatives(&properties[field], &below(path, field), empty),
                )
            })
            .collect();
        let most = values.iter().map(|(_, v)| v.len()).max().unwrap_or(0);
        (0..most)
            .map(|n| {
                values
                    .iter()
                    .map(|(f, v)| ((*f).to_owned(), v[n % v.len()].clone()))
                    .collect()
            })
            .collect::<Vec<Map<String, Value>>>()
    };
    for (_, sets) in groups {
        grouped.extend(sets.iter().copied().flatten().copied());
        tracks.push(sets.iter().flat_map(|set| together(set)).collect());
    }
    for field in properties
        .keys()
        .filter(|field| !grouped.contains(field.as_str()))
    {
        tracks.push(together(&[field]));
    }
    let most = tracks.iter().map(Vec::len).max().unwrap_or(1);
    (0..most)
        .map(|n| {
            tracks
                .iter()
                .flat_map(|track| track[n % track.len()].clone())
                .collect::<Map<_, _>>()
                .into()
        })
        .collect()
}

fn below(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

fn schema_paths(schema: &Value, path: &str, paths: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = below(path, name);
        schema_paths(property, &path, paths);
        paths.insert(path);
    }
    if schema["items"].is_object() {
        schema_paths(&schema["items"], &format!("{path}[]"), paths);
    }
}

fn object_paths(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = below(path, name);
                object_paths(value, &path, paths);
                paths.insert(path);
            }
        }
        Value::Array(items) => {
            items
                .iter()
                .for_each(|item| object_paths(item, &format!("{path}[]"), paths));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
