//! Which certificates are on the list of an issuer? Pure: computed from their records.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{condition::to_the_second, deletion::RevocationReason, issuance::IssuanceState},
    crl::room::{Candidate, Listed, share},
    pki::crl::{Entry, Reason, RevocationList, SerialNumber},
    retire::facts::IssuanceFacts,
};

impl From<RevocationReason> for Reason {
    fn from(reason: RevocationReason) -> Self {
        match reason {
            RevocationReason::Unspecified => Self::Unspecified,
            RevocationReason::KeyCompromise => Self::KeyCompromise,
            RevocationReason::AffiliationChanged => Self::AffiliationChanged,
            RevocationReason::Superseded => Self::Superseded,
            RevocationReason::CessationOfOperation => Self::CessationOfOperation,
        }
    }
}

/// What is on a list that is signed now and good for `validity`: of the `records` of this `cluster`,
/// those whose revocation is decided. They stay until one list was signed after they expired (RFC
/// 5280, 3.3). Its namespaces share `room`, after what is on the `last` one.
pub fn entries<'a>(
    records: impl IntoIterator<Item = &'a IssuanceFacts>,
    cluster: &str,
    validity: SignedDuration,
    room: usize,
    last: Option<&RevocationList>,
    now: Timestamp,
) -> Listed {
    let counts = |record: &&IssuanceFacts| {
        let end = record.not_after.saturating_add(validity);
        *record.cluster == *cluster && record.is_listed() && end.is_ok_and(|end| now <= end)
    };
    let candidate = |record: &IssuanceFacts| {
        let status = &record.status;
        let asked = status
            .request
            .as_ref()
            .map(|asked| (&asked.time, asked.reason));
        let done = status
            .revocation
            .as_ref()
            .map(|done| (&done.time, done.reason));
        let (time, reason) = asked.or(done)?;
        let entry = Entry {
            revoked: to_the_second(time.0).0,
            reason: reason.into(),
        };
        let serial = SerialNumber::from_hex(&record.serial)?;
        let is_on_last = last.is_some_and(|last| last.entries.contains_key(&serial));
        Some(Candidate {
            serial,
            entry,
            namespace: Arc::clone(&record.certificate.namespace),
            // Also where the last one is lost.
            is_listed: is_on_last || record.state() == IssuanceState::Revoked,
        })
    };
    let candidates = records.into_iter().filter(counts).filter_map(candidate);
    share(candidates, room)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        api::issuance::Request,
        cluster::ObjectKey,
        retire::samples::{at, issuance, time},
    };

    fn entries<'a>(
        records: impl IntoIterator<Item = &'a IssuanceFacts>,
        cluster: &str,
        validity: SignedDuration,
        now: Timestamp,
    ) -> BTreeMap<SerialNumber, Entry> {
        super::entries(records, cluster, validity, usize::MAX, None, now).entries
    }

    fn record(state: IssuanceState) -> IssuanceFacts {
        let mut record = issuance();
        record.account = None;
        record.list = Some(ObjectKey::new("web", "ca"));
        record.status.state = Some(state);
        record.status.request = Some(Request {
            by: "somebody".into(),
            reason: RevocationReason::KeyCompromise,
            time: time("2026-02-01T00:00:00Z"),
        });
        record
    }

    #[test]
    fn what_is_revoked_or_being_revoked_is_listed() {
        use IssuanceState::*;

        let week = SignedDuration::from_hours(7 * 24);
        // The sample expires on 1 April.
        let (before, after) = ("2026-03-01T00:00:00Z", "2026-04-02T00:00:00Z");
        let long_after = "2026-04-09T00:00:00Z";
        let table = [
            (Active, before, false),
            (Superseded, before, false),
            (Orphaned, before, false),
            (Held, before, false),
            (Revoking, before, true),
            (Revoked, before, true),
            // Its issuer was gone, and is back.
            (Unrevocable, before, true),
            (Expired, after, false),
            (Revoked, after, true),
            (Revoked, long_after, false),
        ];
        for (state, now, want) in table {
            let found = entries([&record(state)], "here", week, at(now));
            assert_eq!(!found.is_empty(), want, "{state} at {now}");
        }
        let all = entries([&record(Revoked)], "here", week, at(before));
        let entry = &all[&SerialNumber::from_hex("abc").unwrap()];
        assert_eq!(entry.reason, Reason::KeyCompromise);
        assert_eq!(entry.revoked, at("2026-02-01T00:00:00Z"));
        assert!(entries([&record(Revoked)], "elsewhere", week, at(before)).is_empty());
    }

    #[test]
    fn what_was_listed_has_room_also_where_the_list_is_lost() {
        let week = SignedDuration::from_hours(7 * 24);
        let now = at("2026-03-01T00:00:00Z");
        let known = record(IssuanceState::Revoked);
        let new = IssuanceFacts {
            serial: "abd".into(),
            ..record(IssuanceState::Revoking)
        };
        let serials = |listed: &Listed| -> Vec<String> {
            let serials = listed.entries.keys();
            serials.map(ToString::to_string).collect()
        };
        let records = [new.clone(), known];
        let listed = super::entries(&records, "here", week, 2, None, now);
        assert_eq!(serials(&listed), ["abc"]);
        assert!(listed.waiting.contains(&new.certificate.namespace));
        // It is on the list, and that is not written down yet.
        let last = RevocationList {
            number: 1,
            this_update: now,
            next_update: now,
            entries: entries([&new], "here", week, now),
        };
        let listed = super::entries(&records, "here", week, 2, Some(&last), now);
        assert_eq!(serials(&listed), ["abc", "abd"]);
        assert!(listed.waiting.is_empty());
    }

    #[test]
    fn what_another_revokes_is_not_listed() {
        let mut record = record(IssuanceState::Revoked);
        record.list = None;
        let now = at("2026-03-01T00:00:00Z");
        assert!(entries([&record], "here", SignedDuration::ZERO, now).is_empty());
    }

    #[test]
    fn reasons_are_spelled_alike() {
        let codes = RevocationReason::ALL.map(|reason| Reason::from(reason).code());
        assert_eq!(codes, Reason::ALL.map(Reason::code));
    }
}
