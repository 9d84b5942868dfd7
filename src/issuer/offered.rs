//! Which profile is ordered for a request, by what the server of its issuer offers now?

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{
    acme::directory::Directory,
    api::reason::request as reason,
    issuer::{IssuerView, Sessions, order_request::Said, profile},
    pki::csr::CsrFacts,
};

/// How soon a server that does not offer a profile is asked again: nothing tells of what it offers.
pub const RECHECK: Duration = Duration::from_secs(300);

/// The profile that an Order is made for, for a request to `issuer` with these `annotations` and this
/// signing request, if that can be read.
///
/// # Errors
/// Why that cannot be said now: it is not offered, or the server does not answer.
pub async fn choose(
    sessions: &Sessions,
    issuer: &IssuerView,
    annotations: &BTreeMap<String, String>,
    csr: Option<&CsrFacts>,
) -> Result<Option<String>, Said> {
    let Ok(acme) = issuer.usable_acme() else {
        return Ok(None);
    };
    let has_addresses = csr.is_some_and(|csr| !csr.names.ips.is_empty());
    if !profile::depends(annotations, acme, has_addresses) {
        return Ok(profile::of_issuer(acme).map(str::to_owned));
    }
    let unknown = |error: &dyn fmt::Display| Said {
        reason: reason::PROFILE_NOT_OFFERED,
        message: format!("Cannot ask {} for its profiles: {error}", acme.server),
    };
    let client = sessions.client(acme).map_err(|error| unknown(&error))?;
    let choose = |directory: &Directory| {
        profile::choose(annotations, acme, has_addresses, &directory.meta.profiles)
    };
    let known = client.directory().await.map_err(|error| unknown(&error))?;
    if let Ok(profile) = choose(&known) {
        return Ok(profile);
    }
    // It may be offered by now.
    let recent = client.recent_directory(RECHECK).await;
    choose(&*recent.map_err(|error| unknown(&error))?)
}
