//! What becomes of a request while the Certificate that made it is being worked on?

use std::sync::Arc;

use crate::{
    api::{condition::kind, reference::IssuerRef},
    certificate::facts::Reused,
    cluster::ObjectKey,
    issuer::{local::Outcome, order_request},
    pki::key::PrivateKey,
    request::{
        error::Error,
        plan::{self, Situation, plan},
        reconcile::RequestReconciler,
    },
};

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It is approved and signed, and its status says so.
    Issued {
        /// The certificate and its intermediates, PEM.
        chain_pem: Vec<u8>,
        /// The CA, PEM.
        ca_pem: Vec<u8>,
    },
    /// It failed for good, and its status says so.
    Failed,
    /// It has to wait; nothing was written.
    Waits,
}

impl RequestReconciler {
    /// Whether a request to an ACME issuer may be answered with a certificate that is there already:
    /// where others approve, they have not.
    pub fn hands_over(&self) -> bool {
        self.approver && self.served.acme
    }

    /// Approve the request `request` and answer it with a certificate that is there already, in one
    /// write.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn hand_over(&self, request: &ObjectKey, reused: &Reused) -> Result<Answer, Error> {
        let Reused {
            issuance: _,
            secret,
            serial,
            chain_pem,
            ca_pem,
        } = reused;
        let Some(request) = self.requests.get(request) else {
            return Ok(Answer::Waits);
        };
        let csr = request.csr.as_ref();
        let fits = csr.is_ok_and(|csr| order_request::accept(chain_pem, csr).is_ok());
        let may = fits && self.hands_over() && request.is_reuse() && !request.meta.deleting;
        if !may || request.is_over() || request.is_true(kind::DENIED) {
            return Ok(Answer::Waits);
        }
        let message =
            format!("Certificate {serial} of Secret {secret} is used again: nothing was ordered");
        let answer = plan::Handed {
            chain_pem,
            ca_pem: ca_pem.as_deref(),
            message,
        };
        let plan = plan::handed_over(&request, answer, self.clock.now());
        self.finish(&request, plan).await?;
        Ok(Answer::Issued {
            chain_pem: chain_pem.clone(),
            ca_pem: ca_pem.clone().unwrap_or_default(),
        })
    }

    /// Whether a request to that issuer is answered without waiting for anybody, as things stand.
    pub fn answers_at_once(&self, issuer: &IssuerRef, namespace: &str) -> bool {
        let issuer = self.issuers.lookup(issuer, namespace);
        plan::answers_at_once(self.approver, self.served, issuer.as_ref())
    }

    /// Approve and sign the request `request` of `key`, by the same rules as any other, in one
    /// write. What has to wait is left as it is.
    ///
    /// # Errors
    /// It could not be found out, or not be written.
    pub async fn answer(
        &self,
        request: &ObjectKey,
        key: &Arc<PrivateKey>,
    ) -> Result<Answer, Error> {
        let Some(request) = self.requests.get(request) else {
            return Ok(Answer::Waits);
        };
        let namespace = &request.meta.key.namespace;
        let issuer = self.issuers.lookup(&request.issuer_ref, namespace);
        let begun = plan(Situation {
            request: &request,
            approver: self.approver,
            served: self.served,
            issuer: issuer.as_ref(),
            order: None,
            // Asked by orders alone.
            profile: Ok(None),
            replaces: None,
            now: self.clock.now(),
        });
        let Some(issuer) = issuer.ok().filter(|_| begun.sign) else {
            return Ok(Answer::Waits);
        };
        let outcome = match self.outcome(&request, &issuer, Some(key)).await? {
            None | Some(Outcome::Pending(_)) => return Ok(Answer::Waits),
            Some(outcome) => outcome,
        };
        let answer = match &outcome {
            Outcome::Issued(certificate) => Answer::Issued {
                chain_pem: certificate.chain_pem.clone().into_bytes(),
                ca_pem: certificate.ca_pem.clone().into_bytes(),
            },
            Outcome::Failed(_) | Outcome::Pending(_) => Answer::Failed,
        };
        let plan = plan::answered(&request, begun.status, outcome, self.clock.now());
        self.finish(&request, plan).await?;
        Ok(answer)
    }
}
