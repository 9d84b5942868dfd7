//! What must hold for key stores of any shape?

use super::{Contents, Password, Unreadable, bounded, jks, pkcs12};

/// Java key stores and PKCS#12, opened by the password of the seeds and by none: what comes out was
/// in them.
pub fn key_store(data: &[u8]) {
    let Ok(store) = bounded(data) else { return };
    for text in ["changeit", ""] {
        let password = Password::new(text.as_bytes());
        holds_what_it_had(store, jks::open(store, &password).map(|(_, found)| found));
        holds_what_it_had(
            store,
            pkcs12::open(store, &password).map(|(_, found)| found),
        );
    }
}

fn holds_what_it_had(store: &[u8], found: Result<Contents, Unreadable>) {
    let Ok(Contents {
        key,
        chain,
        trusted,
    }) = found
    else {
        return;
    };
    let certificates = chain.iter().chain(&trusted).map(Vec::len).sum::<usize>();
    let key = key.map_or(0, |key| key.len());
    assert!(certificates + key <= store.len());
}
