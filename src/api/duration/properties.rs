//! Are durations read as Go reads them, and written so that they are read again?

use proptest::prelude::*;

use super::*;

const UNITS: [(&str, i128); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_written_is_read(nanos in any::<i64>()) {
        let value = SignedDuration::from_nanos(nanos);
        let written = Duration::from(value);
        prop_assert_eq!(written.parse(), Ok(SignedDuration::from_secs(value.as_secs())));
    }

    /// Numbers with units in any order and number, each with a fraction, are added up.
    #[test]
    fn parts_are_added_up(
        parts in prop::collection::vec((0_i128..100_000, 0_i128..1000, 0_usize..UNITS.len()), 1..6),
        negative in any::<bool>(),
    ) {
        let mut text = String::from(if negative { "-" } else { "" });
        let mut nanos = 0;
        for (whole, thousandths, unit) in parts {
            let (name, size) = UNITS[unit];
            text.push_str(&format!("{whole}.{thousandths:03}{name}"));
            nanos += whole * size + thousandths * size / 1000;
        }
        let nanos = if negative { -nanos } else { nanos };
        match i64::try_from(nanos) {
            Ok(nanos) => prop_assert_eq!(parse(&text), Ok(SignedDuration::from_nanos(nanos))),
            Err(_) => prop_assert_eq!(parse(&text), Err(DurationError::TooLong(text))),
        }
    }

    #[test]
    fn anything_else_is_refused(text in "[0-9hmsnuµ.+-]{0,12}") {
        if let Ok(value) = parse(&text) {
            let last = text.chars().last();
            prop_assert!(text.ends_with('0') || last.is_some_and(char::is_alphabetic));
            prop_assert_eq!(value.is_negative() && !text.starts_with('-'), false);
        }
    }
}
