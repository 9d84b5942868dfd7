//! What becomes of certificates when the CA of their issuer changes?
//!
//! An issuer is recorded with the CA that it was first seen with; certificates of any other CA are
//! none of our business. From then on a change of the CA is noticed ([`record`]), written down
//! ([`store`]), all its certificates get the new root beside theirs, and then each certificate of a
//! former CA gets its turn to be re-issued ([`turns`]).

mod lineage;
pub mod progress;
pub mod record;
mod rules;
mod store;
pub mod turns;

use std::{
    cell::LazyCell,
    collections::{HashMap, HashSet},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::Client;
use tracing::info;

use crate::{
    api::issuer::IssuerStatus,
    cluster::{ObjectKey, RequestError, metrics::Metrics},
    issuer::{ca, facts::IssuerKind, kind::Signer, view::IssuerView},
    pki::signed_by::{Fingerprint, SignedBy},
};

use lineage::lineage;
use progress::{Progress, Said};
use record::{Identity, Record};
pub use rules::Mode;
use rules::Rules;
use turns::{Turns, Work};

/// An issuer: kind and name.
pub type IssuerName = (IssuerKind, ObjectKey);

/// The certificates of issuers, as far as rotation needs them.
pub trait Certificates: Send + Sync {
    /// The Certificates of `issuer`.
    fn of(&self, issuer: &IssuerName) -> Vec<ObjectKey>;
    /// The certificate of a Certificate, if `issuer` has issued it.
    fn find(&self, issuer: &IssuerName, certificate: &ObjectKey) -> Option<Issued>;
    /// Whose issuer's certificate is in that Secret, if a Certificate keeps it.
    fn issuer_of(&self, secret: &ObjectKey) -> Option<IssuerName>;
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

/// What a Certificate may do now as its CA changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    #[default]
    None,
    /// Get the roots of other CAs of the issuer beside its own into `ca.crt`.
    Extend,
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
    metrics: Metrics,
    issuers: Mutex<HashMap<IssuerName, State>>,
    /// Those that nothing was written down of when somebody asked.
    unrecorded: Mutex<HashSet<IssuerName>>,
}

struct State {
    rules: Rules,
    turns: Turns,
    progress: Progress,
}

impl Rotations {
    /// Records are kept in `namespace` through `client`. Turns are given to `certificates`, and `wake`
    /// has an issuer looked at when the next one is due.
    pub fn new(
        client: Client,
        namespace: Arc<str>,
        certificates: Arc<dyn Certificates>,
        wake: Wake,
        metrics: Metrics,
    ) -> Self {
        Self {
            client,
            namespace,
            certificates,
            wake,
            metrics,
            issuers: Mutex::default(),
            unrecorded: Mutex::default(),
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
        let (turn, _) = self.note(issuer, certificate, issued, None, now);
        turn
    }

    /// The roots that go behind `roots`, as `ca.crt` of `certificate` has them when it is written: of the
    /// present CA of `issuer`, and of former ones that are trusted while another certificate is of one of
    /// them. PEM.
    pub fn roots_beside(
        &self,
        issuer: &IssuerName,
        certificate: &ObjectKey,
        roots: &[Fingerprint],
        now: Timestamp,
    ) -> Vec<Box<str>> {
        match self.issuers().get(issuer) {
            Some(State { rules, turns, .. }) => rules.beside(turns, certificate, roots, now),
            None => Vec::new(),
        }
    }

    /// Have [`Rotations::roots_beside`] know what is written down of `issuer`, also right after a start,
    /// when the issuer was not looked at yet: what is in the middle goes on with the same roots.
    ///
    /// # Errors
    /// The record cannot be read.
    pub async fn recall(&self, issuer: &IssuerView, now: Timestamp) -> Result<(), RequestError> {
        let name = (issuer.kind, issuer.key.clone());
        let Ok(Signer::Ca(ca)) = issuer.signer() else {
            return Ok(());
        };
        if self.issuers().contains_key(&name) || self.unrecorded().contains(&name) {
            return Ok(());
        }
        match self.read(&name).await? {
            None => drop(self.unrecorded().insert(name)),
            Some(record) => {
                let rules = Rules {
                    record,
                    mode: Mode::of(issuer).unwrap_or(Mode::Never),
                    own_secret: ca::place(issuer, ca),
                };
                if !self.issuers().contains_key(&name) {
                    self.begin(&name, rules, now);
                }
            }
        }
        Ok(())
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
            Some(record) => record.succeeded_by(&present, now),
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
        let name = (issuer.kind, issuer.key.clone());
        self.issuers().remove(&name);
        self.count(&name, 0);
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
        self.count(&name, 0);
        self.unrecorded().remove(&name);
        self.delete(&name).await
    }

    /// Look at every certificate of an issuer, when its CA changed.
    fn begin(&self, issuer: &IssuerName, rules: Rules, now: Timestamp) {
        let is_first = rules.record.former.is_empty();
        let state = State {
            rules,
            turns: Turns::default(),
            progress: Progress::default(),
        };
        self.issuers().insert(issuer.clone(), state);
        if is_first {
            return;
        }
        let lineage = self.lineage(&self.issuers(), issuer);
        let look = |certificate: &ObjectKey| {
            let issued = self.certificates.find(issuer, certificate)?;
            Some(self.note(issuer, certificate, &issued, Some(&lineage), now))
        };
        let mut others = self.certificates.of(issuer);
        others.retain(|certificate| look(certificate).is_some_and(|(_, work)| !work.lacks_roots()));
        // Only now it is known which CAs certificates are of, and so which roots are lacking.
        for certificate in &others {
            let is_rotating = |State { turns, .. }: &State| turns.to_reissue() > 0;
            if !self.issuers().get(issuer).is_some_and(is_rotating) {
                break;
            }
            look(certificate);
        }
        let counts = |State { turns, .. }: &State| (turns.to_reissue(), turns.to_extend());
        let (count, lacking) = self.issuers().get(issuer).map(counts).unwrap_or_default();
        if count > 0 {
            info!(
                kind = %issuer.0, issuer = %issuer.1, count, lacking,
                "the CA changed: re-issuing, once all have its root"
            );
        }
    }

    /// Give the next turns, if it is time; answers when those after that are due.
    fn go_on(&self, issuer: &IssuerName, now: Timestamp) -> Option<Timestamp> {
        let mut issuers = self.issuers();
        let mut turns = mem::take(&mut issuers.get_mut(issuer)?.turns);
        let lineage = LazyCell::new(|| self.lineage(&issuers, issuer));
        let taken = turns.take(now, |key, turns| {
            let found = self.certificates.find(issuer, key);
            let rules = issuers.get(issuer).map(|State { rules, .. }| rules);
            match found.zip(rules) {
                Some((issued, _)) if lineage.contains(&issued.secret) => Work::None,
                Some((issued, rules)) => rules.work(turns, key, &issued, now),
                None => Work::None,
            }
        });
        let (next, left) = (turns.next(), turns.to_reissue());
        issuers.get_mut(issuer)?.turns = turns;
        drop(issuers);
        self.count(issuer, left);
        for certificate in taken {
            self.certificates.wake(&certificate);
        }
        next
    }

    /// Note what is to be done for the certificate of `certificate`: what it may do now, and what that is.
    /// Its `lineage` is looked up unless it is known.
    fn note(
        &self,
        issuer: &IssuerName,
        certificate: &ObjectKey,
        issued: &Issued,
        lineage: Option<&[ObjectKey]>,
        now: Timestamp,
    ) -> (Turn, Work) {
        let mut issuers = self.issuers();
        let Some(State { rules, turns, .. }) = issuers.get(issuer) else {
            return (Turn::None, Work::None);
        };
        let is_in_circle = || match lineage {
            Some(lineage) => lineage.contains(&issued.secret),
            None => self.lineage(&issuers, issuer).contains(&issued.secret),
        };
        let work = match rules.work(turns, certificate, issued, now) {
            Work::None => Work::None,
            Work::Reissue { .. } | Work::Extend | Work::Restore if is_in_circle() => Work::None,
            work @ (Work::Reissue { .. } | Work::Extend | Work::Restore) => work,
        };
        let Some(State { turns, .. }) = issuers.get_mut(issuer) else {
            return (Turn::None, Work::None);
        };
        let before = turns.next();
        let turn = turns.note(certificate, work, now);
        let next = turns.next();
        drop(issuers);
        if let Some(next) = next.filter(|next| before.is_none_or(|before| *next < before)) {
            (self.wake)(issuer, until(now, next));
        }
        (turn, work)
    }

    /// The Secrets with the CA of `issuer`, and with those that it comes from.
    fn lineage(&self, issuers: &HashMap<IssuerName, State>, issuer: &IssuerName) -> Vec<ObjectKey> {
        let place_of = |name: &IssuerName| {
            let State { rules, .. } = issuers.get(name)?;
            Some(rules.own_secret.clone())
        };
        let signer_of = |secret: &ObjectKey| self.certificates.issuer_of(secret);
        lineage(issuer, place_of, signer_of)
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
                    lacking: state.turns.to_extend(),
                    overdue: state.turns.overdue(),
                    last: state.turns.last(now),
                    trusted_until: state.turns.trusted_until(now),
                },
            },
        };
        state.progress.tell(&said, issuer.generation, status, now);
    }

    fn count(&self, (kind, issuer): &IssuerName, left: usize) {
        let kind = kind.as_str();
        self.metrics
            .certificates_to_reissue(kind, &issuer.namespace, &issuer.name, left);
    }

    fn unrecorded(&self) -> MutexGuard<'_, HashSet<IssuerName>> {
        self.unrecorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn issuers(&self) -> MutexGuard<'_, HashMap<IssuerName, State>> {
        self.issuers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long it is from `now` to `at`.
fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(now.duration_until(at)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
