//! What is the next step of an issuance?

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{
        condition::{self, AnyCondition, ConditionStatus, kind},
        names::{TRUE, annotation},
        reason::certificate as reason,
    },
    certificate::{
        action::{Action, Content, Event, KeyPlace, Plan},
        backoff,
        facts::{Reused, Situation, Write},
        issued::{Issued, Readable},
        key::{self, Choice, Source},
        plan::{RECHECK, Requests, delete_keys, delete_request, duplicates, not_ready, until},
        policy::{self, View, Violation},
        request,
        secret::SecretFacts,
        spec,
        standing::{Standing, ended, standing, told_at},
        status::Draft,
        uncounted,
    },
    cluster::Next,
    pki::PublicKeyHash,
    request::facts::RequestFacts,
    retire::record::Recording,
};

/// How long the garbage collector may take.
const COLLECTION: SignedDuration = SignedDuration::from_secs(30);
/// What a request waits for is looked at again at least this often at first.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// And this often when it has waited for long.
const LAST_LOOK: Duration = Duration::from_secs(60);

/// Decide the next step. `trigger` is why an issuance is to begin; `None` when one is under way.
pub(super) fn plan(
    situation: &Situation,
    requests: &Requests<'_>,
    trigger: Option<Violation>,
) -> Plan {
    let wanted = match key::parameters(&situation.certificate.spec) {
        Ok(wanted) => wanted,
        Err(problem) => {
            let violation = Violation::new(spec::INVALID_SPEC, problem);
            return not_ready(situation, violation, Next::Change);
        }
    };
    let choice = key::choose(situation, wanted);
    if let Choice::Missing { .. } | Choice::Hold { .. } | Choice::Held(_) = &choice
        && let Some((reason, message)) = uncounted::failure(&situation.certificate, requests)
    {
        return fail(situation, requests, reason, message);
    }
    match choice {
        Choice::Stuck(event) => stuck(situation, requests, trigger, event),
        Choice::Missing {
            name,
            source,
            event,
        } => {
            // What is left over may have the very name, and does not fit.
            let mut actions = delete_keys(situation, None);
            actions.push(Action::CreateNextKey { name, source });
            actions.extend(event.map(Action::Publish));
            Plan::act(actions)
        }
        Choice::Hold {
            name,
            source,
            event,
        } => {
            let mut actions = vec![Action::HoldKey { name, source }];
            actions.extend(event.map(Action::Publish));
            Plan::act(actions)
        }
        Choice::Held(held) => {
            let issuance = Issuance {
                situation,
                requests,
                public_key: held.key.public_key,
                key: KeyPlace::Held(held.name.clone()),
                // As times of requests are.
                began: Some(condition::to_the_second(held.since).0),
                reused: None,
            };
            issuance.at_once().unwrap_or_else(|| {
                let mut actions = delete_keys(situation, None);
                actions.push(Action::CreateNextKey {
                    name: held.name,
                    source: Source::Held,
                });
                Plan::act(actions)
            })
        }
        Choice::Stored(secret, key) => {
            let began = situation
                .certificate
                .condition(kind::ISSUING)
                .and_then(AnyCondition::last_transition_time);
            Issuance {
                situation,
                requests,
                public_key: key.public_key,
                key: KeyPlace::Stored(secret.meta.key.clone()),
                began: began.map(|began| began.0),
                reused: None,
            }
            .plan(trigger)
        }
    }
}

/// Nothing goes on until somebody does what `event` asks for.
fn stuck(
    situation: &Situation,
    requests: &Requests<'_>,
    trigger: Option<Violation>,
    event: Event,
) -> Plan {
    let mut draft = Draft::of(situation);
    draft.dates();
    if let Some(why) = trigger {
        draft.issuing(why);
    }
    match policy::readiness(requests.view(situation)) {
        Some(violation) => {
            draft.not_ready(Violation::new(violation.reason, event.message.clone()));
        }
        None => {
            draft.ready();
            draft.issuing_message(event.message.clone());
        }
    }
    let mut actions: Vec<Action> = draft.into_action().into_iter().collect();
    if !actions.is_empty() {
        actions.push(Action::Publish(event));
    }
    Plan {
        actions,
        next: Next::After(RECHECK),
    }
}

/// Count a failure, and tell when the next try is.
fn fail(situation: &Situation, requests: &Requests<'_>, reason: &str, message: &str) -> Plan {
    let message =
        format!("The certificate request has failed to complete and will be retried: {message}");
    let mut draft = Draft::of(situation);
    draft.dates();
    let (failed, attempts) = draft.count_failure();
    let next = backoff::at(situation, failed, attempts);
    let told = backoff::message(&message, None, next);
    draft.not_issuing(reason, told.clone());
    match policy::readiness(requests.view(situation)) {
        None => draft.ready(),
        Some(violation) => draft.not_ready(Violation::new(violation.reason, told)),
    }
    let mut actions: Vec<Action> = draft.into_action().into_iter().collect();
    actions.push(Action::Publish(Event::warning(reason.to_owned(), message)));
    Plan::act(actions)
}

/// An issuance that has a key.
pub(super) struct Issuance<'a> {
    pub(super) situation: &'a Situation,
    pub(super) requests: &'a Requests<'a>,
    pub(super) key: KeyPlace,
    pub(super) public_key: PublicKeyHash,
    /// When it began, if that is known.
    pub(super) began: Option<Timestamp>,
    /// The certificate that is used again, rather than another issued.
    pub(super) reused: Option<&'a Reused>,
}

impl Issuance<'_> {
    fn plan(&self, trigger: Option<Violation>) -> Plan {
        if let Some(begin) = self.begin(trigger) {
            return begin;
        }
        let leftover = self.leftover();
        if !leftover.is_empty() {
            return Plan::act(leftover);
        }
        match self.requests.next.as_slice() {
            [] => self.request(),
            [request] => self.proceed(request),
            _ => {
                let revision = self.situation.certificate.next_revision();
                let violation = duplicates("next", Some(revision));
                not_ready(self.situation, violation, Next::After(RECHECK))
            }
        }
    }

    /// Delete what is of no use to this issuance.
    pub(super) fn leftover(&self) -> Vec<Action> {
        let kept = match &self.key {
            KeyPlace::Stored(secret) => Some(&*secret.name),
            KeyPlace::Held(_) => None,
        };
        self.requests
            .unnumbered
            .iter()
            .copied()
            .chain(
                self.requests
                    .next
                    .iter()
                    .copied()
                    .filter(|r| self.is_stale(r)),
            )
            .map(|request| delete_request(request))
            .chain(delete_keys(self.situation, kept))
            .collect()
    }

    /// Store that an issuance is under way and where its key is, unless that is stored.
    fn begin(&self, trigger: Option<Violation>) -> Option<Plan> {
        let mut draft = Draft::of(self.situation);
        let name = self.key.name().to_owned();
        let named = &mut draft.status().next_private_key_secret_name;
        if trigger.is_none() && named.as_ref() == Some(&name) {
            return None;
        }
        *named = Some(name);
        if let Some(why) = trigger {
            draft.issuing(why);
        }
        draft.dates();
        match policy::readiness(self.requests.view(self.situation)) {
            None => draft.ready(),
            Some(violation) => draft.not_ready(violation),
        }
        draft.into_action().map(|action| Plan::act(vec![action]))
    }

    /// Make the request.
    pub(super) fn request(&self) -> Plan {
        let certificate = &self.situation.certificate;
        let revision = certificate.next_revision();
        if let Some(problem) = &self.situation.unrequestable {
            let event = Event::warning(
                reason::REQUEST_FAILED,
                format!("Failed to generate the certificate request: {problem} - will not retry"),
            );
            return stuck(self.situation, self.requests, None, event);
        }
        let name = request::name(&certificate.meta.key.name, revision);
        // One of ours that says another revision than its name: it would be in the way for ever.
        let own = &self.situation.requests;
        if let Some(misnamed) = own.iter().find(|request| *request.meta.key.name == *name) {
            return Plan::act(vec![delete_request(misnamed)]);
        }
        if self.situation.taken.request && self.is_young() {
            return Plan::wait(Next::After(FIRST_LOOK));
        }
        if self.situation.taken.request {
            let event = Event::warning(
                reason::REQUEST_FAILED,
                format!(
                    "CertificateRequest {name:?} is not ours but has the name that the next \
                     request needs: delete it"
                ),
            );
            return stuck(self.situation, self.requests, None, event);
        }
        Plan::act(vec![Action::CreateRequest {
            revision,
            key: self.key.clone(),
        }])
    }

    /// Whether the Certificate was made only now: what a namesake left behind that was deleted before
    /// is still being collected.
    fn is_young(&self) -> bool {
        let created = self.situation.certificate.meta.created;
        created.is_some_and(|created| created.duration_until(self.situation.now) < COLLECTION)
    }

    /// Whether a request is of no use to this issuance: made for another spec or key, or ended
    /// before it began.
    fn is_stale(&self, request: &RequestFacts) -> bool {
        let certificate = &self.situation.certificate;
        let same_key = request
            .csr
            .as_ref()
            .is_ok_and(|csr| csr.public_key == self.public_key);
        let same_way = request.is_reuse() == self.reused.is_some();
        if !same_key || !same_way || !uncounted::is_for(request, certificate) {
            return true;
        }
        let Some(began) = self.began else {
            return false;
        };
        let failed = certificate.status.last_failure_time.as_ref();
        match standing(request) {
            Standing::Pending { .. } => false,
            Standing::Failed(..) => ended(request).is_some_and(|ended| ended < began),
            // What was issued was no good then, and is no better now.
            Standing::Issued => ended(request)
                .is_some_and(|ended| ended < began && failed.is_some_and(|at| at.0 >= ended)),
        }
    }

    pub(super) fn proceed(&self, request: &RequestFacts) -> Plan {
        match standing(request) {
            Standing::Failed(reason, message) => self.fail(reason, message),
            Standing::Issued => match &self.situation.issued {
                Some(issued) if issued.request == request.meta.key => self.store(issued),
                // To be read first.
                Some(_) | None => Plan::wait(Next::After(FIRST_LOOK)),
            },
            Standing::Pending { is_known } => self.await_request(request, is_known),
        }
    }

    pub(super) fn fail(&self, reason: &str, message: &str) -> Plan {
        fail(self.situation, self.requests, reason, message)
    }

    /// Put what was issued into the Secret.
    fn store(&self, issued: &Issued) -> Plan {
        let leaf = match &issued.certificate {
            Ok(Readable { leaf, details: _ }) => leaf,
            Err(error) => {
                let message =
                    format!("Issuer returned an invalid certificate: failed to decode: {error}");
                return self.fail(reason::INVALID_CERTIFICATE, &message);
            }
        };
        if leaf.public_key != self.public_key {
            return self.fail(
                reason::INVALID_CERTIFICATE,
                "Issuer returned a certificate with a public key that does not match the CSR. This \
                 usually indicates a misconfigured issuer.",
            );
        }
        if self.situation.now > leaf.not_after {
            let message = format!(
                "Issuer returned an already expired certificate (notAfter: {}). This usually \
                 indicates an expired CA certificate in the issuer.",
                leaf.not_after
            );
            return self.fail(reason::INVALID_CERTIFICATE, &message);
        }

        if self.is_in_vain(issued) {
            let violation = Violation::new(
                reason::SECRET_MISMATCH,
                format!(
                    "Secret {:?} does not keep what is written to it: an admission webhook or \
                     another controller changes it",
                    self.situation.certificate.spec.secret_name
                ),
            );
            return not_ready(self.situation, violation, Next::After(RECHECK));
        }
        // What is not written down could never be revoked.
        let record = match &self.situation.recording {
            Recording::Settled => None,
            Recording::Missing(issuance) => Some(Action::Record(Arc::clone(issuance))),
            Recording::Impossible(why) => Some(Action::Publish(Event::warning(
                reason::NOT_RECORDED,
                why.clone(),
            ))),
        };
        let store = Action::ApplySecret(Content::Issued {
            key: self.key.clone(),
        });
        Plan::act(record.into_iter().chain([store]).collect())
    }

    /// Whether the Secret stands as we wrote it, and still does not hold what was issued.
    pub(super) fn is_in_vain(&self, issued: &Issued) -> bool {
        let secret = self.situation.secret.as_ref();
        let written = secret.and_then(|secret| self.written(secret));
        written.is_some_and(|written| written.chain == issued.chain)
    }

    /// Wait for the request, and say what it waits for once that takes long.
    fn await_request(&self, request: &RequestFacts, is_known: bool) -> Plan {
        let view = self.requests.view(self.situation);
        if is_known
            && let KeyPlace::Stored(secret) = &self.key
            && self.wants_temporary(view)
        {
            return Plan::act(vec![
                Action::ApplySecret(Content::Temporary {
                    key_secret: secret.clone(),
                }),
                Action::Publish(Event::normal(
                    reason::ISSUING,
                    "Issued temporary certificate",
                )),
            ]);
        }

        let now = self.situation.now;
        let since = request.meta.created.unwrap_or(now);
        let told_at = told_at(request).unwrap_or(now);
        let mut draft = Draft::of(self.situation);
        draft.dates();
        let cause = self.situation.cause.clone().filter(|_| now >= told_at);
        if let Some(cause) = &cause {
            draft.issuing_message(cause.clone());
        }
        match policy::readiness(view) {
            None => draft.ready(),
            Some(violation) => {
                let message = cause
                    .or_else(|| self.message_so_far(violation.reason))
                    .unwrap_or(violation.message);
                draft.not_ready(Violation::new(violation.reason, message));
            }
        }
        let next = if now < told_at {
            until(now, told_at)
        } else {
            (until(since, now) / 4).clamp(FIRST_LOOK, LAST_LOOK)
        };
        Plan {
            actions: draft.into_action().into_iter().collect(),
            next: Next::After(next),
        }
    }

    /// What the Ready condition says already, if it is for the same reason.
    fn message_so_far(&self, reason: &str) -> Option<String> {
        let ready = self.situation.certificate.condition(kind::READY)?;
        let same = ready.status == ConditionStatus::False && ready.reason() == reason;
        same.then(|| ready.message.clone()).flatten()
    }

    /// Whether a temporary certificate is asked for and would help.
    fn wants_temporary(&self, view: View<'_>) -> bool {
        let annotations = &self.situation.certificate.annotations;
        let asked = annotations
            .get(annotation::ISSUE_TEMPORARY_CERTIFICATE)
            .is_some_and(|value| value == TRUE);
        let secret = self.situation.secret.as_ref();
        let in_vain = secret.is_some_and(|secret| self.written(secret).is_some());
        asked && !in_vain && policy::temporary(view).is_some()
    }

    /// Our own last write of the Secret, if nothing changed it since.
    fn written(&self, secret: &SecretFacts) -> Option<&Write> {
        let written = self.situation.written.as_ref()?;
        written.stands(secret).then_some(written)
    }
}
