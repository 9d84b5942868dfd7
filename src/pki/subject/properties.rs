//! Is every distinguished name read as it was meant, however it is escaped (RFC 4514)?

use proptest::prelude::*;
use x509_parser::prelude::FromDer;

use super::*;

/// How a character that needs no escape is written all the same.
#[derive(Clone, Copy, Debug)]
enum Style {
    Plain,
    Hexadecimal,
    Capitals,
}

fn style() -> impl Strategy<Value = Style> {
    prop::sample::select(vec![
        Style::Plain,
        Style::Plain,
        Style::Hexadecimal,
        Style::Capitals,
    ])
}

/// Values with more than their share of what must be escaped.
fn value() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,8}", "[ #+,;=\\\\\"<>äß€𝄞]{0,6}", any::<String>()]
}

type Attributes = Vec<Vec<(usize, String, Vec<Style>)>>;

fn name() -> impl Strategy<Value = Attributes> {
    let styles = prop::collection::vec(style(), 1..4);
    let attribute = (0..LITERAL.len(), value(), styles);
    prop::collection::vec(prop::collection::vec(attribute, 1..3), 1..4)
}

fn written(value: &str, styles: &[Style]) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::new();
    for ((at, char), style) in value.chars().enumerate().zip(styles.iter().cycle()) {
        let special = "\"+,;<>\\".contains(char)
            || (at == 0 && (char == ' ' || char == '#'))
            || (at == last && char == ' ');
        let bytes = char.to_string().into_bytes();
        match style {
            Style::Plain if special => text.extend(['\\', char]),
            Style::Plain => text.push(char),
            Style::Hexadecimal => text.extend(bytes.iter().map(|byte| format!("\\{byte:02x}"))),
            Style::Capitals => text.extend(bytes.iter().map(|byte| format!("\\{byte:02X}"))),
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_written_is_read(name in name(), spaces in " {0,2}", semicolon in any::<bool>()) {
        let separator = if semicolon { ";" } else { "," };
        let sets = name.iter().map(|set| {
            let one = |(kind, value, styles): &(usize, String, Vec<Style>)| {
                format!("{spaces}{}{spaces}={spaces}{}{spaces}", LITERAL[*kind].name, written(value, styles))
            };
            set.iter().map(one).collect::<Vec<_>>().join("+")
        });
        let text = sets.collect::<Vec<_>>().join(separator);
        let read = DistinguishedName::parse(&text);
        let want = name.iter().map(|set| {
            set.iter().map(|(kind, value, _)| (LITERAL[*kind].oid.into(), value.clone())).collect()
        });
        let want = DistinguishedName { sets: want.collect() };
        prop_assert_eq!(read, Ok(want), "{}", text);
    }

    /// DER has the sets the other way round, each in the order of its encoding.
    #[test]
    fn others_read_the_same_name(name in name()) {
        let sets = name.iter().map(|set| {
            set.iter().map(|(kind, value, _)| (LITERAL[*kind].oid.into(), value.clone())).collect()
        });
        let der = DistinguishedName { sets: sets.collect() }.to_der();
        let (rest, read) = X509Name::from_der(&der).unwrap();
        prop_assert!(rest.is_empty());
        let read = read.iter().map(|set| {
            let mut values: Vec<_> = set.iter().map(|one| one.as_str().unwrap().to_owned()).collect();
            values.sort();
            values
        });
        let want = name.iter().rev().map(|set| {
            let mut values: Vec<_> = set.iter().map(|(_, value, _)| value.clone()).collect();
            values.sort();
            values
        });
        prop_assert_eq!(read.collect::<Vec<_>>(), want.collect::<Vec<_>>());
    }

    #[test]
    fn fields_are_read_as_they_were(
        one in prop::collection::vec(value(), 2),
        lists in prop::collection::vec(prop::collection::btree_set(value(), 0..3), 7),
    ) {
        let mut lists = lists.into_iter().map(Vec::from_iter);
        let mut list = || lists.next().unwrap();
        let subject = Subject {
            common_name: one[0].clone(),
            serial_number: one[1].clone(),
            countries: list(),
            organizations: list(),
            organizational_units: list(),
            localities: list(),
            provinces: list(),
            street_addresses: list(),
            postal_codes: list(),
        };
        let der = subject.to_der();
        let (_, name) = X509Name::from_der(&der).unwrap();
        let mut read = Subject::of(&name);
        for list in [
            &mut read.countries,
            &mut read.organizations,
            &mut read.organizational_units,
            &mut read.localities,
            &mut read.provinces,
            &mut read.street_addresses,
            &mut read.postal_codes,
        ] {
            list.sort();
        }
        prop_assert_eq!(read, subject);
    }
}
