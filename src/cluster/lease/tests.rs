//! Does a candidate lead when it may, and stop in time?

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::*;

const ME: &str = "me";

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// cert-manager's defaults.
fn timing() -> Timing {
    Timing::new(seconds(60), seconds(40), seconds(15)).unwrap()
}

fn record(holder: &str, renewed: i64) -> Record {
    Record::new(LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(60),
        renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
        ..LeaseSpec::default()
    })
}

/// What has happened to a candidate, at which second.
enum Event {
    Read(u64, Option<Record>),
    Wrote(u64),
    Conflict,
    Failed(u64),
}

fn next(events: Vec<Event>, at: u64) -> Step {
    let start = Instant::now();
    let mut candidate = Candidate::new(ME.to_owned(), timing());
    for event in events {
        match event {
            Event::Read(at, record) => candidate.observe(record, start + seconds(at)),
            Event::Wrote(at) => {
                let renewed = i64::try_from(at).unwrap();
                candidate.wrote(record(ME, renewed), start + seconds(at));
            }
            Event::Conflict => candidate.conflict(),
            Event::Failed(at) => candidate.failed(start + seconds(at)),
        }
    }
    candidate.next(start + seconds(at))
}

#[test]
fn a_candidate() {
    use Event::{Conflict, Failed, Read};
    let other = |renewed| Some(record("other", renewed));
    for (case, events, at, want) in [
        ("looks first", vec![], 0, Step::Read),
        (
            "creates what is not there",
            vec![Read(0, None)],
            0,
            Step::Create,
        ),
        (
            "takes what nobody holds",
            vec![Read(0, Some(record("", 0)))],
            0,
            Step::Take,
        ),
        (
            "takes what it holds unknowingly",
            vec![Read(0, Some(record(ME, 0)))],
            0,
            Step::Take,
        ),
        (
            "waits for the other",
            vec![Read(0, other(0))],
            5,
            Step::Wait(seconds(10)),
        ),
        ("looks again", vec![Read(0, other(0))], 15, Step::Read),
        (
            "starts counting anew when the other renews",
            vec![Read(0, other(0)), Read(59, other(59))],
            61,
            Step::Wait(seconds(13)),
        ),
        (
            "takes what has not changed for its duration",
            vec![Read(0, other(0)), Read(59, other(0))],
            60,
            Step::Take,
        ),
        (
            "waits no longer than until it expires",
            vec![Read(0, other(0)), Read(50, other(0))],
            52,
            Step::Wait(seconds(8)),
        ),
        (
            "does not trust the other's clock",
            vec![Read(0, other(-9_999))],
            1,
            Step::Wait(seconds(14)),
        ),
        (
            "looks again after a conflict",
            vec![Read(0, None), Conflict],
            0,
            Step::Read,
        ),
        (
            "pauses after a failure",
            vec![Failed(0)],
            1,
            Step::Wait(seconds(2)),
        ),
        (
            "tries again after the pause",
            vec![Failed(0)],
            3,
            Step::Read,
        ),
    ] {
        assert_eq!(next(events, at), want, "{case}");
    }
}

#[test]
fn a_leader() {
    use Event::{Conflict, Failed, Read, Wrote};
    let other = Some(record("other", 9));
    for (case, events, at, want) in [
        ("rests", vec![Wrote(0)], 0, Step::Wait(seconds(15))),
        ("renews", vec![Wrote(0)], 15, Step::Renew),
        (
            "looks after a conflict",
            vec![Wrote(0), Conflict],
            15,
            Step::Read,
        ),
        (
            "gives way",
            vec![Wrote(0), Read(16, other)],
            16,
            Step::Lost(Loss::Taken("other".into())),
        ),
        (
            "goes on when it was not taken",
            vec![Wrote(0), Read(16, Some(record(ME, 0)))],
            16,
            Step::Renew,
        ),
        (
            "takes back what was emptied",
            vec![Wrote(0), Read(3, Some(record("", 0)))],
            3,
            Step::Renew,
        ),
        (
            "makes a deleted lease anew",
            vec![Wrote(0), Read(16, None)],
            16,
            Step::Create,
        ),
        (
            "pauses after a failure",
            vec![Wrote(0), Failed(15)],
            15,
            Step::Wait(seconds(3)),
        ),
        ("looks, then", vec![Wrote(0), Failed(15)], 18, Step::Read),
        (
            "waits no longer than it may lead",
            vec![Wrote(0), Failed(38)],
            38,
            Step::Wait(seconds(2)),
        ),
        (
            "stops at its deadline",
            vec![Wrote(0), Failed(39)],
            40,
            Step::Lost(Loss::Deadline(seconds(40))),
        ),
        (
            "stops late when it slept",
            vec![Wrote(0)],
            99,
            Step::Lost(Loss::Deadline(seconds(99))),
        ),
        (
            "leads on after a renewal",
            vec![Wrote(0), Wrote(15)],
            41,
            Step::Renew,
        ),
    ] {
        assert_eq!(next(events, at), want, "{case}");
    }
}

#[test]
fn the_leader_stops_before_the_lease_can_be_taken() {
    let start = Instant::now();
    let mut leader = Candidate::new(ME.to_owned(), timing());
    leader.wrote(record(ME, 0), start);
    // The other sees the write at the earliest when it was begun.
    let mut other = Candidate::new("other".to_owned(), timing());
    other.observe(Some(record(ME, 0)), start);
    for second in 0..120 {
        let now = start + seconds(second);
        let leads = !matches!(leader.next(now), Step::Lost(_));
        other.observe(Some(record(ME, 0)), now);
        let takes = other.next(now) == Step::Take;
        assert!(!(leads && takes), "both at {second} s");
    }
}
