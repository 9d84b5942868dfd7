//! How is a certificate ordered (RFC 8555, 7.4)?

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use instant_acme::{CertificateIdentifier, Identifier, OrderStatus};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Action, Error, Open, Problem, ProblemType, Session, answer::Answer, lenient_time};
use crate::net::http::RetryAfter;

/// What is ordered.
#[derive(Clone, Debug)]
pub struct OrderRequest<'a> {
    /// The names, each once.
    pub identifiers: &'a [Identifier],
    /// The wanted end of validity; many CAs refuse to be told.
    pub not_after: Option<Timestamp>,
    /// One of the directory's profiles.
    pub profile: Option<&'a str>,
    /// The certificate that the new one replaces (RFC 9773, 5).
    pub replaces: Option<CertificateIdentifier<'a>>,
}

/// An order as the CA sees it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Order {
    /// Its URL. Store it before anything else is done with the order.
    #[serde(skip)]
    pub url: String,
    /// When the CA wants to be asked again, if the answer says so.
    #[serde(skip)]
    pub retry_after: Option<RetryAfter>,
    /// What is to be done next.
    pub status: Open<OrderStatus>,
    /// Until when it can be finalized.
    #[serde(default, deserialize_with = "lenient_time")]
    pub expires: Option<Timestamp>,
    /// The names.
    #[serde(default)]
    pub identifiers: Vec<Open<Identifier, serde_json::Value>>,
    /// The wanted end of validity, if the CA took note of it.
    #[serde(default, deserialize_with = "lenient_time")]
    pub not_after: Option<Timestamp>,
    /// The URLs of the authorizations, in an order that may differ from answer to answer.
    #[serde(default)]
    pub authorizations: Vec<String>,
    /// Why it is invalid.
    pub error: Option<Problem>,
    /// Where the certificate request goes.
    pub finalize: String,
    /// Where the certificate is, once it is issued.
    pub certificate: Option<String>,
    /// The profile that applies.
    pub profile: Option<String>,
    /// The certificate that is replaced.
    pub replaces: Option<String>,
}

/// instant-acme's payload has no place for a validity.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewOrder<'a> {
    #[serde(flatten)]
    order: instant_acme::NewOrder<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<Timestamp>,
}

impl Session {
    /// Orders a certificate. If the CA refuses `replaces` (the certificate is not known there, or
    /// has been replaced already), the order is made without it, as it is a hint only.
    ///
    /// # Errors
    /// Those of the requests.
    pub async fn new_order(&self, request: &OrderRequest<'_>) -> Result<Order, Error> {
        let directory = self.client.directory().await?;
        let url = directory.new_order.as_str();
        // To a CA without renewal information the field means nothing.
        let replaces = request
            .replaces
            .clone()
            .filter(|_| directory.renewal_info.is_some());
        let payload = |replaces: Option<CertificateIdentifier<'_>>| {
            serde_json::to_value(NewOrder {
                order: order_payload(request, replaces),
                not_after: request.not_after,
            })
            .map_err(|_| Error::Sign {
                action: Action::NewOrder,
            })
        };

        let hinted = replaces.is_some();
        let result = self.post(Action::NewOrder, url, &payload(replaces)?).await;
        let answer = match result {
            Err(Error::Problem { problem, .. }) if hinted && blames_replaces(&problem) => {
                self.post(Action::NewOrder, url, &payload(None)?).await?
            }
            result => result?,
        };
        let location = answer
            .location()
            .ok_or_else(|| answer.malformed("there is no Location header"))?;
        Order::of(&answer, location)
    }

    /// Reads an order.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn order(&self, url: &str) -> Result<Order, Error> {
        let answer = self.post_as_get(Action::Order, url).await?;
        Order::of(&answer, url.to_owned())
    }

    /// Hands the certificate request in, in DER. The order must be ready.
    ///
    /// # Errors
    /// Those of the request. A refusal may mean that an earlier try was heard: read the order
    /// before giving it up.
    pub async fn finalize(&self, order: &Order, csr_der: &[u8]) -> Result<Order, Error> {
        self.finalize_at(&order.url, &order.finalize, csr_der).await
    }

    /// As [`Session::finalize`], by the order's URL and its finalize URL.
    ///
    /// # Errors
    /// As [`Session::finalize`].
    pub async fn finalize_at(
        &self,
        order_url: &str,
        finalize_url: &str,
        csr_der: &[u8],
    ) -> Result<Order, Error> {
        let payload = serde_json::json!({ "csr": BASE64_URL_SAFE_NO_PAD.encode(csr_der) });
        let answer = self.post(Action::Finalize, finalize_url, &payload).await?;
        Order::of(&answer, order_url.to_owned())
    }
}

impl Order {
    fn of(answer: &Answer, url: String) -> Result<Self, Error> {
        let order = answer.json::<Self>()?;
        Ok(Self {
            url,
            retry_after: answer.retry_after(),
            ..order
        })
    }
}

fn order_payload<'a>(
    request: &OrderRequest<'a>,
    replaces: Option<CertificateIdentifier<'a>>,
) -> instant_acme::NewOrder<'a> {
    let mut order = instant_acme::NewOrder::new(request.identifiers);
    if let Some(profile) = request.profile {
        order = order.profile(profile);
    }
    if let Some(replaces) = replaces {
        order = order.replaces(replaces);
    }
    order
}

/// Whether a refusal may be about `replaces`. Only `alreadyReplaced` says so for sure; unknown
/// certificates are refused as malformed, unauthorized or conflict, each CA in its way, and one that
/// stumbles over the hint must not keep a certificate from being renewed.
fn blames_replaces(problem: &Problem) -> bool {
    match &problem.kind {
        ProblemType::AlreadyReplaced => true,
        ProblemType::Malformed | ProblemType::Unauthorized | ProblemType::Other(_) => {
            matches!(problem.status, Some(400 | 403 | 404 | 409))
        }
        ProblemType::ServerInternal => problem.status == Some(500),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_openly() {
        let order = serde_json::from_str::<Order>(
            r#"{"status": "ready", "expires": "2026-12-01T00:00:00Z", "x": 1,
                "identifiers": [{"type": "dns", "value": "a.example"},
                                {"type": "ip", "value": "2001:db8::1"},
                                {"type": "ship", "value": "Beagle"}],
                "authorizations": ["https://ca/z/1"], "finalize": "https://ca/f/1",
                "replaces": "aki.serial"}"#,
        )
        .unwrap();
        assert_eq!(order.status, OrderStatus::Ready);
        assert_eq!(order.expires.unwrap().to_string(), "2026-12-01T00:00:00Z");
        let known = order.identifiers.iter().filter_map(Open::known);
        assert_eq!(
            known.cloned().collect::<Vec<_>>(),
            [
                Identifier::Dns("a.example".to_owned()),
                Identifier::Ip("2001:db8::1".parse().unwrap()),
            ]
        );
        assert_eq!(order.identifiers.len(), 3);

        let odd = serde_json::from_str::<Order>(
            r#"{"status": "onHold", "expires": "tomorrow", "finalize": "f"}"#,
        )
        .unwrap();
        assert_eq!(odd.status, Open::Unknown("onHold".to_owned()));
        assert_eq!(odd.expires, None);
    }

    #[test]
    fn what_replaces_may_be_blamed_for() {
        let blamed = |kind: &str, status: u16| {
            let problem = serde_json::json!({
                "type": format!("urn:ietf:params:acme:error:{kind}"), "status": status,
            });
            blames_replaces(&serde_json::from_value(problem).unwrap())
        };
        assert!(blamed("alreadyReplaced", 409));
        assert!(blamed("malformed", 404));
        assert!(blamed("serverInternal", 500));
        assert!(!blamed("serverInternal", 503));
        assert!(!blamed("rateLimited", 429));
        assert!(!blamed("accountDoesNotExist", 400));
    }

    #[test]
    fn payloads() {
        let identifiers = [Identifier::Dns("a.example".to_owned())];
        let replaces = CertificateIdentifier {
            authority_key_identifier: "aki".into(),
            serial: "serial".into(),
        };
        let request = OrderRequest {
            identifiers: &identifiers,
            not_after: Some("2026-12-01T00:00:00Z".parse().unwrap()),
            profile: Some("shortlived"),
            replaces: None,
        };
        let payload = |replaces| {
            serde_json::to_value(NewOrder {
                order: order_payload(&request, replaces),
                not_after: request.not_after,
            })
            .unwrap()
        };
        assert_eq!(
            payload(Some(replaces)),
            serde_json::json!({
                "identifiers": [{"type": "dns", "value": "a.example"}],
                "notAfter": "2026-12-01T00:00:00Z",
                "profile": "shortlived",
                "replaces": "aki.serial",
            })
        );
        assert_eq!(payload(None).get("replaces"), None);
    }
}
