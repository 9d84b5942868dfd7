//! What must hold for Certificates, their requests and their Secrets of any shape?

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{from_slice, from_value, to_value};

use super::{
    facts::CertificateFacts,
    fit,
    policy::{self, View},
    renewal::renewal_time,
    request,
    secret::SecretFacts,
    spec::refusal,
};
use crate::{
    api::{
        certificate::{Certificate, CertificateSpec, Renewal, RenewalWindow},
        names::secret_key,
        request::CertificateRequest,
    },
    cluster::Facts,
    issuer::rotation::Turn,
    pki::{
        csr::CertificateSigningRequest,
        key::{KeyAlgorithm, KeyParameters, PrivateKey},
    },
    request::facts::RequestFacts,
    retire::record::Withdrawal,
};

/// Certificates as the API server sends them: what is kept is read again as it was, the time of
/// renewal lies in the lifetime, and a request made for one fits it.
pub fn certificate(data: &[u8]) {
    let Ok(certificate) = from_slice::<Certificate>(data) else {
        return;
    };
    round_trips(&certificate);
    let facts = CertificateFacts::reduce(certificate);
    let _ = facts.indexes().len();
    is_renewed_in_time(&facts.spec);
    look(&facts, None);
    if refusal(&facts.spec).is_some() {
        return;
    }
    let Ok(parameters) = request::parameters(&facts.spec) else {
        return;
    };
    let request = key().and_then(|key| CertificateSigningRequest::build(&parameters, key).ok());
    let Some(csr_pem) = request.map(|request| request.to_pem()) else {
        return;
    };
    let key = request::Key {
        secret: "key",
        reused: None,
    };
    let request = request::build(&facts, facts.next_revision(), key, csr_pem, &[]);
    let request = RequestFacts::reduce(request);
    if request.csr.is_ok() {
        assert_eq!(fit::violations(&request, &facts.spec), Ok(Vec::new()));
    }
}

/// CertificateRequests as the API server sends them.
pub fn request(data: &[u8]) {
    let Ok(request) = from_slice::<CertificateRequest>(data) else {
        return;
    };
    round_trips(&request);
    let facts = RequestFacts::reduce(request);
    let _ = (facts.indexes().len(), facts.revision(), facts.is_over());
    let _ = fit::violations(&facts, &CertificateSpec::default());
}

/// Secrets as the API server sends them, or key, chain and the DER of the key, separated by zeros.
pub fn secret(data: &[u8]) {
    let secret = from_slice(data).unwrap_or_else(|_| {
        let keys = [
            secret_key::PRIVATE_KEY,
            secret_key::CERTIFICATE,
            secret_key::DER,
        ];
        let values = data.splitn(keys.len(), |byte| *byte == 0);
        let entry = |(key, value): (&str, &[u8])| (key.to_owned(), ByteString(value.to_vec()));
        Secret {
            data: Some(keys.into_iter().zip(values).map(entry).collect()),
            ..Secret::default()
        }
    });
    let facts = SecretFacts::reduce(secret);
    let _ = (facts.indexes().len(), facts.is_next_key());
    let certificate = Certificate::new("web", CertificateSpec::default());
    look(&CertificateFacts::reduce(certificate), Some(&facts));
}

/// A renewal window: schedule, time zone and duration, a line each.
pub fn window(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let window = RenewalWindow {
        cron: line().into(),
        timezone: Some(line().into()),
        window_duration: line().into(),
    };
    is_renewed_in_time(&CertificateSpec {
        renewal: Some(Renewal {
            policy: None,
            windows: Some(vec![window]),
        }),
        ..CertificateSpec::default()
    });
}

fn is_renewed_in_time(spec: &CertificateSpec) {
    let from = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(500_000);
    let until = from + SignedDuration::from_hours(90 * 24);
    let time = renewal_time(spec, None, from, until);
    assert!(time.at.is_none_or(|at| from < at && at < until), "{time:?}");
}

fn look(certificate: &CertificateFacts, secret: Option<&SecretFacts>) {
    let view = View {
        certificate,
        secret,
        current: None,
        turn: Turn::None,
        withdrawal: &Withdrawal::default(),
        now: Timestamp::UNIX_EPOCH,
    };
    let _ = (policy::trigger(view), policy::readiness(view));
    let _ = policy::temporary(view);
}

fn round_trips<T: Serialize + DeserializeOwned>(object: &T) {
    let written = to_value(object).ok();
    let again = written.clone().and_then(|value| from_value(value).ok());
    let again = again.and_then(|object: T| to_value(object).ok());
    assert_eq!(again, written);
}

fn key() -> Option<&'static PrivateKey> {
    static KEY: LazyLock<Option<PrivateKey>> = LazyLock::new(|| {
        let parameters = KeyParameters::new(KeyAlgorithm::Ecdsa, None).ok()?;
        PrivateKey::generate(parameters).ok()
    });
    KEY.as_ref()
}
