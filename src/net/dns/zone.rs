//! Which zone is a name in, which servers speak for the zone, and where do aliases lead?

use std::net::{IpAddr, SocketAddr};

use futures::future::join_all;
use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RecordType},
};

use super::{Answer, Client, Error, Nameserver, mnemonic, resolve, shown};

/// Longer chains of aliases are treated as loops: resolvers give up much earlier.
const MAX_ALIASES: usize = 16;
/// At most so many servers of one zone are asked: no zone in use has more than thirteen.
const MAX_SERVERS: usize = 16;
/// At most so many addresses of one host are used.
const MAX_ADDRESSES: usize = 8;

/// A server of a zone, by the name its NS record gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The target of the NS record.
    pub name: Name,
    /// All its addresses; empty if none was found.
    pub addresses: Vec<IpAddr>,
}

impl Client {
    /// The zone that `name` is in: the nearest name at or above it that has an SOA record.
    ///
    /// # Errors
    /// When the nameservers do not answer, or there is no zone but the root.
    pub async fn find_zone(&self, servers: &[Nameserver], name: &Name) -> Result<Name, Error> {
        let mut at = name.clone();
        while !at.is_root() {
            let answer = self.lookup(servers, &at, RecordType::SOA).await?;
            match zone_in(&answer) {
                Some(zone) if zone.is_root() => break,
                Some(zone) => return Ok(zone.to_lowercase()),
                None => at = at.base_name(),
            }
        }
        Err(Error::NoZone {
            name: Box::new(name.clone()),
        })
    }

    /// The name that `name` finally is an alias of; itself if it is none.
    ///
    /// # Errors
    /// When the nameservers do not answer, or the aliases loop.
    pub async fn follow_cname(&self, servers: &[Nameserver], name: &Name) -> Result<Name, Error> {
        let mut chain = vec![name.clone()];
        let mut at = name.clone();
        loop {
            let answer = self.lookup(servers, &at, RecordType::CNAME).await?;
            let Some(next) = answer.alias_of(&at) else {
                return Ok(at);
            };
            let looped = chain.contains(next) || chain.len() > MAX_ALIASES;
            chain.push(next.clone());
            if looped {
                let names: Vec<String> = chain.iter().map(shown).collect();
                return Err(Error::CnameLoop {
                    chain: names.join(" -> "),
                });
            }
            at = next.clone();
        }
    }

    /// The servers of `zone` and their addresses.
    ///
    /// # Errors
    /// When the nameservers do not answer, or name none.
    pub async fn authorities(
        &self,
        servers: &[Nameserver],
        zone: &Name,
    ) -> Result<Vec<Authority>, Error> {
        let answer = self.lookup(servers, zone, RecordType::NS).await?;
        let mut names = answer.servers_of(zone);
        names.sort();
        names.dedup();
        names.truncate(MAX_SERVERS);
        if names.is_empty() {
            return Err(Error::NoAuthority {
                zone: Box::new(zone.clone()),
                problem: match answer.code {
                    ResponseCode::NoError => format!("{} knows no NS record", answer.server),
                    code => format!("{} answered {} for NS", answer.server, mnemonic(code)),
                },
            });
        }
        let found = names.into_iter().map(|name| async {
            let addresses = self.host_addresses(servers, &name).await;
            Authority { name, addresses }
        });
        Ok(join_all(found).await)
    }

    /// The IPv4 and IPv6 addresses of `host`; none if it has none.
    ///
    /// # Errors
    /// When the nameservers answer for neither.
    pub async fn addresses(
        &self,
        servers: &[Nameserver],
        host: &Name,
    ) -> Result<Vec<IpAddr>, Error> {
        let both = tokio::join!(
            self.lookup(servers, host, RecordType::A),
            self.lookup(servers, host, RecordType::AAAA)
        );
        let answers = match both {
            (Ok(v4), Ok(v6)) => vec![v4, v6],
            (Ok(answer), Err(_)) | (Err(_), Ok(answer)) => vec![answer],
            (Err(error), Err(_)) => return Err(error),
        };
        let mut found: Vec<IpAddr> = answers.iter().flat_map(Answer::addresses).collect();
        found.sort();
        found.dedup();
        found.truncate(MAX_ADDRESSES);
        Ok(found)
    }

    /// All addresses of a server, asked of the same nameservers that named it; of the system where
    /// they know none (they may serve nothing but the zone).
    async fn host_addresses(&self, servers: &[Nameserver], host: &Name) -> Vec<IpAddr> {
        match self.addresses(servers, host).await {
            Ok(found) if !found.is_empty() => found,
            _ => resolve(&shown(host), 0, self.timing.total)
                .await
                .map(|found| found.iter().map(SocketAddr::ip).collect())
                .unwrap_or_default(),
        }
    }

    /// The port that the servers of zones listen on.
    pub fn authority_port(&self) -> u16 {
        self.authority_port
    }
}

/// The zone that the answer to an SOA question gives away, if any; otherwise the name above is to be
/// asked.
fn zone_in(answer: &Answer) -> Option<&Name> {
    // An alias is never the top of a zone, and an SOA beside it is of the zone that it leads to.
    if answer.alias_of(&answer.question.name).is_some() {
        return None;
    }
    answer.zone().or_else(|| answer.referral())
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::{
        RData, Record,
        rdata::{CNAME, NS, SOA},
    };

    use super::*;
    use crate::net::dns::Question;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn soa(owner: &str) -> Record {
        let data = SOA::new(name("ns."), name("h."), 1, 2, 3, 4, 5);
        Record::from_rdata(name(owner), 60, RData::SOA(data))
    }

    fn ns(owner: &str) -> Record {
        Record::from_rdata(name(owner), 60, RData::NS(NS(name("ns."))))
    }

    fn alias(owner: &str) -> Record {
        Record::from_rdata(name(owner), 60, RData::CNAME(CNAME(name("x.example.org."))))
    }

    #[test]
    fn an_answer_gives_the_zone_away_or_sends_upwards() {
        const AT: &str = "www.example.com.";
        for (what, authoritative, answers, authorities, zone) in [
            ("the top of a zone", true, vec![soa(AT)], vec![], Some(AT)),
            (
                "no such name",
                false,
                vec![],
                vec![soa("example.com.")],
                Some("example.com."),
            ),
            (
                "an alias to another zone",
                false,
                vec![alias(AT)],
                vec![soa("example.org.")],
                None,
            ),
            (
                "an alias within",
                false,
                vec![alias(AT)],
                vec![soa("example.com.")],
                None,
            ),
            (
                "a stranger's SOA",
                false,
                vec![],
                vec![soa("example.org.")],
                None,
            ),
            (
                "an SOA from below",
                false,
                vec![],
                vec![soa("a.www.example.com.")],
                None,
            ),
            (
                "a referral",
                false,
                vec![],
                vec![ns("example.com.")],
                Some("example.com."),
            ),
            ("a referral to the root", false, vec![], vec![ns(".")], None),
            ("nothing", true, vec![], vec![ns("example.com.")], None),
        ] {
            let answer = Answer {
                server: String::new(),
                question: Question {
                    name: name(AT),
                    kind: RecordType::SOA,
                    recursion: true,
                },
                code: ResponseCode::NoError,
                authoritative,
                answers,
                authorities,
            };
            assert_eq!(zone_in(&answer), zone.map(name).as_ref(), "{what}");
        }
    }
}
