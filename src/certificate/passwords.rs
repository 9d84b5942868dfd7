//! With which passwords are key stores written, and when are they opened to be checked?

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::{ByteString, api::core::v1::Secret};

use crate::{
    api::{reason::certificate as reason, reference::SecretKeySelector},
    certificate::{
        content::Sensitive,
        error::Error,
        facts::{CertificateFacts, Situation},
        keystores::{self, Source, Standing, Wanted},
        policy::Violation,
        reconcile::CertificateReconciler,
        secret::SecretFacts,
    },
    cluster::{
        ObjectKey,
        write::{self, api_of},
    },
    pki::keystore::{Format, Password},
};

/// How key stores were when they were opened last, by their Certificates. Nothing is stored in the
/// cluster: after a start each is opened once more.
#[derive(Debug, Default)]
pub(super) struct Checks(Mutex<HashMap<ObjectKey, (Versions, Standing)>>);

/// All that decides how the stores are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    /// Of the Certificate: its spec has the formats, and may have the passwords.
    generation: i64,
    /// Of the Secret with the stores.
    secret: String,
    /// Of the Secrets with the passwords: uid and version.
    passwords: Vec<Option<(String, String)>>,
}

impl Checks {
    fn get(&self, certificate: &ObjectKey, versions: &Versions) -> Option<Standing> {
        let checks = self.lock();
        let (known, standing) = checks.get(certificate)?;
        (known == versions).then(|| standing.clone())
    }

    fn set(&self, certificate: &ObjectKey, versions: Versions, standing: Standing) {
        self.lock()
            .insert(certificate.clone(), (versions, standing));
    }

    /// The Certificate is gone.
    pub(super) fn forget(&self, certificate: &ObjectKey) {
        self.lock().remove(certificate);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, (Versions, Standing)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CertificateReconciler {
    /// How the key stores in `secret` are. Reads live, but only what is not known in this version.
    pub(super) async fn keystores(
        &self,
        certificate: &CertificateFacts,
        secret: Option<&SecretFacts>,
    ) -> Result<Standing, Error> {
        let wanted = keystores::wanted(&certificate.spec);
        let Some(secret) = secret.filter(|secret| {
            // What is issued is written anew with everything.
            !wanted.is_empty() && !certificate.is_issuing() && secret.has_key_pair()
        }) else {
            return Ok(Standing::Fine);
        };
        let key = &certificate.meta.key;
        let versions = self.versions(certificate, &wanted, &secret.meta.resource_version);
        if let Some(known) = self.checks.get(key, &versions) {
            return Ok(known);
        }
        let standing = match self.passwords(certificate, wanted).await? {
            Err(blocked) => Standing::Blocked(blocked),
            Ok(stores) => {
                let target = &secret.meta.key;
                let found = write::get(&api_of::<Secret>(&self.client, target), target).await?;
                let found = Sensitive(found.ok_or_else(|| Error::Gone(target.clone()))?);
                self.keys
                    .work(move || keystores::standing(&stores, found.0.data.as_ref()))
                    .await?
            }
        };
        self.checks.set(key, versions, standing.clone());
        Ok(standing)
    }

    /// Put the key stores that are asked for into `object`, which holds the key pair. The answer is
    /// for [`CertificateReconciler::keystores_written`].
    pub(super) async fn add_keystores(
        &self,
        situation: &Situation,
        object: &mut Sensitive,
    ) -> Result<Option<Versions>, Error> {
        let certificate = &situation.certificate;
        let wanted = keystores::wanted(&certificate.spec);
        if wanted.is_empty() {
            return Ok(None);
        }
        let versions = self.versions(certificate, &wanted, "");
        let blocked = |why: Violation| Error::KeyStores {
            secret: certificate.secret(),
            reason: why.reason,
            message: why.message,
        };
        let stores = self
            .passwords(certificate, wanted)
            .await?
            .map_err(blocked)?;
        let pair = Sensitive(object.0.clone());
        let now = situation.now;
        let made = self
            .keys
            .work(move || keystores::make(&stores, pair.0.data.as_ref(), now))
            .await?
            .map_err(|source| Error::Build {
                secret: certificate.secret(),
                source,
            })?;
        let data = object.0.data.get_or_insert_default();
        for (name, store) in made {
            data.insert(name.to_owned(), ByteString(store));
        }
        Ok(Some(versions))
    }

    /// The stores of [`CertificateReconciler::add_keystores`] were written, with this answer.
    pub(super) fn keystores_written(
        &self,
        certificate: &CertificateFacts,
        versions: Option<Versions>,
        written: &Secret,
    ) {
        if let Some(mut versions) = versions {
            let version = written.metadata.resource_version.clone();
            versions.secret = version.unwrap_or_default();
            let key = &certificate.meta.key;
            self.checks.set(key, versions, Standing::Fine);
        }
    }

    /// The versions as the caches have them: what is read live may be newer, and is then read once
    /// more when the caches have it too.
    fn versions(
        &self,
        certificate: &CertificateFacts,
        wanted: &[Wanted<'_>],
        secret: &str,
    ) -> Versions {
        let passwords = wanted.iter().filter_map(|wanted| match wanted.password {
            Source::Text(_) => None,
            Source::Secret(selector) => Some(beside(certificate, selector)),
        });
        Versions {
            generation: certificate.meta.generation,
            secret: secret.to_owned(),
            passwords: passwords
                .map(|password| self.caches.secret_version(&password))
                .collect(),
        }
    }

    /// The stores that are wanted, with their passwords; or why there is none.
    async fn passwords(
        &self,
        certificate: &CertificateFacts,
        wanted: Vec<Wanted<'_>>,
    ) -> Result<Result<Vec<(Format, Password)>, Violation>, Error> {
        let mut stores = Vec::with_capacity(wanted.len());
        for Wanted { format, password } in wanted {
            match self.password(certificate, &format, password).await? {
                Ok(password) => stores.push((format, password)),
                Err(why) => {
                    let reason = reason::KEYSTORE_PASSWORD_SECRET_NOT_FOUND;
                    return Ok(Err(Violation::new(reason, why)));
                }
            }
        }
        Ok(Ok(stores))
    }

    async fn password(
        &self,
        certificate: &CertificateFacts,
        format: &Format,
        source: Source<'_>,
    ) -> Result<Result<Password, String>, Error> {
        let [store, _] = keystores::entries(format);
        let selector = match source {
            Source::Text(text) if text.reveal().is_empty() => {
                return Ok(Err(format!("the password of {store} is empty")));
            }
            Source::Text(text) => return Ok(Ok(Password::new(text.reveal().as_bytes()))),
            Source::Secret(selector) => selector,
        };
        let entry = selector.key_or("");
        let key = beside(certificate, selector);
        let Some(found) = write::get(&api_of::<Secret>(&self.client, &key), &key).await? else {
            return Ok(Err(format!(
                "Secret {key} with the password of {store} does not exist; create it, with the \
                 password under {entry:?}"
            )));
        };
        let found = Sensitive(found);
        let data = found.0.data.as_ref();
        let password = data
            .and_then(|data| data.get(entry))
            .filter(|value| !value.0.is_empty())
            .map(|value| Password::new(&value.0));
        Ok(password.ok_or_else(|| {
            format!("Secret {key} has no password of {store}: nothing is under {entry:?}")
        }))
    }
}

/// The Secret that `selector` names, in the namespace of the Certificate.
fn beside(certificate: &CertificateFacts, selector: &SecretKeySelector) -> ObjectKey {
    let namespace = Arc::clone(&certificate.meta.key.namespace);
    ObjectKey::new(namespace, selector.name.as_str())
}
