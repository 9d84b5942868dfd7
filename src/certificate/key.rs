//! Which private key does the next issuance use, and which are left over?

use std::sync::Arc;

use crate::{
    api::{
        certificate::{CertificateSpec, PrivateKeyAlgorithm, RotationPolicy},
        reason::certificate as reason,
    },
    certificate::{
        action::Event,
        backoff,
        facts::{CertificateFacts, Held, Situation},
        secret::{Entry, KeyFacts, SecretFacts},
    },
    cluster::name::hash_of,
    pki::key::{KeyAlgorithm, KeyParameters, PrivateKey},
};

/// The longest name of a Secret.
const LONGEST_NAME: usize = 253;

/// The key of the next issuance.
#[derive(Clone, Debug)]
pub enum Choice {
    /// This Secret holds it.
    Stored(Arc<SecretFacts>, KeyFacts),
    /// It is at hand, and stored nowhere.
    Held(Held),
    /// It is to be made and had at hand: nothing has to be waited for.
    Hold {
        /// Name of the Secret that would hold it.
        name: String,
        /// Where the key comes from.
        source: Source,
        /// What to tell the user.
        event: Option<Event>,
    },
    /// It is to be made, and stored under this name.
    Missing {
        /// Name of the Secret.
        name: String,
        /// Where the key comes from.
        source: Source,
        /// What to tell the user.
        event: Option<Event>,
    },
    /// There can be none until somebody changes something.
    Stuck(Event),
}

/// Where a next key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A new one of this kind and size.
    Generate(KeyParameters),
    /// The one that the Secret of the Certificate holds.
    Reuse,
    /// The one at hand.
    Held,
    /// That of the certificate that is used again.
    Found,
}

/// Kind and size of the key that `spec` asks for.
///
/// # Errors
/// When there is no such key.
pub fn parameters(spec: &CertificateSpec) -> Result<KeyParameters, String> {
    let key = spec.private_key.as_ref();
    let algorithm = match key.and_then(|key| key.algorithm) {
        None | Some(PrivateKeyAlgorithm::Rsa) => KeyAlgorithm::Rsa,
        Some(PrivateKeyAlgorithm::Ecdsa) => KeyAlgorithm::Ecdsa,
        Some(PrivateKeyAlgorithm::Ed25519) => KeyAlgorithm::Ed25519,
    };
    let size = key.and_then(|key| key.size).filter(|size| *size > 0);
    KeyParameters::new(algorithm, size).map_err(|error| format!("spec.privateKey.size: {error}"))
}

/// The fields of `spec.privateKey` that `key` does not have.
pub fn violations(key: KeyParameters, wanted: KeyParameters) -> Vec<&'static str> {
    if key.algorithm() != wanted.algorithm() {
        return vec!["spec.privateKey.algorithm"];
    }
    if key.size() != wanted.size() {
        return vec!["spec.privateKey.size"];
    }
    Vec::new()
}

/// The name of the Secret with the key of the next issuance: the same each time for the same
/// Certificate, revision, attempt and kind of key.
pub fn next_name(certificate: &CertificateFacts, wanted: KeyParameters) -> String {
    let cause = format!(
        "{}/{}/{}/{wanted}",
        certificate.meta.uid,
        certificate.next_revision(),
        certificate
            .status
            .failed_issuance_attempts
            .unwrap_or_default(),
    );
    let hash = hash_of(cause.as_bytes(), 6);
    let name = &certificate.meta.key.name;
    let kept = name
        .get(..LONGEST_NAME - 1 - hash.len())
        .unwrap_or(name)
        .trim_end_matches(['-', '.']);
    format!("{kept}-{hash}")
}

/// Decide for the key of the next issuance.
///
/// A Secret that the status names comes first, then the one that we would make, then any other of
/// ours: after a crash, or as cert-manager left it. Without one, a key need not be stored where the
/// answer takes no time.
pub fn choose(situation: &Situation, wanted: KeyParameters) -> Choice {
    let certificate = &situation.certificate;
    let expected = next_name(certificate, wanted);
    let named = certificate.status.next_private_key_secret_name.as_deref();
    let usable: Vec<(&Arc<SecretFacts>, &KeyFacts)> = situation
        .keys
        .iter()
        .filter_map(|secret| Some((secret, secret.key.read()?)))
        .filter(|(_, key)| violations(key.parameters, wanted).is_empty())
        // What others may have is never used again.
        .filter(|(_, key)| !situation.withdrawal.compromised.contains(&key.public_key))
        .collect();
    let by_name = |name: Option<&str>| {
        usable
            .iter()
            .find(|(secret, _)| Some(&*secret.meta.key.name) == name)
    };
    let stored = by_name(named)
        .or_else(|| by_name(Some(&expected)))
        .or_else(|| usable.first());
    if let Some((secret, key)) = stored {
        return Choice::Stored(Arc::clone(secret), **key);
    }

    if situation.taken.key {
        return Choice::Stuck(Event::warning(
            reason::CANNOT_REGENERATE_KEY,
            format!(
                "Secret {expected:?} is not ours but has the name that the next private key needs: \
                 delete it"
            ),
        ));
    }
    // That of a certificate which is used again is for nothing else.
    if let Some(held) = situation.held.as_ref().filter(|held| held.reused.is_none()) {
        return Choice::Held(held.clone());
    }
    match source(situation, wanted) {
        Ok((Source::Generate(wanted), _)) if !PrivateKey::can_be_generated(wanted) => {
            Choice::Stuck(cannot_generate(situation, wanted))
        }
        Ok((source, event)) if at_once(situation) => Choice::Hold {
            name: expected,
            source,
            event,
        },
        Ok((source, event)) => Choice::Missing {
            name: expected,
            source,
            event,
        },
        Err(event) => Choice::Stuck(event),
    }
}

/// Whether an issuance that begins now ends before anybody could look at it.
///
/// Not where a wait after a failure was cut short, by a new spec: what is stored must tell so, or
/// after a crash the rest of it would be waited for.
fn at_once(situation: &Situation) -> bool {
    let certificate = &situation.certificate;
    situation.answers_at_once && (certificate.is_issuing() || !backoff::is_in_force(situation))
}

/// A key that exists is used until then, whoever made it.
fn cannot_generate(situation: &Situation, wanted: KeyParameters) -> Event {
    Event::warning(
        reason::CANNOT_REGENERATE_KEY,
        format!(
            "A new private key is needed, and RSA keys of {} bits cannot be generated: set \
             spec.privateKey.size to 2048, 3072, 4096 or 8192, or put a key of that size into \
             Secret {:?} and set spec.privateKey.rotationPolicy to Never",
            wanted.size(),
            situation.certificate.spec.secret_name
        ),
    )
}

fn source(situation: &Situation, wanted: KeyParameters) -> Result<(Source, Option<Event>), Event> {
    let spec = &situation.certificate.spec;
    let policy = spec
        .private_key
        .as_ref()
        .and_then(|key| key.rotation_policy)
        .unwrap_or(RotationPolicy::Always);
    let stored = match policy {
        RotationPolicy::Always => None,
        RotationPolicy::Never => situation.secret.as_ref().map(|secret| &secret.key),
    };
    match stored {
        None | Some(Entry::Missing) => Ok((Source::Generate(wanted), None)),
        Some(Entry::Broken(_)) => {
            let event = Event::warning(
                reason::DECODE_FAILED,
                format!(
                    "Failed to decode private key stored in Secret {:?} - generating new key",
                    spec.secret_name
                ),
            );
            Ok((Source::Generate(wanted), Some(event)))
        }
        Some(Entry::Read(key)) if situation.withdrawal.compromised.contains(&key.public_key) => {
            let event = Event::warning(
                reason::REVOKED,
                format!(
                    "The private key in Secret {:?} is known to others - generating new key",
                    spec.secret_name
                ),
            );
            Ok((Source::Generate(wanted), Some(event)))
        }
        Some(Entry::Read(key)) => match violations(key.parameters, wanted).as_slice() {
            [] => {
                let event = Event::normal(
                    reason::REUSED,
                    format!(
                        "Reusing private key stored in existing Secret resource {:?}",
                        spec.secret_name
                    ),
                );
                Ok((Source::Reuse, Some(event)))
            }
            fields => Err(Event::warning(
                reason::CANNOT_REGENERATE_KEY,
                format!(
                    "User intervention required: existing private key in Secret {:?} does not \
                     match requirements on Certificate resource, mismatching fields: [{}], but no \
                     new private key can be created as the Certificate's \
                     .spec.privateKey.rotationPolicy is set to Never. To allow a new private key \
                     you can set .spec.privateKey.rotationPolicy to 'Always' (this will result in \
                     the private key being regenerated every time a cert is renewed)",
                    spec.secret_name,
                    fields.join(" ")
                ),
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::private_key::PrivateKey as PrivateKeySpec,
        certificate::stories::{World, spec},
    };

    fn wanted(algorithm: Option<PrivateKeyAlgorithm>, size: Option<i64>) -> CertificateSpec {
        CertificateSpec {
            private_key: Some(PrivateKeySpec {
                algorithm,
                size,
                ..PrivateKeySpec::default()
            }),
            ..spec()
        }
    }

    #[test]
    fn kinds_and_sizes_of_keys() {
        let (rsa, ecdsa, ed25519) = (
            Some(PrivateKeyAlgorithm::Rsa),
            Some(PrivateKeyAlgorithm::Ecdsa),
            Some(PrivateKeyAlgorithm::Ed25519),
        );
        let table = [
            (None, None, "RSA 2048"),
            (rsa, Some(0), "RSA 2048"),
            (rsa, Some(8192), "RSA 8192"),
            (ecdsa, None, "ECDSA 256"),
            (ecdsa, Some(521), "ECDSA 521"),
            (ed25519, None, "Ed25519"),
            (ed25519, Some(7), "Ed25519"),
            (rsa, Some(1024), "spec.privateKey.size: "),
            (rsa, Some(2560), "RSA 2560"),
            (rsa, Some(8193), "spec.privateKey.size: "),
            (ecdsa, Some(2048), "spec.privateKey.size: "),
        ];
        for (algorithm, size, want) in table {
            let said = match parameters(&wanted(algorithm, size)) {
                Ok(parameters) => parameters.to_string(),
                Err(problem) => problem,
            };
            assert!(said.starts_with(want), "{said}");
        }
        let mut spec = spec();
        spec.private_key = None;
        assert_eq!(parameters(&spec).unwrap(), KeyParameters::default());
    }

    #[test]
    fn a_key_that_others_have_is_never_used_again() {
        let mut spec = spec();
        let key = spec.private_key.get_or_insert_default();
        key.rotation_policy = Some(RotationPolicy::Never);
        let mut world = World::issued(spec.clone());
        let wanted = parameters(&spec).unwrap();
        let reused = choose(&world.situation(), wanted);
        assert!(
            matches!(
                reused,
                Choice::Missing {
                    source: Source::Reuse,
                    ..
                }
            ),
            "{reused:?}"
        );
        // One is stored for an issuance under way, the same.
        let same = world.key("web-tls");
        world.create_key("web-next", &same, None);
        assert!(matches!(
            choose(&world.situation(), wanted),
            Choice::Stored(..)
        ));
        let public_key = same.public_key_hash().unwrap();
        world.withdrawal.compromised = vec![public_key];
        let new = choose(&world.situation(), wanted);
        let Choice::Missing { source, event, .. } = &new else {
            panic!("{new:?}");
        };
        assert_eq!(*source, Source::Generate(wanted));
        assert!(event.is_some());
    }

    #[test]
    fn the_name_of_the_next_key_follows_from_its_cause() {
        let ecdsa = parameters(&spec()).unwrap();
        let world = World::new(spec());
        let name = next_name(&world.facts(), ecdsa);
        assert_eq!(name, next_name(&world.facts(), ecdsa));
        assert!(name.starts_with("web-") && name.len() == 16, "{name}");

        type Change = fn(&mut World);
        let changes: [Change; 3] = [
            |world| world.certificate.metadata.uid = Some("another".into()),
            |world| world.certificate.status.get_or_insert_default().revision = Some(1),
            |world| {
                let status = world.certificate.status.get_or_insert_default();
                status.failed_issuance_attempts = Some(1);
            },
        ];
        for change in changes {
            let mut world = World::new(spec());
            change(&mut world);
            assert_ne!(next_name(&world.facts(), ecdsa), name);
        }
        assert_ne!(next_name(&world.facts(), KeyParameters::default()), name);

        let mut world = World::new(spec());
        world.certificate.metadata.name = Some(format!("{}.{}", "a".repeat(239), "b".repeat(13)));
        let name = next_name(&world.facts(), ecdsa);
        assert!(name.len() <= 253 && !name.contains(".-"), "{name}");
    }
}
