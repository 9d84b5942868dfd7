//! Is there a good certificate at every moment, for years, whatever its CA does?

use jiff::{SignedDuration, Timestamp};

use super::{World, spec};
use crate::{
    api::{
        certificate::{CertificateAcmeStatus, RenewalInformationWindow},
        condition::kind,
        reason::request as request_reason,
    },
    certificate::{
        action::Action,
        backoff,
        suggestion::{self, Ask, Question, Source},
    },
    cluster::Next,
    net::http::RetryAfter,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What a CA does while it does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    /// It does not answer: requests wait.
    Silent,
    /// It fails what it is asked: each try counts as one.
    Failing,
}

/// What came of it.
#[derive(Debug, Default)]
struct Years {
    /// Requests that were made.
    orders: usize,
    /// Certificates that were issued.
    issued: usize,
    /// The longest time without a good certificate.
    gap: SignedDuration,
    /// The most tries that one renewal took.
    tries: usize,
}

/// Pseudo-random numbers (SplitMix64): the same each time for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, most: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % most as u64) as i64
    }
}

/// Outages of these lengths, one after the other, from two to thirty days apart.
fn outages(
    lengths: &[SignedDuration],
    random: &mut Random,
    from: Timestamp,
) -> Vec<[Timestamp; 2]> {
    let mut all = Vec::new();
    // The first certificate comes in peace.
    let mut at = from + DAY;
    while at < from + DAY * 500 {
        let length = lengths[random.below(lengths.len() as i64) as usize];
        at += HOUR * (48 + random.below(28 * 24) as i32);
        all.push([at, at + length]);
        at += length;
    }
    all
}

/// Live through 400 days with certificates of `lifetime`.
fn live(lifetime: SignedDuration, outages: &[[Timestamp; 2]], outage: Outage, ari: bool) -> Years {
    let mut world = World::new(spec());
    world.source = if ari { Source::Asked } else { Source::NotAsked };
    let end = world.now + DAY * 400;
    let mut years = Years::default();
    let mut tries = 0;
    let down = |now: Timestamp| outages.iter().find(|[from, to]| *from <= now && now < *to);
    while world.now < end {
        let made = world.requests.len();
        let before = world.writes.len();
        world.settle();
        let asked = world.writes[before..]
            .iter()
            .filter(|write| **write == "create request")
            .count();
        years.orders += asked;
        tries += asked;
        assert!(world.requests.len() <= made.max(1) + 1, "requests pile up");

        if let Some(name) = pending(&world) {
            match (down(world.now), outage) {
                (None, _) => {
                    let until = world.now + lifetime;
                    world.sign_until(&name, until);
                    years.issued += 1;
                    years.tries = years.tries.max(tries);
                    tries = 0;
                    continue;
                }
                (Some(_), Outage::Failing) => {
                    world.say(
                        &name,
                        kind::READY,
                        false,
                        request_reason::FAILED,
                        "the CA said no",
                    );
                    continue;
                }
                (Some(_), Outage::Silent) => {}
            }
        }
        if ari && down(world.now).is_none() {
            ask(&mut world, lifetime);
        }
        pass(&mut world, outages, &mut years);
    }
    years
}

/// The request that waits for the CA.
fn pending(world: &World) -> Option<String> {
    let revision = world.status().revision.unwrap_or(0) + 1;
    let name = format!("web-{revision}");
    let request = world.requests.get(&name)?;
    let conditions = request
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let is_over = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.reason.as_deref() == Some(request_reason::FAILED));
    let is_issued = request
        .status
        .as_ref()
        .is_some_and(|status| status.certificate.is_some());
    (!is_over && !is_issued).then_some(name)
}

/// The CA says when it wants the certificate renewed, if it is time to ask it: as Let's Encrypt does,
/// around when a third is left, and when a half is left of a short one.
fn ask(world: &mut World, lifetime: SignedDuration) {
    let situation = world.situation();
    let question = Question {
        certificate: &situation.certificate,
        secret: situation.secret.as_deref(),
        source: situation.source,
        now: situation.now,
    };
    if suggestion::ask(question) != Ask::Now {
        return;
    }
    let secret = situation.secret.as_ref().unwrap();
    let leaf = secret.leaf.read().unwrap();
    let left = if lifetime < DAY * 10 {
        lifetime / 2
    } else {
        lifetime / 3
    };
    let ideal = leaf.not_after - left;
    let info = crate::acme::renewal::RenewalInfo {
        suggested_window: crate::acme::renewal::Window {
            start: ideal - lifetime / 100,
            end: ideal + lifetime / 100,
        },
        explanation_url: None,
        // The longest that is obeyed: fewer steps.
        retry_after: Some(RetryAfter::After(DAY)),
    };
    let told: CertificateAcmeStatus = suggestion::answered(&info, world.now, 0.5);
    let window: Option<&RenewalInformationWindow> = told
        .ari
        .as_ref()
        .and_then(|ari| ari.suggested_window.as_ref());
    assert!(window.is_some());
    world.certificate.status.as_mut().unwrap().acme = Some(told);
}

/// Go on to when something happens next.
fn pass(world: &mut World, outages: &[[Timestamp; 2]], years: &mut Years) {
    let plan = world.plan();
    assert!(
        plan.actions
            .iter()
            .all(|action| matches!(action, Action::PatchStatus(_))),
        "{plan:?}"
    );
    // What is looked at every hour, or while a request waits, is the same until one of these.
    let status = world.status();
    let ari = status.acme.as_ref().and_then(|acme| acme.ari.as_ref());
    let turns = [
        status.renewal_time.as_ref(),
        ari.and_then(|ari| ari.next_check.as_ref()),
    ];
    let turns = turns.into_iter().flatten().map(|at| at.0);
    let is_waiting = pending(world).is_some();
    let mut next = match plan.next {
        Next::After(wait) if !is_waiting && wait < std::time::Duration::from_secs(3600) => {
            world.now + SignedDuration::try_from(wait).unwrap()
        }
        Next::After(_) | Next::Change => world.now + DAY * 30,
    };
    for turn in turns.filter(|turn| *turn > world.now) {
        next = next.min(turn);
    }
    if let Some(at) = backs_off_until(world) {
        next = next.min(at);
    }
    if let Some(turn) = outages
        .iter()
        .flatten()
        .copied()
        .find(|turn| *turn > world.now)
    {
        next = next.min(turn);
    }
    let secret = world.target().unwrap();
    let good_until = secret.leaf.read().unwrap().not_after;
    if next > good_until {
        years.gap = years.gap.max(good_until.duration_until(next));
    }
    world.now = next.max(world.now + SignedDuration::from_millis(1));
}

/// When the next try is, of a Certificate whose last one failed.
fn backs_off_until(world: &World) -> Option<Timestamp> {
    let status = world.status();
    let failed = status.last_failure_time?.0;
    let attempts = status.failed_issuance_attempts.unwrap_or(1);
    let at = backoff::at(&world.situation(), failed, attempts);
    (at > world.now).then_some(at)
}

#[test]
fn there_is_always_a_good_certificate() {
    let long = [HOUR, DAY, DAY * 7];
    let short = [HOUR, DAY];
    // (lifetime, outages, renewals without outages in 400 days by the ordinary schedule)
    let table = [
        (DAY * 90, &long[..], 7),
        (DAY * 45, &long[..], 14),
        // Two days are left when it is renewed: nobody outlives a week without a CA.
        (DAY * 6, &short[..], 101),
    ];
    for (lifetime, lengths, renewals) in table {
        for seed in 0..2 {
            for (outage, ari) in [
                (Outage::Silent, seed == 0),
                (Outage::Failing, seed == 1 && lifetime < DAY * 10),
            ] {
                let case = format!("{lifetime:#} {seed} {outage:?} ARI {ari}");
                let start = World::new(spec()).now;
                let outages = outages(lengths, &mut Random(seed), start);
                let years = live(lifetime, &outages, outage, ari);
                assert_eq!(years.gap, SignedDuration::ZERO, "{case}: {years:?}");
                let most = if ari && lifetime < DAY * 10 {
                    // At half of it, as that CA wants.
                    renewals * 4 / 3 + 2
                } else {
                    renewals + 1
                };
                assert!(
                    years.issued >= renewals / 2 && years.issued <= most,
                    "{case}: {years:?}"
                );
                // A week has 168 hours; the back-off doubles from one to 32.
                let tries = match outage {
                    Outage::Silent => 1,
                    Outage::Failing => 12,
                };
                assert!(years.tries <= tries, "{case}: {years:?}");
            }
        }
    }
}

#[test]
fn a_ca_that_is_back_is_asked_at_once() {
    let start = World::new(spec()).now;
    let lifetime = DAY * 6;
    for outage in [Outage::Silent, Outage::Failing] {
        let week = [[start + DAY * 3, start + DAY * 10]];
        let years = live(lifetime, &week, outage, false);
        // From the sixth day on there was none; the tries that know the deadline do not stop.
        let most = match outage {
            Outage::Silent => DAY * 4,
            Outage::Failing => DAY * 4 + HOUR * 32,
        };
        assert!(
            years.gap > SignedDuration::ZERO && years.gap <= most,
            "{years:?}"
        );
    }
}

#[test]
fn the_last_third_of_a_short_life_has_tries_enough() {
    // 160 hours, as the profile `shortlived` has it, and a CA that fails from the first renewal on.
    let start = World::new(spec()).now;
    let lifetime = HOUR * 160;
    let forever = [[start + HOUR, start + DAY * 500]];
    let tries = tries_until_expiry(lifetime, &forever);
    assert!((12..=60).contains(&tries), "{tries}");
    // One that lives long is not hurried.
    let tries = tries_until_expiry(DAY * 90, &forever);
    assert!((12..=60).contains(&tries), "{tries}");
}

fn tries_until_expiry(lifetime: SignedDuration, outages: &[[Timestamp; 2]]) -> usize {
    let mut world = World::new(spec());
    world.settle();
    let until = world.now + lifetime;
    world.sign_until("web-1", until);
    let mut years = Years::default();
    let mut tries: Vec<Timestamp> = Vec::new();
    while world.now < until {
        let before = world.writes.len();
        world.settle();
        if world.writes[before..].contains(&"create request") && world.status().revision.is_some() {
            tries.push(world.now);
        }
        if let Some(name) = pending(&world) {
            world.say(
                &name,
                kind::READY,
                false,
                request_reason::FAILED,
                "the CA said no",
            );
            continue;
        }
        pass(&mut world, outages, &mut years);
    }
    // A CA takes five failures of a name in an hour.
    for hour in tries.windows(6) {
        assert!(hour[0].duration_until(hour[5]) >= HOUR, "{hour:?}");
    }
    tries.len()
}
