//! What did a Certificate say last, when it was seen going?
//!
//! A policy that was changed in the same moment in which the Certificate was deleted is in no record.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use crate::{
    api::{deletion::DeletionPolicy, reference::IssuerRef},
    certificate::facts::CertificateFacts,
};

/// More are forgotten, the oldest first: their records count.
const MOST: usize = 4096;

/// The last words of Certificates, by uid.
#[derive(Debug, Default)]
pub struct Departed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    words: HashMap<String, LastWords>,
    order: VecDeque<String>,
}

/// What a Certificate said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWords {
    /// Its own policy.
    pub policy: Option<DeletionPolicy>,
    /// Its issuer.
    pub issuer: IssuerRef,
}

impl Departed {
    /// `certificate` is gone.
    pub fn note(&self, certificate: &CertificateFacts) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = certificate.meta.uid.clone();
        let words = LastWords {
            policy: certificate.spec.deletion_policy,
            issuer: certificate.spec.issuer_ref.clone(),
        };
        if state.words.insert(uid.clone(), words).is_none() {
            state.order.push_back(uid);
        }
        if state.order.len() > MOST
            && let Some(oldest) = state.order.pop_front()
        {
            state.words.remove(&oldest);
        }
    }

    /// What the Certificate `uid` said last.
    pub fn last_words(&self, uid: &str) -> Option<LastWords> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.words.get(uid).cloned()
    }
}
