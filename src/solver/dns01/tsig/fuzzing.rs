//! What must hold for signed DNS messages of any shape?

use hickory_proto::rr::Name;
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{Algorithm, Key, record::split, unverified_error};

/// Messages: none is believed, as nobody knows the key, and what is signed is found again.
pub fn message(data: &[u8]) {
    let now = Timestamp::UNIX_EPOCH;
    let secret = Zeroizing::new(b"known to nobody".to_vec());
    let key = Key::new(&Name::root(), Algorithm::HmacSha256, secret);
    assert!(key.verify(data, b"", now).is_err());
    let _ = unverified_error(data);
    let Ok(Some((message, _))) = split(data) else {
        return;
    };
    let Ok(signed) = key.sign(&message, now) else {
        return;
    };
    let found = split(&signed.bytes).ok().flatten();
    assert_eq!(found.map(|(found, _)| found), Some(message));
}
