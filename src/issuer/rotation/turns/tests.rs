//! Who has a turn when, for what, and who waits for whom?

use super::*;

const DAY: i64 = 86_400;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("web", name)
}

fn ca(name: &str) -> Fingerprint {
    Fingerprint::of(name.as_bytes())
}

fn reissue(expires: i64, trusted_until: i64) -> Work {
    Work::Reissue {
        ca: ca("old"),
        expires: at(expires),
        trusted_until: at(trusted_until),
        lacks: false,
    }
}

fn lacking(expires: i64) -> Work {
    Work::Reissue {
        ca: ca("old"),
        expires: at(expires),
        trusted_until: at(365 * DAY),
        lacks: true,
    }
}

/// What was noted is still to be done.
fn as_noted(key: &ObjectKey, turns: &Turns) -> Work {
    turns.known.get(key).map_or(Work::None, |entry| entry.work)
}

fn take(turns: &mut Turns, now: i64) -> Vec<ObjectKey> {
    turns.take(at(now), as_noted)
}

/// Who has a turn when, until nobody waits or `until`. Each is done with at once.
fn played(turns: &mut Turns, mut now: i64, until: i64) -> Vec<(i64, String)> {
    let mut played = Vec::new();
    while now < until && turns.next().is_some() {
        for key in take(turns, now) {
            played.push((now, key.name.to_string()));
            turns.forget(&key);
        }
        now += 1;
    }
    played
}

#[test]
fn one_at_a_time_and_the_most_urgent_first() {
    let mut turns = Turns::default();
    for (name, days) in [("late", 90), ("soon", 5), ("middle", 30), ("same", 30)] {
        let turn = turns.note(&key(name), reissue(days * DAY, 365 * DAY), at(0));
        assert_eq!(turn, Turn::None);
    }
    turns.note(&key("bundle"), Work::Restore, at(0));
    turns.note(&key("fine"), Work::None, at(0));
    assert_eq!(turns.to_reissue(), 4);
    assert_eq!(turns.last(at(0)), Some(at(24)));
    let played = played(&mut turns, 0, 100);
    let played: Vec<(i64, &str)> = played.iter().map(|(at, name)| (*at, &**name)).collect();
    let want = [
        (6, "soon"),
        (12, "middle"),
        (18, "same"),
        (24, "late"),
        (30, "bundle"),
    ];
    assert_eq!(played, want);
    assert_eq!(turns.next(), None);
}

#[test]
fn a_pause_is_not_made_up_for() {
    let mut turns = Turns::default();
    for name in ["a", "b", "c"] {
        turns.note(&key(name), reissue(DAY, 365 * DAY), at(0));
    }
    let played: Vec<i64> = played(&mut turns, 3600, 4000)
        .into_iter()
        .map(|(at, _)| at)
        .collect();
    assert_eq!(played, [3600, 3606, 3612]);
}

#[test]
fn all_is_done_before_a_ca_expires() {
    let mut turns = Turns::default();
    for number in 0..1000 {
        turns.note(&key(&number.to_string()), reissue(DAY, 2 * 3600), at(0));
    }
    let played = played(&mut turns, 0, 3 * 3600);
    let (last, _) = played.last().unwrap();
    assert_eq!(played.len(), 1000);
    assert!(*last <= 3600, "{last}");
    // One that has expired already does not make it faster than it may be.
    turns.note(&key("a"), reissue(DAY, 0), at(7200));
    let next = at(7200).checked_add(SHORTEST).unwrap();
    assert_eq!(turns.next(), Some(next));
}

#[test]
fn a_turn_lasts_until_it_is_done_and_holds_back_the_restoring() {
    let mut turns = Turns::default();
    let work = reissue(DAY, 365 * DAY);
    turns.note(&key("a"), work, at(0));
    turns.note(&key("b"), Work::Restore, at(0));
    assert!(take(&mut turns, 5).is_empty());
    assert_eq!(take(&mut turns, 6), [key("a")]);
    assert_eq!(turns.note(&key("a"), work, at(7)), Turn::Reissue);
    assert!(turns.is_needed(&ca("old"), &key("b")));
    assert!(!turns.is_needed(&ca("old"), &key("a")));
    assert!(!turns.is_needed(&ca("other"), &key("b")));
    // It fails, and is tried again: its old root is still needed.
    assert!(take(&mut turns, 60).is_empty());
    // It is done, and has a bundle of its own.
    assert_eq!(turns.note(&key("a"), Work::Restore, at(61)), Turn::None);
    assert_eq!(take(&mut turns, 66), [key("b")]);
    assert_eq!(turns.note(&key("b"), Work::Restore, at(67)), Turn::Restore);
    assert_eq!(take(&mut turns, 72), [key("a")]);
}

#[test]
fn nobody_waits_for_a_ca_that_has_expired() {
    let mut turns = Turns::default();
    turns.note(&key("a"), reissue(DAY, 100), at(0));
    turns.note(&key("b"), Work::Restore, at(0));
    assert_eq!(take(&mut turns, 6), [key("a")]);
    assert!(take(&mut turns, 99).is_empty());
    assert_eq!(take(&mut turns, 200), [key("b")]);
}

#[test]
fn what_is_not_so_any_more_takes_no_turn() {
    let mut turns = Turns::default();
    for (name, days) in [("gone", 1), ("there", 2)] {
        turns.note(&key(name), reissue(days * DAY, 365 * DAY), at(0));
    }
    let is_there = |one: &ObjectKey, turns: &Turns| match *one == key("there") {
        true => as_noted(one, turns),
        false => Work::None,
    };
    assert_eq!(turns.take(at(6), is_there), [key("there")]);
    assert_eq!(turns.to_reissue(), 1);
    turns.note(&key("there"), Work::None, at(7));
    assert_eq!(turns.to_reissue(), 0);
    assert!(turns.take(at(12), is_there).is_empty());
    assert_eq!(turns.next(), None);
}

#[test]
fn all_get_their_roots_before_one_is_reissued() {
    let mut turns = Turns::default();
    for number in 0..25 {
        turns.note(&key(&format!("{number:02}")), lacking(DAY), at(0));
    }
    // It is of the new CA already, and those who have it do not know the old one.
    turns.note(&key("new"), Work::Extend, at(0));
    assert_eq!((turns.to_extend(), turns.to_reissue()), (26, 25));
    // Two full rounds of a second, and 24 turns behind the first.
    assert_eq!(turns.last(at(0)), Some(at(1 + 2 + 24 * 6)));
    let mut rounds = Vec::new();
    for now in 0..20 {
        let taken = take(&mut turns, now);
        for key in &taken {
            let work = as_noted(key, &turns);
            match turns.note(key, work, at(now)) {
                Turn::Extend => {}
                turn => {
                    assert_eq!(turn, Turn::Reissue);
                    assert_eq!(turns.to_extend(), 0);
                    assert_eq!(taken.len(), 1);
                }
            }
            let done = match work {
                Work::Reissue { lacks: true, .. } => reissue(DAY, 365 * DAY),
                _ => Work::None,
            };
            turns.note(key, done, at(now));
        }
        rounds.push(taken.len());
    }
    assert_eq!(rounds[..4], [0, 10, 10, 6]);
    // Then one at a time.
    assert_eq!(rounds[4..].iter().sum::<usize>(), 3);
    assert_eq!(turns.to_reissue(), 22);
}

#[test]
fn one_that_does_not_get_them_is_waited_for_but_not_for_ever() {
    let mut turns = Turns::default();
    turns.note(&key("stuck"), lacking(DAY), at(0));
    turns.note(&key("fine"), lacking(2 * DAY), at(0));
    assert_eq!(take(&mut turns, 1), [key("fine"), key("stuck")]);
    turns.note(&key("fine"), reissue(2 * DAY, 365 * DAY), at(2));
    let patience = PATIENCE.as_secs();
    for now in 2..=patience {
        assert!(take(&mut turns, now).is_empty(), "{now}");
    }
    assert_eq!((turns.to_extend(), turns.overdue()), (1, 0));
    // It is re-issued in its turn, which helps it too.
    assert_eq!(take(&mut turns, patience + 1), [key("stuck")]);
    assert_eq!((turns.to_extend(), turns.overdue()), (0, 1));
    let turn = turns.note(&key("stuck"), lacking(DAY), at(patience + 2));
    assert_eq!(turn, Turn::Reissue);
    turns.note(&key("stuck"), Work::None, at(patience + 3));
    assert_eq!(turns.overdue(), 0);
    assert_eq!(take(&mut turns, patience + 7), [key("fine")]);
}

#[test]
fn one_that_gets_them_late_may_still() {
    let mut turns = Turns::default();
    turns.note(&key("urgent"), lacking(DAY), at(0));
    turns.note(&key("slow"), lacking(2 * DAY), at(0));
    assert_eq!(take(&mut turns, 1).len(), 2);
    let late = 1 + PATIENCE.as_secs();
    assert_eq!(take(&mut turns, late), [key("urgent")]);
    let turn = turns.note(&key("slow"), lacking(2 * DAY), at(late));
    assert_eq!(turn, Turn::Extend);
}

#[test]
fn slow_ones_are_not_flooded() {
    let mut turns = Turns::default();
    for number in 0..1000 {
        turns.note(&key(&number.to_string()), lacking(DAY), at(0));
    }
    let mut rounds = (0..100).map(|now| take(&mut turns, now).len());
    let slow = SLOW.as_secs() as usize;
    assert_eq!(rounds.by_ref().take(slow).sum::<usize>(), AT_WORK);
    assert!(rounds.by_ref().take(slow).sum::<usize>() <= AT_WORK);
    // Those that are stuck do not keep the others from theirs.
    assert!(rounds.sum::<usize>() > AT_WORK);
}

#[test]
fn whoever_takes_roots_away_again_holds_nobody_up_for_long() {
    let mut turns = Turns::default();
    let (with, without) = (reissue(DAY, 365 * DAY), lacking(DAY));
    turns.note(&key("fought over"), without, at(0));
    turns.note(&key("other"), reissue(2 * DAY, 365 * DAY), at(0));
    let mut given = 0;
    for now in 1..60 {
        for taken in take(&mut turns, now) {
            if turns.note(&taken, as_noted(&taken, &turns), at(now)) == Turn::Reissue {
                assert_eq!(given, MOST_TRIES);
                assert_eq!(turns.overdue(), 1);
                return;
            }
            given += 1;
            turns.note(&taken, with, at(now));
            turns.note(&taken, without, at(now));
        }
    }
    panic!("nothing is re-issued");
}

/// Somebody makes one Certificate after the other whose roots are taken away, or cannot be written: before
/// the others have theirs, or after.
#[test]
fn who_comes_in_between_holds_nobody_up() {
    let (with, without) = (reissue(DAY, 365 * DAY), lacking(DAY));
    for (begins, is_stuck) in [(0, false), (0, true), (20, false), (20, true)] {
        let mut turns = Turns::default();
        for number in 0..30 {
            turns.note(&key(&format!("own-{number:02}")), without, at(0));
        }
        let mut reissued = BTreeSet::new();
        for now in 1..400 {
            if now > begins {
                // By name they come first.
                turns.note(&key(&format!("new-{now}")), Work::Extend, at(now));
            }
            for taken in take(&mut turns, now) {
                let is_own = taken.name.starts_with("own");
                match turns.note(&taken, as_noted(&taken, &turns), at(now)) {
                    Turn::Extend if is_own => drop(turns.note(&taken, with, at(now))),
                    Turn::Reissue if is_own => {
                        turns.forget(&taken);
                        reissued.insert(taken);
                    }
                    Turn::Extend if is_stuck => {}
                    Turn::Extend => {
                        turns.note(&taken, Work::None, at(now));
                        turns.note(&taken, Work::Extend, at(now));
                    }
                    turn => panic!("{turn:?} for {taken}"),
                }
            }
        }
        assert_eq!(reissued.len(), 30, "from {begins} on, stuck: {is_stuck}");
        assert_eq!(turns.to_extend(), 0);
    }
}

/// Somebody puts an old leaf back again and again, one that expires soon.
#[test]
fn who_comes_again_and_again_is_behind_the_others() {
    let mut turns = Turns::default();
    for number in 0..10 {
        turns.note(
            &key(&format!("own-{number}")),
            reissue(9 * DAY, 365 * DAY),
            at(0),
        );
    }
    let old = reissue(DAY, 365 * DAY);
    let mut own = 0;
    for now in 0..=66 {
        turns.note(&key("old"), old, at(now));
        for taken in take(&mut turns, now) {
            turns.forget(&taken);
            own += usize::from(taken != key("old"));
        }
    }
    assert_eq!(own, 10);
}

#[test]
fn what_comes_in_the_middle_has_its_roots_first() {
    let mut turns = Turns::default();
    for name in ["a", "b"] {
        turns.note(&key(name), reissue(DAY, 365 * DAY), at(0));
    }
    assert_eq!(take(&mut turns, 6), [key("a")]);
    // A Certificate comes back, with its old Secret.
    turns.note(&key("c"), lacking(DAY), at(7));
    assert_eq!(turns.next(), Some(at(8)));
    assert_eq!(take(&mut turns, 8), [key("c")]);
    turns.note(&key("c"), reissue(DAY, 365 * DAY), at(8));
    assert_eq!(
        played(&mut turns, 9, 30),
        [(12, "b".into()), (18, "c".into())]
    );
}
