//! How many records are kept for a namespace? They are in one of ours, where no quota of its own counts.

use std::sync::Arc;

use crate::{
    cluster::Cache,
    retire::facts::{IssuanceFacts, IssuanceIndex},
};

/// Records of what no Certificate of the namespace keeps any more. For what is kept there is a
/// Certificate, which counts there.
const MOST_PAST: usize = 10_000;
/// Records of one Certificate: while what it is issued cannot be stored, none of them is past.
const MOST_OF_ONE: usize = 2_000;

/// Why there is no room for one more record of what the Certificate `uid` in `namespace` was issued.
pub(super) fn no_room(
    issuances: &Cache<IssuanceFacts>,
    namespace: &Arc<str>,
    uid: &str,
) -> Option<String> {
    let past = IssuanceIndex::Past(Arc::clone(namespace));
    let one = IssuanceIndex::Certificate(uid.to_owned());
    let (whose, most) = if issuances.count(&past) >= MOST_PAST {
        (format!("namespace {namespace:?}"), MOST_PAST)
    } else if issuances.count(&one) >= MOST_OF_ONE {
        ("its Certificate".to_owned(), MOST_OF_ONE)
    } else {
        return None;
    };
    Some(format!(
        "{whose} has {most} records of earlier certificates, and no more are kept; each goes 30 days \
         after its certificate has expired"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::issuance::{Issuance, IssuanceState, IssuanceStatus},
        retire::samples::record,
    };

    fn kept(number: usize, uid: &str) -> Issuance {
        let mut issuance = record();
        issuance.metadata.name = Some(format!("{uid}-{number}"));
        issuance.metadata.uid = Some(format!("{uid}-{number}"));
        issuance.metadata.resource_version = Some("1".to_owned());
        uid.clone_into(&mut issuance.spec.certificate_ref.uid);
        issuance
    }

    fn past(number: usize) -> Issuance {
        let mut issuance = kept(number, &format!("past-{number}"));
        issuance.status = Some(IssuanceStatus {
            state: Some(IssuanceState::Superseded),
            ..IssuanceStatus::default()
        });
        issuance
    }

    #[test]
    fn a_namespace_fills_only_its_own_room() {
        let (web, other) = (Arc::from("web"), Arc::from("other"));
        let issuances = Cache::default();
        for number in 0..MOST_PAST {
            // What is kept does not count.
            issuances.observe(kept(number, &format!("kept-{number}")));
            assert_eq!(no_room(&issuances, &web, "another"), None, "{number}");
            issuances.observe(past(number));
        }
        let full = no_room(&issuances, &web, "another").unwrap();
        assert!(
            full.starts_with("namespace \"web\" has 10000 records"),
            "{full}"
        );
        assert_eq!(no_room(&issuances, &other, "another"), None);
    }

    #[test]
    fn a_certificate_that_cannot_be_stored_fills_only_its_own() {
        let web = Arc::from("web");
        let issuances = Cache::default();
        for number in 0..MOST_OF_ONE {
            assert_eq!(no_room(&issuances, &web, "c"), None, "{number}");
            issuances.observe(kept(number, "c"));
        }
        let full = no_room(&issuances, &web, "c").unwrap();
        assert!(
            full.starts_with("its Certificate has 2000 records"),
            "{full}"
        );
        assert_eq!(no_room(&issuances, &web, "another"), None);
    }
}
