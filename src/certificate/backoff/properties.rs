//! Does every failed issuance get another try, neither too soon nor too late?

use proptest::prelude::*;

use super::*;

const DAY: i64 = 24 * 60 * 60;

fn settings() -> impl Strategy<Value = Settings> {
    (1_i64..2 * DAY, 0_i64..4 * DAY).prop_map(|(least, more)| Settings {
        backoff_min: SignedDuration::from_secs(least),
        backoff_max: SignedDuration::from_secs(least + more),
        ..Settings::default()
    })
}

/// The wait after a failure, `left` seconds before expiry.
fn wait(settings: &Settings, attempts: i64, left: Option<i64>) -> SignedDuration {
    let failed = Timestamp::UNIX_EPOCH;
    let expiry = left.map(|left| failed + SignedDuration::from_secs(left));
    failed.duration_until(before(settings, failed, attempts, expiry))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_wait_is_bounded(
        settings in settings(),
        attempts in any::<i64>(),
        left in prop::option::of(-DAY..400 * DAY),
    ) {
        let wait = wait(&settings, attempts, left);
        prop_assert!(wait <= settings.backoff_max);
        prop_assert!(wait >= settings.backoff_min.min(SHORTEST_CUT));
        let shortest = shortest(&settings);
        prop_assert!(shortest <= SHORTEST_CUT && shortest < settings.backoff_min);
        // Four tries fit before expiry, unless it is near.
        if let Some(left) = left.filter(|left| *left > 4 * SHORTEST_CUT.as_secs()) {
            prop_assert!(wait * 4 <= SignedDuration::from_secs(left));
        }
    }

    #[test]
    fn it_grows_with_the_failures(
        settings in settings(),
        attempts in 1_i64..100,
        left in prop::option::of(-DAY..400 * DAY),
    ) {
        let (this, next) = (wait(&settings, attempts, left), wait(&settings, attempts + 1, left));
        prop_assert!(this <= next && next <= this * 2);
    }

    #[test]
    fn it_ends_with_time_itself(settings in settings(), attempts in any::<i64>()) {
        let at = before(&settings, Timestamp::MAX, attempts, None);
        prop_assert_eq!(at, Timestamp::MAX);
    }
}
