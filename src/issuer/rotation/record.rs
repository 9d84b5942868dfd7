//! Which CA does an issuer sign with, and which did it sign with before? Pure.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::pki::{
    authority::Authority,
    signed_by::{self, Fingerprint, SignedBy},
};

/// More former CAs are not remembered: what the oldest signed is left to its ordinary renewal.
const MOST_FORMER: usize = 8;
/// So long after another took its place a CA is trusted at most: it may have gone as somebody else has its
/// key, and a certificate of it can be put into a Secret at any time.
const TRUSTED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A CA that signs, or has signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Its certificate.
    pub certificate: Fingerprint,
    /// The identifier of its key.
    pub key_id: Option<Box<str>>,
    /// When its certificate expires.
    pub not_after: Timestamp,
    /// The root that what it signs is trusted by, PEM.
    pub root: Box<str>,
    /// Which certificate that is.
    pub root_certificate: Option<Fingerprint>,
    /// When another took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Timestamp>,
}

impl From<&Authority> for Identity {
    fn from(authority: &Authority) -> Self {
        let root = authority.ca_pem();
        Self {
            certificate: authority.fingerprint(),
            key_id: authority.key_id(),
            not_after: authority.not_after(),
            root: root.into(),
            root_certificate: Fingerprint::all(root.as_bytes()).first().copied(),
            replaced: None,
        }
    }
}

impl Identity {
    /// Until when what it signed is to be trusted.
    pub fn trusted_until(&self) -> Timestamp {
        let end = self.replaced.and_then(|at| at.checked_add(TRUSTED).ok());
        end.map_or(self.not_after, |end| end.min(self.not_after))
    }

    /// Whether its certificate signed that. Keys say less: several certificates may have the same.
    fn signed(&self, leaf: &SignedBy) -> bool {
        let other_key = match (&self.key_id, &leaf.key_id) {
            (Some(ours), Some(theirs)) => ours != theirs,
            (None, _) | (_, None) => false,
        };
        // What stands beside a leaf may have been put there by anybody.
        !other_key && leaf.certificate == Some(self.certificate)
    }

    fn has_key_of(&self, leaf: &SignedBy) -> bool {
        self.key_id.is_some() && self.key_id == leaf.key_id
    }
}

/// The CAs that an issuer was seen to sign with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The one it signs with.
    pub present: Identity,
    /// Those before, the latest first.
    #[serde(default)]
    pub former: Vec<Identity>,
}

/// Who signed a certificate, as far as a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignerOf<'a> {
    /// The CA that signs now.
    Present,
    /// One that was seen to sign, and signs no more.
    Former(&'a Identity),
    /// One that was never seen: whatever became of it, nothing follows.
    Unknown,
}

impl Record {
    /// An issuer is seen for the first time. What other CAs signed for it is nothing new.
    pub fn new(present: Identity) -> Self {
        Self {
            present,
            former: Vec::new(),
        }
    }

    /// The record once the issuer signs with `next`, as it is seen `now`; `None` if that is nothing new.
    pub fn succeeded_by(&self, next: &Identity, now: Timestamp) -> Option<Self> {
        if self.present == *next {
            return None;
        }
        let mut former = self.former.clone();
        let replaced = Identity {
            replaced: Some(now),
            ..self.present.clone()
        };
        former.insert(0, replaced);
        former.retain(|identity| identity.certificate != next.certificate);
        former.truncate(MOST_FORMER);
        Some(Self {
            present: next.clone(),
            former,
        })
    }

    /// Who signed a certificate.
    pub fn signer_of(&self, leaf: &SignedBy) -> SignerOf<'_> {
        let former = |is: &dyn Fn(&Identity) -> bool| self.former.iter().find(|one| is(one));
        if self.present.signed(leaf) {
            return SignerOf::Present;
        }
        if let Some(found) = former(&|one| one.signed(leaf)) {
            return SignerOf::Former(found);
        }
        if self.present.has_key_of(leaf) {
            return SignerOf::Present;
        }
        match former(&|one| one.has_key_of(leaf)) {
            Some(found) => SignerOf::Former(found),
            None => SignerOf::Unknown,
        }
    }

    /// Whether the present root is the first of these, as `ca.crt` has them.
    pub fn leads(&self, roots: &[Fingerprint]) -> bool {
        let first = roots.first();
        first.is_some_and(|first| self.present.root_certificate == Some(*first))
    }

    /// Whether these, as `ca.crt` has them, are the present root and some of former CAs.
    pub fn is_bundle(&self, roots: &[Fingerprint]) -> bool {
        let rest = roots.get(1..).unwrap_or_default();
        let is_former = |root: &Fingerprint| {
            let mut former = self.former.iter();
            former.any(|one| one.root_certificate == Some(*root))
        };
        self.leads(roots) && !rest.is_empty() && rest.iter().all(is_former)
    }

    /// The roots that `roots`, as `ca.crt` has them, lack: that of the present CA, and those of former CAs
    /// that are needed still and trusted. PEM. None where nothing is trusted by them yet, or
    /// more than can be told apart.
    pub fn missing(
        &self,
        roots: &[Fingerprint],
        is_needed: impl Fn(&Identity) -> bool,
        now: Timestamp,
    ) -> Vec<Box<str>> {
        let mut missing: Vec<Box<str>> = Vec::new();
        if roots.is_empty() || roots.len() >= signed_by::MOST {
            return missing;
        }
        let former = self.former.iter();
        let former = former.filter(|one| one.trusted_until() > now && is_needed(one));
        for wanted in [&self.present].into_iter().chain(former) {
            let is_there = match &wanted.root_certificate {
                Some(root) => roots.contains(root),
                None => true,
            };
            if !is_there && !missing.contains(&wanted.root) {
                missing.push(wanted.root.clone());
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A CA whose certificate is called `certificate`, with a key of that name.
    fn identity(certificate: &str, key: Option<&str>) -> Identity {
        let root = format!("root of {certificate}");
        Identity {
            certificate: Fingerprint::of(certificate.as_bytes()),
            key_id: key.map(Into::into),
            not_after: Timestamp::from_second(1000).unwrap(),
            root_certificate: Some(Fingerprint::of(root.as_bytes())),
            root: root.into(),
            replaced: None,
        }
    }

    fn leaf(certificate: Option<&str>, key: Option<&str>) -> SignedBy {
        SignedBy {
            key_id: key.map(Into::into),
            certificate: certificate.map(|name| Fingerprint::of(name.as_bytes())),
        }
    }

    /// Who signs, one after the other.
    fn record(authorities: &[(&str, Option<&str>)]) -> Record {
        let mut identities = authorities.iter().map(|(name, key)| identity(name, *key));
        let mut record = Record::new(identities.next().unwrap());
        for next in identities {
            record = record.succeeded_by(&next, Timestamp::UNIX_EPOCH).unwrap();
        }
        record
    }

    #[test]
    fn certificates_are_told_apart_by_the_key_and_the_certificate_of_their_ca() {
        type Case<'a> = (
            &'a [(&'a str, Option<&'a str>)],
            Option<&'a str>,
            Option<&'a str>,
            &'a str,
        );
        let cases: &[Case<'_>] = &[
            // First sight: what others signed is none of our business.
            (&[("a", Some("1"))], Some("a"), Some("1"), "present"),
            (&[("a", Some("1"))], Some("old"), Some("0"), "unknown"),
            (&[("a", Some("1"))], Some("old"), Some("1"), "present"),
            (&[("a", Some("1"))], None, None, "unknown"),
            // A new key.
            (
                &[("a", Some("1")), ("b", Some("2"))],
                Some("a"),
                Some("1"),
                "a",
            ),
            (&[("a", Some("1")), ("b", Some("2"))], None, Some("1"), "a"),
            (
                &[("a", Some("1")), ("b", Some("2"))],
                Some("x"),
                Some("1"),
                "a",
            ),
            (
                &[("a", Some("1")), ("b", Some("2"))],
                Some("b"),
                Some("2"),
                "present",
            ),
            (
                &[("a", Some("1")), ("b", Some("2"))],
                Some("old"),
                Some("0"),
                "unknown",
            ),
            // The same key with a new certificate.
            (
                &[("a", Some("1")), ("b", Some("1"))],
                Some("a"),
                Some("1"),
                "a",
            ),
            (
                &[("a", Some("1")), ("b", Some("1"))],
                Some("b"),
                Some("1"),
                "present",
            ),
            (
                &[("a", Some("1")), ("b", Some("1"))],
                None,
                Some("1"),
                "present",
            ),
            // What stands in ca.crt is no proof where the key says otherwise.
            (
                &[("a", Some("1")), ("b", Some("2"))],
                Some("a"),
                Some("2"),
                "present",
            ),
            (
                &[("a", Some("1")), ("b", Some("2"))],
                Some("a"),
                Some("0"),
                "unknown",
            ),
            (
                &[("a", Some("1")), ("b", Some("2"))],
                Some("b"),
                Some("1"),
                "a",
            ),
            // CAs that do not name their key.
            (&[("a", None), ("b", None)], Some("a"), None, "a"),
            (&[("a", None), ("b", None)], Some("b"), None, "present"),
            (&[("a", None), ("b", None)], None, None, "unknown"),
            // Twice, and back again.
            (
                &[("a", None), ("b", None), ("c", None)],
                Some("a"),
                None,
                "a",
            ),
            (
                &[("a", None), ("b", None), ("a", None)],
                Some("a"),
                None,
                "present",
            ),
            (
                &[("a", None), ("b", None), ("a", None)],
                Some("b"),
                None,
                "b",
            ),
        ];
        for (authorities, certificate, key, want) in cases {
            let record = record(authorities);
            let signer = match record.signer_of(&leaf(*certificate, *key)) {
                SignerOf::Present => "present",
                SignerOf::Former(former) => {
                    let mut names = authorities.iter().map(|(name, _)| *name);
                    let is = |name: &&str| Fingerprint::of(name.as_bytes()) == former.certificate;
                    names.find(is).unwrap()
                }
                SignerOf::Unknown => "unknown",
            };
            assert_eq!(&signer, want, "{authorities:?} {certificate:?} {key:?}");
        }
    }

    #[test]
    fn what_is_written_down_is_read_again_and_bounded() {
        let names: Vec<String> = (0..12).map(|number| number.to_string()).collect();
        let all: Vec<(&str, Option<&str>)> = names.iter().map(|name| (&**name, None)).collect();
        let record = record(&all);
        assert_eq!(record.former.len(), MOST_FORMER);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        assert_eq!(
            record.succeeded_by(&record.present, Timestamp::UNIX_EPOCH),
            None
        );
    }

    #[test]
    fn a_ca_is_trusted_for_a_week_after_another_took_its_place() {
        const DAY: i64 = 86_400;
        let at = |day: i64| Timestamp::from_second(day * DAY).unwrap();
        // When it was replaced, when it expires, and until when it is trusted: in days.
        for (replaced, expires, want) in [
            (None, 365, 365),
            (Some(0), 365, 7),
            (Some(100), 365, 107),
            (Some(0), 3, 3),
            (Some(10), 3, 3),
        ] {
            let identity = Identity {
                not_after: at(expires),
                replaced: replaced.map(at),
                ..identity("a", None)
            };
            assert_eq!(identity.trusted_until(), at(want), "{replaced:?} {expires}");
        }
        let record = Record::new(identity("a", None));
        let next = record.succeeded_by(&identity("b", None), at(3)).unwrap();
        assert_eq!(next.former[0].replaced, Some(at(3)));
        // It is back, and signs.
        let last = next.succeeded_by(&identity("a", None), at(4)).unwrap();
        assert_eq!(last.present.replaced, None);
        // What was written down before says nothing of it.
        let mut text = serde_json::to_value(&next).unwrap();
        text["former"][0]
            .as_object_mut()
            .unwrap()
            .remove("replaced");
        let old: Record = serde_json::from_value(text).unwrap();
        assert_eq!(old.former[0].trusted_until(), old.former[0].not_after);
    }

    #[test]
    fn a_bundle_is_the_present_root_and_former_ones() {
        let record = record(&[("a", None), ("b", None)]);
        let print = |name: &str| Fingerprint::of(format!("root of {name}").as_bytes());
        let cases: [(&[&str], bool); 6] = [
            (&["b", "a"], true),
            (&["b"], false),
            (&["a", "b"], false),
            (&["b", "x"], false),
            (&["b", "a", "x"], false),
            (&[], false),
        ];
        for (roots, want) in cases {
            let roots: Vec<Fingerprint> = roots.iter().map(|name| print(name)).collect();
            assert_eq!(record.is_bundle(&roots), want, "{roots:?}");
        }
    }

    #[test]
    fn what_a_bundle_lacks() {
        let record = record(&[("a", None), ("b", None), ("c", None)]);
        let print = |name: &str| Fingerprint::of(format!("root of {name}").as_bytes());
        // Roots, whether `a` and `b` are needed, and what lacks. All expire at 1000.
        let cases: &[(&[&str], &str, i64, &[&str])] = &[
            (&["a"], "", 0, &["c"]),
            (&["a", "c"], "", 0, &[]),
            (&["a"], "b", 0, &["c", "b"]),
            (&["c"], "ab", 0, &["b", "a"]),
            (&["c", "a"], "ab", 0, &["b"]),
            (&["c"], "ab", 1000, &[]),
            (&["x"], "", 0, &["c"]),
            (&[], "ab", 0, &[]),
            (&["x"; 15], "", 0, &["c"]),
            (&["x"; 16], "", 0, &[]),
        ];
        for (roots, needed, now, want) in cases {
            let roots: Vec<Fingerprint> = roots.iter().map(|name| print(name)).collect();
            let is_needed = |one: &Identity| {
                let mut names = needed.chars().map(|name| name.to_string());
                names.any(|name| *one.root == format!("root of {name}"))
            };
            let now = Timestamp::from_second(*now).unwrap();
            let want = want.iter().map(|name| format!("root of {name}").into());
            let want: Vec<Box<str>> = want.collect();
            assert_eq!(record.missing(&roots, is_needed, now), want, "{roots:?}");
        }
    }
}
