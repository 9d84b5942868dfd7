//! Would cert-manager leave a Certificate alone? Its policies, written down once more from what it
//! documents, and nothing shared with the operator's own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Map, Value};
use x509_parser::{
    certification_request::X509CertificationRequest,
    prelude::{FromDer, X509Certificate, X509Extension},
    public_key::PublicKey,
};

use crate::{
    parts::{renewal_time, span},
    x509::{Names, details, is_subject_of, strings, validity},
};

/// Who writes the Secret of a Certificate.
pub(crate) const ISSUING: &str = "cert-manager-certificates-issuing";

/// A Certificate with all that cert-manager looks at, as the API server shows it.
pub(crate) struct Exhibit {
    pub(crate) certificate: Value,
    pub(crate) secret: Option<Secret>,
    /// The CertificateRequests that it controls.
    pub(crate) requests: Vec<Value>,
    /// The Secrets with keys of issuances under way that it controls.
    pub(crate) next_keys: usize,
    /// Whether the Secret is to have the Certificate as its owner.
    pub(crate) owner_reference: bool,
}

impl Exhibit {
    /// What cert-manager would do something about: empty when it would touch nothing.
    pub(crate) fn complaints(&self, now: Timestamp) -> Result<Vec<String>> {
        let mut complaints = self.issuance();
        let Some(secret) = &self.secret else {
            complaints.push("DoesNotExist".to_owned());
            return Ok(complaints);
        };
        let data = secret.data.clone().unwrap_or_default();
        let entry = |key: &str| data.get(key).map(|value| value.0.as_slice());
        let (Some(key), Some(chain)) = (entry("tls.key"), entry("tls.crt")) else {
            complaints.push("MissingData".to_owned());
            return Ok(complaints);
        };
        let key = KeyPair::from_pem(std::str::from_utf8(key)?)?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(chain)?;
        let leaf = pem.parse_x509()?;
        let mut note = |reason: &str, holds: bool| {
            if !holds {
                complaints.push(reason.to_owned());
            }
        };
        let public_key = key.subject_public_key_info();
        note("InvalidKeyPair", leaf.public_key().raw == public_key);
        note("IncorrectIssuer", self.has_its_issuer(secret));
        let name = secret.annotations().get("cert-manager.io/certificate-name");
        let wanted_name = self.certificate["metadata"]["name"].as_str();
        note(
            "IncorrectCertificate",
            name.is_none_or(|name| Some(name.as_str()) == wanted_name),
        );
        note("SecretMismatch: key", self.is_of_its_kind(&leaf)?);
        match self.current() {
            None => note("SecretMismatch: names", self.names_fit(&leaf)?),
            Some(request) => {
                let csr = bytes(&request["spec"]["request"])?;
                let (_, pem) = x509_parser::pem::parse_x509_pem(&csr)?;
                let (_, csr) = X509CertificationRequest::from_der(&pem.contents)?;
                let of_csr = csr.certification_request_info.subject_pki.raw;
                note("SecretMismatch: request", of_csr == public_key);
                for field in self.request_mismatches(request, &csr)? {
                    note(&format!("RequestChanged: {field}"), false);
                }
            }
        }
        let (not_before, not_after) = validity(&leaf)?;
        let renewal = renewal_time(&self.certificate["spec"], not_before, not_after)?;
        note("Renewing", renewal.is_none_or(|renewal| now < renewal));
        note("Expired", now <= not_after);
        for (field, wanted) in [
            ("notBefore", Some(not_before)),
            ("notAfter", Some(not_after)),
            ("renewalTime", renewal),
        ] {
            let stored = self.certificate["status"][field].as_str();
            let wanted = wanted.map(|wanted| wanted.to_string());
            note(&format!("status: {field}"), stored == wanted.as_deref());
        }
        complaints.extend(self.upkeep(secret, &leaf)?);
        Ok(complaints)
    }

    /// An issuance under way, or traces of one.
    fn issuance(&self) -> Vec<String> {
        let status = &self.certificate["status"];
        let conditions = status["conditions"].as_array();
        let conditions = conditions.into_iter().flatten().map(|condition| {
            let text = |field: &str| condition[field].as_str().unwrap_or_default();
            let (type_, status, reason) = (text("type"), text("status"), text("reason"));
            (
                format!("{type_} {status} {reason} {}", text("message")),
                condition["observedGeneration"] == self.certificate["metadata"]["generation"],
            )
        });
        let ready = "Ready True Ready Certificate is up to date and has not expired";
        let wanted = BTreeMap::from([(ready.to_owned(), true)]);
        let found: BTreeMap<_, _> = conditions.collect();
        let mut complaints = Vec::new();
        if found != wanted {
            complaints.push(format!("conditions: {found:?}"));
        }
        for field in [
            "nextPrivateKeySecretName",
            "lastFailureTime",
            "failedIssuanceAttempts",
        ] {
            if !status[field].is_null() {
                complaints.push(format!("status: {field}"));
            }
        }
        if self.next_keys > 0 {
            complaints.push("a next private key".to_owned());
        }
        let revision = status["revision"].as_i64().unwrap_or_default();
        let revisions: Vec<_> = self.requests.iter().map(revision_of).collect();
        let history = self.certificate["spec"]["revisionHistoryLimit"].as_u64();
        if revisions.iter().any(|one| one.is_none_or(|r| r > revision))
            || revisions.iter().collect::<BTreeSet<_>>().len() < revisions.len()
            || revisions.len() as u64 > history.unwrap_or(1)
        {
            complaints.push(format!("revisions of requests: {revisions:?}"));
        }
        complaints
    }

    /// The request that the key pair in the Secret came from.
    fn current(&self) -> Option<&Value> {
        let revision = self.certificate["status"]["revision"].as_i64();
        let mut requests = self.requests.iter();
        requests.find(|request| revision_of(request) == revision)
    }

    fn has_its_issuer(&self, secret: &Secret) -> bool {
        let stored = |key: &str| secret.annotations().get(&format!("cert-manager.io/{key}"));
        let wanted = |key: &str| self.certificate["spec"]["issuerRef"][key].as_str();
        let same = |stored: Option<&str>, wanted: Option<&str>, default| {
            let given = |text: Option<&str>| match text {
                None | Some("") => String::from(default),
                Some(text) => text.to_owned(),
            };
            given(stored) == given(wanted)
        };
        let text = |key| stored(key).map(String::as_str);
        same(text("issuer-name"), wanted("name"), "")
            && same(text("issuer-kind"), wanted("kind"), "Issuer")
            && same(text("issuer-group"), wanted("group"), "cert-manager.io")
    }

    fn is_of_its_kind(&self, leaf: &X509Certificate<'_>) -> Result<bool> {
        let wanted = &self.certificate["spec"]["privateKey"];
        let size = wanted["size"].as_u64().map(usize::try_from).transpose()?;
        Ok(match leaf.public_key().parsed()? {
            PublicKey::RSA(key) => {
                matches!(wanted["algorithm"].as_str(), None | Some("RSA"))
                    && key.key_size() == size.unwrap_or(2048)
            }
            PublicKey::EC(point) => {
                wanted["algorithm"] == "ECDSA" && point.key_size() == size.unwrap_or(256)
            }
            _ => false,
        })
    }

    /// As far as can be told where the request is gone.
    fn names_fit(&self, leaf: &X509Certificate<'_>) -> Result<bool> {
        let stored = Names::of(
            leaf.extensions()
                .iter()
                .map(X509Extension::parsed_extension),
        )?;
        Ok(stored == Names::wanted(&self.certificate["spec"]))
    }

    fn request_mismatches(
        &self,
        request: &Value,
        csr: &X509CertificationRequest<'_>,
    ) -> Result<Vec<&'static str>> {
        let spec = &self.certificate["spec"];
        let mut fields = Vec::new();
        let stored = Names::of(csr.requested_extensions().into_iter().flatten())?;
        if stored != Names::wanted(spec) {
            fields.push("names");
        }
        if !is_subject_of(&csr.certification_request_info.subject, spec)? {
            fields.push("subject");
        }
        let sorted = |list: &Value| strings(list).into_iter().collect::<BTreeSet<_>>();
        if sorted(&request["spec"]["usages"]) != sorted(&spec["usages"]) {
            fields.push("usages");
        }
        let is_ca = |spec: &Value| spec["isCA"].as_bool().unwrap_or_default();
        if is_ca(&request["spec"]) != is_ca(spec) {
            fields.push("isCA");
        }
        if request["spec"]["issuerRef"] != spec["issuerRef"] {
            fields.push("issuerRef");
        }
        let spans = (span(&request["spec"]["duration"]), span(&spec["duration"]));
        if matches!(spans, (Some(asked), Some(wanted)) if asked != wanted) {
            fields.push("duration");
        }
        Ok(fields)
    }

    /// What is on the Secret beside the key pair, and who holds it.
    fn upkeep(&self, secret: &Secret, leaf: &X509Certificate<'_>) -> Result<Vec<String>> {
        let spec = &self.certificate["spec"];
        let mut complaints = Vec::new();
        let mut note = |what: String, holds: bool| {
            if !holds {
                complaints.push(what);
            }
        };
        let held = Held::of(secret)?;
        let ours = |key: &str| {
            key.starts_with("cert-manager.io/") || key.starts_with("controller.cert-manager.io/")
        };
        let split = |keys: &BTreeSet<String>, which: bool| -> BTreeSet<String> {
            keys.iter()
                .filter(|key| ours(key) == which)
                .cloned()
                .collect()
        };
        let fao = "controller.cert-manager.io/fao".to_owned();
        note(
            "base label".into(),
            secret.labels().get(&fao).is_some_and(|v| v == "true"),
        );
        note(
            "managed labels".into(),
            split(&held.labels, true) == BTreeSet::from([fao]),
        );
        let details = details(leaf)?;
        for (key, value) in &details {
            note(
                format!("annotation {key}"),
                secret.annotations().get(key) == Some(value),
            );
        }
        let mut annotations = split(&held.annotations, true);
        for key in [
            "certificate-name",
            "issuer-name",
            "issuer-kind",
            "issuer-group",
        ] {
            annotations.remove(&format!("cert-manager.io/{key}"));
        }
        let wanted: BTreeSet<String> = details.into_keys().collect();
        note(
            format!("managed annotations: {annotations:?}"),
            annotations == wanted,
        );
        let template = |what: &str| -> BTreeMap<String, String> {
            let map = spec["secretTemplate"][what]
                .as_object()
                .into_iter()
                .flatten();
            map.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect()
        };
        for (what, stored, held) in [
            ("labels", secret.labels(), &held.labels),
            ("annotations", secret.annotations(), &held.annotations),
        ] {
            let wanted = template(what);
            let right = wanted
                .iter()
                .all(|(key, value)| stored.get(key) == Some(value));
            note(format!("template: {what}"), right);
            let keys: BTreeSet<String> = wanted.into_keys().collect();
            note(
                format!("template: managed {what}"),
                split(held, false) == keys,
            );
        }
        let data = secret.data.clone().unwrap_or_default();
        let formats: Vec<&str> = spec["additionalOutputFormats"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|format| format["type"].as_str())
            .collect();
        let (key, chain) = (&data["tls.key"].0, &data["tls.crt"].0);
        let combined = [key.as_slice(), b"\n", chain].concat();
        for (format, entry, wanted) in [
            ("DER", "key.der", pem::parse(key)?.into_contents()),
            ("CombinedPEM", "tls-combined.pem", combined),
        ] {
            let asked = formats.contains(&format);
            note(
                format!("managed {entry}"),
                held.data.contains(entry) == asked,
            );
            let stored = data.get(entry).map(|value| &value.0);
            note(entry.to_owned(), !asked || stored == Some(&wanted));
        }
        let uid = self.certificate["metadata"]["uid"]
            .as_str()
            .unwrap_or_default();
        let owned = secret
            .owner_references()
            .iter()
            .any(|owner| owner.uid == uid);
        note("owner reference".into(), owned == self.owner_reference);
        note(
            "managed owner".into(),
            held.owners.contains(uid) == self.owner_reference,
        );
        for (format, ending) in [("jks", "jks"), ("pkcs12", "p12")] {
            let asked = spec["keystores"][format]["create"] == true;
            let has = |store: &str| {
                let stored = data.get(&format!("{store}.{ending}"));
                stored.is_some_and(|value| !value.0.is_empty())
            };
            note(format!("keystore.{ending}"), has("keystore") == asked);
            // Without a CA there is nothing to trust.
            let may_lack = asked && !data.contains_key("ca.crt");
            let trusts = has("truststore");
            note(format!("truststore.{ending}"), trusts == asked || may_lack);
        }
        Ok(complaints)
    }
}

/// The fields of a Secret that [`ISSUING`] holds.
#[derive(Default)]
struct Held {
    labels: BTreeSet<String>,
    annotations: BTreeSet<String>,
    data: BTreeSet<String>,
    owners: BTreeSet<String>,
}

impl Held {
    fn of(secret: &Secret) -> Result<Self> {
        let mut held = Self::default();
        for entry in secret.managed_fields() {
            let (Some(ISSUING), Some(fields)) = (entry.manager.as_deref(), &entry.fields_v1) else {
                continue;
            };
            let metadata = &fields.0["f:metadata"];
            held.labels.extend(keys(&metadata["f:labels"]));
            held.annotations.extend(keys(&metadata["f:annotations"]));
            held.data.extend(keys(&fields.0["f:data"]));
            let none = Map::new();
            for key in metadata["f:ownerReferences"]
                .as_object()
                .unwrap_or(&none)
                .keys()
            {
                let key: Value = serde_json::from_str(key.strip_prefix("k:").context("no key")?)?;
                held.owners
                    .extend(key["uid"].as_str().map(ToOwned::to_owned));
            }
        }
        Ok(held)
    }
}

fn keys(fields: &Value) -> impl Iterator<Item = String> {
    let keys = fields.as_object().into_iter().flat_map(Map::keys);
    keys.filter_map(|key| Some(key.strip_prefix("f:")?.to_owned()))
}

fn revision_of(request: &Value) -> Option<i64> {
    let annotations = &request["metadata"]["annotations"];
    let revision = annotations["cert-manager.io/certificate-revision"].as_str()?;
    revision.parse().ok()
}

fn bytes(base64: &Value) -> Result<Vec<u8>> {
    Ok(BASE64_STANDARD.decode(base64.as_str().context("no bytes")?)?)
}
