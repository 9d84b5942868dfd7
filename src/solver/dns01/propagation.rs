//! Can the world see a challenge's value yet?

use std::net::{IpAddr, SocketAddr};

use futures::future::join_all;
use hickory_proto::op::ResponseCode;

use crate::net::dns::{
    self, Answer, Authority, Client, Name, Nameserver, Question, RecordType, mnemonic, shown,
};

/// At most so many servers are named in the text of an outcome.
const MAX_SHOWN: usize = 3;

/// From where a challenge's record is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// As the CA does: every server of the zone, which is found through these nameservers.
    Authoritative(Vec<Nameserver>),
    /// Through these nameservers alone.
    Recursive(Vec<Nameserver>),
}

impl View {
    /// The view that the settings ask for: nameservers of the solver
    /// (`dns01.nameservers`) come before those of the operator (`--dns01-recursive-nameservers`),
    /// these before the system's. The solver's own, and `recursive_only`
    /// (`--dns01-recursive-nameservers-only`), leave the zone's servers alone.
    pub fn choose(
        of_solver: &[Nameserver],
        of_operator: &[Nameserver],
        recursive_only: bool,
        of_system: &[Nameserver],
    ) -> Self {
        if !of_solver.is_empty() {
            return Self::Recursive(of_solver.to_vec());
        }
        let nameservers = if of_operator.is_empty() {
            of_system
        } else {
            of_operator
        };
        if recursive_only {
            Self::Recursive(nameservers.to_vec())
        } else {
            Self::Authoritative(nameservers.to_vec())
        }
    }

    /// The nameservers through which aliases and zones are found.
    pub fn nameservers(&self) -> &[Nameserver] {
        match self {
            Self::Authoritative(nameservers) | Self::Recursive(nameservers) => nameservers,
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every server that was asked has the value.
    Ready,
    /// Not yet.
    NotYet {
        /// Which server said what, e.g.
        /// `ns1.example.com (192.0.2.1) answered NXDOMAIN for _acme-challenge.www.example.com`.
        seen: String,
    },
}

/// Looks whether `value` is among the TXT values of `name`, following aliases.
pub async fn check(client: &Client, view: &View, name: &Name, value: &str) -> Outcome {
    match observe(client, view, name).await {
        Ok((target, observations)) => judge(&target, &observations, value),
        Err(error) => Outcome::NotYet {
            seen: error.to_string(),
        },
    }
}

/// What one address of one server showed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Observation {
    /// The server's name, or the nameserver as configured.
    server: String,
    /// Its address, where it is not the name.
    address: Option<IpAddr>,
    seen: Seen,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// NOERROR, with these values.
    Values(Vec<Vec<u8>>),
    /// No such name, or no TXT record at it.
    Missing {
        code: ResponseCode,
        /// Seconds for which a resolver goes on saying so without asking again.
        cached: Option<u32>,
    },
    /// Another response code.
    Code(ResponseCode),
    /// The server points to others: it does not speak for the zone, nor ask for us.
    Referral,
    /// No usable answer.
    Failed(String),
    /// There is no way from here to such an address.
    NoRoute,
    /// The server's name has no address.
    NoAddress,
}

async fn observe(
    client: &Client,
    view: &View,
    name: &Name,
) -> Result<(Name, Vec<Observation>), dns::Error> {
    let nameservers = view.nameservers();
    let target = client.follow_cname(nameservers, name).await?;
    let observations = match view {
        View::Recursive(_) => {
            let question = question(&target, true);
            join_all(nameservers.iter().map(|nameserver| async {
                Observation {
                    server: nameserver.to_string(),
                    address: None,
                    seen: seen(client.ask(nameserver, &question).await),
                }
            }))
            .await
        }
        View::Authoritative(_) => {
            let zone = client.find_zone(nameservers, &target).await?;
            let authorities = client.authorities(nameservers, &zone).await?;
            ask_all(client, &authorities, &question(&target, false)).await
        }
    };
    Ok((target, observations))
}

fn question(name: &Name, recursion: bool) -> Question {
    Question {
        name: name.clone(),
        kind: RecordType::TXT,
        recursion,
    }
}

async fn ask_all(
    client: &Client,
    authorities: &[Authority],
    question: &Question,
) -> Vec<Observation> {
    let all = authorities
        .iter()
        .flat_map(|Authority { name, addresses }| {
            let known = addresses.iter().copied().map(Some);
            let unknown = addresses.is_empty().then_some(None);
            known.chain(unknown).map(move |address| (name, address))
        });
    join_all(all.map(|(name, address)| async move {
        Observation {
            server: shown(name),
            address,
            seen: match address {
                None => Seen::NoAddress,
                Some(address) => {
                    let socket = SocketAddr::new(address, client.authority_port());
                    seen(client.ask(&Nameserver::Address(socket), question).await)
                }
            },
        }
    }))
    .await
}

fn seen(answer: Result<Answer, dns::Error>) -> Seen {
    match answer {
        Ok(answer) if answer.referral().is_some() => Seen::Referral,
        Ok(answer) if !answer.is_definite() => Seen::Code(answer.code),
        Ok(answer) => match answer.texts() {
            values if values.is_empty() => Seen::Missing {
                code: answer.code,
                cached: answer.negative_ttl(),
            },
            values => Seen::Values(values),
        },
        Err(dns::Error::Exchange { failure, .. }) if failure.is_no_route() => Seen::NoRoute,
        Err(dns::Error::Exchange { failure, .. }) => Seen::Failed(failure.to_string()),
        Err(error) => Seen::Failed(error.to_string()),
    }
}

/// Whether every server has the value. A server counts as asked once one of its addresses answers:
/// the others may not be reachable from here (IPv6 in a cluster without it), which says nothing
/// about what the CA sees. All that answer must have the value.
fn judge(name: &Name, observations: &[Observation], value: &str) -> Outcome {
    let answered = |server: &str| {
        observations
            .iter()
            .any(|other| other.server == server && other.seen.is_answer())
    };
    let any_answer = observations.iter().any(|other| other.seen.is_answer());
    let missing: Vec<String> = observations
        .iter()
        .filter(|observation| match &observation.seen {
            Seen::Values(values) => !values.iter().any(|text| text == value.as_bytes()),
            Seen::Missing { .. } | Seen::Code(_) | Seen::Referral => true,
            Seen::Failed(_) => !answered(&observation.server),
            // Another server stands for one that cannot be reached in principle.
            Seen::NoRoute => !any_answer,
            Seen::NoAddress => true,
        })
        .map(|observation| describe(name, observation))
        .collect();
    if missing.is_empty() && any_answer {
        return Outcome::Ready;
    }
    let mut seen = missing
        .iter()
        .take(MAX_SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if missing.len() > MAX_SHOWN {
        seen = format!("{seen}; and {} more", missing.len() - MAX_SHOWN);
    }
    if seen.is_empty() {
        seen = format!("no nameserver was asked for {}", shown(name));
    }
    Outcome::NotYet { seen }
}

impl Seen {
    fn is_answer(&self) -> bool {
        match self {
            Self::Values(_) | Self::Missing { .. } | Self::Code(_) | Self::Referral => true,
            Self::Failed(_) | Self::NoRoute | Self::NoAddress => false,
        }
    }
}

fn describe(name: &Name, observation: &Observation) -> String {
    let Observation {
        server,
        address,
        seen,
    } = observation;
    let server = match address {
        Some(address) => format!("{server} ({address})"),
        None => server.clone(),
    };
    let name = shown(name);
    match seen {
        Seen::Values(values) => match values.len() {
            1 => format!("{server} answered with another TXT value for {name}"),
            many => format!("{server} answered with {many} other TXT values for {name}"),
        },
        Seen::Missing { code, cached } => {
            let said = match code {
                ResponseCode::NXDomain => format!("{server} answered NXDOMAIN for {name}"),
                _ => format!("{server} answered without a TXT record for {name}"),
            };
            match cached {
                // In minutes, so that the text does not change with every check.
                Some(seconds) => {
                    let minutes = seconds.div_ceil(60).max(1);
                    format!("{said}, from its cache for up to {minutes} min more")
                }
                None => said,
            }
        }
        Seen::Code(code) => format!("{server} answered {} for {name}", mnemonic(*code)),
        Seen::Referral if address.is_some() => {
            format!("{server} is named by an NS record but does not serve the zone of {name}")
        }
        Seen::Referral => format!("{server} does not resolve {name}: it points to other servers"),
        Seen::Failed(failure) => format!("{server} asked for {name}: {failure}"),
        Seen::NoRoute => format!("{server} cannot be reached from here: no route to its address"),
        Seen::NoAddress => format!("{server}, a server of the zone of {name}, has no address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

    fn observation(server: &str, address: &str, seen: Seen) -> Observation {
        Observation {
            server: server.to_owned(),
            address: address.parse().ok(),
            seen,
        }
    }

    fn values(values: &[&str]) -> Seen {
        Seen::Values(values.iter().map(|v| v.as_bytes().to_vec()).collect())
    }

    fn judged(observations: &[Observation]) -> Option<String> {
        let name = Name::from_ascii("_acme-challenge.www.example.com.").unwrap();
        match judge(&name, observations, VALUE) {
            Outcome::Ready => None,
            Outcome::NotYet { seen } => Some(seen),
        }
    }

    #[test]
    fn all_that_answer_must_have_the_value() {
        let failed = || Seen::Failed("no answer within 10 s".to_owned());
        let missing = |code| Seen::Missing { code, cached: None };
        let ns1 = |seen| observation("ns1.example.com", "192.0.2.1", seen);
        let ns1_v6 = |seen| observation("ns1.example.com", "2001:db8::1", seen);
        let ns2 = |seen| observation("ns2.example.com", "192.0.2.2", seen);
        let good = || values(&["other", VALUE]);
        let of = "for _acme-challenge.www.example.com";
        let table: Vec<(Vec<Observation>, Option<String>)> = vec![
            (vec![ns1(good())], None),
            (vec![ns1(good()), ns1_v6(good()), ns2(good())], None),
            // What cannot be reached from here says nothing, if the server answers elsewhere.
            (vec![ns1(good()), ns1_v6(failed())], None),
            (vec![ns1(good()), ns1_v6(Seen::NoRoute)], None),
            (vec![ns1_v6(Seen::NoRoute), ns2(good())], None),
            (
                vec![ns1(good()), ns1_v6(missing(ResponseCode::NXDomain))],
                Some(format!(
                    "ns1.example.com (2001:db8::1) answered NXDOMAIN {of}"
                )),
            ),
            (
                vec![ns1(good()), ns2(failed())],
                Some(
                    "ns2.example.com (192.0.2.2) asked for _acme-challenge.www.example.com: \
                     no answer within 10 s"
                        .to_owned(),
                ),
            ),
            (
                vec![
                    ns1(good()),
                    ns2(values(&[VALUE, "a"])),
                    observation("ns3", "", Seen::NoAddress),
                ],
                Some(
                    "ns3, a server of the zone of _acme-challenge.www.example.com, has no address"
                        .to_owned(),
                ),
            ),
            (
                vec![ns1_v6(Seen::NoRoute)],
                Some(
                    "ns1.example.com (2001:db8::1) cannot be reached from here: \
                     no route to its address"
                        .to_owned(),
                ),
            ),
            (
                vec![ns1(values(&["a"])), ns2(values(&["a", "b"]))],
                Some(format!(
                    "ns1.example.com (192.0.2.1) answered with another TXT value {of}; \
                     ns2.example.com (192.0.2.2) answered with 2 other TXT values {of}"
                )),
            ),
            (
                vec![
                    ns1(missing(ResponseCode::NoError)),
                    ns2(Seen::Code(ResponseCode::Refused)),
                ],
                Some(format!(
                    "ns1.example.com (192.0.2.1) answered without a TXT record {of}; \
                     ns2.example.com (192.0.2.2) answered REFUSED {of}"
                )),
            ),
            (
                vec![ns1(Seen::Referral)],
                Some(
                    "ns1.example.com (192.0.2.1) is named by an NS record but does not serve the \
                     zone of _acme-challenge.www.example.com"
                        .to_owned(),
                ),
            ),
            (
                vec![observation(
                    "10.96.0.10:53",
                    "",
                    Seen::Missing {
                        code: ResponseCode::NXDomain,
                        cached: Some(61),
                    },
                )],
                Some(format!(
                    "10.96.0.10:53 answered NXDOMAIN {of}, from its cache for up to 2 min more"
                )),
            ),
            (
                vec![],
                Some("no nameserver was asked for _acme-challenge.www.example.com".to_owned()),
            ),
        ];
        for (observations, want) in table {
            assert_eq!(judged(&observations), want, "{observations:?}");
        }
    }

    #[test]
    fn long_lists_of_servers_are_cut_short() {
        let lagging = |n: u8| {
            let seen = Seen::Code(ResponseCode::ServFail);
            observation(&format!("ns{n}"), &format!("192.0.2.{n}"), seen)
        };
        let observations: Vec<Observation> = (1..=6).map(lagging).collect();
        let seen = judged(&observations).unwrap();
        assert!(
            seen.contains("ns3 (192.0.2.3)") && seen.ends_with("; and 3 more"),
            "{seen}"
        );
    }

    #[test]
    fn the_settings_choose_the_view() {
        let nameserver = |text: &str| vec![text.parse::<Nameserver>().unwrap()];
        let (solver, operator, system) = (
            nameserver("10.0.0.1"),
            nameserver("10.0.0.2"),
            nameserver("10.0.0.3"),
        );
        let none: Vec<Nameserver> = Vec::new();
        for (of_solver, of_operator, only, want) in [
            (&none, &none, false, View::Authoritative(system.clone())),
            (&none, &none, true, View::Recursive(system.clone())),
            (
                &none,
                &operator,
                false,
                View::Authoritative(operator.clone()),
            ),
            (&none, &operator, true, View::Recursive(operator.clone())),
            (&solver, &operator, false, View::Recursive(solver.clone())),
            (&solver, &operator, true, View::Recursive(solver.clone())),
        ] {
            assert_eq!(View::choose(of_solver, of_operator, only, &system), want);
        }
    }
}
