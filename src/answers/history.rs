//! Which answers of DNS about a name are new? Pure.

use std::collections::{BTreeMap, BTreeSet};

/// A name with more addresses than that has them from a pool: one more tells nothing.
const MOST_VALUES: usize = 32;

/// One of the things that a CA looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// The IPv4 addresses.
    Ipv4,
    /// The IPv6 addresses.
    Ipv6,
    /// The CAA records in force.
    Caa,
    /// The name that the name of the record is an alias of.
    Alias,
    /// The zone of the record, and its servers.
    Servers,
}

/// What DNS says of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// This; nothing, where there is no such name or no such record.
    Answer(BTreeSet<String>),
    /// No answer, whatever the reason.
    Failed,
}

/// What DNS says of a name at one moment. Times to live are left out, and so is the order.
pub type Observation = BTreeMap<Aspect, Seen>;

/// What DNS has said of a name in one wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(BTreeMap<Aspect, Known>);

/// What it has said of one aspect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    /// Addresses each by itself, all else as one.
    values: BTreeSet<String>,
    /// The fewest addresses there were; none before the first answer.
    fewest: Option<usize>,
}

impl History {
    /// As it begins: nothing of this is new.
    pub fn of(observation: &Observation) -> Self {
        let mut history = Self::default();
        history.note(observation);
        history
    }

    /// Take note of `observation`; answers whether something in it is new, and may be a reason for a
    /// CA to find otherwise.
    ///
    /// An answer that was seen before in this wait is not new, and neither is an error. Of addresses,
    /// which rotate where there is a CDN, only one that was not seen before is, or that there are
    /// fewer than ever: one that led nowhere may be gone.
    pub fn note(&mut self, observation: &Observation) -> bool {
        let mut news = false;
        for (aspect, seen) in observation {
            let is_first = !self.0.contains_key(aspect);
            let known = self.0.entry(*aspect).or_default();
            if let Seen::Answer(values) = seen {
                news |= known.note(*aspect, values) && !is_first;
            }
        }
        news && leads_somewhere(observation)
    }
}

impl Known {
    fn note(&mut self, aspect: Aspect, answer: &BTreeSet<String>) -> bool {
        let values = match aspect {
            Aspect::Ipv4 | Aspect::Ipv6 => answer.clone(),
            Aspect::Caa | Aspect::Alias | Aspect::Servers => {
                let whole: Vec<&str> = answer.iter().map(String::as_str).collect();
                BTreeSet::from([whole.join("\n")])
            }
        };
        let is_fewer = self.fewest.is_none_or(|fewest| values.len() < fewest);
        if is_fewer {
            self.fewest = Some(values.len());
        }
        let mut is_new = is_fewer;
        for value in values {
            if self.values.len() < MOST_VALUES {
                is_new |= self.values.insert(value);
            }
        }
        is_new
    }
}

/// Whether a CA would get an answer at all, as far as that is known: without addresses it need not
/// be asked.
fn leads_somewhere(observation: &Observation) -> bool {
    let of = |aspect| match observation.get(&aspect) {
        Some(Seen::Answer(addresses)) => Some(!addresses.is_empty()),
        Some(Seen::Failed) => Some(false),
        None => None,
    };
    match (of(Aspect::Ipv4), of(Aspect::Ipv6)) {
        (None, None) => true,
        (v4, v6) => v4 == Some(true) || v6 == Some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Seen {
        match text {
            "error" => Seen::Failed,
            text => Seen::Answer(text.split_whitespace().map(str::to_owned).collect()),
        }
    }

    /// IPv4, IPv6 and CAA.
    fn http01([v4, v6, caa]: [&str; 3]) -> Observation {
        BTreeMap::from([
            (Aspect::Ipv4, seen(v4)),
            (Aspect::Ipv6, seen(v6)),
            (Aspect::Caa, seen(caa)),
        ])
    }

    #[test]
    fn what_was_not_seen_before_is_new() {
        // What is seen first, and then with whether it is new.
        type Row = ([&'static str; 3], Vec<([&'static str; 3], bool)>);
        let table: Vec<Row> = vec![
            // There was no such name, or no answer.
            (["", "", ""], vec![(["1", "", ""], true)]),
            (["error", "error", "error"], vec![(["1", "", ""], true)]),
            (["1", "", "error"], vec![(["1", "", "ca.example"], true)]),
            // Another address; in another order it is the same.
            (
                ["1 2", "", ""],
                vec![(["2 1", "", ""], false), (["3", "", ""], true)],
            ),
            // Addresses take turns.
            (
                ["1", "", ""],
                vec![
                    (["2", "", ""], true),
                    (["1", "", ""], false),
                    (["2", "", ""], false),
                    (["1", "", ""], false),
                ],
            ),
            (
                ["1 2", "", ""],
                vec![
                    (["2 3", "", ""], true),
                    (["1 3", "", ""], false),
                    (["1 2 3", "", ""], false),
                ],
            ),
            // One that led nowhere is gone, once.
            (
                ["1", "dead", ""],
                vec![
                    (["1", "", ""], true),
                    (["1", "dead", ""], false),
                    (["1", "", ""], false),
                ],
            ),
            (
                ["1 2", "", ""],
                vec![(["1", "", ""], true), (["2", "", ""], false)],
            ),
            // Errors are no news, and what was known before them is none after them.
            (
                ["1", "", "ca.example"],
                vec![
                    (["error", "error", "error"], false),
                    (["1", "error", "ca.example"], false),
                    (["1", "", "ca.example"], false),
                ],
            ),
            // Another policy; back again.
            (
                ["1", "", "other.example"],
                vec![
                    (["1", "", "ca.example other.example"], true),
                    (["1", "", "other.example"], false),
                    (["1", "", ""], true),
                ],
            ),
            // Where nothing leads anywhere, nothing is worth a try.
            (
                ["1", "", "other.example"],
                vec![
                    (["", "", "ca.example"], false),
                    (["error", "error", ""], false),
                    (["2", "", ""], true),
                ],
            ),
        ];
        for (first, then) in table {
            let mut history = History::of(&http01(first));
            assert!(!history.note(&http01(first)), "{first:?}");
            for (next, is_new) in then {
                let found = history.note(&http01(next));
                assert_eq!(found, is_new, "{first:?} … {next:?}");
            }
        }
    }

    #[test]
    fn of_a_record_its_alias_and_its_zone_count() {
        let dns01 = |alias: &str, servers: &str| {
            BTreeMap::from([
                (Aspect::Alias, seen(alias)),
                (Aspect::Servers, seen(servers)),
            ])
        };
        let mut history = History::of(&dns01("_acme-challenge.a", "a ns1 ns2"));
        for (alias, servers, is_new) in [
            ("_acme-challenge.a", "a ns2 ns1", false),
            // Fewer of the same are others.
            ("_acme-challenge.a", "a ns1", true),
            ("_acme-challenge.b", "error", true),
            ("_acme-challenge.b", "b ns1", true),
            ("_acme-challenge.a", "a ns1 ns2", false),
        ] {
            let found = history.note(&dns01(alias, servers));
            assert_eq!(found, is_new, "{alias} {servers}");
        }
    }

    #[test]
    fn a_pool_of_addresses_is_no_news_without_end() {
        let mut history = History::of(&http01(["0", "", ""]));
        let news = (1..1000)
            .filter(|n| history.note(&http01([&n.to_string(), "", ""])))
            .count();
        assert_eq!(news, MOST_VALUES - 1);
    }

    #[test]
    fn what_is_seen_late_for_the_first_time_is_no_news() {
        let mut history = History::default();
        assert!(!history.note(&http01(["1", "", ""])));
        assert!(history.note(&http01(["2", "", ""])));
    }
}
