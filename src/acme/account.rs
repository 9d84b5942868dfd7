//! How is an account made, found, changed and given up (RFC 8555, 7.3)?

use reqwest::Url;
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
        let account = answer
            .location()
            .ok_or_else(|| answer.malformed("there is no Location header"))?;
        if !self.is_home(&account, url) {
            return Err(answer.malformed(format!("account {account} is at another server")));
        }
        Ok(Registered {
            url: account,
            created: answer.status == 201,
            account: answer.json()?,
        })
    }

    /// Whether an account at `url` can be one of this CA: it is where the CA has its directory, or where
    /// it makes accounts.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub async fn may_have(&self, url: &str) -> Result<bool, Error> {
        if is_same_origin(url, self.directory_url()) {
            return Ok(true);
        }
        Ok(self.is_home(url, &self.directory().await?.new_account))
    }

    fn is_home(&self, url: &str, new_account: &str) -> bool {
        let new_account = Url::parse(new_account);
        is_same_origin(url, self.directory_url())
            || new_account.is_ok_and(|new_account| is_same_origin(url, &new_account))
    }
}

/// Whether two URLs have the same scheme, host and port.
pub fn is_same_origin(url: &str, other: &Url) -> bool {
    Url::parse(url).is_ok_and(|url| url.origin() == other.origin())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{
        http,
        script::{Script, answer},
    };

    #[tokio::test]
    async fn an_account_at_another_server_is_none_of_this_ca() {
        let here = r#"{"newNonce": "{url}/n", "newAccount": "{url}/a", "newOrder": "{url}/o"}"#;
        let table = [
            ("{url}/acct/1", true),
            ("/acct/1", true),
            ("https://ca.example/acct/1", false),
            ("https://127.0.0.1/acct/1", false),
            ("mailto:somebody@example.com", false),
        ];
        for (location, want) in table {
            let made = answer(&format!("201 Created\nLocation: {location}"), "{}");
            let nonce = answer("200 OK\nReplay-Nonce: n", "");
            let server = Script::start(&[answer("200 OK", here), nonce, made]).await;
            let made = client(&format!("{}/dir", server.url()))
                .new_account(&AccountKey::generate().unwrap(), Registration::default())
                .await;
            match made {
                Ok(made) => assert!(want && made.url.ends_with("/acct/1"), "{location}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(!want && error.ends_with("is at another server"), "{error}");
                }
            }
        }
    }

    #[tokio::test]
    async fn accounts_may_be_where_they_are_made() {
        let elsewhere = r#"{"newNonce": "https://ca.test/n", "newAccount": "https://ca.example/a",
                            "newOrder": "https://ca.test/o"}"#;
        let server = Script::start(&[answer("200 OK", elsewhere)]).await;
        let client = client(&format!("{}/dir", server.url()));
        for (url, want) in [
            (format!("{}/acct/1", server.url()), true),
            ("https://ca.example/acct/1".to_owned(), true),
            ("https://ca.test/acct/1".to_owned(), false),
            ("https://ca.example:444/acct/1".to_owned(), false),
            ("http://ca.example/acct/1".to_owned(), false),
        ] {
            assert_eq!(client.may_have(&url).await.unwrap(), want, "{url}");
        }
    }

    fn client(directory: &str) -> Client {
        let options = http::Options {
            redirects: 0,
            ..http::Options::default()
        };
        let http = options.builder().unwrap().no_proxy().build().unwrap();
        Client::new(http, directory).unwrap()
    }
}
