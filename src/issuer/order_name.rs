//! What is the Order of a request called? As under cert-manager, so that orders under way at a
//! switch are met again and not placed twice.

use serde::Serialize;

use crate::api::{duration::Duration, order::OrderSpec, reference::IssuerRef};

/// Names of requests are cut to this, so that the Order's stays below 64 characters.
const MOST: usize = 52;

/// The name of the Order of the request called `request`: its beginning, and a hash of what is
/// ordered. The signing request itself does not count.
///
/// # Errors
/// When `spec` has no JSON form.
pub fn order_name(request: &str, spec: &OrderSpec) -> Result<String, serde_json::Error> {
    let hashed = Hashed::of(spec);
    // Names that are cut would collide without it.
    let json = if request.len() >= MOST {
        to_go_json(&Named {
            certificate_request_name: request,
            spec: hashed,
        })
    } else {
        to_go_json(&hashed)
    }?;
    Ok(format!("{}-{}", shorten(request), fnv1(json.as_bytes())))
}

/// An OrderSpec as Go's encoder writes it: in the order of the Go type's fields, empty ones left
/// out, the signing request null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hashed<'a> {
    request: (),
    issuer_ref: HashedRef<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    common_name: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    dns_names: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ip_addresses: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<&'a str>,
}

#[derive(Serialize)]
struct HashedRef<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Named<'a> {
    certificate_request_name: &'a str,
    spec: Hashed<'a>,
}

impl<'a> Hashed<'a> {
    fn of(spec: &'a OrderSpec) -> Self {
        let OrderSpec {
            common_name,
            dns_names,
            duration,
            ip_addresses,
            issuer_ref,
            profile,
            replaces,
            request: _,
        } = spec;
        let IssuerRef { group, kind, name } = issuer_ref;
        Self {
            request: (),
            issuer_ref: HashedRef {
                name,
                kind: given(kind),
                group: given(group),
            },
            common_name: given(common_name),
            dns_names: dns_names.as_deref().unwrap_or_default(),
            ip_addresses: ip_addresses.as_deref().unwrap_or_default(),
            duration: duration.as_ref().map(normal),
            profile: given(profile),
            replaces: given(replaces),
        }
    }
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// Go reads a duration and writes it anew: `2160h` becomes `2160h0m0s`.
fn normal(duration: &Duration) -> Duration {
    duration
        .parse()
        .map_or_else(|_| duration.clone(), Duration::from)
}

/// Go's encoder escapes what could end a script in HTML. Outside of strings JSON has none of it.
fn to_go_json(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(value)?;
    if !json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return Ok(json);
    }
    Ok(json
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029"))
}

/// The beginning of a name, ending in a letter or digit where it is cut.
fn shorten(name: &str) -> &str {
    if name.len() < MOST {
        return name;
    }
    let head = name
        .char_indices()
        .take_while(|(at, _)| *at < MOST)
        .filter(|(_, char)| char.is_ascii_alphanumeric())
        .last();
    head.map_or("", |(at, _)| name.get(..=at).unwrap_or_default())
}

/// FNV-1 in 32 bits (not FNV-1a).
fn fnv1(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        hash.wrapping_mul(0x0100_0193) ^ u32::from(*byte)
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn texts(texts: &[&str]) -> Option<Vec<String>> {
        Some(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    fn issuer(name: &str, kind: &str, group: &str) -> IssuerRef {
        IssuerRef {
            name: name.into(),
            kind: Some(kind.into()),
            group: Some(group.into()),
        }
    }

    /// The names are what a Go program prints that hashes the same fields with hash/fnv.
    #[test]
    fn names_are_those_of_cert_manager() {
        let table = [
            (
                "web-1",
                OrderSpec {
                    issuer_ref: issuer("letsencrypt", "", ""),
                    common_name: Some("a.example".into()),
                    dns_names: texts(&["a.example", "*.b.example"]),
                    request: ByteString(b"does not count".to_vec()),
                    ..Default::default()
                },
                "web-1-3930201250",
            ),
            (
                "web-1",
                OrderSpec {
                    issuer_ref: issuer("le", "ClusterIssuer", "cert-manager.io"),
                    dns_names: Some(vec![]),
                    ip_addresses: texts(&["192.0.2.1", "2001:db8::1"]),
                    duration: Some("2160h".into()),
                    profile: Some("short<&>lived".into()),
                    ..Default::default()
                },
                "web-1-3017955962",
            ),
            (
                "a-certificate-with-quite-a-long-name-that-goes-on-a.-b-c-2",
                OrderSpec {
                    issuer_ref: issuer("le", "", ""),
                    dns_names: texts(&["a.example"]),
                    ..Default::default()
                },
                "a-certificate-with-quite-a-long-name-that-goes-on-a-120604314",
            ),
        ];
        for (request, spec, want) in table {
            assert_eq!(order_name(request, &spec).unwrap(), want);
        }
    }

    #[test]
    fn every_part_counts() {
        let plain = OrderSpec::default();
        let changed = [
            OrderSpec {
                profile: Some("p".into()),
                ..plain.clone()
            },
            OrderSpec {
                replaces: Some("r".into()),
                ..plain.clone()
            },
            OrderSpec {
                duration: Some("1h".into()),
                ..plain.clone()
            },
        ];
        let mut names: Vec<String> = changed
            .iter()
            .chain([&plain])
            .map(|spec| order_name("a", spec).unwrap())
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 4);
    }
}
