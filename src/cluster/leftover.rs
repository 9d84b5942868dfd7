//! Do admission webhooks of cert-manager still stand in the way?
//!
//! They refuse every write of our kinds once nothing answers them, and nothing on the objects says
//! why. So they are looked for, and named in the log and at `/readyz`.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::{Api, Client, api::ListParams};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::cluster::health::Readiness;

/// The name of the webhook in all configurations of cert-manager.
const WEBHOOK: &str = "webhook.cert-manager.io";

const TOPIC: &str = "left-over webhooks";

/// Between two looks: somebody may install cert-manager beside us.
const EVERY: Duration = Duration::from_secs(300);

/// The longest a look may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Look again and again, and tell in `readiness` and the log what is found.
pub async fn watch(client: Client, readiness: Readiness) {
    let mut told = None;
    loop {
        match timeout(LIMIT, find(&client)).await {
            Ok(Ok(found)) => {
                if found.is_empty() {
                    readiness.clear(TOPIC);
                } else if told.as_ref() != Some(&found) {
                    let text = advice(&found);
                    warn!("{text}");
                    readiness.warn(TOPIC, text);
                }
                told = Some(found);
            }
            // Only a hint is lost: an upgrade by helm removes them anyway.
            Ok(Err(error)) => debug!(%error, "cannot look for webhooks of cert-manager"),
            Err(_) => debug!("cannot look for webhooks of cert-manager: no answer in time"),
        }
        sleep(EVERY).await;
    }
}

/// The configurations of cert-manager's webhook, as `KIND/NAME` in kubectl's words.
async fn find(client: &Client) -> kube::Result<Vec<String>> {
    let params = ListParams::default();
    let validating = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    let mutating = Api::<MutatingWebhookConfiguration>::all(client.clone());
    let mut found = Vec::new();
    for object in validating.list(&params).await? {
        let hooks = object.webhooks.unwrap_or_default();
        if hooks.iter().any(|hook| hook.name == WEBHOOK) {
            found.extend(name("validatingwebhookconfiguration", object.metadata.name));
        }
    }
    for object in mutating.list(&params).await? {
        let hooks = object.webhooks.unwrap_or_default();
        if hooks.iter().any(|hook| hook.name == WEBHOOK) {
            found.extend(name("mutatingwebhookconfiguration", object.metadata.name));
        }
    }
    Ok(found)
}

fn name(kind: &str, name: Option<String>) -> Option<String> {
    Some(format!("{kind}/{}", name?))
}

fn advice(found: &[String]) -> String {
    format!(
        "webhooks of cert-manager are left over and refuse writes once nothing answers them; \
         if cert-manager is gone: kubectl delete {}",
        found.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    fn client(validating: Value, mutating: Value) -> Client {
        let answer = move |request: Request<Body>| {
            let is_validating = request.uri().path().contains("validating");
            let items = if is_validating {
                &validating
            } else {
                &mutating
            };
            let list = json!({ "metadata": {}, "items": items });
            async move { Ok::<_, kube::Error>(Response::new(Body::from(list.to_string().into_bytes()))) }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    fn configuration(name: &str, hook: &str) -> Value {
        json!({ "metadata": { "name": name }, "webhooks": [{
            "name": hook,
            "clientConfig": {},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }]})
    }

    #[tokio::test]
    async fn only_those_of_cert_manager_are_named() {
        let other = configuration("policy", "check.example.com");
        let theirs = configuration("cm-webhook", WEBHOOK);
        let found = find(&client(json!([other, theirs]), json!([theirs])))
            .await
            .unwrap();
        let want = [
            "validatingwebhookconfiguration/cm-webhook",
            "mutatingwebhookconfiguration/cm-webhook",
        ];
        assert_eq!(found, want);
        let found = find(&client(json!([other]), json!([]))).await.unwrap();
        assert!(found.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_found_is_shown_and_taken_back() {
        let readiness = Readiness::default();
        let theirs = configuration("cm-webhook", WEBHOOK);
        let shown = client(json!([theirs]), json!([]));
        let gone = client(json!([]), json!([]));
        let limit = Duration::from_secs(1);
        let _ = timeout(limit, watch(shown, readiness.clone())).await;
        let warnings = readiness.report().warnings;
        assert!(warnings[0].ends_with("kubectl delete validatingwebhookconfiguration/cm-webhook"));
        let _ = timeout(limit, watch(gone, readiness.clone())).await;
        assert!(readiness.report().warnings.is_empty());
    }
}
