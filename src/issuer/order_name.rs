//! What is the Order of a request called? As under cert-manager, so that orders under way at a
//! switch are met again and not placed twice.

use k8s_openapi::{
    api::certificates::v1::CertificateSigningRequest,
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::Resource;
use serde::Serialize;

use crate::api::{
    duration::Duration, order::OrderSpec, reference::IssuerRef, request::CertificateRequest,
};

/// Names of requests are cut to this, so that the Order's stays below 64 characters.
const MOST: usize = 52;

/// The kinds of objects that Orders are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Ours.
    CertificateRequest,
    /// Kubernetes' own.
    CertificateSigningRequest,
}

impl RequestKind {
    /// How an Order names the object of this kind that it is for.
    pub fn owner(self, name: &str, uid: &str) -> OwnerReference {
        let (api_version, kind) = match self {
            Self::CertificateRequest => named::<CertificateRequest>(),
            Self::CertificateSigningRequest => named::<CertificateSigningRequest>(),
        };
        OwnerReference {
            api_version,
            kind,
            name: name.to_owned(),
            uid: uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

fn named<K: Resource<DynamicType = ()>>() -> (String, String) {
    (K::api_version(&()).into_owned(), K::kind(&()).into_owned())
}

/// The name of the Order of the request called `request`: its beginning, and a hash of what is
/// ordered. The signing request itself does not count.
///
/// # Errors
/// When `spec` has no JSON form.
pub fn order_name(
    kind: RequestKind,
    request: &str,
    spec: &OrderSpec,
) -> Result<String, serde_json::Error> {
    let hashed = Hashed::of(spec);
    // Names that are cut would collide without it.
    let json = match kind {
        _ if request.len() < MOST => to_go_json(&hashed),
        RequestKind::CertificateRequest => to_go_json(&Named {
            certificate_request_name: request,
            spec: hashed,
        }),
        RequestKind::CertificateSigningRequest => to_go_json(&NamedSigningRequest {
            certificate_signing_request_name: request,
            spec: hashed,
        }),
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NamedSigningRequest<'a> {
    certificate_signing_request_name: &'a str,
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
            let name = order_name(RequestKind::CertificateRequest, request, &spec);
            assert_eq!(name.unwrap(), want);
        }
    }

    /// The JSON that is hashed, by a hash of another make.
    #[test]
    fn a_long_name_of_kubernetes_own_request_counts_as_such() {
        let spec = OrderSpec {
            issuer_ref: issuer("le", "ClusterIssuer", "cert-manager.io"),
            dns_names: texts(&["a.example"]),
            ..Default::default()
        };
        let kind = RequestKind::CertificateSigningRequest;
        let short = order_name(kind, "csr-1", &spec).unwrap();
        let same = order_name(RequestKind::CertificateRequest, "csr-1", &spec);
        assert_eq!(short, same.unwrap());
        let request = "x".repeat(MOST);
        let json = format!(
            "{{\"certificateSigningRequestName\":\"{request}\",\"spec\":{{\"request\":null,\
             \"issuerRef\":{{\"name\":\"le\",\"kind\":\"ClusterIssuer\",\
             \"group\":\"cert-manager.io\"}},\"dnsNames\":[\"a.example\"]}}}}"
        );
        let hash = json.bytes().fold(2_166_136_261_u64, |hash, byte| {
            (hash * 16_777_619 % (1 << 32)) ^ u64::from(byte)
        });
        let long = order_name(kind, &request, &spec).unwrap();
        assert_eq!(long, format!("{request}-{hash}"));
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
            .map(|spec| order_name(RequestKind::CertificateRequest, "a", spec).unwrap())
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 4);
    }
}
