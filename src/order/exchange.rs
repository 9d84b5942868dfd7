//! What is said to the CA about an Order, and how its answers are stored. Pure.

use std::net::IpAddr;

use instant_acme::{AuthorizationStatus, Identifier, OrderStatus as AtCa};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;

use crate::{
    acme::{self, Session},
    api::{
        challenge::{Challenge, ChallengeSpec, ChallengeType},
        order::{Authorization, OfferedChallenge, OrderSpec, OrderStatus, State},
    },
    order::{facts::OrderFacts, plan::NewChallenge},
};

/// What the CA answered to placing or reading the order, as it is stored.
pub(super) fn adopt(status: &OrderStatus, at_ca: &acme::order::Order) -> OrderStatus {
    let authorizations = at_ca
        .authorizations
        .iter()
        .map(|url| Authorization {
            url: url.clone(),
            ..Default::default()
        })
        .collect();
    OrderStatus {
        url: Some(at_ca.url.clone()),
        finalize_url: Some(at_ca.finalize.clone()),
        authorizations: Some(authorizations),
        state: Some(match at_ca.status.known() {
            Some(AtCa::Ready) => State::Ready,
            Some(AtCa::Processing) => State::Processing,
            Some(AtCa::Valid) => State::Valid,
            Some(AtCa::Invalid) => State::Invalid,
            Some(AtCa::Pending) | None => State::Pending,
        }),
        reason: None,
        ..status.clone()
    }
}

/// An authorization as it is stored. Kinds of challenges that are not known are kept; those without
/// a token are not answered by any solver here.
pub(super) fn authorization_status(read: &acme::authorization::Authorization) -> Authorization {
    let identifier = match read.identifier.known() {
        Some(Identifier::Dns(name)) => name.clone(),
        Some(Identifier::Ip(address)) => address.to_string(),
        _ => String::new(),
    };
    let challenges = read.challenges.iter().map(|challenge| OfferedChallenge {
        token: challenge.token.clone().unwrap_or_default(),
        type_: type_name(&challenge.r#type).to_owned(),
        url: challenge.url.clone(),
    });
    Authorization {
        challenges: Some(challenges.collect()),
        identifier: Some(identifier),
        initial_state: Some(match read.status.known() {
            Some(AuthorizationStatus::Valid) => State::Valid,
            Some(AuthorizationStatus::Pending) | None => State::Pending,
            Some(AuthorizationStatus::Expired) => State::Expired,
            Some(
                AuthorizationStatus::Invalid
                | AuthorizationStatus::Revoked
                | AuthorizationStatus::Deactivated,
            ) => State::Invalid,
        }),
        url: read.url.clone(),
        wildcard: Some(read.wildcard),
    }
}

fn type_name(type_: &instant_acme::ChallengeType) -> &str {
    match type_ {
        instant_acme::ChallengeType::Http01 => "http-01",
        instant_acme::ChallengeType::Dns01 => "dns-01",
        instant_acme::ChallengeType::TlsAlpn01 => "tls-alpn-01",
        instant_acme::ChallengeType::Unknown(name) => name,
        _ => "unknown",
    }
}

/// The names to order, each once and in order: DNS names, then addresses, the common name among
/// them (RFC 8555 section 7.4).
pub(super) fn identifiers(spec: &OrderSpec) -> Vec<Identifier> {
    let OrderSpec {
        common_name,
        dns_names,
        duration: _,
        ip_addresses,
        issuer_ref: _,
        profile: _,
        replaces: _,
        request: _,
    } = spec;
    let mut names: Vec<String> = dns_names.iter().flatten().cloned().collect();
    let mut addresses: Vec<IpAddr> = ip_addresses
        .iter()
        .flatten()
        .filter_map(|text| text.parse().ok())
        .collect();
    if let Some(name) = common_name.as_deref().filter(|name| !name.is_empty()) {
        match name.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => names.push(name.to_owned()),
        }
    }
    names.sort();
    names.dedup();
    addresses.sort();
    addresses.dedup();
    let names = names.into_iter().map(Identifier::Dns);
    names
        .chain(addresses.into_iter().map(Identifier::Ip))
        .collect()
}

/// The Challenge to be made for `new`, its proof computed with the account key of `session`.
pub(super) fn challenge(order: &OrderFacts, session: &Session, new: NewChallenge) -> Challenge {
    let NewChallenge {
        name,
        authorization_url,
        identifier,
        wildcard,
        choice,
    } = new;
    let token = choice.offered.token;
    let key = match choice.type_ {
        ChallengeType::Http01 => session.key().key_authorization(&token),
        ChallengeType::Dns01 => session.key().dns_value(&token),
    };
    let spec = ChallengeSpec {
        authorization_url,
        dns_name: identifier,
        issuer_ref: order.spec.issuer_ref.clone(),
        key,
        solver: choice.solver,
        token,
        type_: choice.type_,
        url: choice.offered.url,
        wildcard: Some(wildcard),
    };
    let mut challenge = Challenge::new(&name, spec);
    challenge.metadata = ObjectMeta {
        namespace: Some(order.meta.key.namespace.to_string()),
        name: Some(name),
        owner_references: Some(vec![OwnerReference {
            api_version: "acme.cert-manager.io/v1".to_owned(),
            kind: "Order".to_owned(),
            name: order.meta.key.name.to_string(),
            uid: order.meta.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..Default::default()
    };
    // The finalizer comes before the proof, by a field manager of its own.
    challenge
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_once_with_the_common_name_among_them() {
        let spec = OrderSpec {
            common_name: Some("b.example.com".into()),
            dns_names: Some(vec![
                "c.example.com".into(),
                "a.example.com".into(),
                "b.example.com".into(),
            ]),
            ip_addresses: Some(vec![
                "2001:db8::1".into(),
                "192.0.2.1".into(),
                "192.0.2.1".into(),
            ]),
            ..OrderSpec::default()
        };
        let shown: Vec<String> = identifiers(&spec)
            .into_iter()
            .map(|identifier| match identifier {
                Identifier::Dns(name) => name,
                Identifier::Ip(address) => address.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [
            "a.example.com",
            "b.example.com",
            "c.example.com",
            "192.0.2.1",
            "2001:db8::1",
        ];
        assert_eq!(shown, expected);
        let address = OrderSpec {
            common_name: Some("192.0.2.1".into()),
            ..OrderSpec::default()
        };
        assert!(matches!(identifiers(&address)[..], [Identifier::Ip(_)]));
    }
}
