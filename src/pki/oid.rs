//! How is an object identifier written with dots?

use x509_parser::asn1_rs::Oid;

/// The dotted form of an object identifier (X.690, 8.19). The parser's own takes the first two
/// numbers for one byte, which is wrong from 2.48 on.
pub(super) fn dotted(oid: &Oid<'_>) -> String {
    numbers(oid.as_bytes()).unwrap_or_else(|| oid.to_id_string())
}

/// The numbers with dots between them; `None` if one is larger than any in use.
fn numbers(der: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut number = 0_u128;
    for byte in der {
        number = number.checked_mul(128)? + u128::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if text.is_empty() {
            let root = (number / 40).min(2);
            text.push_str(&format!("{root}.{}", number - 40 * root));
        } else {
            text.push_str(&format!(".{number}"));
        }
        number = 0;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::names::parse_oid;

    #[test]
    fn what_is_written_is_read() {
        for text in [
            "0.0",
            "0.39.1",
            "1.39",
            "2.5.29.17",
            "2.47.1",
            "2.48.1",
            "2.999.3",
            "2.65535.18446744073709551615",
            "1.3.6.1.4.1.311.20.2.3",
        ] {
            let oid = parse_oid(text).unwrap();
            let der = yasna::construct_der(|writer| writer.write_oid(&oid));
            let oid = Oid::new(der[2..].into());
            assert_eq!(dotted(&oid), text);
        }
        let endless = [0x2a].into_iter().chain([0xff; 30]).chain([0x7f]);
        let oid = Oid::new(endless.collect::<Vec<_>>().into());
        assert!(!dotted(&oid).is_empty());
    }
}
