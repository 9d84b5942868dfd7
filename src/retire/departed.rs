//! What did a Certificate or an issuer say last, when it was seen going?
//!
//! Every replica remembers, so that one that leads from now on knows too.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    api::{deletion::DeletionPolicy, reference::IssuerRef},
    certificate::facts::CertificateFacts,
    cluster::ObjectKey,
    issuer::{IssuerView, Issuers, Missing},
    retire::facts::Settings,
};

/// More Certificates are forgotten, the oldest first.
const MOST: usize = 16384;
/// More issuers are forgotten, the oldest first.
const MOST_ISSUERS: usize = 256;
/// What is longer ago is forgotten: whoever was to act on it has done so.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// The last words of what is gone.
#[derive(Debug, Default)]
pub struct Departed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Of Certificates, by uid.
    words: HashMap<String, (Instant, LastWords)>,
    order: VecDeque<(Instant, String)>,
    /// Issuers, the last one last.
    issuers: VecDeque<(Instant, IssuerView)>,
}

/// What a Certificate said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWords {
    /// Its name.
    pub certificate: ObjectKey,
    /// Its uid.
    pub uid: String,
    /// Since when it was there.
    pub created: Option<Timestamp>,
    /// The Secret that it named.
    pub secret: ObjectKey,
    /// Its own policy.
    pub policy: Option<DeletionPolicy>,
    /// Its issuer.
    pub issuer: IssuerRef,
    /// Whether what it kept was issued here, and not by cert-manager.
    pub is_issued_here: bool,
}

impl LastWords {
    /// By what it is worked on: namespace and uid.
    pub fn as_key(&self) -> ObjectKey {
        ObjectKey::new(Arc::clone(&self.certificate.namespace), self.uid.as_str())
    }
}

impl Departed {
    /// `certificate` is gone.
    pub fn note(&self, certificate: &CertificateFacts) {
        let uid = certificate.meta.uid.clone();
        let words = LastWords {
            certificate: certificate.meta.key.clone(),
            uid: uid.clone(),
            created: certificate.meta.created,
            secret: certificate.secret(),
            policy: certificate.spec.deletion_policy,
            issuer: certificate.spec.issuer_ref.clone(),
            is_issued_here: certificate.is_issued_here,
        };
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.words.insert(uid.clone(), (now, words)).is_none() {
            state.order.push_back((now, uid));
        }
        while let Some((at, _)) = state.order.front()
            && (state.order.len() > MOST || now.duration_since(*at) > REMEMBERED)
            && let Some((_, oldest)) = state.order.pop_front()
        {
            state.words.remove(&oldest);
        }
    }

    /// `issuer` is gone.
    pub fn note_issuer(&self, issuer: IssuerView) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let issuers = &mut state.issuers;
        issuers.retain(|(_, known)| !is_same(known, &issuer));
        issuers.push_back((Instant::now(), issuer));
        if issuers.len() > MOST_ISSUERS {
            issuers.pop_front();
        }
    }

    /// What the Certificate `uid` said last.
    pub fn last_words(&self, uid: &str) -> Option<LastWords> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, words) = state.words.get(uid)?;
        (at.elapsed() <= REMEMBERED).then(|| words.clone())
    }

    /// Those that were issued here, as they are worked on: by namespace and uid.
    pub fn keys(&self) -> Vec<ObjectKey> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let words = state.words.values();
        words
            .filter(|(_, words)| words.is_issued_here)
            .map(|(_, words)| words.as_key())
            .collect()
    }

    /// When the Certificate `uid` was seen going.
    pub fn seen(&self, uid: &str) -> Option<Instant> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.words.get(uid).map(|(at, _)| *at)
    }

    /// The issuer that an object in `namespace` refers to, as it is, or as it was when it went.
    ///
    /// # Errors
    /// Why there is none.
    pub fn issuer(
        &self,
        issuers: &Issuers,
        reference: &IssuerRef,
        namespace: &str,
    ) -> Result<IssuerView, Missing> {
        let missing = match issuers.lookup(reference, namespace) {
            Ok(issuer) => return Ok(issuer),
            Err(missing) => missing,
        };
        let Missing::NotFound { kind, key } = &missing else {
            return Err(missing);
        };
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = state.issuers.iter();
        let found = known.find(|(at, known)| {
            known.kind == *kind && known.key == *key && at.elapsed() <= REMEMBERED
        });
        found.map(|(_, issuer)| issuer.clone()).ok_or(missing)
    }

    /// What is to become of what a Certificate in `namespace` keeps that says `own` itself: `None`
    /// where its issuer might have said so, and is not known.
    pub fn policy(
        &self,
        issuers: &Issuers,
        settings: &Settings,
        own: Option<DeletionPolicy>,
        issuer: &IssuerRef,
        namespace: &str,
    ) -> Option<DeletionPolicy> {
        if own.is_some() {
            return own;
        }
        match self.issuer(issuers, issuer, namespace) {
            Ok(issuer) => Some(settings.policy(None, issuer.spec.deletion_policy)),
            // Others have no word in this.
            Err(Missing::Foreign { .. } | Missing::Kind { .. }) => Some(settings.default_policy),
            Err(Missing::NotFound { .. }) => None,
        }
    }
}

fn is_same(one: &IssuerView, other: &IssuerView) -> bool {
    one.kind == other.kind && one.key == other.key
}

#[cfg(test)]
mod tests;
