//! How does one speak to an issuer's ACME server: which connections, nonces, key and account?

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};
use kube::Client;

use crate::{
    acme::{self, AccountKey, Observer, Session},
    api::acme::AcmeIssuer,
    cluster::{Clock, ObjectKey},
    issuer::{
        account::DEFAULT_KEY_ENTRY,
        error::{Doing, Error},
        kind::Signer,
        recent::Recent,
        secret::{self, Entry, SecretVersion},
        server::server_of,
        view::IssuerView,
    },
    net::http,
};

/// How many account keys are kept parsed.
const MOST_KEYS: usize = 256;
/// How many servers are remembered, each with its directory and nonces.
const MOST_SERVERS: usize = 64;

/// The present version of a Secret, as far as a watch knows it. Keys are read again when it is
/// another than the one they came from, or not known.
pub type SecretVersions = Arc<dyn Fn(&ObjectKey) -> Option<SecretVersion> + Send + Sync>;

/// Has an issuer checked, although nothing about it has changed.
pub type Recheck = Arc<dyn Fn(&IssuerView) + Send + Sync>;

/// Hands out sessions with ACME servers. One for all issuers, so that issuers of the same server
/// share its directory, nonces and connections.
pub struct Sessions {
    cluster: Client,
    versions: SecretVersions,
    observer: Arc<dyn Observer>,
    clock: Clock,
    connections: Recent<Trust, reqwest::Client>,
    servers: Recent<(String, Trust), acme::Client>,
    keys: Recent<KeyPlace, KnownKey>,
    recheck: Recheck,
    /// URLs of accounts that their CA says it does not have.
    lost: Mutex<HashSet<String>>,
}

/// Whose word a server's certificate is believed on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Trust {
    bundle: Option<Vec<u8>>,
    anybody: bool,
}

/// Secret and entry.
type KeyPlace = (ObjectKey, String);

#[derive(Clone)]
struct KnownKey {
    version: SecretVersion,
    key: AccountKey,
    hash: Arc<str>,
}

/// An account key and its hash as the status has it.
#[derive(Clone, Debug)]
pub(super) struct HashedKey {
    pub(super) key: AccountKey,
    pub(super) hash: Arc<str>,
}

impl Sessions {
    /// Sessions whose keys are read through `cluster`, and whose requests `observer` sees.
    pub fn new(
        cluster: Client,
        versions: SecretVersions,
        observer: Arc<dyn Observer>,
        clock: Clock,
    ) -> Self {
        Self {
            cluster,
            versions,
            observer,
            clock,
            connections: Recent::new(MOST_SERVERS),
            servers: Recent::new(MOST_SERVERS),
            keys: Recent::new(MOST_KEYS),
            recheck: Arc::new(|_| {}),
            lost: Mutex::default(),
        }
    }

    /// The same, with `recheck` told of issuers whose account is lost.
    #[must_use]
    pub fn rechecked_by(mut self, recheck: Recheck) -> Self {
        self.recheck = recheck;
        self
    }

    /// The CA does not have the account of `issuer` any more, whatever the status says: it is
    /// looked for, and registered again.
    pub fn lose_account(&self, issuer: &IssuerView) {
        if let Some(url) = issuer.account_url() {
            self.lost().insert(url.to_owned());
            (self.recheck)(issuer);
        }
    }

    /// Whether the account at `url` was lost, and not found since.
    pub(super) fn is_lost(&self, url: &str) -> bool {
        self.lost().contains(url)
    }

    /// What was lost at `url` is found, or replaced.
    pub(super) fn found(&self, url: &str) {
        self.lost().remove(url);
    }

    fn lost(&self) -> MutexGuard<'_, HashSet<String>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock that waits are counted by.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The API server.
    pub(super) fn cluster(&self) -> &Client {
        &self.cluster
    }

    /// The account of `issuer`, ready to be used. Whether the issuer is Ready does not count: what
    /// is under way goes on.
    ///
    /// # Errors
    /// [`Error::NoAccount`], [`Error::NotChecked`] or [`Error::KeyChanged`] while the account does
    /// not fit the issuer's settings: the change of the issuer that follows tells when it does.
    /// Otherwise why its key cannot be had.
    pub async fn session(&self, issuer: &IssuerView) -> Result<Session, Error> {
        let no_account = || Error::NoAccount {
            issuer: issuer.to_string(),
        };
        let acme = match issuer.signer().map_err(Error::Unsupported)? {
            Signer::Acme(acme) => acme,
            Signer::Ca(_) | Signer::SelfSigned(_) => return Err(no_account()),
        };
        server_of(acme)?;
        let url = issuer.account_url().ok_or_else(no_account)?;
        let checked = issuer.ready_condition();
        if checked.and_then(|ready| ready.observed_generation) != Some(issuer.generation) {
            return Err(Error::NotChecked {
                issuer: issuer.to_string(),
            });
        }
        let client = self.client(acme)?;
        let may_have = client
            .may_have(url)
            .await
            .map_err(|error| Error::acme(Doing::Verify, error, self.clock.now()))?;
        if !may_have {
            return Err(no_account());
        }
        let Some(HashedKey { key, hash }) = self.account_key(issuer, acme).await? else {
            return Err(key_missing(issuer, acme));
        };
        let known = issuer.status.acme.as_ref();
        let registered = known.and_then(|known| known.last_private_key_hash.as_deref());
        if registered != Some(&*hash) {
            return Err(Error::KeyChanged {
                issuer: issuer.to_string(),
            });
        }
        Ok(client.session(key, url))
    }

    /// The server of an ACME issuer.
    ///
    /// # Errors
    /// The setting that cannot be used.
    pub fn client(&self, acme: &AcmeIssuer) -> Result<acme::Client, Error> {
        let trust = Trust {
            bundle: acme
                .ca_bundle
                .as_ref()
                .map(|pem| pem.0.clone())
                .filter(|pem| !pem.is_empty()),
            anybody: acme.skip_tls_verify == Some(true),
        };
        let place = (acme.server.clone(), trust.hashed());
        if let Some(client) = self.servers.get(&place) {
            return Ok(client);
        }
        let connection = match self.connections.get(&place.1) {
            Some(connection) => connection,
            None => {
                let connection = trust.connect().map_err(Error::CaBundle)?;
                self.connections.put(place.1.clone(), connection.clone());
                connection
            }
        };
        let client = acme::Client::new(connection, &acme.server)
            .map_err(|error| Error::ServerUrl {
                server: acme.server.clone(),
                why: error.to_string(),
            })?
            .observed_by(Arc::clone(&self.observer));
        self.servers.put(place, client.clone());
        Ok(client)
    }

    /// The account key of an ACME issuer; `None` when its Secret does not exist.
    pub(super) async fn account_key(
        &self,
        issuer: &IssuerView,
        acme: &AcmeIssuer,
    ) -> Result<Option<HashedKey>, Error> {
        let (secret, entry) = key_place(issuer, acme);
        let place = (secret.clone(), entry.clone());
        if let Some(known) = self.keys.get(&place)
            && (self.versions)(&secret).as_ref() == Some(&known.version)
        {
            return Ok(Some(known.into()));
        }
        self.keys.remove(&place);
        match secret::read(&self.cluster, &secret, &entry).await? {
            Entry::NoSecret => Ok(None),
            Entry::Absent => Err(Error::KeyEntryMissing {
                name: secret.name.to_string(),
                namespace: secret.namespace.to_string(),
                entry,
            }),
            Entry::Found { version, bytes } => {
                let known = parse(version, &bytes).map_err(|source| Error::KeyInvalid {
                    name: secret.name.to_string(),
                    namespace: secret.namespace.to_string(),
                    entry,
                    source: Box::new(source),
                })?;
                self.keys.put(place, known.clone());
                Ok(Some(known.into()))
            }
        }
    }
}

impl From<KnownKey> for HashedKey {
    fn from(known: KnownKey) -> Self {
        let KnownKey {
            version: _,
            key,
            hash,
        } = known;
        Self { key, hash }
    }
}

impl Trust {
    /// As [`Trust`], the bundle by its hash: as a key of maps it is held in memory often.
    fn hashed(&self) -> Self {
        Self {
            bundle: self
                .bundle
                .as_deref()
                .map(|pem| digest(&SHA256, pem).as_ref().to_vec()),
            anybody: self.anybody,
        }
    }

    fn connect(&self) -> Result<reqwest::Client, http::Error> {
        let options = http::Options {
            ca_bundle: self.bundle.clone(),
            skip_tls_verify: self.anybody,
            // The ACME client follows them where that is safe.
            redirects: 0,
            ..http::Options::default()
        };
        options.client()
    }
}

/// Secret and entry of the account key.
pub(super) fn key_place(issuer: &IssuerView, acme: &AcmeIssuer) -> KeyPlace {
    let selector = &acme.private_key_secret_ref;
    let namespace = Arc::clone(&issuer.secrets_namespace);
    (
        ObjectKey::new(namespace, selector.name.as_str()),
        selector.key_or(DEFAULT_KEY_ENTRY).to_owned(),
    )
}

pub(super) fn key_missing(issuer: &IssuerView, acme: &AcmeIssuer) -> Error {
    Error::KeyMissing {
        name: acme.private_key_secret_ref.name.clone(),
        namespace: issuer.secrets_namespace.to_string(),
    }
}

fn parse(version: SecretVersion, pem: &[u8]) -> Result<KnownKey, acme::Error> {
    let key = AccountKey::from_pem(pem)?;
    let hash = key.hash()?.into();
    Ok(KnownKey { version, key, hash })
}

#[cfg(test)]
mod tests;
