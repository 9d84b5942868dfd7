//! An issuer that signs by ACME: is its account registered, and can its solvers be used?

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::api::ObjectMeta;
use reqwest::Url;
use zeroize::Zeroizing;

use crate::{
    acme::{
        self, AccountKey, Open, ProblemType,
        account::{AccountStatus, ExternalAccountBinding, Registered, Registration},
        directory::Directory,
    },
    api::{
        acme::{AcmeIssuer, AcmeIssuerStatus},
        names::{self, label},
    },
    cluster::{
        ObjectKey,
        write::{self, Created},
    },
    issuer::{
        account::{self, Step, Wanted},
        error::{Doing, Error},
        secret::{self, Entry},
        server::server_of,
        sessions::{HashedKey, Sessions, key_missing, key_place},
        solvers,
        status::{Checked, Ready},
        view::IssuerView,
    },
    pki::key::KeyEncoding,
};

/// Check an ACME issuer: find or make its account, look for what its solvers need.
pub(super) async fn check(sessions: &Sessions, issuer: &IssuerView, acme: &AcmeIssuer) -> Checked {
    let check = Check {
        sessions,
        issuer,
        acme,
    };
    let usable = server_of(acme).and_then(|server| {
        issuer.limits()?;
        Ok(server)
    });
    let server = match usable {
        Ok(server) => server,
        Err(error) => {
            return Checked {
                account: issuer.status.acme.clone(),
                result: Err(error),
            };
        }
    };
    match check.account(&server).await {
        Ok(account) => Checked {
            account: Some(account),
            result: check.solvers().await.map(|()| Ready::Account),
        },
        Err((account, error)) => Checked {
            account,
            result: Err(error),
        },
    }
}

#[derive(Clone, Copy)]
struct Check<'a> {
    sessions: &'a Sessions,
    issuer: &'a IssuerView,
    acme: &'a AcmeIssuer,
}

/// What still holds of the account, and why there is no better.
type Failed = (Option<AcmeIssuerStatus>, Error);

impl Check<'_> {
    /// The account, after it was looked after.
    async fn account(self, server: &Url) -> Result<AcmeIssuerStatus, Failed> {
        let status = &self.issuer.status;
        let keep = |hash: Option<&str>| account::still_valid(status, server, hash);
        let (HashedKey { key, hash }, key_is_new) =
            self.key().await.map_err(|error| (keep(None), error))?;
        let email = self.acme.email.as_deref().unwrap_or_default();
        let wanted = Wanted {
            server,
            email,
            key_hash: &hash,
            key_is_new,
            generation: self.issuer.generation,
        };
        let kept = keep(Some(&hash));
        let lost = self.issuer.account_url();
        let lost = lost.filter(|url| self.sessions.is_lost(url));
        let step = match (account::step(status, wanted), lost) {
            (Step::Nothing, Some(_)) => Step::Find,
            (step, _) => step,
        };
        if step == Step::Nothing
            && let Some(account) = kept
        {
            return Ok(account);
        }
        let client = match self.sessions.client(self.acme) {
            Ok(client) => client,
            Err(error) => return Err((kept, error)),
        };
        let found = match self.registered(&client, &key, step).await {
            Ok(found) => found,
            Err(error) => return Err((kept.filter(|_| !error.refutes_account()), error)),
        };
        if let Some(url) = lost {
            self.sessions.found(url);
        }
        let registered = account::account_status(&found.url, email, &hash);
        let contacts = &found.account.contact;
        let known = status.acme.as_ref();
        if found.created || !account::needs_contacts(known, &found.url, contacts, email) {
            return Ok(registered);
        }
        match self.update_contacts(&client, key, &found.url, email).await {
            Ok(()) => Ok(registered),
            Err(error) => {
                let known = known.filter(|known| known.uri.as_ref() == Some(&found.url));
                let before = known.and_then(|known| known.last_registered_email.as_deref());
                let account =
                    account::account_status(&found.url, before.unwrap_or_default(), &hash);
                Err((Some(account), error))
            }
        }
    }

    /// The account key, and whether it was made just now.
    async fn key(self) -> Result<(HashedKey, bool), Error> {
        let Self {
            sessions,
            issuer,
            acme,
        } = self;
        if let Some(key) = sessions.account_key(issuer, acme).await? {
            return Ok((key, false));
        }
        if acme.disable_account_key_generation == Some(true) {
            return Err(key_missing(issuer, acme));
        }
        let failed = |error| Error::KeyGeneration(Box::new(error));
        let key = AccountKey::generate().map_err(failed)?;
        let pem = key.to_pem(KeyEncoding::Pkcs8).map_err(failed)?;
        let (place, entry) = key_place(issuer, acme);
        let secrets = write::api_of::<Secret>(sessions.cluster(), &place);
        match write::create(&secrets, &key_secret(&place, &entry, &pem)).await? {
            Created::New(stored) => {
                drop(secret::take(stored, &entry));
                let hash = key.hash().map_err(failed)?.into();
                tracing::info!(secret = %place, "made an ACME account key");
                Ok((HashedKey { key, hash }, true))
            }
            // Somebody was quicker: theirs counts.
            Created::Exists => match sessions.account_key(issuer, acme).await? {
                Some(key) => Ok((key, false)),
                None => Err(key_missing(issuer, acme)),
            },
        }
    }

    /// The account of the key at the CA, found or made.
    async fn registered(
        self,
        client: &acme::Client,
        key: &AccountKey,
        step: Step,
    ) -> Result<Registered, Error> {
        let directory = client
            .directory()
            .await
            .map_err(|error| self.failed(error))?;
        self.check_profile(&directory)?;
        if step != Step::Register {
            let found = Registration {
                only_return_existing: true,
                ..Registration::default()
            };
            match client.new_account(key, found).await {
                Ok(found) => return self.open(found),
                Err(error) if is_unknown_account(&error) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        let contacts = account::contacts_of(self.acme.email.as_deref().unwrap_or_default());
        let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
        let binding = self.acme.external_account_binding.as_ref();
        let mac = match binding {
            Some(_) => Some(self.binding_key().await?),
            None if directory.meta.external_account_required => {
                return Err(Error::BindingRequired {
                    server: self.acme.server.clone(),
                });
            }
            None => None,
        };
        let external_account =
            binding
                .zip(mac.as_ref())
                .map(|(binding, mac)| ExternalAccountBinding {
                    key_id: &binding.key_id,
                    key: mac,
                });
        let registration = Registration {
            contacts: &contacts,
            external_account,
            only_return_existing: false,
        };
        match client.new_account(key, registration).await {
            Ok(made) => self.open(made),
            Err(acme::Error::EabKey) => Err(self.binding_invalid()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Unless the account is closed.
    fn open(self, found: Registered) -> Result<Registered, Error> {
        let status = match &found.account.status {
            Some(Open::Known(AccountStatus::Deactivated)) => "deactivated",
            Some(Open::Known(AccountStatus::Revoked)) => "revoked",
            Some(Open::Known(AccountStatus::Valid) | Open::Unknown(_)) | None => return Ok(found),
        };
        let (place, _) = key_place(self.issuer, self.acme);
        Err(Error::AccountClosed {
            url: found.url,
            status,
            secret: place.name.to_string(),
            namespace: place.namespace.to_string(),
        })
    }

    async fn update_contacts(
        self,
        client: &acme::Client,
        key: AccountKey,
        url: &str,
        email: &str,
    ) -> Result<(), Error> {
        let contacts = account::contacts_of(email);
        let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
        match client.session(key, url).update_contacts(&contacts).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::acme(
                Doing::Update,
                error,
                self.sessions.clock().now(),
            )),
        }
    }

    fn check_profile(self, directory: &Directory) -> Result<(), Error> {
        let Some(profile) = self.acme.profile.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(());
        };
        if directory.meta.profiles.contains_key(profile) {
            return Ok(());
        }
        Err(Error::Profile {
            profile: profile.to_owned(),
            server: self.acme.server.clone(),
            offered: directory.meta.profiles.keys().cloned().collect(),
        })
    }

    /// The MAC key of the external account binding, as text.
    async fn binding_key(self) -> Result<Zeroizing<String>, Error> {
        let Some((place, entry)) = self.binding_place() else {
            return Err(self.binding_invalid());
        };
        match secret::read(self.sessions.cluster(), &place, &entry).await? {
            Entry::NoSecret => Err(Error::BindingMissing {
                name: place.name.to_string(),
                namespace: place.namespace.to_string(),
            }),
            Entry::Absent => Err(Error::BindingEntryMissing {
                name: place.name.to_string(),
                namespace: place.namespace.to_string(),
                entry,
            }),
            Entry::Found { bytes, .. } => match std::str::from_utf8(&bytes) {
                Ok(text) => Ok(Zeroizing::new(text.to_owned())),
                Err(_) => Err(self.binding_invalid()),
            },
        }
    }

    fn binding_place(self) -> Option<(ObjectKey, String)> {
        let selector = &self.acme.external_account_binding.as_ref()?.key_secret_ref;
        let namespace = Arc::clone(&self.issuer.secrets_namespace);
        let place = ObjectKey::new(namespace, selector.name.as_str());
        Some((place, selector.key_or("").to_owned()))
    }

    fn binding_invalid(self) -> Error {
        let (place, entry) = self
            .binding_place()
            .unwrap_or_else(|| (ObjectKey::new("", ""), String::new()));
        Error::BindingInvalid {
            name: place.name.to_string(),
            namespace: place.namespace.to_string(),
            entry,
        }
    }

    /// Whether the Secrets are there that the solvers need.
    async fn solvers(self) -> Result<(), Error> {
        let all = self.acme.solvers.as_deref().unwrap_or_default();
        let mut seen = Vec::new();
        for credential in solvers::credentials(all) {
            if seen.contains(&credential.secret) {
                continue;
            }
            seen.push(credential.secret);
            self.credential(credential).await?;
        }
        Ok(())
    }

    async fn credential(self, credential: solvers::Credential<'_>) -> Result<(), Error> {
        let solvers::Credential {
            solver,
            field,
            secret: selector,
        } = credential;
        let namespace = Arc::clone(&self.issuer.secrets_namespace);
        let place = ObjectKey::new(namespace, selector.name.as_str());
        let entry = selector.key_or("");
        match secret::read(self.sessions.cluster(), &place, entry).await? {
            Entry::Found { .. } => Ok(()),
            Entry::NoSecret => Err(Error::SolverSecretMissing {
                solver,
                field,
                name: place.name.to_string(),
                namespace: place.namespace.to_string(),
            }),
            Entry::Absent => Err(Error::SolverEntryMissing {
                solver,
                field,
                name: place.name.to_string(),
                namespace: place.namespace.to_string(),
                entry: entry.to_owned(),
            }),
        }
    }

    fn failed(self, error: acme::Error) -> Error {
        Error::acme(Doing::Register, error, self.sessions.clock().now())
    }
}

fn is_unknown_account(error: &acme::Error) -> bool {
    error
        .problem()
        .is_some_and(|problem| problem.kind == ProblemType::AccountDoesNotExist)
}

fn key_secret(place: &ObjectKey, entry: &str, pem: &str) -> Secret {
    let bytes = ByteString(pem.as_bytes().to_vec());
    Secret {
        metadata: ObjectMeta {
            namespace: Some(place.namespace.to_string()),
            name: Some(place.name.to_string()),
            labels: Some(BTreeMap::from([(
                label::MANAGED_BY.to_owned(),
                names::MANAGED_BY.to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(entry.to_owned(), bytes)])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}
