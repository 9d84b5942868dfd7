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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_depends_on_every_part() {
        assert_eq!(number_of(&["a", "b"]), number_of(&["a", "b"]));
        assert_ne!(number_of(&["ab", "c"]), number_of(&["a", "bc"]));
        assert_ne!(number_of(&["a"]), number_of(&["a", ""]));
    }
}
