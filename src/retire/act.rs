//! How is a step taken? Each is one request to the API server, or one revocation at the CA.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::api::{DeleteParams, Preconditions};
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::{
    api::{
        condition::to_the_second,
        deletion::RevocationReason,
        issuance::{Issuance, IssuanceState, IssuanceStatus, Request, Revocation},
        names::annotation,
    },
    cluster::{
        Next, ObjectKey, RequestError,
        events::EventType,
        metrics::RevocationOutcome,
        write::{self, api_of},
    },
    issuer::revoke::{self, Outcome, Signatory},
    retire::{
        error::Error,
        facts::{Account, Claim, IssuanceFacts, Listing, Situation, Stored},
        plan::{Change, Step, Told, backoff},
        reconcile::{IssuanceReconciler, reference},
        share::Share,
    },
};

/// When to look again for an account key whose copy was not possible.
const NO_KEY: Duration = Duration::from_secs(5);
/// How long one revocation may take: each holds one of few places.
const LONGEST: Duration = Duration::from_secs(15);

impl IssuanceReconciler {
    /// Take one step. Says when to come back, unless the next can follow at once.
    pub(super) async fn act(
        &self,
        situation: &Situation,
        step: Step,
    ) -> Result<Option<Next>, Error> {
        let issuance = &situation.issuance;
        match step {
            Step::Nothing(next) => Ok(Some(next)),
            // The caller asks.
            Step::Ask | Step::AskAbout(_) => Ok(None),
            Step::Write(change) => {
                self.write(situation, &change).await?;
                Ok(None)
            }
            Step::Revoke => self.revoke(situation).await,
            Step::DeleteSecret(secret) => {
                self.delete_secret(issuance, &secret).await?;
                Ok(None)
            }
            Step::KeepAccountKey => {
                let Some(account) = issuance.account_in_its_namespace() else {
                    return Ok(Some(Next::After(NO_KEY)));
                };
                let is_kept = self.keep_account_key(issuance, account).await?;
                // The copy comes by the watch, and wakes.
                let soon = Duration::from_millis(200);
                Ok(Some(Next::After(if is_kept { soon } else { NO_KEY })))
            }
            Step::DropAccountKey => {
                if let Some(account) = issuance.account_in_its_namespace() {
                    self.drop_account_key(account).await?;
                }
                Ok(None)
            }
            Step::DeleteRecord => {
                let key = &issuance.meta.key;
                if let Err(wait) = self.pace.deletion(key) {
                    return Ok(Some(Next::After(wait)));
                }
                let api = api_of::<Issuance>(&self.client, key);
                write::delete(&api, key, &issuance.meta.uid).await?;
                self.caches.issuances.forget(key, &issuance.meta.uid);
                info!(
                    serial = issuance.serial,
                    "record of a certificate deleted that nothing more will become of"
                );
                Ok(Some(Next::Change))
            }
        }
    }

    async fn write(&self, situation: &Situation, change: &Change) -> Result<(), RequestError> {
        let issuance = &situation.issuance;
        let key = &issuance.meta.key;
        let Change {
            status,
            keeper,
            secret,
            also_in,
            policy,
            forget_request,
            forget_confirmation,
            told,
        } = change;
        let mut spec = Map::new();
        if let Some((name, uid)) = keeper {
            let since = to_the_second(situation.now);
            let keeper = json!({"name": name, "uid": uid, "since": since});
            spec.insert("certificateRef".to_owned(), keeper);
        }
        if let Some(secret) = secret {
            spec.insert("secretName".to_owned(), json!(secret));
        }
        if let Some(shares) = also_in {
            let shares: Vec<_> = shares.iter().map(Share::to_api).collect();
            let shares = Some(shares).filter(|shares| !shares.is_empty());
            spec.insert("alsoIn".to_owned(), json!(shares));
        }
        if let Some(policy) = policy {
            spec.insert("deletionPolicy".to_owned(), json!(policy));
        }
        if *forget_request {
            spec.insert("earlierRequest".to_owned(), Value::Null);
        }
        let mut patch = json!({"metadata": {"resourceVersion": issuance.meta.resource_version}});
        if !spec.is_empty() {
            patch["spec"] = Value::Object(spec);
        }
        if let Some(status) = difference(&issuance.status, status) {
            patch["status"] = status;
        }
        if *forget_confirmation {
            patch["metadata"]["annotations"] = json!({annotation::CONFIRM: null});
        }
        let api = api_of::<Issuance>(&self.client, key);
        let written = write::merge(&api, key, &patch).await?;
        info!(
            certificate = %issuance.certificate,
            serial = issuance.serial,
            from = %issuance.state(),
            to = status.state.map(IssuanceState::as_str),
            asked_by = status.request.as_ref().map(|request| request.by.as_str()),
            message = status.message.as_deref(),
            "issued certificate"
        );
        self.caches.issuances.observe(written);
        if let Some(told) = told {
            self.tell(situation, told);
        }
        Ok(())
    }

    /// Tell it on the record, and on the Certificate, if there is one.
    fn tell(&self, situation: &Situation, told: &Told) {
        let Told {
            warning,
            reason,
            message,
        } = told;
        let kind = if *warning {
            EventType::Warning
        } else {
            EventType::Normal
        };
        let record = reference(&situation.issuance);
        let objects = [Some(record), self.keeper(situation)];
        for object in objects.into_iter().flatten() {
            self.events.publish(object, kind, *reason, message.clone());
        }
    }

    fn keeper(&self, situation: &Situation) -> Option<ObjectReference> {
        let Claim::Kept(keeper) = &situation.claim else {
            return None;
        };
        let namespace = situation.issuance.secret.namespace.clone();
        let key = ObjectKey::new(namespace, keeper.name.clone());
        let certificate = self.caches.certificates.get(&key)?;
        Some(
            certificate
                .meta
                .reference("cert-manager.io/v1", "Certificate"),
        )
    }

    async fn revoke(&self, situation: &Situation) -> Result<Option<Next>, Error> {
        let issuance = &situation.issuance;
        let key = &issuance.meta.key;
        let namespace = &issuance.secret.namespace;
        let turn = |account: &Account| self.pace.turn(key, namespace, &account.server);
        let _turn = match issuance.account.as_ref().map(turn).transpose() {
            Ok(turn) => turn,
            Err(wait) => return Ok(Some(Next::After(wait))),
        };
        let Some(full) = write::get(&api_of::<Issuance>(&self.client, key), key).await? else {
            return Ok(Some(Next::Change));
        };
        let request = issuance.status.request.clone().unwrap_or_else(|| Request {
            by: "its state".to_owned(),
            reason: RevocationReason::Unspecified,
            time: to_the_second(situation.now),
        });
        let outcome = match full.spec.acme.as_ref().zip(issuance.account.as_ref()) {
            Some((origin, account)) => {
                let what = revoke::Revocation {
                    origin,
                    certificate: &full.spec.certificate.0,
                    reason: request.reason,
                    escrow: &self.escrow_place(account),
                    secret: &issuance.secret,
                };
                in_time(self.sessions.revoke(what)).await?
            }
            None => match &situation.listing {
                Some(Listing::Stored) => Outcome::Revoked {
                    already: false,
                    by: Signatory::Authority,
                },
                Some(Listing::Awaited(why) | Listing::Never(why)) => Outcome::Refused(why.clone()),
                None => Outcome::Refused("its issuer does not revoke".to_owned()),
            },
        };
        let (counted, change) = Self::outcome(situation, &request, outcome);
        self.metrics.revocation(counted);
        self.write(situation, &change).await?;
        Ok(None)
    }

    /// How `outcome` is counted, and what is written down of it.
    fn outcome(
        situation: &Situation,
        request: &Request,
        outcome: Outcome,
    ) -> (RevocationOutcome, Change) {
        let issuance = &situation.issuance;
        let mut status = issuance.status.clone();
        status.next_try = None;
        status.message = None;
        let done = |signed_by: &str| Revocation {
            by: request.by.clone(),
            reason: request.reason,
            signed_by: Some(signed_by.to_owned()),
            time: to_the_second(situation.now),
        };
        let (serial, reason) = (&issuance.serial, request.reason);
        let (counted, warning, word, message) = match outcome {
            Outcome::Revoked { already, by } => {
                status.state = Some(IssuanceState::Revoked);
                status.revocation = Some(done(by.as_str()));
                let counted = if already {
                    status.message = Some("it had been revoked before".to_owned());
                    RevocationOutcome::Already
                } else {
                    RevocationOutcome::Revoked
                };
                let message = format!(
                    "certificate {serial} is revoked for {reason}, as {} asked for",
                    request.by
                );
                (counted, false, "Revoked", message)
            }
            Outcome::Unknown => {
                // Perhaps another CA was asked than the one that issued it.
                let why = "the CA does not know it";
                status.state = Some(IssuanceState::Unrevocable);
                status.message = Some(why.to_owned());
                let message = format!("certificate {serial} cannot be revoked: {why}");
                (RevocationOutcome::Unknown, true, "Unrevocable", message)
            }
            Outcome::Refused(why) => {
                status.state = Some(IssuanceState::Unrevocable);
                status.message = Some(why.clone());
                let message = format!("certificate {serial} cannot be revoked: {why}");
                (RevocationOutcome::Unrevocable, true, "Unrevocable", message)
            }
            Outcome::Later { why, wait } => {
                let tries = status.tries.unwrap_or(0).saturating_add(1);
                let asked = wait.and_then(|wait| SignedDuration::try_from(wait).ok());
                let left = situation.now.duration_until(issuance.not_after);
                let wait = backoff(tries, left).max(asked.unwrap_or_default());
                let next = situation.now.checked_add(wait).unwrap_or(situation.now);
                status.tries = Some(tries);
                status.next_try = Some(to_the_second(next));
                status.message = Some(why.clone());
                let message = format!("certificate {serial} is not revoked yet: {why}");
                (RevocationOutcome::Failed, true, "RevocationFailed", message)
            }
        };
        let change = Change {
            told: Some(Told {
                warning,
                reason: word,
                message,
            }),
            ..Change::of(status)
        };
        (counted, change)
    }

    /// Delete the Secret as it was just looked at, if it holds the certificate.
    async fn delete_secret(
        &self,
        issuance: &IssuanceFacts,
        key: &ObjectKey,
    ) -> Result<(), RequestError> {
        let seen = self.secret(issuance, key).await?;
        if seen.stored != Stored::This {
            return Err(RequestError::stale::<Secret>(key));
        }
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(seen.meta.uid.clone()),
                resource_version: Some(seen.meta.resource_version.clone()),
            }),
            ..DeleteParams::background()
        };
        let deleted = api_of::<Secret>(&self.client, key)
            .delete(&key.name, &params)
            .await;
        deleted.map_err(|error| RequestError::new::<Secret>("delete", key, error))?;
        self.caches.secrets.forget(key, &seen.meta.uid);
        warn!(secret = %key, serial = issuance.serial, "deleted the Secret of a Certificate that is gone");
        self.events.publish(
            reference(issuance),
            EventType::Normal,
            "SecretDeleted",
            format!("Secret {key} went after its Certificate"),
        );
        Ok(())
    }
}

/// The outcome of `revocation`; a CA that does not answer in time is asked again later.
async fn in_time(
    revocation: impl Future<Output = Result<Outcome, RequestError>>,
) -> Result<Outcome, RequestError> {
    timeout(LONGEST, revocation).await.unwrap_or_else(|_| {
        Ok(Outcome::Later {
            why: format!("the CA has not answered within {} s", LONGEST.as_secs()),
            wait: None,
        })
    })
}

/// The patch that makes `new` of `old`.
fn difference(old: &IssuanceStatus, new: &IssuanceStatus) -> Option<Value> {
    let value = |status: &IssuanceStatus| serde_json::to_value(status).unwrap_or_default();
    write::merge_patch(&value(old), &value(new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retire::samples::{at, situation};

    #[test]
    fn only_what_the_ca_says_is_revoked_is_revoked() {
        let request = Request {
            by: "somebody".to_owned(),
            reason: RevocationReason::Superseded,
            time: to_the_second(at("2026-02-01T00:00:00Z")),
        };
        let by = Signatory::Account;
        let later = |wait| Outcome::Later {
            why: "busy".to_owned(),
            wait,
        };
        let table = [
            (
                Outcome::Revoked { already: false, by },
                "Revoked",
                true,
                None,
            ),
            (
                Outcome::Revoked { already: true, by },
                "Revoked",
                true,
                Some("it had been revoked before"),
            ),
            (
                Outcome::Unknown,
                "Unrevocable",
                false,
                Some("the CA does not know it"),
            ),
            (
                Outcome::Refused("no".to_owned()),
                "Unrevocable",
                false,
                Some("no"),
            ),
            (later(None), "Active", false, Some("busy")),
        ];
        for (outcome, state, is_revoked, message) in table {
            let (_, change) = IssuanceReconciler::outcome(&situation(), &request, outcome);
            let status = change.status;
            assert_eq!(status.state.map(IssuanceState::as_str), Some(state));
            assert_eq!(status.revocation.is_some(), is_revoked, "{state}");
            assert_eq!(status.message.as_deref(), message);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_ca_that_does_not_answer_is_asked_again_later() {
        let outcome = in_time(std::future::pending()).await.unwrap();
        let Outcome::Later { why, wait: None } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(why, "the CA has not answered within 15 s");
        let quick = in_time(async { Ok(Outcome::Unknown) }).await.unwrap();
        assert!(matches!(quick, Outcome::Unknown), "{quick:?}");
    }
}
