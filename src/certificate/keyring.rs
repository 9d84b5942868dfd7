//! Where are private keys made, and where is one at hand while its issuance runs?

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::{
    certificate::facts::Held,
    cluster::ObjectKey,
    pki::key::{KeyParameters, PrivateKey},
};

/// Keys kept at hand; one that is not is read from its Secret again.
const KEPT: usize = 256;

/// Makes keys beside the reactor's threads, as many at once as there are cores, and keeps some in
/// memory until their issuance is over. The library overwrites the memory of a key that is let go.
pub(super) struct KeyRing {
    /// By the uid of their Secret, which is the truth; the oldest first.
    kept: Mutex<VecDeque<(String, Arc<PrivateKey>)>>,
    /// Those that are stored nowhere, by their Certificate; the oldest first.
    held: Mutex<VecDeque<(ObjectKey, Held, Arc<PrivateKey>)>>,
    cores: Semaphore,
}

/// The thread that worked with a key did not come back.
#[derive(Debug, thiserror::Error)]
#[error("the thread for work with private keys ended")]
pub struct Ended;

impl KeyRing {
    /// Work on `cores` keys at once.
    pub(super) fn new(cores: usize) -> Self {
        Self {
            kept: Mutex::default(),
            held: Mutex::default(),
            cores: Semaphore::new(cores.max(1)),
        }
    }

    /// Make a key.
    pub(super) async fn generate(
        &self,
        parameters: KeyParameters,
    ) -> Result<Result<PrivateKey, crate::pki::Error>, Ended> {
        self.work(move || PrivateKey::generate(parameters)).await
    }

    /// Do work that takes CPU time.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let _core = self.cores.acquire().await.map_err(|_| Ended)?;
        spawn_blocking(work).await.map_err(|_| Ended)
    }

    /// Have the key of the Secret `uid` at hand.
    pub(super) fn keep(&self, uid: &str, key: Arc<PrivateKey>) {
        let mut kept = self.kept();
        kept.retain(|(known, _)| known != uid);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((uid.to_owned(), key));
    }

    /// The key of the Secret `uid`, if it is at hand.
    pub(super) fn get(&self, uid: &str) -> Option<Arc<PrivateKey>> {
        let kept = self.kept();
        let found = kept.iter().find(|(known, _)| known == uid)?;
        Some(Arc::clone(&found.1))
    }

    /// Let go of the key of the Secret `uid`.
    pub(super) fn forget(&self, uid: &str) {
        self.kept().retain(|(known, _)| known != uid);
    }

    /// Have the key of the next issuance of `certificate` at hand, stored nowhere.
    pub(super) fn hold(&self, certificate: &ObjectKey, what: Held, key: Arc<PrivateKey>) {
        let mut held = self.held();
        held.retain(|(of, ..)| of != certificate);
        if held.len() >= KEPT {
            held.pop_front();
        }
        held.push_back((certificate.clone(), what, key));
    }

    /// The key held for `certificate` under `name`; one under another name is of an issuance that
    /// is over, and let go.
    pub(super) fn held_as(
        &self,
        certificate: &ObjectKey,
        name: &str,
    ) -> Option<(Held, Arc<PrivateKey>)> {
        let mut held = self.held();
        held.retain(|(of, what, _)| of != certificate || what.name == name);
        let (_, what, key) = held.iter().find(|(of, ..)| of == certificate)?;
        Some((what.clone(), Arc::clone(key)))
    }

    /// Let go of the key held for `certificate`.
    pub(super) fn let_go(&self, certificate: &ObjectKey) {
        self.held().retain(|(of, ..)| of != certificate);
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<(ObjectKey, Held, Arc<PrivateKey>)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(String, Arc<PrivateKey>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.kept().len() + self.held().len();
        write!(f, "KeyRing({keys} keys)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{certificate::secret::KeyFacts, pki::key::KeyAlgorithm};

    #[tokio::test]
    async fn keys_are_at_hand_until_forgotten_or_crowded_out() {
        let ring = KeyRing::new(0);
        let ed25519 = KeyParameters::new(KeyAlgorithm::Ed25519, None).unwrap();
        let key = Arc::new(ring.generate(ed25519).await.unwrap().unwrap());
        assert_eq!(key.parameters(), ed25519);
        for number in 0..=KEPT {
            ring.keep(&number.to_string(), Arc::clone(&key));
        }
        assert!(ring.get("0").is_none());
        assert!(ring.get("1").is_some());
        ring.forget("1");
        assert!(ring.get("1").is_none());
        ring.keep("2", Arc::clone(&key));
        ring.keep("new", key);
        assert!(ring.get("2").is_some() && ring.get("new").is_some());
        assert_eq!(format!("{ring:?}"), "KeyRing(256 keys)");
    }

    #[tokio::test]
    async fn a_held_key_is_let_go_when_another_is_asked_for() {
        let ring = KeyRing::new(1);
        let ed25519 = KeyParameters::new(KeyAlgorithm::Ed25519, None).unwrap();
        let key = Arc::new(ring.generate(ed25519).await.unwrap().unwrap());
        let held = |name: &str| Held {
            name: name.to_owned(),
            key: KeyFacts::of(&key).unwrap(),
            since: "2026-01-01T00:00:00Z".parse().unwrap(),
            reused: None,
        };
        let (web, other) = (ObjectKey::new("ns", "web"), ObjectKey::new("ns", "other"));
        for name in ["first", "second"] {
            ring.hold(&web, held(name), Arc::clone(&key));
            ring.hold(&other, held(name), Arc::clone(&key));
        }
        assert_eq!(ring.held_as(&web, "second").unwrap().0, held("second"));
        assert!(ring.held_as(&web, "third").is_none());
        assert!(ring.held_as(&web, "second").is_none());
        assert!(ring.held_as(&other, "second").is_some());
        ring.let_go(&other);
        assert!(ring.held_as(&other, "second").is_none());
        for number in 0..=KEPT {
            let certificate = ObjectKey::new("ns", number.to_string());
            ring.hold(&certificate, held("name"), Arc::clone(&key));
        }
        assert!(ring.held_as(&ObjectKey::new("ns", "0"), "name").is_none());
        assert!(ring.held_as(&ObjectKey::new("ns", "1"), "name").is_some());
    }
}
