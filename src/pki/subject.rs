//! Who is a certificate about: the subject's fields, a literal distinguished name, and their DER?

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use x509_parser::{
    asn1_rs::{Any, FromDer},
    x509::X509Name,
};
use yasna::{DERWriterSeq, models::ObjectIdentifier, tags::TAG_PRINTABLESTRING};

use super::{Error, names::parse_oid};

/// An attribute of a distinguished name: its name in RFC 4514 text and its identifier.
struct Attribute {
    name: &'static str,
    oid: &'static [u64],
}

const COUNTRY: Attribute = Attribute {
    name: "C",
    oid: &[2, 5, 4, 6],
};
const ORGANIZATION: Attribute = Attribute {
    name: "O",
    oid: &[2, 5, 4, 10],
};
const ORGANIZATIONAL_UNIT: Attribute = Attribute {
    name: "OU",
    oid: &[2, 5, 4, 11],
};
const LOCALITY: Attribute = Attribute {
    name: "L",
    oid: &[2, 5, 4, 7],
};
const PROVINCE: Attribute = Attribute {
    name: "ST",
    oid: &[2, 5, 4, 8],
};
const STREET_ADDRESS: Attribute = Attribute {
    name: "STREET",
    oid: &[2, 5, 4, 9],
};
const COMMON_NAME: Attribute = Attribute {
    name: "CN",
    oid: &[2, 5, 4, 3],
};
const SERIAL_NUMBER: Attribute = Attribute {
    name: "SERIALNUMBER",
    oid: &[2, 5, 4, 5],
};
const DOMAIN_COMPONENT: Attribute = Attribute {
    name: "DC",
    oid: &[0, 9, 2342, 19_200_300, 100, 1, 25],
};
const USER_ID: Attribute = Attribute {
    name: "UID",
    oid: &[0, 9, 2342, 19_200_300, 100, 1, 1],
};

/// Without a name in a literal subject.
const POSTAL_CODE: &[u64] = &[2, 5, 4, 17];

/// What a literal subject may call by a name.
const LITERAL: [Attribute; 10] = [
    COUNTRY,
    ORGANIZATION,
    ORGANIZATIONAL_UNIT,
    LOCALITY,
    PROVINCE,
    STREET_ADDRESS,
    COMMON_NAME,
    SERIAL_NUMBER,
    DOMAIN_COMPONENT,
    USER_ID,
];

/// The subject of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SubjectName {
    /// By fields, in the order that [`Subject::to_der`] fixes.
    Fields(Subject),
    /// As the user wrote it.
    Literal(DistinguishedName),
}

impl SubjectName {
    /// The name in DER.
    pub fn to_der(&self) -> Vec<u8> {
        match self {
            Self::Fields(subject) => subject.to_der(),
            Self::Literal(name) => name.to_der(),
        }
    }

    /// The common name; the last one, should there be several.
    pub fn common_name(&self) -> Option<&str> {
        match self {
            Self::Fields(subject) => {
                Some(subject.common_name.as_str()).filter(|name| !name.is_empty())
            }
            Self::Literal(name) => name.common_name(),
        }
    }
}

impl Default for SubjectName {
    fn default() -> Self {
        Self::Fields(Subject::default())
    }
}

/// A subject by fields. Empty strings and lists are absent.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// CN
    pub common_name: String,
    /// C
    pub countries: Vec<String>,
    /// O
    pub organizations: Vec<String>,
    /// OU
    pub organizational_units: Vec<String>,
    /// L
    pub localities: Vec<String>,
    /// ST
    pub provinces: Vec<String>,
    /// STREET
    pub street_addresses: Vec<String>,
    /// postalCode
    pub postal_codes: Vec<String>,
    /// SERIALNUMBER: the attribute, not the certificate's serial.
    pub serial_number: String,
}

impl Subject {
    /// The name in DER: one set per kind of field, in the fixed order C, ST, L, STREET, postalCode, O,
    /// OU, CN, SERIALNUMBER. It is cert-manager's, as CAs and people compare subjects byte by byte.
    pub fn to_der(&self) -> Vec<u8> {
        let Self {
            common_name,
            countries,
            organizations,
            organizational_units,
            localities,
            provinces,
            street_addresses,
            postal_codes,
            serial_number,
        } = self;
        let one = |value: &String| match value.is_empty() {
            true => Vec::new(),
            false => vec![value.clone()],
        };
        let sets = [
            (COUNTRY.oid, countries.clone()),
            (PROVINCE.oid, provinces.clone()),
            (LOCALITY.oid, localities.clone()),
            (STREET_ADDRESS.oid, street_addresses.clone()),
            (POSTAL_CODE, postal_codes.clone()),
            (ORGANIZATION.oid, organizations.clone()),
            (ORGANIZATIONAL_UNIT.oid, organizational_units.clone()),
            (COMMON_NAME.oid, one(common_name)),
            (SERIAL_NUMBER.oid, one(serial_number)),
        ];
        yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                for (oid, values) in sets.iter().filter(|(_, values)| !values.is_empty()) {
                    write_set(writer, values.iter().map(|value| (*oid, value.as_str())));
                }
            });
        })
    }

    /// Reads the fields off a parsed name; attributes without a field are left out.
    pub(super) fn of(name: &X509Name<'_>) -> Self {
        let mut subject = Self::default();
        for attribute in name.iter_attributes() {
            let Ok(value) = attribute.as_str() else {
                continue;
            };
            let list = match attribute.attr_type().to_id_string().as_str() {
                "2.5.4.3" => {
                    subject.common_name = value.to_owned();
                    continue;
                }
                "2.5.4.5" => {
                    subject.serial_number = value.to_owned();
                    continue;
                }
                "2.5.4.6" => &mut subject.countries,
                "2.5.4.10" => &mut subject.organizations,
                "2.5.4.11" => &mut subject.organizational_units,
                "2.5.4.7" => &mut subject.localities,
                "2.5.4.8" => &mut subject.provinces,
                "2.5.4.9" => &mut subject.street_addresses,
                "2.5.4.17" => &mut subject.postal_codes,
                _ => continue,
            };
            list.push(value.to_owned());
        }
        subject
    }
}

/// A distinguished name as written in RFC 4514, e.g. `CN=app,OU=web+OU=edge,DC=example,DC=com`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DistinguishedName {
    /// In text order; DER has them the other way round.
    sets: Vec<Vec<(Type, String)>>,
}

/// The identifier of an attribute.
type Type = Cow<'static, [u64]>;

impl DistinguishedName {
    /// Parses a name. An attribute is one in common use, in any case, or an object identifier.
    ///
    /// # Errors
    /// [`Error::Subject`] says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut sets = vec![Vec::new()];
        let mut rest = text;
        loop {
            let (kind, after) = rest.split_once('=').ok_or_else(|| {
                Error::Subject(format!("{:?} is not of the form TYPE=value", rest.trim()))
            })?;
            let kind = attribute(kind.trim())?;
            let (value, separator, after) = take_value(after)?;
            if let Some(set) = sets.last_mut() {
                set.push((kind, value));
            }
            match separator {
                None => return Ok(Self { sets }),
                Some('+') => {}
                Some(_) => sets.push(Vec::new()),
            }
            rest = after;
        }
    }

    /// The name in DER, most general set first.
    pub fn to_der(&self) -> Vec<u8> {
        yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                for set in self.sets.iter().rev() {
                    write_set(
                        writer,
                        set.iter().map(|(oid, value)| (&**oid, value.as_str())),
                    );
                }
            });
        })
    }

    /// The common name; the last one in DER order, should there be several.
    pub fn common_name(&self) -> Option<&str> {
        self.sets
            .iter()
            .rev()
            .flatten()
            .rfind(|(oid, _)| **oid == *COMMON_NAME.oid)
            .map(|(_, value)| value.as_str())
    }
}

/// The identifier of the attribute `kind`.
fn attribute(kind: &str) -> Result<Type, Error> {
    let known = LITERAL
        .iter()
        .find(|known| known.name.eq_ignore_ascii_case(kind));
    if let Some(known) = known {
        return Ok(Cow::Borrowed(known.oid));
    }
    if kind.starts_with(|first: char| first.is_ascii_digit()) {
        let oid = parse_oid(kind)
            .map_err(|_| Error::Subject(format!("{kind:?} is not an object identifier")))?;
        return Ok(Cow::Owned(oid.components().clone()));
    }
    let known = LITERAL.map(|known| known.name).join(", ");
    Err(Error::Subject(format!(
        "unknown attribute {kind:?}; known are {known} and object identifiers"
    )))
}

/// Takes a value up to an unescaped `,`, `;` or `+`: the value, the separator and what follows.
fn take_value(text: &str) -> Result<(String, Option<char>, &str), Error> {
    let text = text.trim_start_matches(' ');
    if let Some(digits) = text.strip_prefix('#') {
        return take_hexadecimal(digits);
    }

    let mut value = Vec::new();
    // Spaces at the end go, unless escaped.
    let mut keep = 0;
    let mut chars = text.char_indices();
    let (separator, after) = loop {
        let Some((at, char)) = chars.next() else {
            break (None, "");
        };
        match char {
            ',' | ';' | '+' => break (Some(char), &text[at + 1..]),
            '\\' => {
                let (_, escaped) = chars.next().ok_or_else(|| {
                    Error::Subject("the text ends with an unfinished escape".to_owned())
                })?;
                match (escaped, escaped.to_digit(16)) {
                    (' ' | '"' | '#' | '+' | ',' | ';' | '<' | '=' | '>' | '\\', _) => {
                        value.push(escaped as u8);
                    }
                    (_, Some(high)) => {
                        let low = chars.next().and_then(|(_, char)| char.to_digit(16));
                        let low = low.ok_or_else(|| {
                            Error::Subject(format!("\\{escaped} is not an escape"))
                        })?;
                        value.push((high * 16 + low) as u8);
                    }
                    (_, None) => {
                        return Err(Error::Subject(format!("\\{escaped} is not an escape")));
                    }
                }
                keep = value.len();
            }
            char => {
                value.extend(char.encode_utf8(&mut [0; 4]).as_bytes());
                if char != ' ' {
                    keep = value.len();
                }
            }
        }
    };
    value.truncate(keep);
    let value = String::from_utf8(value)
        .map_err(|_| Error::Subject("an escaped value is not UTF-8".to_owned()))?;
    Ok((value, separator, after))
}

/// Takes the text of a string that is written as its DER in hexadecimal, up to a separator.
fn take_hexadecimal(text: &str) -> Result<(String, Option<char>, &str), Error> {
    let broken = |why: &str| Error::Subject(format!("#… {why}"));
    let end = text.find([',', ';', '+']).unwrap_or(text.len());
    let (digits, after) = text.split_at(end);
    let mut der = Vec::new();
    let mut digits = digits.trim_end_matches(' ').chars();
    while let Some(high) = digits.next() {
        let pair = high
            .to_digit(16)
            .zip(digits.next().and_then(|low| low.to_digit(16)));
        let (high, low) = pair.ok_or_else(|| broken("is not hexadecimal"))?;
        der.push((high * 16 + low) as u8);
    }
    let value = match Any::from_der(&der) {
        Ok(([], value)) => std::str::from_utf8(value.data),
        _ => return Err(broken("is not the DER of one value")),
    };
    let value = value.map_err(|_| broken("is not UTF-8"))?.to_owned();
    let mut after = after.chars();
    let separator = after.next();
    Ok((value, separator, after.as_str()))
}

fn write_set<'a>(
    writer: &mut DERWriterSeq<'_>,
    attributes: impl Iterator<Item = (&'a [u64], &'a str)>,
) {
    writer.next().write_set_of(|writer| {
        for (oid, value) in attributes {
            writer.next().write_sequence(|writer| {
                writer.next().write_oid(&ObjectIdentifier::from_slice(oid));
                match value.bytes().all(is_printable) {
                    // The library's own function panics on a question mark.
                    true => writer
                        .next()
                        .write_tagged_implicit(TAG_PRINTABLESTRING, |writer| {
                            writer.write_bytes(value.as_bytes());
                        }),
                    false => writer.next().write_utf8_string(value),
                }
            });
        }
    });
}

/// The characters of PrintableString (X.680, 41.4).
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use x509_parser::prelude::FromDer;

    use super::*;

    fn show(der: &[u8]) -> String {
        X509Name::from_der(der).unwrap().1.to_string()
    }

    #[test]
    fn fields_have_a_fixed_order_and_one_set_per_kind() {
        let subject = Subject {
            common_name: "cn".to_owned(),
            countries: vec!["DE".to_owned()],
            organizations: vec!["b".to_owned(), "a".to_owned()],
            organizational_units: vec!["ou".to_owned()],
            localities: vec!["l".to_owned()],
            provinces: vec!["st".to_owned()],
            street_addresses: vec!["street".to_owned()],
            postal_codes: vec!["12345".to_owned()],
            serial_number: "7".to_owned(),
        };
        let der = subject.to_der();
        // DER sorts the members of a set.
        assert_eq!(
            show(&der),
            "C=DE, ST=st, L=l, streetAddress=street, postalCode=12345, O=a + O=b, OU=ou, CN=cn, \
             serialNumber=7"
        );
        let (_, name) = X509Name::from_der(&der).unwrap();
        let mut read = Subject::of(&name);
        read.organizations.reverse();
        assert_eq!(read, subject);
        assert_eq!(Subject::default().to_der(), [0x30, 0x00]);
    }

    #[test]
    fn strings_are_printable_where_they_can_be() {
        let tag = |name: &str| {
            let subject = Subject {
                common_name: name.to_owned(),
                ..Subject::default()
            };
            subject.to_der()[11]
        };
        for name in ["example.com", "Who?", "A z09'()+,-./:=?"] {
            assert_eq!(tag(name), 0x13, "{name}");
        }
        for name in ["a*b", "a@b", "a_b", "ä", "a&b"] {
            assert_eq!(tag(name), 0x0c, "{name}");
        }
    }

    #[test]
    fn literal_names() {
        let cases = [
            ("CN=a", Ok("CN=a")),
            ("CN=a,OU=b,O=c", Ok("O=c, OU=b, CN=a")),
            ("cn = a , dc=b;DC=c", Ok("DC=c, DC=b, CN=a")),
            ("CN=a+UID=b,C=DE", Ok("C=DE, CN=a + uid=b")),
            (r"CN=a\,b\2Cc\20", Ok("CN=a,b,c ")),
            (r"CN=\C3\A4", Ok("CN=ä")),
            ("CN=\\ a ", Ok("CN= a")),
            ("CN=a=b", Ok("CN=a=b")),
            ("", Err("\"\" is not of the form TYPE=value")),
            ("CN=a,", Err("\"\" is not of the form TYPE=value")),
            ("a", Err("\"a\" is not of the form TYPE=value")),
            (
                "XX=a",
                Err(
                    "unknown attribute \"XX\"; known are C, O, OU, L, ST, STREET, CN, \
                     SERIALNUMBER, DC, UID and object identifiers",
                ),
            ),
            ("2.5.4.12=Dr+CN=a", Ok("CN=a + title=Dr")),
            ("2.5.4.=a", Err("\"2.5.4.\" is not an object identifier")),
            ("3.1=a", Err("\"3.1\" is not an object identifier")),
            ("7=a", Err("\"7\" is not an object identifier")),
            ("CN=#0c0161 ,O=#130162+OU=c", Ok("O=b + OU=c, CN=a")),
            ("CN=#0401", Err("#… is not the DER of one value")),
            ("CN=#04016100", Err("#… is not the DER of one value")),
            ("CN=#", Err("#… is not the DER of one value")),
            ("CN=#0", Err("#… is not hexadecimal")),
            ("CN=#0x", Err("#… is not hexadecimal")),
            ("CN=#0401ff", Err("#… is not UTF-8")),
            (r"CN=a\", Err("the text ends with an unfinished escape")),
            (r"CN=a\z", Err(r"\z is not an escape")),
            (r"CN=a\fz", Err(r"\f is not an escape")),
            (r"CN=\ff", Err("an escaped value is not UTF-8")),
        ];
        for (text, want) in cases {
            let got = DistinguishedName::parse(text).map(|name| show(&name.to_der()));
            let want = want
                .map(str::to_owned)
                .map_err(|error| Error::Subject(error.to_owned()));
            assert_eq!(got, want, "{text}");
        }
    }
}
