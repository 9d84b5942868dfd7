//! Which profile of an ACME server is ordered (draft-ietf-acme-profiles)?

use std::collections::BTreeMap;

use crate::{
    api::{acme::AcmeIssuer, names::annotation, reason::request as reason},
    issuer::{limits, order_request::Said},
};

/// What comes before the name of a profile that is not insisted on.
const PREFERRED: &str = "preferred:";
/// The profile of Let's Encrypt that takes addresses; no other of its profiles does.
const OF_ADDRESSES: &str = "shortlived";

/// The profiles that a server offers, with what it says about each.
pub type Offered = BTreeMap<String, String>;

/// What is asked for by annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish<'a> {
    /// This profile and no other.
    Required(&'a str),
    /// This profile where it is offered.
    Preferred(&'a str),
}

/// What `annotations` say of the profile, if they do.
pub fn asked(annotations: &BTreeMap<String, String>) -> Option<&str> {
    let text = annotations.get(annotation::ACME_PROFILE)?.trim();
    Some(text).filter(|text| !text.is_empty())
}

fn wish(annotations: &BTreeMap<String, String>) -> Option<Wish<'_>> {
    let text = asked(annotations)?;
    Some(match text.strip_prefix(PREFERRED) {
        Some(name) => Wish::Preferred(name.trim()),
        None => Wish::Required(text),
    })
}

/// Whether the profile of a request with these `annotations` depends on what the server of `issuer`
/// offers.
pub fn depends(
    annotations: &BTreeMap<String, String>,
    issuer: &AcmeIssuer,
    has_addresses: bool,
) -> bool {
    let is_automatic =
        has_addresses && of_issuer(issuer).is_none() && limits::is_lets_encrypt(&issuer.server);
    wish(annotations).is_some() || is_automatic
}

/// The profile to order at `issuer`, whose server offers `offered`. The annotation comes before the
/// issuer's; where neither says one, addresses get the one that takes them, if that is known.
///
/// # Errors
/// The profile that is insisted on is not offered.
pub fn choose(
    annotations: &BTreeMap<String, String>,
    issuer: &AcmeIssuer,
    has_addresses: bool,
    offered: &Offered,
) -> Result<Option<String>, Said> {
    match wish(annotations) {
        Some(Wish::Required(name)) if !offered.contains_key(name) => {
            return Err(not_offered(name, &issuer.server, offered));
        }
        Some(Wish::Required(name)) => return Ok(Some(name.to_owned())),
        Some(Wish::Preferred(name)) if offered.contains_key(name) => {
            return Ok(Some(name.to_owned()));
        }
        Some(Wish::Preferred(_)) | None => {}
    }
    let is_automatic = has_addresses
        && limits::is_lets_encrypt(&issuer.server)
        && offered.contains_key(OF_ADDRESSES);
    let automatic = is_automatic.then_some(OF_ADDRESSES);
    Ok(of_issuer(issuer).or(automatic).map(str::to_owned))
}

/// The profile that the issuer names.
pub fn of_issuer(issuer: &AcmeIssuer) -> Option<&str> {
    issuer.profile.as_deref().filter(|name| !name.is_empty())
}

fn not_offered(name: &str, server: &str, offered: &Offered) -> Said {
    let offered: Vec<&str> = offered.keys().map(String::as_str).collect();
    let choice = match offered.as_slice() {
        [] => format!(
            "it has no profiles: remove annotation {}",
            annotation::ACME_PROFILE
        ),
        names => format!(
            "set annotation {} to one of: {}",
            annotation::ACME_PROFILE,
            names.join(", ")
        ),
    };
    Said {
        reason: reason::PROFILE_NOT_OFFERED,
        message: format!("profile {name:?} is not offered by {server}; {choice}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

    fn issuer(server: &str, profile: &str) -> AcmeIssuer {
        AcmeIssuer {
            server: server.into(),
            profile: Some(profile.into()),
            ..AcmeIssuer::default()
        }
    }

    fn annotated(text: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(annotation::ACME_PROFILE.to_owned(), text.to_owned())])
    }

    #[test]
    fn the_annotation_comes_first_then_the_issuer_then_what_is_known() {
        let all: Offered = ["classic", "shortlived", "tlsserver"]
            .map(|name| (name.to_owned(), String::new()))
            .into();
        // Annotation, issuer's profile, server, whether there are addresses; profile, whether the
        // server must be asked.
        let table = [
            ("", "", LETS_ENCRYPT, false, None, false),
            ("", "classic", LETS_ENCRYPT, false, Some("classic"), false),
            (
                "tlsserver",
                "classic",
                "https://ca",
                false,
                Some("tlsserver"),
                true,
            ),
            (
                " tlsserver ",
                "",
                "https://ca",
                true,
                Some("tlsserver"),
                true,
            ),
            (
                "preferred:tlsserver",
                "classic",
                "https://ca",
                false,
                Some("tlsserver"),
                true,
            ),
            (
                "preferred: fast",
                "classic",
                "https://ca",
                false,
                Some("classic"),
                true,
            ),
            ("preferred:fast", "", "https://ca", false, None, true),
            ("preferred:", "", "https://ca", false, None, true),
            ("", "", LETS_ENCRYPT, true, Some("shortlived"), true),
            (
                "preferred:fast",
                "",
                LETS_ENCRYPT,
                true,
                Some("shortlived"),
                true,
            ),
            ("", "", "https://ca", true, None, false),
            // Whoever says a profile knows better.
            ("", "classic", LETS_ENCRYPT, true, Some("classic"), false),
        ];
        for (text, of_issuer, server, has_addresses, want, depends_on_it) in table {
            let (annotations, issuer) = (annotated(text), issuer(server, of_issuer));
            let chosen = choose(&annotations, &issuer, has_addresses, &all).unwrap();
            let depends = depends(&annotations, &issuer, has_addresses);
            assert_eq!(
                (chosen.as_deref(), depends),
                (want, depends_on_it),
                "{text:?}"
            );
        }
        let none = Offered::new();
        let chosen = choose(&BTreeMap::new(), &issuer(LETS_ENCRYPT, ""), true, &none);
        assert_eq!(chosen, Ok(None));
    }

    #[test]
    fn a_profile_that_is_not_there_is_told_with_those_that_are() {
        let classic = Offered::from([("classic".to_owned(), String::new())]);
        let table = [
            (
                classic,
                "profile \"fast\" is not offered by https://ca; set annotation \
                 certwright.io/acme-profile to one of: classic",
            ),
            (
                Offered::new(),
                "profile \"fast\" is not offered by https://ca; it has no profiles: remove \
                 annotation certwright.io/acme-profile",
            ),
        ];
        for (offered, want) in table {
            let issuer = issuer("https://ca", "classic");
            let refused = choose(&annotated("fast"), &issuer, false, &offered);
            assert_eq!(refused.unwrap_err().message, want);
        }
    }
}
