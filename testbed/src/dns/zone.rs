//! What do the zones hold, and what does an authoritative server answer from them (RFC 1034 4.3.2)?

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use anyhow::Context;
use hickory_proto::{
    op::ResponseCode,
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, CAA, CNAME, NS, SOA, TXT},
    },
};

use super::parse_name;

const TTL: u32 = 60;
/// How long resolvers may keep negative answers: tests wait for nothing.
const NEGATIVE_TTL: u32 = 1;
const MAX_ALIASES: usize = 16;

/// The data of a record, as tests and the demo write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A or AAAA.
    Address(IpAddr),
    /// TXT, of one string per 255 bytes.
    Txt(String),
    /// CNAME.
    Cname(String),
    /// NS.
    Ns(String),
    /// CAA that lets this CA issue, and no other.
    Caa(String),
}

impl Data {
    pub(super) fn rdata(&self) -> anyhow::Result<RData> {
        Ok(match self {
            Self::Address(IpAddr::V4(v4)) => RData::A(A(*v4)),
            Self::Address(IpAddr::V6(v6)) => RData::AAAA(AAAA(*v6)),
            Self::Txt(text) => RData::TXT(TXT::from_bytes(text.as_bytes().chunks(255).collect())),
            Self::Cname(target) => RData::CNAME(CNAME(parse_name(target)?)),
            Self::Ns(server) => RData::NS(NS(parse_name(server)?)),
            Self::Caa(ca) => {
                // Text, written without the final dot.
                let ca = Name::from_ascii(ca)?;
                RData::CAA(CAA::new_issue(false, Some(ca), Vec::new()))
            }
        })
    }
}

/// A zone to start with: its SOA, one server `ns1` below it at 127.0.0.1, and what is added.
#[derive(Clone, Debug)]
pub struct Zone {
    origin: String,
    servers: Vec<(String, IpAddr)>,
    records: Vec<(String, Data)>,
}

impl Zone {
    /// The zone `origin`, without servers yet.
    pub fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            servers: Vec::new(),
            records: Vec::new(),
        }
    }

    /// With a server: an NS record, and its address if the name is in the zone.
    #[must_use]
    pub fn server(mut self, name: &str, address: IpAddr) -> Self {
        self.servers.push((name.to_owned(), address));
        self
    }

    /// With a record at an absolute name; `*.` in front makes a wildcard.
    #[must_use]
    pub fn record(mut self, name: &str, data: Data) -> Self {
        self.records.push((name.to_owned(), data));
        self
    }
}

type RecordSets = BTreeMap<(Name, RecordType), Vec<Record>>;

/// The zones of a server, by origin.
#[derive(Clone, Debug)]
pub(super) struct Zones {
    zones: BTreeMap<Name, RecordSets>,
}

/// The sections of an answer.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) code: ResponseCode,
    pub(super) authoritative: bool,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
}

impl Response {
    pub(super) fn of_code(code: ResponseCode) -> Self {
        Self {
            code,
            authoritative: false,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }
}

impl Zones {
    pub(super) fn new(zones: Vec<Zone>) -> anyhow::Result<Self> {
        let mut all = Self {
            zones: BTreeMap::new(),
        };
        for zone in &zones {
            let origin = parse_name(&zone.origin)?;
            all.zones.insert(origin, RecordSets::new());
        }
        for zone in zones {
            all.fill(zone)?;
        }
        Ok(all)
    }

    fn fill(&mut self, zone: Zone) -> anyhow::Result<()> {
        let Zone {
            origin,
            mut servers,
            records,
        } = zone;
        let origin = parse_name(&origin)?;
        if servers.is_empty() {
            let name = Name::from_ascii("ns1")?.append_domain(&origin)?;
            servers.push((name.to_ascii(), Ipv4Addr::LOCALHOST.into()));
        }
        let primary = parse_name(&servers[0].0)?;
        let contact = Name::from_ascii("hostmaster")?.append_domain(&origin)?;
        let soa = SOA::new(primary, contact, 1, 3600, 600, 86400, NEGATIVE_TTL);
        let sets = self.zones.entry(origin.clone()).or_default();
        insert(
            sets,
            Record::from_rdata(origin.clone(), TTL, RData::SOA(soa)),
        );
        for (name, address) in servers {
            let name = parse_name(&name)?;
            let ns = RData::NS(NS(name.clone()));
            insert(sets, Record::from_rdata(origin.clone(), TTL, ns));
            if origin.zone_of(&name) {
                let address = Data::Address(address).rdata()?;
                insert(sets, Record::from_rdata(name, TTL, address));
            }
        }
        for (name, data) in records {
            let name = parse_name(&name)?;
            anyhow::ensure!(origin.zone_of(&name), "{name} is not in the zone {origin}");
            insert(sets, Record::from_rdata(name, TTL, data.rdata()?));
        }
        Ok(())
    }

    /// The record sets of the zone that is exactly `origin`.
    pub(super) fn zone_mut(&mut self, origin: &Name) -> Option<&mut RecordSets> {
        self.zones.get_mut(&origin.to_lowercase())
    }

    /// The zone nearest above `name`.
    fn zone_of(&self, name: &Name) -> Option<(&Name, &RecordSets)> {
        self.zones
            .iter()
            .filter(|(origin, _)| origin.zone_of(name))
            .max_by_key(|(origin, _)| origin.num_labels())
    }

    fn holder(&mut self, name: &Name) -> anyhow::Result<&mut RecordSets> {
        let origin = self.zone_of(name).map(|(origin, _)| origin.clone());
        origin
            .and_then(|origin| self.zones.get_mut(&origin))
            .with_context(|| format!("no zone holds {name}"))
    }

    pub(super) fn set(&mut self, name: &Name, data: RData) -> anyhow::Result<()> {
        let sets = self.holder(name)?;
        let record = Record::from_rdata(name.clone(), TTL, data);
        sets.insert((name.clone(), record.record_type()), vec![record]);
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &Name, kind: RecordType) -> anyhow::Result<()> {
        self.holder(name)?.remove(&(name.clone(), kind));
        Ok(())
    }

    pub(super) fn texts(&self, name: &Name, kind: RecordType) -> Vec<String> {
        let key = (name.clone(), kind);
        let records = self
            .zone_of(name)
            .and_then(|(_, sets)| sets.get(&key))
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut texts: Vec<String> = records.iter().map(|record| text(&record.data)).collect();
        texts.sort();
        texts
    }

    /// The answer to a query.
    pub(super) fn answer(&self, name: &Name, kind: RecordType) -> Response {
        let mut response = Response::of_code(ResponseCode::NoError);
        let mut at = name.to_lowercase();
        for hop in 0..MAX_ALIASES {
            let Some((origin, sets)) = self.zone_of(&at) else {
                // An alias may lead away; a question about strangers is refused.
                if hop == 0 {
                    response.code = ResponseCode::Refused;
                }
                return response;
            };
            if let Some(servers) = delegation(origin, sets, &at) {
                if hop == 0 {
                    response.additionals = glue(sets, servers);
                    response.authorities = servers.to_vec();
                    response.authoritative = false;
                }
                return response;
            }
            response.authoritative = true;
            let Some(source) = source(origin, sets, &at) else {
                response.code = ResponseCode::NXDomain;
                response.authorities = set(sets, origin, RecordType::SOA);
                return response;
            };
            let found = owned_by(&at, set(sets, &source, kind));
            let alias = owned_by(&at, set(sets, &source, RecordType::CNAME));
            match (found.is_empty(), alias.first().map(|record| &record.data)) {
                (true, Some(RData::CNAME(target))) => {
                    let next = target.0.to_lowercase();
                    response.answers.extend(alias);
                    at = next;
                }
                (true, _) => {
                    response.authorities = set(sets, origin, RecordType::SOA);
                    return response;
                }
                (false, _) => {
                    response.answers.extend(found);
                    return response;
                }
            }
        }
        response
    }
}

/// The NS records of the first cut between `origin` and `name`.
fn delegation<'a>(origin: &Name, sets: &'a RecordSets, name: &Name) -> Option<&'a [Record]> {
    let above = origin.num_labels();
    (above + 1..=name.num_labels()).find_map(|labels| {
        let cut = name.trim_to(usize::from(labels));
        sets.get(&(cut, RecordType::NS)).map(Vec::as_slice)
    })
}

fn glue(sets: &RecordSets, servers: &[Record]) -> Vec<Record> {
    servers
        .iter()
        .filter_map(|record| match &record.data {
            RData::NS(server) => Some(server.0.to_lowercase()),
            _ => None,
        })
        .flat_map(|server| [RecordType::A, RecordType::AAAA].map(|kind| set(sets, &server, kind)))
        .flatten()
        .collect()
}

/// The name whose records answer for `name`: itself, or a wildcard at its closest encloser
/// (RFC 4592). `None` if the name does not exist.
fn source(origin: &Name, sets: &RecordSets, name: &Name) -> Option<Name> {
    if exists(sets, name) {
        return Some(name.clone());
    }
    let mut encloser = name.base_name();
    while origin.zone_of(&encloser) {
        if exists(sets, &encloser) {
            let wildcard = encloser.prepend_label("*").ok()?;
            return sets
                .keys()
                .any(|(owner, _)| owner == &wildcard)
                .then_some(wildcard);
        }
        if encloser.is_root() {
            break;
        }
        encloser = encloser.base_name();
    }
    None
}

/// Names exist by their records, or by those of a name below.
fn exists(sets: &RecordSets, name: &Name) -> bool {
    sets.keys().any(|(owner, _)| name.zone_of(owner))
}

fn set(sets: &RecordSets, name: &Name, kind: RecordType) -> Vec<Record> {
    sets.get(&(name.clone(), kind)).cloned().unwrap_or_default()
}

fn owned_by(name: &Name, mut records: Vec<Record>) -> Vec<Record> {
    for record in &mut records {
        record.name = name.clone();
    }
    records
}

/// Adds a record to its set, unless it is there.
pub(super) fn insert(sets: &mut RecordSets, mut record: Record) {
    record.name = record.name.to_lowercase();
    let set = sets
        .entry((record.name.clone(), record.record_type()))
        .or_default();
    match set.iter_mut().find(|other| other.data == record.data) {
        Some(same) => same.ttl = record.ttl,
        None => set.push(record),
    }
}

/// The data of a record as a test wants to compare it: TXT strings joined and bare.
pub(super) fn text(data: &RData) -> String {
    match data {
        RData::TXT(txt) => String::from_utf8_lossy(&txt.txt_data.concat()).into_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones() -> Zones {
        let address = || Data::Address(Ipv4Addr::new(192, 0, 2, 1).into());
        Zones::new(vec![
            Zone::new("example.com.")
                .record("*.example.com.", address())
                .record("deep.www.example.com.", address())
                .record(
                    "alias.example.com.",
                    Data::Cname("deep.www.example.com.".into()),
                )
                .record("away.example.com.", Data::Cname("www.example.org.".into()))
                .record(
                    "lost.example.com.",
                    Data::Cname("no.www.example.com.".into()),
                )
                .record("sub.example.com.", Data::Ns("ns.sub.example.com.".into()))
                .record("ns.sub.example.com.", address()),
            Zone::new("own.example.com."),
        ])
        .unwrap()
    }

    /// Code, authoritative, and the number of records in the three sections.
    type Shape = (ResponseCode, bool, usize, usize, usize);

    #[test]
    fn answers_are_those_of_rfc_1034() {
        use RecordType as T;
        use ResponseCode as C;
        let table: [(&str, RecordType, Shape); 13] = [
            ("example.com.", T::SOA, (C::NoError, true, 1, 0, 0)),
            ("EXAMPLE.com.", T::NS, (C::NoError, true, 1, 0, 0)),
            ("deep.www.example.com.", T::A, (C::NoError, true, 1, 0, 0)),
            ("deep.www.example.com.", T::TXT, (C::NoError, true, 0, 1, 0)),
            // An empty non-terminal exists; the wildcard does not cover it, nor what is below it.
            ("www.example.com.", T::A, (C::NoError, true, 0, 1, 0)),
            ("no.www.example.com.", T::A, (C::NXDomain, true, 0, 1, 0)),
            ("anything.example.com.", T::A, (C::NoError, true, 1, 0, 0)),
            ("anything.example.com.", T::TXT, (C::NoError, true, 0, 1, 0)),
            ("alias.example.com.", T::A, (C::NoError, true, 2, 0, 0)),
            ("away.example.com.", T::A, (C::NoError, true, 1, 0, 0)),
            ("lost.example.com.", T::A, (C::NXDomain, true, 1, 1, 0)),
            ("a.sub.example.com.", T::A, (C::NoError, false, 0, 1, 1)),
            ("example.org.", T::A, (C::Refused, false, 0, 0, 0)),
        ];
        for (name, kind, want) in table {
            let got = zones().answer(&parse_name(name).unwrap(), kind);
            let shape = (
                got.code,
                got.authoritative,
                got.answers.len(),
                got.authorities.len(),
                got.additionals.len(),
            );
            assert_eq!(shape, want, "{kind} of {name}");
        }
        let below = zones().answer(&parse_name("x.own.example.com.").unwrap(), T::TXT);
        assert_eq!(below.authorities[0].name.to_ascii(), "own.example.com.");
    }

    #[test]
    fn a_wildcard_answers_under_the_name_asked_for() {
        let got = zones().answer(&parse_name("x.example.com.").unwrap(), RecordType::A);
        assert_eq!(got.answers[0].name.to_ascii(), "x.example.com.");
    }
}
