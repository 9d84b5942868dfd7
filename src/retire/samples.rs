//! An issued certificate, for tests.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{
        deletion::DeletionPolicy,
        issuance::{IssuanceState, IssuanceStatus},
    },
    cluster::{Meta, ObjectKey},
    retire::facts::{Account, Claim, Escrow, IssuanceFacts, Keeper, Settings, Situation, Stored},
};

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn time(text: &str) -> Time {
    Time(at(text))
}

pub(crate) fn issuance() -> IssuanceFacts {
    IssuanceFacts {
        meta: Meta {
            key: ObjectKey::new("certwright", "web-0123"),
            uid: "i".into(),
            resource_version: "7".into(),
            generation: 1,
            created: Some(at("2026-01-01T00:00:00Z")),
            deleting: false,
            controller: None,
        },
        cluster: "here".into(),
        certificate: ObjectKey::new("web", "www"),
        uid: "c".into(),
        since: at("2026-01-01T00:00:00Z"),
        secret: ObjectKey::new("web", "www-tls"),
        serial: "abc".into(),
        public_key: "ff".into(),
        not_after: at("2026-04-01T00:00:00Z"),
        policy: DeletionPolicy::Revoke,
        earlier_request: None,
        account: Some(Account {
            url: "https://ca.example/acct/1".into(),
            server: "https://ca.example/dir".into(),
            key: ObjectKey::new("web", "account"),
        }),
        list: None,
        is_confirmed: false,
        status: IssuanceStatus {
            state: Some(IssuanceState::Active),
            ..IssuanceStatus::default()
        },
    }
}

pub(crate) fn keeper() -> Keeper {
    Keeper {
        name: "www".into(),
        uid: "c".into(),
        policy: DeletionPolicy::Revoke,
        annotation: None,
        is_issuing: false,
    }
}

/// Its Certificate keeps it, and nothing is to be done.
pub(crate) fn situation() -> Situation {
    Situation {
        issuance: Arc::new(issuance()),
        is_ours: true,
        claim: Claim::Kept(keeper()),
        stored: Stored::This,
        last_policy: None,
        brake: false,
        compromised_by: None,
        is_namespace_ending: false,
        escrow: Escrow::None,
        listing: None,
        live: None,
        now: at("2026-02-01T00:00:00Z"),
        settings: Settings {
            delay: SignedDuration::from_hours(1),
            default_policy: DeletionPolicy::Revoke,
        },
    }
}
