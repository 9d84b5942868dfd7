//! An issued certificate in all situations, for tests.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{
        deletion::DeletionPolicy,
        issuance::{Issuance, IssuanceState, IssuanceStatus},
    },
    cluster::{Meta, ObjectKey},
    retire::{
        facts::{
            Account, Claim, Definition, Escrow, IssuanceFacts, Keeper, Live, Settings, Situation,
            Stored,
        },
        plan::{Step, plan},
    },
};

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn time(text: &str) -> Time {
    Time(at(text))
}

/// A record as it is written.
pub(crate) fn record() -> Issuance {
    let value = serde_json::json!({
        "metadata": {"namespace": "certwright", "name": "web-0123"},
        "spec": {
            "certificate": "", "cluster": "here", "deletionPolicy": "Revoke",
            "certificateRef": {
                "namespace": "web", "name": "www", "uid": "c", "since": "2026-01-01T00:00:00Z",
            },
            "issuerRef": {"name": "ca"}, "names": [], "publicKey": "ff", "serial": "abc",
            "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-04-01T00:00:00Z",
            "secretName": "www-tls",
        },
    });
    serde_json::from_value(value).unwrap()
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
        also_in: Vec::new(),
        asked_for: None,
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
        issuer: ObjectKey::new("web", "ca"),
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
        policy: Some(DeletionPolicy::Revoke),
        annotation: None,
        asker: None,
        is_issuing: false,
        is_ready: true,
    }
}

/// Its Certificate keeps it, and nothing is to be done.
pub(crate) fn situation() -> Situation {
    Situation {
        issuance: Arc::new(issuance()),
        is_ours: true,
        claim: Claim::Kept(keeper()),
        stored: Stored::This,
        shares: Vec::new(),
        last_policy: None,
        brake: false,
        is_unattended: false,
        compromised_by: None,
        is_namespace_ending: false,
        escrow: Escrow::None,
        listing: None,
        live: None,
        live_share: None,
        now: at("2026-02-01T00:00:00Z"),
        settings: Settings {
            delay: SignedDuration::from_hours(1),
            default_policy: DeletionPolicy::Revoke,
            users_are_checked: true,
        },
    }
}

pub(super) const OPENED: &str = "2025-01-01T00:00:00Z";

/// A situation, and what is different in it.
pub(super) fn when(change: impl FnOnce(&mut Situation, &mut IssuanceFacts)) -> Situation {
    let mut situation = situation();
    let mut issuance = (*situation.issuance).clone();
    change(&mut situation, &mut issuance);
    situation.issuance = issuance.into();
    situation
}

/// Its Certificate is gone since so long, and the API server confirms it.
pub(super) fn gone(since: Option<&str>) -> Situation {
    when(|situation, issuance| {
        situation.claim = Claim::Nobody;
        situation.live = Some(confirmed());
        if let Some(since) = since {
            issuance.status.state = Some(IssuanceState::Orphaned);
            issuance.status.orphaned_since = Some(time(since));
        }
    })
}

/// As [`gone`], long enough for anything to follow.
pub(super) fn due() -> Situation {
    gone(Some("2026-01-31T00:00:00Z"))
}

pub(super) fn confirmed() -> Live {
    Live {
        is_kept: false,
        definition: Definition::Since(at(OPENED)),
        used_by: Vec::new(),
        stored: Stored::This,
    }
}

pub(super) fn changed_by(
    mut situation: Situation,
    change: impl FnOnce(&mut IssuanceFacts),
) -> Situation {
    let mut issuance = (*situation.issuance).clone();
    change(&mut issuance);
    situation.issuance = issuance.into();
    situation
}

/// A step in a word: the state that is written, or what is done.
pub(super) fn word(step: &Step) -> &'static str {
    match step {
        Step::Nothing(_) => "nothing",
        Step::Ask => "ask",
        Step::AskAbout(_) => "ask about",
        Step::Write(change) => change
            .status
            .state
            .map_or("no state", IssuanceState::as_str),
        Step::Revoke => "revoke",
        Step::DeleteSecret(_) => "delete secret",
        Step::KeepAccountKey => "keep account key",
        Step::DropAccountKey => "drop account key",
        Step::DeleteRecord => "delete record",
    }
}

pub(super) fn assert_all(table: Vec<(&str, Situation, &str)>) {
    for (name, situation, want) in table {
        let step = plan(&situation);
        assert_eq!(word(&step), want, "{name}: {step:?}");
    }
}

pub(super) fn keeps(change: impl FnOnce(&mut Keeper)) -> Claim {
    let mut keeper = keeper();
    change(&mut keeper);
    Claim::Kept(keeper)
}

/// Nobody can be told that it is revoked.
pub(super) fn unrevocable(i: &mut IssuanceFacts) {
    i.account = None;
    i.list = None;
}
