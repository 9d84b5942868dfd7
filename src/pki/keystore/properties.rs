//! Does every store open with its password, and with no other?

use proptest::prelude::*;

use super::{
    tests::{NOW, PROFILES, jks, material, password},
    *,
};

fn formats(alias: &str) -> Vec<Format> {
    let profiles = PROFILES.map(|(profile, _)| Format::Pkcs12(profile));
    profiles.into_iter().chain([jks(alias)]).collect()
}

proptest! {
    // Each case derives some dozens of keys.
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_written_is_read(alias in "\\PC{1,20}", text in "\\PC{0,16}", other in "[a-z]{17}") {
        let material = material();
        let (right, wrong) = (password(&text), password(&other));
        for format in formats(&alias) {
            let store = format.keystore(&material, &right, NOW).unwrap();
            prop_assert_eq!(format.is_keystore(&store, &material, &right), Ok(()));
            prop_assert!(format.is_keystore(&store, &material, &wrong).is_err());
            let trust = format.truststore(&material, &right, NOW).unwrap().unwrap();
            prop_assert_eq!(format.is_truststore(&trust, &material, &right), Ok(()));
            prop_assert!(format.is_keystore(&trust, &material, &right).is_err());
        }
    }
}
