//! What do issuers and approvers do to a request?

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyPair,
};
use time::OffsetDateTime;

use super::world::World;
use crate::api::{
    condition::{self, RequestCondition, kind},
    reason::request as request_reason,
    request::CertificateRequestStatus,
};

/// Who signs in this world.
static CA: LazyLock<Issuer<'static, KeyPair>> = LazyLock::new(|| {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "Test CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Issuer::new(params, KeyPair::generate().unwrap())
});

impl World {
    /// Somebody puts a condition on a request.
    pub(in crate::certificate) fn say(
        &mut self,
        request: &str,
        type_: &str,
        holds: bool,
        reason: &str,
        said: &str,
    ) {
        let now = self.now;
        let request = self.requests.get_mut(request).unwrap();
        let status = request.status.get_or_insert_default();
        let condition = RequestCondition::new(type_, holds, reason, said);
        condition::set(status.conditions.get_or_insert_default(), condition, now);
        if matches!(reason, request_reason::FAILED | request_reason::DENIED) {
            status
                .failure_time
                .get_or_insert(condition::to_the_second(now));
        }
        self.version += 1;
        request.metadata.resource_version = Some(self.version.to_string());
    }

    /// The issuer signs a request, for 90 days.
    pub(in crate::certificate) fn sign(&mut self, request: &str) {
        let until = self
            .now
            .checked_add(SignedDuration::from_hours(90 * 24))
            .unwrap();
        self.sign_until(request, until);
    }

    pub(in crate::certificate) fn sign_until(&mut self, request: &str, until: Timestamp) {
        let pem = &self.requests[request].spec.request.0;
        let pem = std::str::from_utf8(pem).unwrap();
        let date = |at: Timestamp| OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap();
        let mut signing = CertificateSigningRequestParams::from_pem(pem).unwrap();
        signing.params.not_before = date(self.now);
        signing.params.not_after = date(until);
        signing.params.use_authority_key_identifier_extension = true;
        let chain = signing.signed_by(&CA).unwrap().pem();
        self.answer(request, chain);
    }

    /// The issuer gives this certificate for a request.
    pub(in crate::certificate) fn answer(&mut self, request: &str, chain: String) {
        let status = CertificateRequestStatus {
            certificate: Some(ByteString(chain.into_bytes())),
            ca: Some(ByteString(b"the CA".to_vec())),
            ..CertificateRequestStatus::default()
        };
        self.requests.get_mut(request).unwrap().status = Some(status);
        self.say(request, kind::APPROVED, true, "cert-manager.io", "approved");
        self.say(request, kind::READY, true, request_reason::ISSUED, "signed");
    }
}
