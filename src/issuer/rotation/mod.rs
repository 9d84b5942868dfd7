//! What becomes of certificates when the CA of their issuer changes?
//!
//! An issuer is recorded with the CA that it was first seen with; certificates of any other CA are
//! none of our business. From then on a change of the CA is noticed ([`record`]), written down
//! ([`store`]), and each certificate of a former CA gets its turn to be re-issued ([`turns`]).

pub mod progress;
pub mod record;
mod store;
pub mod turns;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::Client;
use tracing::info;

use crate::{
    api::{issuer::IssuerStatus, names::annotation},
    cluster::{ObjectKey, RequestError},
    issuer::{facts::IssuerKind, view::IssuerView},
    pki::signed_by::{Fingerprint, SignedBy},
};

use progress::{Progress, Said};
use record::{Identity, Record, SignerOf};
use turns::{Turns, Work};

/// An issuer: kind and name.
pub type IssuerName = (IssuerKind, ObjectKey);

/// The certificates of issuers, as far as rotation needs them.
pub trait Certificates: Send + Sync {
    /// The Certificates of `issuer`.
    fn of(&self, issuer: &IssuerName) -> Vec<ObjectKey>;
    /// The certificate of a Certificate, if `issuer` has issued it.
    fn find(&self, issuer: &IssuerName, certificate: &ObjectKey) -> Option<Issued>;
    /// It is the turn of a Certificate.
    fn wake(&self, certificate: &ObjectKey);
}

/// A certificate as it stands in its Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The Secret.
    pub secret: ObjectKey,
    /// Who signed it.
    pub signed_by: SignedBy,
    /// The certificates in `ca.crt`.
    pub roots: Vec<Fingerprint>,
    /// When it expires.
    pub not_after: Timestamp,
}

/// Whether certificates are re-issued when the CA of their issuer changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    Automatic,
    /// They are left to their ordinary renewal.
    Never,
}

impl Mode {
    /// What the annotation of an issuer says.
    ///
    /// # Errors
    /// What it says, where that means nothing: then nothing is re-issued.
    pub fn of(issuer: &IssuerView) -> Result<Self, String> {
        match issuer
            .annotations
            .get(annotation::ROTATION)
            .map(String::as_str)
        {
            None | Some("Automatic") => Ok(Self::Automatic),
            Some("Never") => Ok(Self::Never),
            Some(other) => Err(other.to_owned()),
        }
    }
}

/// What a Certificate may do now as its CA changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    #[default]
    None,
    /// Be re-issued.
    Reissue,
    /// Put `ca.crt` back to the one root.
    Restore,
}

/// Wakes the reconciler of an issuer after a while.
pub type Wake = Box<dyn Fn(&IssuerName, Duration) + Send + Sync>;

/// The issuers with a CA, and what is being re-issued for them. One for all.
pub struct Rotations {
    client: Client,
    /// Where records are kept.
    namespace: Arc<str>,
    certificates: Arc<dyn Certificates>,
    wake: Wake,
    issuers: Mutex<HashMap<IssuerName, State>>,
}

struct State {
    rules: Rules,
    turns: Turns,
    progress: Progress,
}

/// What decides what is to be done for a certificate.
#[derive(Clone, PartialEq)]
struct Rules {
    record: Record,
    mode: Mode,
    /// The Secret of the CA: one that signs its own successor would never come to an end.
    own_secret: ObjectKey,
}

impl Rules {
    fn work(&self, issued: &Issued) -> Work {
        if self.mode == Mode::Never || issued.secret == self.own_secret {
            return Work::None;
        }
        match self.record.signer_of(&issued.signed_by) {
            SignerOf::Former(former) => Work::Reissue {
                expires: issued.not_after,
                ca_expires: former.not_after,
            },
            SignerOf::Present if self.record.is_bundle(&issued.roots) => Work::Restore,
            SignerOf::Present | SignerOf::Unknown => Work::None,
        }
    }
}

impl Rotations {
    /// Records are kept in `namespace` through `client`. Turns are given to `certificates`, and `wake`
    /// has an issuer looked at when the next one is due.
    pub fn new(
        client: Client,
        namespace: Arc<str>,
        certificates: Arc<dyn Certificates>,
        wake: Wake,
    ) -> Self {
        Self {
            client,
            namespace,
            certificates,
            wake,
            issuers: Mutex::default(),
        }
    }

    /// What the Certificate that has `issued` from `issuer` may do now.
    pub fn turn(
        &self,
        issuer: &IssuerName,
        certificate: &ObjectKey,
        issued: &Issued,
        now: Timestamp,
    ) -> Turn {
        let mut issuers = self.issuers();
        let Some(state) = issuers.get_mut(issuer) else {
            return Turn::None;
        };
        let work = state.rules.work(issued);
        let before = state.turns.next();
        let is_granted = state.turns.note(certificate, work, now);
        let next = state.turns.next();
        drop(issuers);
        if let (None, Some(next)) = (before, next) {
            (self.wake)(issuer, until(now, next));
        }
        match work {
            Work::Reissue { .. } if is_granted => Turn::Reissue,
            Work::Restore if is_granted => Turn::Restore,
            Work::None | Work::Reissue { .. } | Work::Restore => Turn::None,
        }
    }

    /// The roots that go into `ca.crt` behind that of `issuer`, when `certificate` is written: those of
    /// former CAs, while another certificate is of one of them. PEM.
    pub fn former_roots(
        &self,
        issuer: &IssuerName,
        certificate: &ObjectKey,
        now: Timestamp,
    ) -> Vec<Box<str>> {
        match self.issuers().get(issuer) {
            Some(state) if state.turns.is_reissuing(Some(certificate), now) => {
                state.rules.record.former_roots(now)
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// `issuer` was found to sign with `present`, which is in `secret`. Answers when to look again, and
    /// leaves what is to be said about it for [`Rotations::tell`].
    ///
    /// # Errors
    /// The record cannot be read or written.
    pub(super) async fn served(
        &self,
        issuer: &IssuerView,
        secret: ObjectKey,
        present: Identity,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, RequestError> {
        let name = (issuer.kind, issuer.key.clone());
        let mode = Mode::of(issuer).unwrap_or(Mode::Never);
        let known = self.issuers().get(&name).map(|state| state.rules.clone());
        let written = match &known {
            Some(rules) => Some(rules.record.clone()),
            None => self.read(&name).await?,
        };
        let next = match &written {
            None => Some(Record::new(present)),
            Some(record) => record.succeeded_by(&present),
        };
        if let Some(next) = &next {
            self.write(&name, next).await?;
        }
        let Some(record) = next.or(written) else {
            return Ok(None);
        };
        let rules = Rules {
            record,
            mode,
            own_secret: secret,
        };
        if known.as_ref() != Some(&rules) {
            self.begin(&name, rules, now);
        }
        Ok(self.go_on(&name, now))
    }

    /// The issuer has no CA of its own now.
    pub(super) fn stop(&self, issuer: &IssuerView) {
        self.issuers().remove(&(issuer.kind, issuer.key.clone()));
    }

    /// The issuer is gone, and with it what is known of it.
    ///
    /// # Errors
    /// The record cannot be deleted.
    pub(super) async fn forget(
        &self,
        kind: IssuerKind,
        issuer: &ObjectKey,
    ) -> Result<(), RequestError> {
        let name = (kind, issuer.clone());
        self.issuers().remove(&name);
        self.delete(&name).await
    }

    /// Look at every certificate of an issuer, once.
    fn begin(&self, issuer: &IssuerName, rules: Rules, now: Timestamp) {
        let mut turns = Turns::default();
        if !rules.record.former.is_empty() {
            for certificate in self.certificates.of(issuer) {
                if let Some(issued) = self.certificates.find(issuer, &certificate) {
                    turns.note(&certificate, rules.work(&issued), now);
                }
            }
        }
        let count = turns.to_reissue();
        if count > 0 {
            info!(kind = %issuer.0, issuer = %issuer.1, count, "the CA changed: re-issuing");
        }
        let state = State {
            rules,
            turns,
            progress: Progress::default(),
        };
        self.issuers().insert(issuer.clone(), state);
    }

    /// Give the next turn, if it is time; answers when the one after that is due.
    fn go_on(&self, issuer: &IssuerName, now: Timestamp) -> Option<Timestamp> {
        let mut issuers = self.issuers();
        let State { rules, turns, .. } = issuers.get_mut(issuer)?;
        let work = |key: &ObjectKey| match self.certificates.find(issuer, key) {
            Some(issued) => rules.work(&issued),
            None => Work::None,
        };
        for key in turns.granted() {
            turns.note(&key, work(&key), now);
        }
        let taken = turns.take(now, |key, is| work(key) == is);
        let next = turns.next();
        drop(issuers);
        if let Some(certificate) = taken {
            self.certificates.wake(&certificate);
        }
        next
    }

    /// Say in the status of `issuer` how far it is.
    pub(super) fn tell(&self, issuer: &IssuerView, status: &mut IssuerStatus, now: Timestamp) {
        let name = (issuer.kind, issuer.key.clone());
        let mut issuers = self.issuers();
        let Some(state) = issuers.get_mut(&name) else {
            Progress::default().tell(&Said::Nothing, issuer.generation, status, now);
            return;
        };
        let said = match Mode::of(issuer) {
            Err(value) => Said::Unknown(value),
            Ok(_) => match state.turns.to_reissue() {
                0 => Said::Nothing,
                left => Said::Underway {
                    left,
                    of: self.certificates.of(&name).len().max(left),
                    last: state.turns.last(now),
                },
            },
        };
        state.progress.tell(&said, issuer.generation, status, now);
    }

    fn issuers(&self) -> MutexGuard<'_, HashMap<IssuerName, State>> {
        self.issuers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long it is from `now` to `at`.
fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(now.duration_until(at)).unwrap_or_default()
}
