//! How is the state of a resource told, and when did it change?

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The conditions that resources have. Others may be set by others, and are kept.
pub mod kind {
    /// Of every kind: what was asked for is there and up to date.
    pub const READY: &str = "Ready";
    /// Of a Certificate: an issuance is under way, or the last one failed.
    pub const ISSUING: &str = "Issuing";
    /// Of an issuer: its CA changed, and what the former one signed is being re-issued.
    pub const ROTATING: &str = "Rotating";
    /// Of a CertificateRequest: it may be signed.
    pub const APPROVED: &str = "Approved";
    /// Of a CertificateRequest: it may not be signed.
    pub const DENIED: &str = "Denied";
    /// Of a CertificateRequest: it cannot be signed as it is.
    pub const INVALID_REQUEST: &str = "InvalidRequest";
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known whether it holds.
    Unknown,
}

impl ConditionStatus {
    /// The status as it is written in a resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl fmt::Display for ConditionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One aspect of the state of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// When the status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// The state in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Generation of the resource that the condition speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The state in one word, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the condition holds.
    pub status: ConditionStatus,
    /// Name of the condition.
    #[serde(rename = "type")]
    pub type_: String,
}

/// One aspect of the state of a CertificateRequest. Its spec never changes, so there is no generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestCondition {
    /// When the status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// The state in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The state in one word, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the condition holds.
    pub status: ConditionStatus,
    /// Name of the condition.
    #[serde(rename = "type")]
    pub type_: String,
}

impl Condition {
    /// A condition, its time still to be set by [`set`].
    pub fn new(
        type_: &str,
        status: impl Into<ConditionStatus>,
        reason: impl Into<String>,
        message: impl Into<String>,
        generation: Option<i64>,
    ) -> Self {
        Self {
            last_transition_time: None,
            message: given(message.into()),
            observed_generation: generation,
            reason: given(reason.into()),
            status: status.into(),
            type_: type_.to_owned(),
        }
    }
}

impl RequestCondition {
    /// A condition, its time still to be set by [`set`].
    pub fn new(
        type_: &str,
        status: impl Into<ConditionStatus>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            last_transition_time: None,
            message: given(message.into()),
            reason: given(reason.into()),
            status: status.into(),
            type_: type_.to_owned(),
        }
    }
}

/// Empty texts are left out, as cert-manager leaves them out: a condition that it wrote is the same.
fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// What both forms of condition have.
pub trait AnyCondition: Clone + PartialEq {
    /// Name of the condition.
    fn type_(&self) -> &str;
    /// Whether it holds.
    fn status(&self) -> ConditionStatus;
    /// The state in one word; empty where there is none.
    fn reason(&self) -> &str;
    /// The state in words; empty where there are none.
    fn message(&self) -> &str;
    /// When the status last changed.
    fn last_transition_time(&self) -> Option<&Time>;
    /// Puts the time at which the status changed.
    fn set_last_transition_time(&mut self, time: Option<Time>);
}

macro_rules! any_condition {
    ($name:ty) => {
        impl AnyCondition for $name {
            fn type_(&self) -> &str {
                &self.type_
            }

            fn status(&self) -> ConditionStatus {
                self.status
            }

            fn reason(&self) -> &str {
                self.reason.as_deref().unwrap_or_default()
            }

            fn message(&self) -> &str {
                self.message.as_deref().unwrap_or_default()
            }

            fn last_transition_time(&self) -> Option<&Time> {
                self.last_transition_time.as_ref()
            }

            fn set_last_transition_time(&mut self, time: Option<Time>) {
                self.last_transition_time = time;
            }
        }
    };
}

any_condition!(Condition);
any_condition!(RequestCondition);

/// Puts `new` into the list, in the place of the one of its type or at the end; returns whether
/// anything changed. The time is `now`, to the second as it is stored, unless the status stays as
/// it was. A time in `new` is not looked at.
pub fn set<C: AnyCondition>(conditions: &mut Vec<C>, mut new: C, now: Timestamp) -> bool {
    let old = conditions.iter_mut().find(|c| c.type_() == new.type_());
    let kept = old
        .as_ref()
        .filter(|old| old.status() == new.status())
        .and_then(|old| old.last_transition_time().cloned());
    new.set_last_transition_time(Some(kept.unwrap_or_else(|| to_the_second(now))));
    match old {
        Some(old) if *old == new => return false,
        Some(old) => *old = new,
        None => conditions.push(new),
    }
    true
}

/// The condition of that type.
pub fn find<'a, C: AnyCondition>(conditions: Option<&'a Vec<C>>, type_: &str) -> Option<&'a C> {
    conditions?.iter().find(|c| c.type_() == type_)
}

/// Whether the condition of that type is there and holds.
pub fn is_true<C: AnyCondition>(conditions: Option<&Vec<C>>, type_: &str) -> bool {
    find(conditions, type_).is_some_and(|c| c.status() == ConditionStatus::True)
}

/// Takes the condition of that type out; returns whether it was there.
pub fn remove<C: AnyCondition>(conditions: &mut Vec<C>, type_: &str) -> bool {
    let before = conditions.len();
    conditions.retain(|c| c.type_() != type_);
    conditions.len() != before
}

/// The instant as the API stores it: cut to whole seconds.
pub fn to_the_second(at: Timestamp) -> Time {
    let fraction =
        SignedDuration::from_nanos(i64::from(at.subsec_nanosecond()).rem_euclid(1_000_000_000));
    Time(at.checked_sub(fraction).unwrap_or(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: &str = "2026-01-01T00:00:00.9Z";
    const T1: &str = "2026-01-01T00:01:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn ready(status: bool, reason: &str, message: &str, generation: i64) -> Condition {
        Condition::new(kind::READY, status, reason, message, Some(generation))
    }

    #[test]
    fn an_empty_text_is_no_field() {
        let ready = ready(true, "IsReady", "", 1);
        assert_eq!(
            (ready.message.as_deref(), AnyCondition::message(&ready)),
            (None, "")
        );
        let approved = RequestCondition::new(kind::APPROVED, true, "", "yes");
        assert_eq!(
            (approved.reason, approved.message.as_deref()),
            (None, Some("yes"))
        );
    }

    #[test]
    fn time_moves_only_with_the_status() {
        // (new condition, whether that is a change, whether its time is the new one)
        let table = [
            (ready(false, "A", "a", 1), false, false),
            (ready(false, "B", "a", 1), true, false),
            (ready(false, "A", "b", 1), true, false),
            (ready(false, "A", "a", 2), true, false),
            (ready(true, "A", "a", 1), true, true),
        ];
        for (new, changes, moves) in table {
            let issuing = Condition::new(kind::ISSUING, true, "DoesNotExist", "no Secret", None);
            let mut list = vec![];
            assert!(set(&mut list, ready(false, "A", "a", 1), at(T0)));
            assert!(set(&mut list, issuing.clone(), at(T0)));
            let want = if moves {
                at(T1)
            } else {
                at("2026-01-01T00:00:00Z")
            };
            assert_eq!(set(&mut list, new.clone(), at(T1)), changes, "{new:?}");
            assert_eq!(list.len(), 2);
            assert_eq!(list[0].type_, kind::READY, "the order stays");
            assert_eq!(list[0].last_transition_time, Some(Time(want)), "{new:?}");
            let mut stored = list[0].clone();
            stored.last_transition_time = None;
            assert_eq!(stored, new);
        }
    }

    #[test]
    fn a_condition_without_time_gets_one() {
        let mut list = vec![ready(true, "A", "a", 1)];
        assert!(set(&mut list, ready(true, "A", "a", 1), at(T1)));
        assert_eq!(list[0].last_transition_time, Some(Time(at(T1))));
    }

    #[test]
    fn a_given_time_is_not_looked_at() {
        let mut list = vec![];
        let mut new = ready(true, "A", "a", 1);
        new.last_transition_time = Some(Time(at("2000-01-01T00:00:00Z")));
        set(&mut list, new, at(T1));
        assert_eq!(list[0].last_transition_time, Some(Time(at(T1))));
    }

    #[test]
    fn what_is_set_reads_back_the_same() {
        let mut list = vec![];
        set(&mut list, ready(true, "A", "a", 1), at(T0));
        let stored: Vec<Condition> =
            serde_json::from_value(serde_json::to_value(&list).unwrap()).unwrap();
        assert_eq!(stored, list);
        let before_the_epoch = at("1969-12-31T23:59:58.5Z");
        assert_eq!(
            to_the_second(before_the_epoch),
            Time(at("1969-12-31T23:59:58Z"))
        );
    }

    #[test]
    fn unknown_conditions_are_kept() {
        let mut list = vec![RequestCondition::new(
            "example.com/Checked",
            true,
            "Ok",
            "fine",
        )];
        assert!(set(
            &mut list,
            RequestCondition::new(kind::APPROVED, true, "Ok", "fine"),
            at(T0)
        ));
        assert!(is_true(Some(&list), "example.com/Checked"));
        assert!(is_true(Some(&list), kind::APPROVED));
        assert!(!is_true(Some(&list), kind::DENIED));
        assert!(remove(&mut list, kind::APPROVED) && !remove(&mut list, kind::APPROVED));
        assert_eq!(
            find(Some(&list), "example.com/Checked").map(AnyCondition::reason),
            Some("Ok")
        );
        assert!(find::<RequestCondition>(None, kind::READY).is_none());
    }
}
