//! What has changed since a request was made that a new one may go well for?

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

use crate::{api::condition::AnyCondition, cluster::ObjectKey, issuer::IssuerView};

/// How soon a failed issuance is begun anew, for something has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anew {
    /// Now: somebody changed the issuer.
    AtOnce,
    /// After the shortest wait: Secrets change, and issuers become ready, without anybody's doing,
    /// and again and again.
    Soon,
}

/// The uid and version of a Secret.
type Version = (String, String);

/// What a request rests on: its issuer, and the Secrets that this uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Basis {
    uid: String,
    generation: i64,
    secrets: Vec<(ObjectKey, Option<Version>)>,
}

impl Basis {
    /// As it is now.
    pub(super) fn of(issuer: &IssuerView, version: impl Fn(&ObjectKey) -> Option<Version>) -> Self {
        Self {
            uid: issuer.uid.clone(),
            generation: issuer.generation,
            secrets: issuer
                .secrets()
                .map(|secret| {
                    let version = version(&secret);
                    (secret, version)
                })
                .collect(),
        }
    }

    fn changed_to(&self, now: &Self) -> Option<Anew> {
        if (&self.uid, self.generation) != (&now.uid, now.generation) {
            return Some(Anew::AtOnce);
        }
        (self.secrets != now.secrets).then_some(Anew::Soon)
    }
}

/// Whether `issuer` became ready after something `failed`.
pub(super) fn ready_since(issuer: &IssuerView, failed: Timestamp) -> Option<Anew> {
    let ready = issuer.ready_condition().filter(|_| issuer.ready())?;
    let since = ready.last_transition_time()?.0;
    (since > failed).then_some(Anew::Soon)
}

/// What the requests of Certificates rested on when they were first seen, since the start of the
/// process: nothing of it is stored, and after a restart a failure has its ordinary wait.
#[derive(Debug, Default)]
pub(super) struct Bases(Mutex<HashMap<ObjectKey, (String, Basis)>>);

impl Bases {
    /// What has changed since the request with this uid, of `certificate`, was first seen, if
    /// what it rests on is `now`.
    pub(super) fn compare(
        &self,
        certificate: &ObjectKey,
        request: &str,
        now: Basis,
    ) -> Option<Anew> {
        let mut bases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match bases.get(certificate) {
            Some((of, before)) if of == request => before.changed_to(&now),
            Some(_) | None => {
                bases.insert(certificate.clone(), (request.to_owned(), now));
                None
            }
        }
    }

    pub(super) fn forget(&self, certificate: &ObjectKey) {
        let mut bases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bases.remove(certificate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basis(generation: i64, secret: Option<&str>) -> Basis {
        let version = secret.map(|version| ("uid".to_owned(), version.to_owned()));
        Basis {
            uid: "issuer".into(),
            generation,
            secrets: vec![(ObjectKey::new("web", "tsig"), version)],
        }
    }

    #[test]
    fn a_request_is_held_against_what_it_was_made_on() {
        let bases = Bases::default();
        let web = ObjectKey::new("web", "www");
        let compare = |request, basis| bases.compare(&web, request, basis);
        assert_eq!(compare("1", basis(1, Some("5"))), None);
        assert_eq!(compare("1", basis(1, Some("5"))), None);
        assert_eq!(compare("1", basis(1, Some("6"))), Some(Anew::Soon));
        assert_eq!(compare("1", basis(1, None)), Some(Anew::Soon));
        assert_eq!(compare("1", basis(2, Some("5"))), Some(Anew::AtOnce));
        // The next request is made on what is there by then.
        assert_eq!(compare("2", basis(2, Some("6"))), None);
        assert_eq!(compare("2", basis(2, Some("6"))), None);
        let other = Basis {
            uid: "another".into(),
            ..basis(2, Some("6"))
        };
        assert_eq!(compare("2", other), Some(Anew::AtOnce));
        bases.forget(&web);
        assert_eq!(bases.compare(&web, "2", basis(3, None)), None);
    }
}
