//! What is to be done next for a Certificate? Pure: facts in, actions out.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{
        condition::{AnyCondition, kind},
        names::annotation,
        reason::certificate as reason,
    },
    certificate::{
        action::{Action, Content, Event, Plan},
        backoff,
        facts::{CertificateFacts, Situation},
        finish, issue,
        keystores::{self, Standing},
        policy::{self, View, Violation},
        renewal::renewal_time,
        reuse, rotation, spec,
        status::Draft,
        suggestion, upkeep,
    },
    cluster::Next,
    issuer::rotation::Turn,
    request::facts::RequestFacts,
};

/// A Certificate whose Secret belongs to another is looked at again after this long.
const OWNERSHIP_RECHECK: Duration = Duration::from_secs(180);
/// What no watch tells is looked at again after this long.
pub(super) const RECHECK: Duration = Duration::from_secs(300);
/// Everything is looked at again after this long: wall clocks jump, and machines sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Decide what to do next.
///
/// Each plan is decided from what stands, so that it does not matter after which action the last
/// one was cut off.
pub fn plan(situation: &Situation) -> Plan {
    let certificate = &situation.certificate;
    if certificate.meta.deleting {
        // Foreground deletion waits for what we would make or change.
        return Plan::wait(Next::Change);
    }
    if let Some(refusal) = spec::refusal(&certificate.spec) {
        return not_ready(situation, refusal, Next::Change);
    }
    if let Some(violation) = owned_by_another(situation) {
        return stand_back(situation, violation);
    }
    let requests = match Requests::of(situation) {
        Ok(requests) => requests,
        Err(violation) => return not_ready(situation, violation, Next::After(RECHECK)),
    };
    let mut plan = proceed(situation, &requests);
    if plan.actions.is_empty() {
        plan.actions.extend(rotation::extend(situation));
    }
    plan
}

/// Go on with an issuance, begin one, or keep what there is.
fn proceed(situation: &Situation, requests: &Requests<'_>) -> Plan {
    let certificate = &situation.certificate;
    if let Some(finished) = finish::finish(situation, requests) {
        return finished;
    }
    if certificate.is_issuing() {
        return issue::plan(situation, requests, None);
    }
    match policy::trigger(requests.view(situation)) {
        None => settle(situation, requests),
        Some(trigger) => match reuse::plan(situation, requests) {
            Some(reused) => reused,
            None => issue_or_wait(situation, requests, trigger),
        },
    }
}

/// Have another certificate issued, once the wait after a failure is over.
fn issue_or_wait(situation: &Situation, requests: &Requests<'_>, trigger: Violation) -> Plan {
    match backoff::next_try(situation, &requests.next) {
        Some(at) => back_off(situation, requests, at),
        None => announced(
            issue::plan(situation, requests, Some(trigger.clone())),
            trigger,
        ),
    }
}

/// Tell why an issuance begins where nothing else would: what people look for a reason for.
fn announced(mut plan: Plan, trigger: Violation) -> Plan {
    let begins = plan.actions.iter().any(|action| {
        matches!(
            action,
            Action::HoldKey { .. } | Action::CreateNextKey { .. }
        )
    });
    if begins && trigger.reason == reason::CA_CHANGED {
        let event = Event::normal(trigger.reason, trigger.message);
        plan.actions.push(Action::Publish(event));
    }
    plan
}

/// The requests that a Certificate controls, by what they are to it.
#[derive(Debug)]
pub(super) struct Requests<'a> {
    /// The one that the key pair in the Secret came from.
    pub current: Option<&'a Arc<RequestFacts>>,
    /// Those of the revision that comes next.
    pub next: Vec<&'a Arc<RequestFacts>>,
    /// Those of revisions up to the current one, with their revision.
    pub past: Vec<(i64, &'a Arc<RequestFacts>)>,
    /// Those that do not say their revision.
    pub unnumbered: Vec<&'a Arc<RequestFacts>>,
}

impl<'a> Requests<'a> {
    fn of(situation: &'a Situation) -> Result<Self, Violation> {
        let certificate = &situation.certificate;
        let mut requests = Self {
            current: None,
            next: Vec::new(),
            past: Vec::new(),
            unnumbered: Vec::new(),
        };
        for request in &situation.requests {
            match request.revision() {
                None => requests.unnumbered.push(request),
                Some(revision) if revision == certificate.next_revision() => {
                    requests.next.push(request);
                }
                Some(revision) => requests.past.push((revision, request)),
            }
        }
        let mut current = requests
            .past
            .iter()
            .filter(|(revision, _)| Some(*revision) == certificate.revision())
            .map(|(_, request)| *request);
        requests.current = current.next();
        match current.next() {
            None => Ok(requests),
            Some(_) => Err(duplicates("current", certificate.revision())),
        }
    }

    /// What the policies look at.
    pub(super) fn view(&self, situation: &'a Situation) -> View<'a> {
        View {
            certificate: &situation.certificate,
            secret: situation.secret.as_deref(),
            current: self.current.map(AsRef::as_ref),
            turn: situation.turn,
            withdrawal: &situation.withdrawal,
            now: situation.now,
        }
    }
}

/// More than one request says to be of the same revision.
pub(super) fn duplicates(which: &str, revision: Option<i64>) -> Violation {
    Violation::new(
        reason::INVALID_CERTIFICATE_REQUEST,
        format!(
            "multiple CertificateRequests were found for the '{which}' revision {}, issuance is \
             skipped until there are no more duplicates",
            revision.unwrap_or_default()
        ),
    )
}

/// Say why nothing goes on.
pub(super) fn not_ready(situation: &Situation, violation: Violation, next: Next) -> Plan {
    let mut draft = Draft::of(situation);
    draft.not_ready(violation);
    Plan {
        actions: draft.into_action().into_iter().collect(),
        next,
    }
}

/// Say what a request to the API server was refused for, if an issuance waits for it.
pub(super) fn blocked(situation: &Situation, message: String) -> Option<Action> {
    let requests = Requests::of(situation).ok()?;
    let mut draft = Draft::of(situation);
    if !situation.certificate.is_issuing() {
        // One whose key is only at hand has not been told yet.
        let _key = situation.held.as_ref()?;
        draft.issuing(policy::trigger(requests.view(situation))?);
    }
    match policy::readiness(requests.view(situation)) {
        Some(violation) => draft.not_ready(Violation::new(violation.reason, message)),
        None => draft.issuing_message(message),
    }
    draft.into_action()
}

/// Why the Secret is not for this Certificate to write, if another has it.
fn owned_by_another(situation: &Situation) -> Option<Violation> {
    let certificate = &situation.certificate;
    let annotated = situation
        .secret
        .as_ref()
        .and_then(|secret| secret.annotation(annotation::CERTIFICATE_NAME));
    let name_of = |one: &CertificateFacts| Arc::clone(&one.meta.key.name);
    let by_annotation = situation
        .sharing
        .iter()
        .find(|one| Some(&*name_of(one)) == annotated);
    let by_age = || {
        situation
            .sharing
            .iter()
            .min_by_key(|one| (one.meta.created, name_of(one)))
    };
    let owner = name_of(by_annotation.or_else(by_age)?);
    if owner == certificate.meta.key.name {
        return None;
    }
    Some(Violation::new(
        reason::INCORRECT_CERTIFICATE,
        format!(
            "Secret {:?} belongs to Certificate {owner:?}; name another Secret in spec.secretName",
            certificate.spec.secret_name
        ),
    ))
}

/// Leave the Secret to another Certificate.
fn stand_back(situation: &Situation, violation: Violation) -> Plan {
    let mut draft = Draft::of(situation);
    draft.not_ready(violation);
    draft.end_issuing();
    let mut actions: Vec<Action> = draft.into_action().into_iter().collect();
    actions.extend(delete_keys(situation, None));
    Plan {
        actions,
        next: Next::After(OWNERSHIP_RECHECK),
    }
}

/// Why key stores cannot be written, and whether all are there from before.
fn blocked_keystores(situation: &Situation) -> Option<(&Violation, bool)> {
    let (Standing::Blocked(why), Some(secret)) = (&situation.keystores, &situation.secret) else {
        return None;
    };
    let complete = keystores::is_complete(&situation.certificate.spec, secret);
    Some((why, complete))
}

/// Wait for the next try after a failure.
fn back_off(situation: &Situation, requests: &Requests<'_>, at: Timestamp) -> Plan {
    let mut draft = Draft::of(situation);
    draft.dates();
    match policy::readiness(requests.view(situation)) {
        None => draft.ready(),
        Some(violation) => {
            let failure = situation
                .certificate
                .condition(kind::ISSUING)
                .map_or("", AnyCondition::message);
            draft.not_ready(Violation::new(
                violation.reason,
                backoff::message(failure, situation.dns_changed.as_deref(), at),
            ));
        }
    }
    draft.forget_key();
    let mut actions: Vec<Action> = draft.into_action().into_iter().collect();
    actions.extend(delete_keys(situation, None));
    let until_then = Next::After(until(situation.now, at));
    Plan {
        actions,
        next: until_then.sooner(wake_up(situation)),
    }
}

/// Nothing is to be issued: keep the Secret and the status as they should be, and tidy up.
fn settle(situation: &Situation, requests: &Requests<'_>) -> Plan {
    let certificate = &situation.certificate;
    let mut draft = Draft::of(situation);
    let windows = draft.dates();
    let problem = policy::readiness(requests.view(situation)).or_else(|| {
        windows.map(|problem| {
            Violation::new(
                reason::WINDOW_ERROR,
                format!("Could not calculate renewal time: {problem}"),
            )
        })
    });
    let blocked = blocked_keystores(situation);
    let ready = problem.is_none();
    let event = problem.as_ref().and_then(no_window);
    match (problem, blocked) {
        (Some(violation), _) => draft.not_ready(violation),
        (None, None) => draft.ready(),
        (None, Some((violation, true))) => draft.ready_but(&violation.message),
        (None, Some((violation, false))) => draft.not_ready(violation.clone()),
    }
    draft.forget_key();

    let mut actions: Vec<Action> = draft.into_action().into_iter().collect();
    if !actions.is_empty() {
        actions.extend(event);
        if let Some((violation, _)) = blocked {
            let event = Event::warning(violation.reason, violation.message.clone());
            actions.push(Action::Publish(event));
        }
    }
    actions.extend(delete_keys(situation, None));
    if ready {
        actions.extend(delete_history(certificate, requests));
    }
    let mut next = wake_up(situation);
    if blocked.is_some() {
        // The Secret cannot be written without them, or they would go.
        next = next.sooner(Next::After(RECHECK));
    } else if let Standing::Outdated(violation) = &situation.keystores {
        actions.push(Action::ApplySecret(Content::Again(violation.clone())));
    } else if let Some(secret) = &situation.secret
        && let Some(violation) =
            upkeep::violation(certificate, secret, situation.settings.owner_reference)
                .or_else(|| rotation::upkeep(situation.turn))
    {
        let changes_roots = match situation.turn {
            Turn::Restore | Turn::Extend => true,
            Turn::None | Turn::Reissue => false,
        };
        let in_vain = situation.written.as_ref().is_some_and(|written| {
            written.is_of(certificate, secret)
                // What it put into `ca.crt`, and stands there, was of use then.
                && (!changes_roots || !written.kept_roots(secret))
        });
        if in_vain {
            // Our own write left it so: writing again would not help.
            next = next.sooner(Next::After(RECHECK));
        } else {
            actions.push(Action::ApplySecret(Content::Again(violation)));
        }
    }
    Plan { actions, next }
}

/// Tell that no window for renewal could be found, if that is the problem.
pub(super) fn no_window(problem: &Violation) -> Option<Action> {
    (problem.reason == reason::WINDOW_ERROR)
        .then(|| Action::Publish(Event::warning(problem.reason, problem.message.clone())))
}

/// When the certificate in the Secret makes a difference by itself: renewal or expiry.
fn wake_up(situation: &Situation) -> Next {
    let leaf = situation
        .secret
        .as_ref()
        .and_then(|secret| secret.leaf.read());
    let Some(leaf) = leaf else {
        return Next::After(LONGEST_SLEEP);
    };
    let CertificateFacts { spec, status, .. } = &*situation.certificate;
    let suggestion = suggestion::suggestion(status, leaf);
    let renewal = renewal_time(spec, suggestion, leaf.not_before, leaf.not_after);
    // Expired is what is past its last second.
    let expiry = leaf.not_after.saturating_add(SignedDuration::from_secs(1));
    [renewal.at, expiry.ok()]
        .into_iter()
        .flatten()
        .filter(|at| *at > situation.now)
        .map(|at| Next::After(until(situation.now, at)))
        .fold(Next::After(LONGEST_SLEEP), Next::sooner)
}

/// How long it is from `now` to `at`, at least a moment.
pub(super) fn until(now: Timestamp, at: Timestamp) -> Duration {
    const MOMENT: Duration = Duration::from_millis(10);
    Duration::try_from(now.duration_until(at))
        .unwrap_or_default()
        .max(MOMENT)
}

/// Delete the keys of issuances, except the one `kept`.
pub(super) fn delete_keys(situation: &Situation, kept: Option<&str>) -> Vec<Action> {
    situation
        .keys
        .iter()
        .filter(|secret| Some(&*secret.meta.key.name) != kept && !secret.meta.deleting)
        .map(|secret| Action::DeleteKey {
            key: secret.meta.key.clone(),
            uid: secret.meta.uid.clone(),
        })
        .collect()
}

/// Delete the oldest requests, so that as many are left as the Certificate says.
fn delete_history(certificate: &CertificateFacts, requests: &Requests<'_>) -> Vec<Action> {
    let limit = certificate.spec.revision_history_limit.unwrap_or(1).max(1);
    let mut past = requests.past.clone();
    past.sort_by_key(|(revision, _)| std::cmp::Reverse(*revision));
    past.into_iter()
        .skip(usize::try_from(limit).unwrap_or(usize::MAX))
        .map(|(_, request)| delete_request(request))
        .collect()
}

pub(super) fn delete_request(request: &RequestFacts) -> Action {
    Action::DeleteRequest {
        key: request.meta.key.clone(),
        uid: request.meta.uid.clone(),
    }
}
