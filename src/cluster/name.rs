//! Names computed from their cause: the same cause meets the object it made before.

use aws_lc_rs::digest::{SHA256, digest};

/// A number for a name, from what causes the object: the first 32 bits of the SHA-256 of `parts`.
pub fn number_of(parts: &[&str]) -> u32 {
    // Lengths keep ("ab", "c") and ("a", "bc") apart.
    let text: String = parts
        .iter()
        .map(|part| format!("{}:{part}", part.len()))
        .collect();
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref()
        .iter()
        .take(4)
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// A part of a name, from what causes the object: the first `kept` bytes of the SHA-256 of `cause`, in
/// lower-case hexadecimal.
pub fn hash_of(cause: &[u8], kept: usize) -> String {
    let hash = digest(&SHA256, cause);
    let kept = hash.as_ref().iter().take(kept);
    kept.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_start_of_the_sha_256() {
        let whole = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_of(b"abc", 32), whole);
        assert_eq!(hash_of(b"abc", 6), whole[..12]);
    }

    #[test]
    fn a_number_depends_on_every_part() {
        assert_eq!(number_of(&["a", "b"]), number_of(&["a", "b"]));
        assert_ne!(number_of(&["ab", "c"]), number_of(&["a", "bc"]));
        assert_ne!(number_of(&["a"]), number_of(&["a", ""]));
    }
}
