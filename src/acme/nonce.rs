//! Which nonces can the next requests use?

use std::sync::{Mutex, PoisonError};

/// More are not worth keeping: they expire at the CA.
const MAX: usize = 32;

/// Nonces from earlier answers. The newest is used first, as the oldest is likeliest to have
/// expired; when there are too many, the oldest goes.
#[derive(Debug, Default)]
pub(super) struct Nonces(Mutex<Vec<String>>);

impl Nonces {
    pub(super) fn put(&self, nonce: &str) {
        // RFC 8555, 6.5.1: base64url. Anything else cannot be used.
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if nonce.is_empty() || nonce.len() > 1024 || !nonce.bytes().all(valid) {
            return;
        }
        let mut nonces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.len() == MAX {
            nonces.remove(0);
        }
        nonces.push(nonce.to_owned());
    }

    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_first_and_bounded() {
        let nonces = Nonces::default();
        for at in 0..MAX + 2 {
            nonces.put(&format!("n{at}"));
        }
        nonces.put("not base64url!");
        nonces.put("");
        let taken = std::iter::from_fn(|| nonces.take()).collect::<Vec<_>>();
        let want = (2..MAX + 2).rev().map(|at| format!("n{at}"));
        assert_eq!(taken, want.collect::<Vec<_>>());
    }
}
