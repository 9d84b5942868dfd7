//! Are our signatures those of another implementation, and is nothing else let through?

use super::*;

const NOW: i64 = 1_800_000_000;

struct Vector {
    algorithm: Algorithm,
    plain: Vec<u8>,
    signed: Vec<u8>,
    answer: Vec<u8>,
    bad_time: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    include_str!("vectors.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            Vector {
                algorithm: columns[0].parse().unwrap(),
                plain: hex(columns[1]),
                signed: hex(columns[2]),
                answer: hex(columns[3]),
                bad_time: hex(columns[4]),
            }
        })
        .collect()
}

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn key(name: &str, algorithm: Algorithm, secret: &str) -> Key {
    let secret = Zeroizing::new(secret.as_bytes().to_vec());
    Key::new(&Name::from_ascii(name).unwrap(), algorithm, secret)
}

fn good_key(algorithm: Algorithm) -> Key {
    key(
        "certwright.EXAMPLE",
        algorithm,
        "a secret that both sides know",
    )
}

#[test]
fn signatures_are_those_of_another_implementation() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 4);
    for vector in vectors {
        let signed = good_key(vector.algorithm)
            .sign(&vector.plain, at(NOW))
            .unwrap();
        // It writes the key's name as it is given, we in lower case.
        assert!(
            signed.bytes.eq_ignore_ascii_case(&vector.signed),
            "{:?}",
            vector.algorithm
        );
        let mac = signed.request_mac.as_slice();
        assert!(vector.signed.windows(mac.len()).any(|part| part == mac));
    }
}

#[test]
fn its_answers_are_believed_and_what_they_say_is_kept() {
    for vector in vectors() {
        let key = good_key(vector.algorithm);
        let mac = key.sign(&vector.plain, at(NOW)).unwrap().request_mac;
        let good = key.verify(&vector.answer, &mac, at(NOW + 300)).unwrap();
        assert_eq!((good.error, good.clock_ahead), (0, None));
        assert_eq!(unverified_error(&vector.answer), None);

        // Its own clock is what it complains with, so its distance is no reason to doubt it.
        let bad_time = key.verify(&vector.bad_time, &mac, at(NOW - 9)).unwrap();
        assert_eq!(
            (bad_time.error, bad_time.clock_ahead),
            (BADTIME, Some(3609))
        );
        assert_eq!(unverified_error(&vector.bad_time), Some(BADTIME));
    }
}

#[test]
fn what_is_not_from_the_server_now_is_refused() {
    for vector in vectors() {
        let Vector {
            algorithm,
            plain,
            answer,
            ..
        } = vector;
        let key_of = |name, secret| key(name, algorithm, secret);
        let good = good_key(algorithm);
        let mac = good.sign(&plain, at(NOW)).unwrap().request_mac;
        let refused = |key: &Key, answer: &[u8], mac: &[u8], now| {
            key.verify(answer, mac, at(now)).unwrap_err().to_string()
        };
        for (seen, want) in [
            (refused(&good, &plain, &mac, NOW), "it is not signed"),
            (
                refused(&good, &answer, b"another", NOW),
                "its signature does not hold",
            ),
            (
                refused(&key_of("certwright.example", "guessed"), &answer, &mac, NOW),
                "its signature does not hold",
            ),
            (
                refused(
                    &key_of("stranger", "a secret that both sides know"),
                    &answer,
                    &mac,
                    NOW,
                ),
                "it is signed with another key or algorithm (key certwright.example.)",
            ),
            (
                refused(&good, &answer, &mac, NOW + 301),
                "it was signed 301 s before our time",
            ),
            (
                refused(&good, &answer, &mac, NOW - 301),
                "it was signed 301 s after our time",
            ),
        ] {
            assert_eq!(seen, want, "{algorithm:?}");
        }
    }
}

#[test]
fn no_byte_of_an_answer_can_be_changed_or_left_out() {
    for vector in vectors() {
        let key = good_key(vector.algorithm);
        let mac = key.sign(&vector.plain, at(NOW)).unwrap().request_mac;
        let name = b"\x0aCertwright\x07Example\0";
        let found = vector
            .answer
            .windows(name.len())
            .position(|part| part == name);
        let ttl = found.unwrap() + name.len() + 4;
        for index in 0..vector.answer.len() {
            // The ID is the original one's, and the record's TTL is signed as 0 whatever it is.
            if index < 2 || (ttl..ttl + 4).contains(&index) {
                continue;
            }
            let mut changed = vector.answer.clone();
            changed[index] ^= 1;
            assert!(key.verify(&changed, &mac, at(NOW)).is_err(), "byte {index}");
            let cut = &vector.answer[..index];
            assert!(key.verify(cut, &mac, at(NOW)).is_err(), "{index} bytes");
        }
        let mut longer = vector.answer.clone();
        longer.push(0);
        assert!(key.verify(&longer, &mac, at(NOW)).is_err());
    }
}

#[test]
fn the_secret_is_not_shown() {
    let shown = format!("{:?}", good_key(Algorithm::HmacSha256));
    assert_eq!(
        shown,
        r#"Key { name: "certwright.example.", algorithm: HmacSha256, .. }"#
    );
}

#[test]
fn what_is_no_message_is_not_signed() {
    let key = good_key(Algorithm::HmacSha256);
    for bytes in [&[][..], &[0x12], &[0x12, 0x34, 0, 0]] {
        assert!(key.sign(bytes, at(NOW)).is_err());
        assert!(key.verify(bytes, &[], at(NOW)).is_err());
    }
    let before_1970 = key.sign(&vectors()[0].plain, at(-1));
    assert!(matches!(before_1970, Err(Error::Time)));
}
