//! Does the ACME client say the right things to a real CA, and understand its answers?

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use certwright::{
    acme::{
        AccountKey, Action, Class, Client, Error, Exchange, Observer, ProblemType, Session,
        account::{AccountStatus, ExternalAccountBinding, Registration},
        certificate::IssuedChain,
        order::{Order, OrderRequest},
        renewal::certificate_identifier,
        revocation::Revoked,
    },
    net::http::Options,
    pki::{
        certificate::{CertificateFacts, leaf_der},
        chain::{self, Chain},
        csr::{CertificateSigningRequest, RequestParameters},
        key::{KeyAlgorithm, KeyEncoding, KeyParameters, PrivateKey},
        names::Names,
    },
};
use instant_acme::{AuthorizationStatus, ChallengeType, Identifier, OrderStatus, RevocationReason};
use testbed::{
    Bed,
    acme::{Pebble, PebbleOptions},
    bed::ZONE,
    dns::{Data, RecordType},
    process::wait::until,
};

/// Long enough for a slow machine; what is waited for takes well under a second.
const SOON: Duration = Duration::from_secs(30);

/// Keys of every kind make accounts, and find them again by what was stored.
pub(crate) async fn every_account_key(bed: &Bed) -> Result<()> {
    let pebble = bed
        .pebble("acme-accounts", &PebbleOptions::default())
        .await?;
    let client = client(&pebble)?;
    let directory = client.directory().await?;
    assert!(directory.meta.profiles.contains_key("shortlived"));
    assert!(!directory.meta.external_account_required);

    for (algorithm, size, encoding) in [
        (KeyAlgorithm::Ecdsa, 256, KeyEncoding::Pkcs8),
        (KeyAlgorithm::Ecdsa, 384, KeyEncoding::Pkcs1),
        (KeyAlgorithm::Rsa, 2048, KeyEncoding::Pkcs1),
    ] {
        let key = AccountKey::new(private_key(algorithm, size)?)?;
        let find = Registration {
            only_return_existing: true,
            ..Registration::default()
        };
        let error = client.new_account(&key, find).await.unwrap_err();
        let kind = error.problem().map(|problem| problem.kind.clone());
        assert_eq!(kind, Some(ProblemType::AccountDoesNotExist), "{error}");
        assert_eq!(error.class(), Class::Misconfigured);

        let contacts = ["mailto:ops@example.com"];
        let made = Registration {
            contacts: &contacts,
            ..Registration::default()
        };
        let made = client.new_account(&key, made).await?;
        assert!(made.created);
        assert_eq!(made.account.contact, contacts);

        let stored = key.to_pem(encoding)?;
        let key = AccountKey::from_pem(stored.as_bytes())?;
        let found = client.new_account(&key, find).await?;
        assert!(!found.created);
        assert_eq!(found.url, made.url);

        let session = client.session(key, found.url);
        let updated = session.update_contacts(&["mailto:new@example.com"]).await?;
        assert_eq!(updated.contact, ["mailto:new@example.com"]);
        let read = session.account().await?;
        assert_eq!(read.contact, ["mailto:new@example.com"]);
        assert!(
            read.status
                .is_some_and(|status| status == AccountStatus::Valid)
        );

        session.deactivate_account().await?;
        let error = session.account().await.unwrap_err();
        assert_eq!(error.class(), Class::Misconfigured, "{error}");
    }
    Ok(())
}

/// From order to certificate: both names of a wildcard pair, every chain on offer, renewal window,
/// replacement, revocation with the account's and with the certificate's key.
pub(crate) async fn order_to_revocation(bed: &Bed) -> Result<()> {
    let options = PebbleOptions {
        alternate_roots: 2,
        ..PebbleOptions::default()
    };
    let pebble = bed.pebble("acme-orders", &options).await?;
    let session = session(&pebble).await?;
    let names = [format!("acme.{ZONE}"), format!("*.acme.{ZONE}")];
    let request = OrderRequest {
        identifiers: &names.each_ref().map(|name| Identifier::Dns(name.clone())),
        not_after: None,
        profile: Some("shortlived"),
        replaces: None,
    };

    let order = session.new_order(&request).await?;
    assert_eq!(order.status, OrderStatus::Pending);
    assert_eq!(order.authorizations.len(), 2);
    assert_eq!(order.profile.as_deref(), Some("shortlived"));
    assert!(order.expires.is_some());
    let again = session.order(&order.url).await?;
    let sorted = |order: &Order| {
        let mut urls = order.authorizations.clone();
        urls.sort();
        urls
    };
    assert_eq!(sorted(&again), sorted(&order));

    let error = session.finalize(&order, b"too early").await.unwrap_err();
    let kind = error.problem().map(|problem| problem.kind.clone());
    assert_eq!(kind, Some(ProblemType::OrderNotReady), "{error}");

    let key = private_key(KeyAlgorithm::Ecdsa, 256)?;
    let issued = issue(bed, &session, order, &names, &key).await?;
    let facts = CertificateFacts::from_pem(&issued.pem)?;
    assert_eq!(facts.public_key, key.public_key_hash()?);
    let mut found = facts.names.dns.clone();
    found.sort();
    assert_eq!(found, [names[1].clone(), names[0].clone()]);
    assert_eq!(issued.alternates.len(), 2);

    let der = leaf_der(issued.pem.as_bytes())?;
    chains(&pebble, &session, &issued).await?;
    let client = session.client();
    let identifier = certificate_identifier(&der).context("no authority key identifier")?;
    let info = client.renewal_info(&identifier).await?;
    assert!(info.suggested_window.start < facts.not_after);
    assert!(info.retry_after.is_some());

    // Twice: the CA refuses to replace the same certificate again, which must not matter.
    let replacing = OrderRequest {
        replaces: Some(identifier),
        ..request
    };
    let first = session.new_order(&replacing).await?;
    assert!(first.replaces.is_some());
    let first = issue(bed, &session, first, &names, &key).await?;
    let second = session.new_order(&replacing).await?;
    assert_ne!(second.url, "");
    assert_eq!(second.replaces, None);

    let reason = Some(RevocationReason::CessationOfOperation);
    assert_eq!(session.revoke(&der, reason.clone()).await?, Revoked::Now);
    assert_eq!(session.revoke(&der, reason).await?, Revoked::Already);
    let status = pebble.certificate_status(&facts.serial).await?;
    assert_eq!(status["Status"], "Revoked");
    assert_eq!(status["Reason"], 5);

    let der = leaf_der(first.pem.as_bytes())?;
    let stranger = AccountKey::generate()?;
    let error = client
        .revoke_with_certificate_key(&der, None, &stranger)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured, "{error}");
    let own = AccountKey::new(key)?;
    let reason = Some(RevocationReason::KeyCompromise);
    let revoked = client
        .revoke_with_certificate_key(&der, reason, &own)
        .await?;
    assert_eq!(revoked, Revoked::Now);
    Ok(())
}

/// Addresses as names, and a wanted end of validity.
pub(crate) async fn addresses_and_validity(bed: &Bed) -> Result<()> {
    let pebble = bed
        .pebble("acme-addresses", &PebbleOptions::default())
        .await?;
    let session = session(&pebble).await?;
    let request = OrderRequest {
        identifiers: &["192.0.2.1", "2001:db8::1"].map(|ip| Identifier::Ip(ip.parse().unwrap())),
        not_after: Some("2100-01-01T00:00:00Z".parse()?),
        profile: None,
        replaces: None,
    };
    let order = session.new_order(&request).await?;
    let mut names = Vec::new();
    for url in &order.authorizations {
        let authorization = session.authorization(url).await?;
        names.extend(authorization.name());
        let kinds = authorization
            .challenges
            .iter()
            .map(|challenge| &challenge.r#type);
        let kinds = kinds.collect::<Vec<_>>();
        assert!(kinds.contains(&&ChallengeType::Http01), "{kinds:?}");
        assert!(!kinds.contains(&&ChallengeType::Dns01), "{kinds:?}");
    }
    names.sort();
    assert_eq!(names, ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(order.not_after, request.not_after);
    Ok(())
}

/// A CA that wants accounts bound to its own.
pub(crate) async fn external_account(bed: &Bed) -> Result<()> {
    let hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let options = PebbleOptions {
        external_accounts: [("kid-1".to_owned(), hmac.to_owned())].into(),
        ..PebbleOptions::default()
    };
    let pebble = bed.pebble("acme-eab", &options).await?;
    let client = client(&pebble)?;
    assert!(client.directory().await?.meta.external_account_required);
    let key = AccountKey::generate()?;
    let registration = |key| Registration {
        external_account: Some(ExternalAccountBinding {
            key_id: "kid-1",
            key,
        }),
        ..Registration::default()
    };

    let error = client
        .new_account(&key, Registration::default())
        .await
        .unwrap_err();
    let kind = error.problem().map(|problem| problem.kind.clone());
    assert_eq!(kind, Some(ProblemType::ExternalAccountRequired), "{error}");
    let error = client
        .new_account(&key, registration("d3Jvbmc"))
        .await
        .unwrap_err();
    assert!(error.problem().is_some(), "{error}");
    let error = client
        .new_account(&key, registration("not base64"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::EabKey), "{error}");

    let made = client
        .new_account(&key, registration(&format!("{hmac}==")))
        .await?;
    assert!(made.created);
    // Once there is an account, the binding is not needed to find it.
    let found = client.new_account(&key, Registration::default()).await?;
    assert_eq!(found.url, made.url);
    Ok(())
}

/// Half of all nonces are refused: callers do not notice, and nonces are not fetched needlessly.
pub(crate) async fn rejected_nonces(bed: &Bed) -> Result<()> {
    let options = PebbleOptions {
        rejected_nonces: 50,
        ..PebbleOptions::default()
    };
    let pebble = bed.pebble("acme-nonces", &options).await?;
    let seen = Arc::new(Seen::default());
    let client = client(&pebble)?.observed_by(seen.clone());
    let key = AccountKey::generate()?;
    // One in 64 requests meets six refusals in a row.
    let made = until("an account", SOON, async || {
        Ok(client.new_account(&key, Registration::default()).await?)
    })
    .await?;
    let session = client.session(key, made.url);
    for _ in 0..20 {
        until("the account", SOON, async || Ok(session.account().await?)).await?;
    }

    let count = |action| seen.count(action);
    assert!(count(Action::Account) > 20, "{}", count(Action::Account));
    assert_eq!(count(Action::NewNonce), 1);
    assert_eq!(count(Action::Directory), 1);
    assert_eq!(
        seen.before.lock().unwrap().len(),
        seen.after.lock().unwrap().len()
    );
    Ok(())
}

/// What a CA refuses comes back with its reason and with who must act; one that is away is waited
/// for.
pub(crate) async fn refusals(bed: &Bed) -> Result<()> {
    let options = PebbleOptions {
        blocked_names: vec![format!("blocked.{ZONE}")],
        ..PebbleOptions::default()
    };
    let pebble = bed.pebble("acme-refusals", &options).await?;
    let session = session(&pebble).await?;
    let order = async |name: &str, profile| {
        let request = OrderRequest {
            identifiers: &[Identifier::Dns(name.to_owned())],
            not_after: None,
            profile,
            replaces: None,
        };
        session.new_order(&request).await
    };

    let error = order(&format!("blocked.{ZONE}"), None).await.unwrap_err();
    let problem = error.problem().context("no problem")?;
    assert_eq!(problem.kind, ProblemType::RejectedIdentifier);
    assert_eq!(error.class(), Class::Misconfigured);
    let error = order(&format!("fine.{ZONE}"), Some("gone"))
        .await
        .unwrap_err();
    let problem = error.problem().context("no problem")?;
    assert_eq!(problem.kind, ProblemType::InvalidProfile);

    // The record is wrong: the authorization says what the CA saw.
    let name = format!("wrong.{ZONE}");
    let record = format!("_acme-challenge.{name}");
    let text = Data::Txt("something else".to_owned());
    bed.dns().set_record(&record, &text)?;
    let made = order(&name, None).await?;
    let url = &made.authorizations[0];
    accept(&session, url).await?;
    let failed = until("the CA's verdict", SOON, async || {
        let authorization = session.authorization(url).await?;
        ensure!(authorization.status != AuthorizationStatus::Pending);
        Ok(authorization)
    })
    .await?;
    bed.dns().remove_record(&record, RecordType::TXT)?;
    assert_eq!(failed.status, AuthorizationStatus::Invalid);
    let problem = failed.problem().context("no problem")?;
    assert_eq!(problem.kind, ProblemType::Unauthorized, "{problem}");
    assert_eq!(session.order(&made.url).await?.status, OrderStatus::Invalid);

    let other = order(&format!("other.{ZONE}"), None).await?;
    let url = &other.authorizations[0];
    session.deactivate_authorization(url).await?;
    let gone = session.authorization(url).await?;
    assert_eq!(gone.status, AuthorizationStatus::Deactivated);

    pebble.unplug();
    let error = session.account().await.unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error}");
    assert_eq!(error.class(), Class::Transient);
    pebble.plug().await?;
    session.account().await?;

    let trusting_nobody = Client::new(Options::default().client()?, pebble.directory_url())?;
    let error = trusting_nobody.directory().await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured, "{error}");
    assert!(error.to_string().contains("is not trusted"), "{error}");
    let careless = Options {
        skip_tls_verify: true,
        ..Options::default()
    };
    let careless = Client::new(careless.client()?, pebble.directory_url())?;
    careless.directory().await?;
    Ok(())
}

/// Fetches every chain by its topmost issuer.
async fn chains(pebble: &Pebble, session: &Session, issued: &IssuedChain) -> Result<()> {
    let url = issued.alternates[0].rsplit_once("/alternate/");
    let (url, _) = url.context("an alternate of Pebble")?;
    let mut seen = Vec::new();
    for root in pebble.roots().await? {
        let root = CertificateFacts::from_pem(&root)?.subject.common_name;
        let found = session.certificate_preferring(url, &root).await?;
        let topmost = chain::topmost_issuer_common_name(found.pem.as_bytes())?;
        assert_eq!(topmost, Some(root));
        let parsed = Chain::from_pem(&found.pem)?;
        assert_eq!(parsed.chain_pem.trim(), found.pem.trim());
        assert!(!seen.contains(&found.pem));
        seen.push(found.pem);
    }
    assert_eq!(seen.len(), 3);
    let other = session.certificate_preferring(url, "nobody").await?;
    assert_eq!(other.pem, issued.pem);
    Ok(())
}

/// Takes an order through DNS-01 to its certificate.
async fn issue(
    bed: &Bed,
    session: &Session,
    order: Order,
    names: &[String],
    key: &PrivateKey,
) -> Result<IssuedChain> {
    for url in &order.authorizations {
        let authorization = session.authorization(url).await?;
        let name = authorization.name().context("an unknown kind of name")?;
        assert!(names.contains(&name), "{name}");
        let value = accept_value(session, url).await?;
        let record = format!("_acme-challenge.{}", name.trim_start_matches("*."));
        bed.dns().set_record(&record, &Data::Txt(value))?;
        accept(session, url).await?;
        until("the CA's verdict", SOON, async || {
            let authorization = session.authorization(url).await?;
            ensure!(authorization.status == AuthorizationStatus::Valid);
            Ok(())
        })
        .await?;
        bed.dns().remove_record(&record, RecordType::TXT)?;
    }

    let csr = RequestParameters {
        names: Names {
            dns: names.to_vec(),
            ..Names::default()
        },
        ..RequestParameters::default()
    };
    let csr = CertificateSigningRequest::build(&csr, key)?;
    session.finalize(&order, csr.der()).await?;
    let url = until("the certificate", SOON, async || {
        let order = session.order(&order.url).await?;
        order.certificate.context("the order is not valid yet")
    })
    .await?;
    Ok(session.certificate(&url).await?)
}

async fn accept_value(session: &Session, authorization: &str) -> Result<String> {
    let authorization = session.authorization(authorization).await?;
    let challenge = authorization
        .challenges
        .iter()
        .find(|challenge| challenge.r#type == ChallengeType::Dns01)
        .context("no DNS-01")?;
    let token = challenge.token.as_deref().context("no token")?;
    Ok(session.key().dns_value(token))
}

async fn accept(session: &Session, authorization: &str) -> Result<()> {
    let authorization = session.authorization(authorization).await?;
    let challenge = authorization
        .challenges
        .iter()
        .find(|challenge| challenge.r#type == ChallengeType::Dns01)
        .context("no DNS-01")?;
    session.accept_challenge(&challenge.url).await?;
    Ok(())
}

fn client(pebble: &Pebble) -> Result<Client> {
    let options = Options {
        ca_bundle: Some(pebble.tls_root().as_bytes().to_vec()),
        redirects: 0,
        ..Options::default()
    };
    Ok(Client::new(options.client()?, pebble.directory_url())?)
}

/// A new account.
async fn session(pebble: &Pebble) -> Result<Session> {
    let client = client(pebble)?;
    let key = AccountKey::generate()?;
    let made = client.new_account(&key, Registration::default()).await?;
    Ok(client.session(key, made.url))
}

fn private_key(algorithm: KeyAlgorithm, size: i64) -> Result<PrivateKey> {
    let parameters = KeyParameters::new(algorithm, Some(size))?;
    Ok(PrivateKey::generate(parameters)?)
}

/// Counts what is sent.
#[derive(Default)]
struct Seen {
    before: Mutex<Vec<Action>>,
    after: Mutex<Vec<Action>>,
}

impl Seen {
    fn count(&self, action: Action) -> usize {
        let after = self.after.lock().unwrap();
        after.iter().filter(|seen| **seen == action).count()
    }
}

impl Observer for Seen {
    fn before_request(&self, action: Action) {
        self.before.lock().unwrap().push(action);
    }

    fn after_request(&self, exchange: &Exchange<'_>) {
        assert_eq!(exchange.scheme, "https");
        assert!(exchange.host.starts_with("127.0.0.1:"), "{}", exchange.host);
        assert!(exchange.status.is_some());
        self.after.lock().unwrap().push(exchange.action);
    }
}
