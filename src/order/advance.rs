//! What does the CA make of an order whose names are proven, or of which something failed?

use std::time::Duration;

use instant_acme::OrderStatus as AtCa;
use k8s_openapi::ByteString;
use tracing::info;

use crate::{
    acme::Session,
    api::order::{OrderStatus, State},
    cluster::Next,
    issuer::IssuerView,
    order::{
        counting::counted, error::Error, exchange::identifiers, facts::OrderFacts, limits::Names,
        reconcile::OrderReconciler,
    },
    pki::csr::request_der,
};

impl OrderReconciler {
    /// Everything is proven, or something failed: see what the CA makes of it.
    pub(super) async fn advance(
        &self,
        order: &OrderFacts,
        issuer: &IssuerView,
        session: &Session,
        failed: Option<String>,
    ) -> Result<Next, Error> {
        let url = order.status.url.as_deref().unwrap_or_default();
        let mut at_ca = session.order(url).await.map_err(|error| self.ca(error))?;
        if at_ca.status.known() == Some(&AtCa::Ready) {
            let csr = request_der(&order.spec.request.0)?;
            at_ca = match session.finalize(&at_ca, &csr).await {
                Ok(finalized) => finalized,
                Err(error) => {
                    let error = self.ca(error);
                    // An earlier try may have been heard: what the order has become tells.
                    let read = session.order(url).await.map_err(|error| self.ca(error))?;
                    match read.status.known() {
                        Some(AtCa::Valid | AtCa::Processing | AtCa::Invalid) => read,
                        _ => return Err(error.into()),
                    }
                }
            };
        }
        match at_ca.status.known() {
            Some(AtCa::Valid) => {
                let Some(url) = at_ca.certificate.as_deref() else {
                    return Ok(Next::After(self.pace.wait(&order.meta.key)));
                };
                self.take_certificate(order, issuer, session, url).await?;
                Ok(Next::Change)
            }
            Some(AtCa::Invalid) => {
                let said = at_ca.error.as_ref().map(ToString::to_string);
                let reason = match (failed, said) {
                    (Some(failed), _) => failed,
                    (None, Some(said)) => said,
                    (None, None) => {
                        "the CA found the order invalid, and did not say why".to_owned()
                    }
                };
                self.fail(order, Some(issuer), State::Invalid, reason)
                    .await?;
                Ok(Next::Change)
            }
            Some(AtCa::Pending) if let Some(failed) = failed => {
                // A challenge was given up here before the CA gave up the authorization.
                self.fail(order, Some(issuer), State::Invalid, failed)
                    .await?;
                Ok(Next::Change)
            }
            Some(AtCa::Pending | AtCa::Processing | AtCa::Ready) | None => {
                let wait = self.pace.wait(&order.meta.key);
                let asked = at_ca.retry_after.and_then(|retry| {
                    let now = self.clock.now();
                    Duration::try_from(retry.until(now).duration_since(now)).ok()
                });
                // The CA's word is for others: an order is often done long before it says.
                Ok(Next::After(asked.map_or(wait, |asked| asked.min(wait))))
            }
        }
    }

    async fn take_certificate(
        &self,
        order: &OrderFacts,
        issuer: &IssuerView,
        session: &Session,
        url: &str,
    ) -> Result<(), Error> {
        let acme = issuer.usable_acme().ok();
        let preferred = acme.and_then(|acme| acme.preferred_chain.as_deref());
        let chain = match preferred.filter(|name| !name.is_empty()) {
            Some(name) => session.certificate_preferring(url, name).await,
            None => session.certificate(url).await,
        };
        let chain = chain.map_err(|error| self.ca(error))?;
        let status = OrderStatus {
            certificate: Some(ByteString(chain.pem.into_bytes())),
            state: Some(State::Valid),
            reason: None,
            ..order.status.clone()
        };
        self.store(order, status).await?;
        self.pace.reset(&order.meta.key);
        if let Some((account, limits)) = counted(issuer) {
            let names = Names::of(&identifiers(&order.spec));
            let line = self.line(order, &account, &limits, &names);
            self.ledger.ended(line);
        }
        info!("order complete");
        Ok(())
    }
}
