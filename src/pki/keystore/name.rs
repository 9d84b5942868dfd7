//! What is the certificate of a CA called in a PKCS#12 trust store?

use x509_parser::x509::AttributeTypeAndValue;

use crate::pki::{Error, certificate, hex};

/// The attributes with a name, in the order in which they are written.
const NAMED: [(&str, &str); 9] = [
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.3", "CN"),
    ("2.5.4.17", "POSTALCODE"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.8", "ST"),
    ("2.5.4.7", "L"),
    ("2.5.4.11", "OU"),
    ("2.5.4.10", "O"),
    ("2.5.4.6", "C"),
];

/// The subject of a certificate as Go writes one, which is what cert-manager calls it: Java
/// programs may ask for the CA by it.
pub(super) fn of_subject(der: &[u8]) -> Result<String, Error> {
    let parsed = certificate::parse(der)?;
    let attributes: Vec<&AttributeTypeAndValue<'_>> =
        parsed.tbs_certificate.subject.iter_attributes().collect();
    let mut parts: Vec<String> = NAMED
        .iter()
        .filter_map(|(oid, name)| {
            let mut values = attributes
                .iter()
                .filter(|attribute| attribute.attr_type().to_id_string() == *oid)
                .filter_map(|attribute| attribute.as_str().ok());
            let values: Vec<&str> = match *name {
                // One at the most: the last.
                "CN" | "SERIALNUMBER" => values.next_back().into_iter().collect(),
                _ => values.collect(),
            };
            let values = values
                .iter()
                .map(|value| format!("{name}={}", escaped(value)));
            let values: Vec<String> = values.collect();
            (!values.is_empty()).then(|| values.join("+"))
        })
        .collect();
    let others = attributes.iter().filter_map(|attribute| {
        let oid = attribute.attr_type().to_id_string();
        let is_named = NAMED.iter().any(|(named, _)| *named == oid);
        (!is_named).then(|| format!("{oid}=#{}", hex(&encoded(attribute))))
    });
    let others: Vec<String> = others.collect();
    parts.extend(others.into_iter().rev());
    Ok(parts.join(","))
}

/// The value of an attribute without a name, as Go encodes it: text as PrintableString if it can be.
fn encoded(attribute: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    let Ok(text) = attribute.as_str() else {
        return attribute.as_slice().to_vec();
    };
    let is_printable =
        |letter: char| letter.is_ascii_alphanumeric() || " '()+,-./:=?".contains(letter);
    yasna::construct_der(|writer| match text.chars().all(is_printable) {
        true => writer.write_printable_string(text),
        false => writer.write_utf8_string(text),
    })
}

/// As RFC 2253 has it.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.len().saturating_sub(1);
    for (at, letter) in value.char_indices() {
        let escape = match letter {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            '#' => at == 0,
            ' ' => at == 0 || at == last,
            _ => false,
        };
        if escape {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}
