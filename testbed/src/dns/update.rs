//! What does an update do to a zone (RFC 2136 section 3)?

use std::net::SocketAddr;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordData, RecordType},
};

use super::zone::{Zones, insert, text};

/// An update that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Who sent it.
    pub from: SocketAddr,
    /// Whether it came over TCP.
    pub tcp: bool,
    /// The zone it names.
    pub zone: String,
    /// Its changes, in order.
    pub changes: Vec<Change>,
    /// The key it names, good or not.
    pub key: Option<String>,
    /// What it was answered; NOERROR: applied.
    pub code: ResponseCode,
}

/// One change of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Section 2.5.1: a record is added to its set.
    Add {
        /// Owner.
        name: String,
        /// Type.
        kind: RecordType,
        /// Data, as in a zone file; TXT strings joined.
        data: String,
        /// Seconds.
        ttl: u32,
    },
    /// Section 2.5.2: a set is deleted.
    DeleteSet {
        /// Owner.
        name: String,
        /// Type.
        kind: RecordType,
    },
    /// Section 2.5.3: all sets of a name are deleted.
    DeleteName {
        /// Owner.
        name: String,
    },
    /// Section 2.5.4: a record is deleted from its set.
    Delete {
        /// Owner.
        name: String,
        /// Type.
        kind: RecordType,
        /// Data, as in a zone file; TXT strings joined.
        data: String,
    },
}

/// The changes that a message asks for, for the record.
pub(super) fn changes(message: &Message) -> Vec<Change> {
    message.authorities.iter().filter_map(change).collect()
}

fn change(record: &Record) -> Option<Change> {
    let name = record.name.to_ascii();
    let kind = record.record_type();
    Some(match record.dns_class {
        DNSClass::IN => Change::Add {
            name,
            kind,
            data: text(&record.data),
            ttl: record.ttl,
        },
        DNSClass::ANY if kind == RecordType::ANY => Change::DeleteName { name },
        DNSClass::ANY => Change::DeleteSet { name, kind },
        DNSClass::NONE => Change::Delete {
            name,
            kind,
            data: text(&record.data),
        },
        _ => return None,
    })
}

/// Carries an update out, whole or not at all.
pub(super) fn apply(zones: &mut Zones, message: &Message) -> ResponseCode {
    match try_apply(zones, message) {
        Ok(()) => ResponseCode::NoError,
        Err(code) => code,
    }
}

fn try_apply(zones: &mut Zones, message: &Message) -> Result<(), ResponseCode> {
    let [zone] = message.queries.as_slice() else {
        return Err(ResponseCode::FormErr);
    };
    if zone.query_type() != RecordType::SOA {
        return Err(ResponseCode::FormErr);
    }
    let origin = zone.name().to_lowercase();
    let sets = zones.zone_mut(&origin).ok_or(ResponseCode::NotAuth)?;
    for record in &message.answers {
        holds(sets, &origin, record)?;
    }
    for record in &message.authorities {
        prescan(&origin, record)?;
    }
    let before = sets.clone();
    for record in &message.authorities {
        change_one(sets, &origin, record);
    }
    if *sets != before {
        bump(sets, &origin);
    }
    Ok(())
}

type Sets = std::collections::BTreeMap<(Name, RecordType), Vec<Record>>;

/// Section 3.2: a prerequisite.
fn holds(sets: &Sets, origin: &Name, record: &Record) -> Result<(), ResponseCode> {
    let name = record.name.to_lowercase();
    if record.ttl != 0 {
        return Err(ResponseCode::FormErr);
    }
    if !origin.zone_of(&name) {
        return Err(ResponseCode::NotZone);
    }
    let kind = record.record_type();
    let in_use = sets.keys().any(|(owner, _)| owner == &name);
    let set = sets.get(&(name, kind));
    let (holds, otherwise) = match (record.dns_class, kind) {
        (DNSClass::ANY, RecordType::ANY) => (in_use, ResponseCode::NXDomain),
        (DNSClass::ANY, _) => (set.is_some(), ResponseCode::NXRRSet),
        (DNSClass::NONE, RecordType::ANY) => (!in_use, ResponseCode::YXDomain),
        (DNSClass::NONE, _) => (set.is_none(), ResponseCode::YXRRSet),
        // Value dependent: every record named must be there. (That there is no other is not checked:
        // no client of ours sends these.)
        (DNSClass::IN, _) => (
            set.is_some_and(|set| set.iter().any(|other| other.data == record.data)),
            ResponseCode::NXRRSet,
        ),
        _ => return Err(ResponseCode::FormErr),
    };
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Section 3.4.1.
fn prescan(origin: &Name, record: &Record) -> Result<(), ResponseCode> {
    if !origin.zone_of(&record.name) {
        return Err(ResponseCode::NotZone);
    }
    let kind = record.record_type();
    let empty = record.data.is_update();
    let meta = matches!(
        kind,
        RecordType::ANY | RecordType::AXFR | RecordType::IXFR | RecordType::OPT
    );
    let good = match record.dns_class {
        DNSClass::IN => !meta && !empty,
        DNSClass::ANY => record.ttl == 0 && empty && (!meta || kind == RecordType::ANY),
        DNSClass::NONE => record.ttl == 0 && !meta && !empty,
        _ => false,
    };
    if good {
        Ok(())
    } else {
        Err(ResponseCode::FormErr)
    }
}

/// Section 3.4.2.
fn change_one(sets: &mut Sets, origin: &Name, record: &Record) {
    let name = record.name.to_lowercase();
    let kind = record.record_type();
    let apex = &name == origin;
    let keep = |kind: RecordType| apex && matches!(kind, RecordType::SOA | RecordType::NS);
    match record.dns_class {
        DNSClass::IN => {
            let is_alias = sets.contains_key(&(name.clone(), RecordType::CNAME));
            let in_use = sets.keys().any(|(owner, _)| owner == &name);
            let conflict = match kind {
                RecordType::CNAME => in_use && !is_alias,
                RecordType::SOA => true,
                _ => is_alias,
            };
            if conflict {
                return;
            }
            if kind == RecordType::CNAME {
                sets.remove(&(name, kind));
            }
            insert(sets, record.clone());
        }
        DNSClass::ANY if kind == RecordType::ANY => {
            sets.retain(|(owner, kind), _| owner != &name || keep(*kind));
        }
        DNSClass::ANY => {
            if !keep(kind) {
                sets.remove(&(name, kind));
            }
        }
        _ => {
            let key = (name, kind);
            let Some(set) = sets.get_mut(&key) else {
                return;
            };
            if kind == RecordType::SOA || (keep(kind) && set.len() == 1) {
                return;
            }
            set.retain(|other| other.data != record.data);
            if set.is_empty() {
                sets.remove(&key);
            }
        }
    }
}

/// Secondaries and people see by the serial that something changed.
fn bump(sets: &mut Sets, origin: &Name) {
    let soa = sets
        .get_mut(&(origin.clone(), RecordType::SOA))
        .and_then(|set| set.first_mut());
    if let Some(Record {
        data: RData::SOA(soa),
        ..
    }) = soa
    {
        soa.increment_serial();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::op::{OpCode, Query};

    use super::*;
    use crate::dns::{Data, Zone, parse_name};

    const AT: &str = "www.example.com.";

    fn zones() -> Zones {
        let zone = Zone::new("example.com.")
            .record(AT, Data::Txt("a".to_owned()))
            .record(AT, Data::Txt("b".to_owned()))
            .record(AT, Data::Address(Ipv4Addr::LOCALHOST.into()));
        Zones::new(vec![zone]).unwrap()
    }

    fn txt(class: DNSClass, ttl: u32, owner: &str, value: &str) -> Record {
        let data = Data::Txt(value.to_owned()).rdata().unwrap();
        let mut record = Record::from_rdata(parse_name(owner).unwrap(), ttl, data);
        record.dns_class = class;
        record
    }

    fn empty(class: DNSClass, owner: &str, kind: RecordType) -> Record {
        let mut record = Record::update0(parse_name(owner).unwrap(), 0, kind);
        record.dns_class = class;
        record
    }

    /// The code, and the TXT values at [`AT`] afterwards.
    fn applied(zone: &str, prerequisites: Vec<Record>, update: Record) -> (ResponseCode, String) {
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Update;
        message.add_query(Query::query(parse_name(zone).unwrap(), RecordType::SOA));
        message.insert_answers(prerequisites);
        message.insert_authorities(vec![update]);
        // Through the wire, as from a client.
        let message = Message::from_vec(&message.to_vec().unwrap()).unwrap();
        let mut zones = zones();
        let code = apply(&mut zones, &message);
        let name = parse_name(AT).unwrap();
        (code, zones.texts(&name, RecordType::TXT).join(","))
    }

    #[test]
    fn updates_do_what_rfc_2136_says() {
        use DNSClass as C;
        use RecordType as T;
        use ResponseCode as R;
        let zone = "example.com.";
        for (update, code, left) in [
            (txt(C::IN, 60, AT, "c"), R::NoError, "a,b,c"),
            (txt(C::IN, 60, AT, "a"), R::NoError, "a,b"),
            (txt(C::NONE, 0, AT, "a"), R::NoError, "b"),
            (txt(C::NONE, 0, AT, "z"), R::NoError, "a,b"),
            (txt(C::NONE, 60, AT, "a"), R::FormErr, "a,b"),
            (empty(C::ANY, AT, T::TXT), R::NoError, ""),
            (empty(C::ANY, AT, T::A), R::NoError, "a,b"),
            (empty(C::ANY, AT, T::ANY), R::NoError, ""),
            (empty(C::IN, AT, T::TXT), R::FormErr, "a,b"),
            (txt(C::IN, 60, "www.example.org.", "c"), R::NotZone, "a,b"),
        ] {
            let shown = format!("{update:?}");
            assert_eq!(
                applied(zone, vec![], update),
                (code, left.to_owned()),
                "{shown}"
            );
        }
        let add = || txt(C::IN, 60, AT, "c");
        assert_eq!(applied("www.example.com.", vec![], add()).0, R::NotAuth);
        for (prerequisite, code) in [
            (empty(C::ANY, AT, T::TXT), R::NoError),
            (empty(C::ANY, AT, T::AAAA), R::NXRRSet),
            (empty(C::ANY, "no.example.com.", T::ANY), R::NXDomain),
            (empty(C::NONE, AT, T::TXT), R::YXRRSet),
            (empty(C::NONE, AT, T::ANY), R::YXDomain),
            (txt(C::IN, 0, AT, "b"), R::NoError),
            (txt(C::IN, 0, AT, "z"), R::NXRRSet),
        ] {
            let shown = format!("{prerequisite:?}");
            assert_eq!(applied(zone, vec![prerequisite], add()).0, code, "{shown}");
        }
    }
}
