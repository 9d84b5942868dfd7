//! How is an account made, found, changed and given up (RFC 8555, 7.3)?

use serde::{Deserialize, Serialize};

use super::{
    AccountKey, Action, Client, Error, Open, Session,
    jws::{self, EabKey, Jws, Signatory},
};

/// What binds a new account to one at the CA (RFC 8555, 7.3.4).
#[derive(Clone, Copy)]
pub struct ExternalAccountBinding<'a> {
    /// The identifier that the CA gave out.
    pub key_id: &'a str,
    /// The HMAC key that the CA gave out: base64url; padded and standard base64 will do.
    pub key: &'a str,
}

/// How an account is asked for.
#[derive(Clone, Copy, Default)]
pub struct Registration<'a> {
    /// URLs under which the CA may reach somebody, e.g. `mailto:ops@example.com`.
    pub contacts: &'a [&'a str],
    /// Needed by CAs whose directory says `externalAccountRequired`, and only for new accounts.
    pub external_account: Option<ExternalAccountBinding<'a>>,
    /// Finds the account of the key; [`super::ProblemType::AccountDoesNotExist`] if there is none.
    pub only_return_existing: bool,
}

/// An account as the CA knows it.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Account {
    /// `valid`, or why it is not.
    pub status: Option<Open<AccountStatus>>,
    /// Under which URLs the CA may reach somebody.
    #[serde(default)]
    pub contact: Vec<String>,
}

/// The state of an account (RFC 8555, 7.1.2).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum AccountStatus {
    /// Given up by its owner.
    Deactivated,
    /// Closed by the CA.
    Revoked,
    /// Usable.
    Valid,
}

/// The answer to a registration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Registered {
    /// The account's URL.
    pub url: String,
    /// Whether it was made now; else the key had one already.
    pub created: bool,
    /// The account.
    pub account: Account,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewAccount<'a> {
    #[serde(flatten)]
    account: instant_acme::NewAccount<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_account_binding: Option<Jws>,
}

impl Client {
    /// Makes the account of a key, or finds it. Agrees to the terms of service: who configures the
    /// CA has to.
    ///
    /// # Errors
    /// Those of the request; [`Error::EabKey`] if the binding's key is not base64.
    pub async fn new_account(
        &self,
        key: &AccountKey,
        registration: Registration<'_>,
    ) -> Result<Registered, Error> {
        let Registration {
            contacts,
            external_account,
            only_return_existing,
        } = registration;
        let action = Action::NewAccount;
        let directory = self.directory().await?;
        let url = directory.new_account.as_str();
        let binding = external_account
            .map(|binding| {
                let eab = EabKey::new(binding.key_id, binding.key)?;
                jws::bind(key, &eab, url).ok_or(Error::Sign { action })
            })
            .transpose()?;
        let payload = serde_json::to_vec(&NewAccount {
            account: instant_acme::NewAccount {
                contact: contacts,
                terms_of_service_agreed: true,
                only_return_existing,
            },
            external_account_binding: binding,
        })
        .map_err(|_| Error::Sign { action })?;

        let answer = self
            .post(action, url, key, Signatory::Key(key.jwk()), &payload)
            .await?;
        Ok(Registered {
            url: answer
                .location()
                .ok_or_else(|| answer.malformed("there is no Location header"))?,
            created: answer.status == 201,
            account: answer.json()?,
        })
    }
}

impl Session {
    /// Reads the account.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn account(&self) -> Result<Account, Error> {
        self.post_as_get(Action::Account, &self.account_url)
            .await?
            .json()
    }

    /// Replaces the contacts.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn update_contacts(&self, contacts: &[&str]) -> Result<Account, Error> {
        let payload = serde_json::json!({ "contact": contacts });
        self.post(Action::UpdateAccount, &self.account_url, &payload)
            .await?
            .json()
    }

    /// Gives the account up, for ever.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn deactivate_account(&self) -> Result<Account, Error> {
        let payload = serde_json::json!({ "status": "deactivated" });
        self.post(Action::DeactivateAccount, &self.account_url, &payload)
            .await?
            .json()
    }
}
