//! How is it told that certificates are re-issued, as the CA of their issuer changed?

use jiff::{SignedDuration, Timestamp};

use crate::api::{
    condition::{self, Condition, kind},
    issuer::IssuerStatus,
    names::annotation,
    reason::issuer as reason,
};

/// How often the status tells how far it is.
const INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing is re-issued.
    Nothing,
    /// So many are left.
    Underway {
        /// Those of a former CA.
        left: usize,
        /// All.
        of: usize,
        /// Those that get the new root into `ca.crt` before that.
        lacking: usize,
        /// Those that have not got it, and are not waited for.
        overdue: usize,
        /// When the last has its turn.
        last: Option<Timestamp>,
        /// Until when the first of the former CAs is trusted; `None`: none is any more.
        trusted_until: Option<Timestamp>,
    },
    /// The annotation of the issuer says this, which means nothing.
    Unknown(String),
}

/// When it was told last, and whether roots were handed out then.
#[derive(Debug, Default)]
pub struct Progress(Option<(Timestamp, bool)>);

impl Progress {
    /// Put it into the status; how far it is not more often than every ten seconds, but for the moment
    /// in which the re-issuing begins.
    pub fn tell(
        &mut self,
        said: &Said,
        generation: i64,
        status: &mut IssuerStatus,
        now: Timestamp,
    ) {
        let known = condition::find(status.conditions.as_ref(), kind::ROTATING);
        let (holds, reason, message) = match said {
            Said::Nothing => {
                if let Some(conditions) = status.conditions.as_mut() {
                    condition::remove(conditions, kind::ROTATING);
                }
                self.0 = None;
                return;
            }
            Said::Underway {
                left,
                of,
                lacking,
                overdue,
                last,
                trusted_until,
            } => {
                let is_spreading = *lacking > 0;
                let is_told = self.0.is_some_and(|(at, was_spreading)| {
                    at.duration_until(now) < INTERVAL && was_spreading == is_spreading
                });
                if known.is_some() && is_told {
                    return;
                }
                self.0 = Some((now, is_spreading));
                let message = match lacking {
                    0 => underway(*left, *of, *overdue, *last, *trusted_until),
                    lacking => spreading(*lacking, *of, *last),
                };
                (true, reason::CA_CHANGED, message)
            }
            Said::Unknown(value) => (
                false,
                reason::INVALID_CONFIG,
                format!(
                    "annotation {}: {value:?} is unknown: use Automatic or Never; until then nothing \
                     is re-issued when the CA changes",
                    annotation::ROTATION
                ),
            ),
        };
        let rotating = Condition::new(kind::ROTATING, holds, reason, message, Some(generation));
        condition::set(status.conditions.get_or_insert_default(), rotating, now);
    }
}

/// Before anything is re-issued.
fn spreading(lacking: usize, of: usize, last: Option<Timestamp>) -> String {
    format!(
        "The CA changed: {lacking} of {of} Secrets get its root into ca.crt, then certificates are \
         re-issued{}",
        by(last)
    )
}

fn underway(
    left: usize,
    of: usize,
    overdue: usize,
    last: Option<Timestamp>,
    trusted_until: Option<Timestamp>,
) -> String {
    let done = of.saturating_sub(left);
    let remark = match overdue {
        0 => String::new(),
        overdue => format!(
            "; the ca.crt of {overdue} could not be given all roots: what reads those Secrets may not \
             trust the others until they are re-issued too"
        ),
    };
    let trust = match trusted_until {
        Some(end) => format!(
            "; what is not by {} is not trusted by the others then",
            shown(end)
        ),
        None => "; the others do not trust the rest any more".to_owned(),
    };
    format!(
        "The CA changed: {done} of {of} certificates are of the new one{}{trust}{remark}",
        by(last)
    )
}

fn by(last: Option<Timestamp>) -> String {
    let by = last.map(|last| format!("; the last has its turn by {}", shown(last)));
    by.unwrap_or_default()
}

fn shown(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn message(status: &IssuerStatus) -> Option<&str> {
        let found = condition::find(status.conditions.as_ref(), kind::ROTATING)?;
        found.message.as_deref()
    }

    #[test]
    fn it_is_told_now_and_then_and_taken_back() {
        let said = |left, lacking, overdue| Said::Underway {
            left,
            of: 120,
            lacking,
            overdue,
            last: Some(at(600)),
            trusted_until: (left > 3).then(|| at(86_400)),
        };
        let underway = |left| said(left, 0, 0);
        let (mut progress, mut status) = (Progress::default(), IssuerStatus::default());
        for (second, said, want) in [
            (0, Said::Nothing, None),
            (
                1,
                underway(120),
                Some("by 1970-01-02T00:00:00Z is not trusted"),
            ),
            (7, underway(119), Some("0 of 120")),
            (11, underway(118), Some("2 of 120")),
            (12, Said::Nothing, None),
            (13, underway(3), Some("do not trust the rest")),
            (
                24,
                said(120, 37, 0),
                Some("37 of 120 Secrets get its root into ca.crt"),
            ),
            (25, said(120, 0, 2), Some("0 of 120")),
            (26, said(119, 0, 2), Some("0 of 120")),
            (46, said(118, 0, 2), Some("the ca.crt of 2 could not be")),
            (
                47,
                Said::Unknown("Sometimes".into()),
                Some("\"Sometimes\" is unknown"),
            ),
        ] {
            progress.tell(&said, 1, &mut status, at(second));
            match want {
                None => assert_eq!(message(&status), None),
                Some(want) => {
                    let message = message(&status).unwrap();
                    assert!(message.contains(want), "{second}: {message}");
                }
            }
        }
    }
}
