//! What does DNS say now of what a CA would look at?

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt, stream};
use tokio::time::timeout;

use crate::{
    answers::{
        history::{Aspect, Observation, Seen},
        question::{Question, Way},
    },
    net::dns::{self, Client, Name, Nameserver, RecordType, Timing, shown},
    solver::dns01::{self, propagation::View},
};

/// Names that are looked at at the same time, of one order.
const AT_ONCE: usize = 4;
/// The longest that one look-up may take: this is no moment to be patient with a slow server.
const TIMING: Timing = Timing {
    total: Duration::from_secs(5),
    udp: Duration::from_secs(2),
    resend: Duration::from_secs(1),
};
/// The longest that a look at one name may take.
const LONGEST: Duration = Duration::from_secs(20);
/// Names above a name that are asked for CAA records: none in use has more labels.
const MOST_LABELS: usize = 16;

/// Which nameservers are asked, as the operator is told.
#[derive(Clone, Debug)]
pub struct Nameservers {
    /// For HTTP-01; the system's when empty.
    pub http01: Vec<Nameserver>,
    /// For DNS-01; the system's when empty.
    pub dns01: Vec<Nameserver>,
    /// The system's.
    pub system: Vec<Nameserver>,
}

/// Looks at names.
#[derive(Clone, Debug)]
pub struct Looker {
    dns: Client,
    nameservers: Nameservers,
}

impl Looker {
    /// Asks these nameservers through `dns`.
    pub fn new(dns: Client, nameservers: Nameservers) -> Self {
        Self {
            dns: dns.with_timing(TIMING),
            nameservers,
        }
    }

    /// What DNS says of each of `questions`.
    pub async fn look(&self, questions: BTreeSet<Question>) -> Vec<(Question, Observation)> {
        // Owned, for the futures outlive no loan of the set.
        let looks: Vec<_> = questions
            .into_iter()
            .map(|question| self.look_at(question))
            .collect();
        stream::iter(looks)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    async fn look_at(&self, question: Question) -> (Question, Observation) {
        let looked = timeout(LONGEST, async {
            match &question.way {
                Way::Http01 => self.http01(&question.name).await,
                Way::Dns01 { nameservers } => self.dns01(&question.name, nameservers).await,
            }
        });
        let observation = match looked.await {
            Ok(Some(observation)) => observation,
            // No name, or nobody answers.
            Ok(None) | Err(_) => failed(&question.way),
        };
        (question, observation)
    }

    /// As a CA does that fetches the proof from the addresses of `name`.
    async fn http01(&self, name: &str) -> Option<Observation> {
        let servers = match self.nameservers.http01.as_slice() {
            [] => &self.nameservers.system,
            servers => servers,
        };
        let name = absolute(name)?;
        // One after the other: nobody is in a hurry.
        let v4 = self.addresses(servers, &name, RecordType::A).await;
        let v6 = self.addresses(servers, &name, RecordType::AAAA).await;
        Some(BTreeMap::from([
            (Aspect::Ipv4, v4),
            (Aspect::Ipv6, v6),
            (Aspect::Caa, self.caa(servers, &name).await),
        ]))
    }

    /// As a CA does that looks for a record below `name`.
    async fn dns01(&self, name: &str, of_solver: &[String]) -> Option<Observation> {
        let of_solver: Vec<Nameserver> = of_solver.iter().flat_map(|text| text.parse()).collect();
        let Nameservers {
            http01: _,
            dns01,
            system,
        } = &self.nameservers;
        let view = View::choose(&of_solver, dns01, true, system);
        let servers = view.nameservers();
        let record = dns01::challenge_name(name).ok()?;
        let alias = self.dns.follow_cname(servers, &record).await;
        let zone = match &alias {
            Ok(target) => self.zone(servers, target).await,
            Err(_) => Seen::Failed,
        };
        let alias = match alias {
            Ok(target) => Seen::Answer(BTreeSet::from([text(&target)])),
            Err(_) => Seen::Failed,
        };
        let caa = self.caa(servers, &absolute(name)?).await;
        Some(BTreeMap::from([
            (Aspect::Alias, alias),
            (Aspect::Servers, zone),
            (Aspect::Caa, caa),
        ]))
    }

    async fn addresses(&self, servers: &[Nameserver], name: &Name, kind: RecordType) -> Seen {
        match self.dns.lookup(servers, name, kind).await {
            Ok(answer) => {
                let addresses = answer.addresses();
                Seen::Answer(addresses.iter().map(ToString::to_string).collect())
            }
            Err(_) => Seen::Failed,
        }
    }

    /// The CAA records in force: those of the nearest name at or above `name` that has some
    /// (RFC 8659, section 3). What registries say of a whole suffix, nobody changes.
    async fn caa(&self, servers: &[Nameserver], name: &Name) -> Seen {
        let domain = registered_labels(name);
        let mut at = name.clone();
        for _ in 0..MOST_LABELS {
            if at.is_root() || at.num_labels() < domain {
                break;
            }
            match self.dns.lookup(servers, &at, RecordType::CAA).await {
                Ok(answer) => {
                    let found = answer.authorizations();
                    if !found.is_empty() {
                        return Seen::Answer(found);
                    }
                }
                Err(_) => return Seen::Failed,
            }
            at = at.base_name();
        }
        Seen::Answer(BTreeSet::new())
    }

    /// The zone of `name` and its servers.
    async fn zone(&self, servers: &[Nameserver], name: &Name) -> Seen {
        let found: Result<_, dns::Error> = async {
            let zone = self.dns.find_zone(servers, name).await?;
            let answer = self.dns.lookup(servers, &zone, RecordType::NS).await?;
            let servers = answer.servers_of(&zone);
            Ok((zone, servers))
        }
        .await;
        match found {
            Ok((zone, servers)) => {
                let servers = servers
                    .iter()
                    .map(|server| format!("{} by {}", text(&zone), text(server)));
                Seen::Answer(servers.collect())
            }
            Err(_) => Seen::Failed,
        }
    }
}

/// What is looked at, without an answer.
fn failed(way: &Way) -> Observation {
    let aspects = match way {
        Way::Http01 => [Aspect::Ipv4, Aspect::Ipv6, Aspect::Caa],
        Way::Dns01 { .. } => [Aspect::Alias, Aspect::Servers, Aspect::Caa],
    };
    aspects.map(|aspect| (aspect, Seen::Failed)).into()
}

/// How many labels the domain has that a registry sold.
fn registered_labels(name: &Name) -> u8 {
    let labels = psl::domain_str(&text(name)).map(|domain| domain.split('.').count());
    let labels = labels.and_then(|labels| u8::try_from(labels).ok());
    labels.unwrap_or_else(|| name.num_labels())
}

fn text(name: &Name) -> String {
    shown(&name.to_lowercase())
}

/// What is asked for is never relative to a search list.
fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}
