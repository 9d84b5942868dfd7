//! What did a nameserver say?

use std::{collections::BTreeSet, net::IpAddr};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType},
};

use super::Failure;

/// What servers may send over UDP, in bytes: fits into one packet on nearly every path
/// (DNS flag day 2020). Longer answers come over TCP.
const EDNS_PAYLOAD: u16 = 1232;

/// One question of a nameserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name asked for.
    pub name: Name,
    /// The record type asked for.
    pub kind: RecordType,
    /// Whether the server shall find the answer elsewhere: yes for resolvers, no for the servers
    /// of a zone.
    pub recursion: bool,
}

impl Question {
    /// The message to send, and its ID.
    pub(super) fn message(&self) -> Result<(u16, Vec<u8>), Failure> {
        let mut message = Message::query();
        message.metadata.recursion_desired = self.recursion;
        message.add_query(Query::query(self.name.clone(), self.kind));
        let mut edns = Edns::new();
        edns.set_max_payload(EDNS_PAYLOAD).set_version(0);
        message.set_edns(edns);
        let bytes = message
            .to_vec()
            .map_err(|error| Failure::Query(error.to_string()))?;
        Ok((message.id, bytes))
    }
}

/// A nameserver's answer to a [`Question`].
#[derive(Clone, Debug)]
pub struct Answer {
    /// Who answered, for messages.
    pub server: String,
    /// What it was asked.
    pub question: Question,
    /// NOERROR, NXDOMAIN, SERVFAIL, ….
    pub code: ResponseCode,
    /// Whether the server speaks for the zone.
    pub authoritative: bool,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section: the zone's SOA for a negative answer, its servers for a referral.
    pub authorities: Vec<Record>,
}

impl Answer {
    /// Reads the message `bytes` that `server` sent as the answer to `question`.
    pub(super) fn read(
        server: String,
        question: Question,
        id: u16,
        bytes: &[u8],
    ) -> Result<Self, Failure> {
        let message = Message::from_vec(bytes).map_err(|e| Failure::Malformed(e.to_string()))?;
        let malformed = |what: &str| Err(Failure::Malformed(what.to_owned()));
        if message.id != id || message.message_type != MessageType::Response {
            return malformed("not an answer to this question");
        }
        if message.op_code != OpCode::Query {
            return malformed("another operation's answer");
        }
        let code = message.response_code;
        match message.queries.as_slice() {
            [asked] => {
                let same = asked.name() == &question.name
                    && asked.query_type() == question.kind
                    && asked.query_class() == DNSClass::IN;
                if !same {
                    return malformed("the answer to another question");
                }
            }
            // Some servers leave the question out when they refuse or do not understand it.
            [] if code != ResponseCode::NoError && code != ResponseCode::NXDomain => {}
            _ => return malformed("the question is missing"),
        }
        let Message {
            answers,
            authorities,
            ..
        } = message;
        Ok(Self {
            server,
            question,
            code,
            authoritative: message.metadata.authoritative,
            answers,
            authorities,
        })
    }

    /// Whether the server knew: the name exists, or it does not.
    pub fn is_definite(&self) -> bool {
        matches!(self.code, ResponseCode::NoError | ResponseCode::NXDomain)
    }

    /// The TXT values of the answer, the strings of each joined.
    pub fn texts(&self) -> Vec<Vec<u8>> {
        self.answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(txt) => Some(txt.txt_data.concat()),
                _ => None,
            })
            .collect()
    }

    /// The CAA records of the answer, as in a zone file.
    pub fn authorizations(&self) -> BTreeSet<String> {
        self.answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::CAA(caa) => Some(caa.to_string()),
                _ => None,
            })
            .collect()
    }

    /// The addresses of the answer.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(a) => Some(IpAddr::V4(a.0)),
                RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                _ => None,
            })
            .collect()
    }

    /// The name that `name` is an alias of, if the answer says so.
    pub fn alias_of(&self, name: &Name) -> Option<&Name> {
        self.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if &record.name == name => Some(&target.0),
            _ => None,
        })
    }

    /// The owner of an SOA record: a zone. In the answer it is the name asked for; in the
    /// authority section the zone that a negative answer comes from (RFC 2308).
    pub fn zone(&self) -> Option<&Name> {
        self.answers
            .iter()
            .chain(&self.authorities)
            .find(|record| {
                record.record_type() == RecordType::SOA && record.name.zone_of(&self.question.name)
            })
            .map(|record| &record.name)
    }

    /// For how many seconds a resolver goes on giving this negative answer without asking again
    /// (RFC 2308 section 5). `None` if it comes from the zone's own server.
    pub fn negative_ttl(&self) -> Option<u32> {
        if self.authoritative {
            return None;
        }
        self.authorities
            .iter()
            .find_map(|record| match &record.data {
                RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
                _ => None,
            })
    }

    /// The servers of `zone` that the answer names, or the referral to it.
    pub fn servers_of(&self, zone: &Name) -> Vec<Name> {
        self.answers
            .iter()
            .chain(&self.authorities)
            .filter_map(|record| match &record.data {
                RData::NS(server) if &record.name == zone => Some(server.0.clone()),
                _ => None,
            })
            .collect()
    }

    /// Where the answer is a referral to the servers of a zone further down (RFC 1034 section
    /// 4.3.2): that zone.
    pub fn referral(&self) -> Option<&Name> {
        if self.authoritative || self.code != ResponseCode::NoError || !self.answers.is_empty() {
            return None;
        }
        self.authorities
            .iter()
            .find(|record| {
                record.record_type() == RecordType::NS
                    && !record.name.is_root()
                    && record.name.zone_of(&self.question.name)
            })
            .map(|record| &record.name)
    }
}

/// A name as people write it: without the final dot.
pub fn shown(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => text,
    }
}

/// The response code as in RFC 6895: `NXDOMAIN`, `SERVFAIL`, `NOTAUTH`, ….
pub fn mnemonic(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::YXDomain => "YXDOMAIN",
        ResponseCode::YXRRSet => "YXRRSET",
        ResponseCode::NXRRSet => "NXRRSET",
        ResponseCode::NotAuth => "NOTAUTH",
        ResponseCode::NotZone => "NOTZONE",
        ResponseCode::BADVERS => "BADVERS",
        ResponseCode::BADSIG => "BADSIG",
        ResponseCode::BADKEY => "BADKEY",
        ResponseCode::BADTIME => "BADTIME",
        ResponseCode::BADMODE => "BADMODE",
        ResponseCode::BADNAME => "BADNAME",
        ResponseCode::BADALG => "BADALG",
        ResponseCode::BADTRUNC => "BADTRUNC",
        ResponseCode::BADCOOKIE => "BADCOOKIE",
        ResponseCode::Unknown(code) => return format!("RCODE{code}"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::{A, AAAA, CAA, CNAME, NS, SOA, TXT};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn question() -> Question {
        Question {
            name: name("_acme-challenge.www.example.com."),
            kind: RecordType::TXT,
            recursion: true,
        }
    }

    fn record(owner: &str, data: RData) -> Record {
        Record::from_rdata(name(owner), 60, data)
    }

    /// An answer to [`question`] with a record of every type that is looked at.
    fn message() -> Message {
        let Question {
            name: asked, kind, ..
        } = question();
        let mut message = Message::response(7, OpCode::Query);
        message.add_query(Query::query(asked.clone(), kind));
        let soa = SOA::new(
            name("ns1.example.com."),
            name("h.example.com."),
            1,
            2,
            3,
            4,
            30,
        );
        message.add_answer(Record::from_rdata(
            asked,
            60,
            RData::CNAME(CNAME(name("t.example."))),
        ));
        message.add_answer(record(
            "t.example.",
            RData::TXT(TXT::from_bytes(vec![b"a", b"b"])),
        ));
        message.add_answer(record("t.example.", RData::A(A::new(192, 0, 2, 1))));
        message.add_answer(record(
            "t.example.",
            RData::AAAA(AAAA::new(1, 2, 3, 4, 5, 6, 7, 8)),
        ));
        let caa = CAA::new_issue(true, Some(name("ca.example")), Vec::new());
        message.add_answer(record("t.example.", RData::CAA(caa)));
        message.add_authority(record("example.com.", RData::SOA(soa)));
        message.add_authority(record(
            "example.com.",
            RData::NS(NS(name("ns1.example.com."))),
        ));
        message.set_edns(Edns::new());
        message
    }

    fn read(bytes: &[u8]) -> Result<Answer, Failure> {
        Answer::read("server".to_owned(), question(), 7, bytes)
    }

    #[test]
    fn an_answer_is_read() {
        let answer = read(&message().to_vec().unwrap()).unwrap();
        let asked = &answer.question.name;
        assert!(answer.is_definite());
        assert_eq!(answer.texts(), [b"ab"]);
        assert_eq!(answer.addresses().len(), 2);
        let caa = "128 issue \"ca.example\"".to_owned();
        assert_eq!(answer.authorizations(), BTreeSet::from([caa]));
        assert_eq!(answer.alias_of(asked), Some(&name("t.example.")));
        assert_eq!(answer.alias_of(&name("t.example.")), None);
        assert_eq!(answer.zone(), Some(&name("example.com.")));
        assert_eq!(
            answer.servers_of(&name("example.com.")),
            [name("ns1.example.com.")]
        );
        assert_eq!(answer.negative_ttl(), Some(30));
        assert_eq!(answer.referral(), None);
    }

    #[test]
    fn the_answer_to_another_question_is_none() {
        let changed = |change: fn(&mut Message)| {
            let mut message = message();
            change(&mut message);
            read(&message.to_vec().unwrap()).map_err(|error| error.to_string())
        };
        for (seen, part) in [
            (changed(|m| m.metadata.id = 8), "not an answer"),
            (
                changed(|m| m.metadata.message_type = MessageType::Query),
                "not an answer",
            ),
            (
                changed(|m| m.metadata.op_code = OpCode::Update),
                "another operation",
            ),
            (changed(|m| m.queries.clear()), "question is missing"),
            (
                changed(|m| {
                    m.add_query(Query::query(name("a."), RecordType::TXT));
                }),
                "question is missing",
            ),
            (
                changed(|m| {
                    m.queries[0].set_query_type(RecordType::A);
                }),
                "another question",
            ),
            (
                changed(|m| {
                    m.queries[0].set_name(name("example.org."));
                }),
                "another question",
            ),
        ] {
            assert!(
                seen.as_ref().is_err_and(|text| text.contains(part)),
                "{part}: {seen:?}"
            );
        }
        // Names are compared without case, and a refusal need not repeat the question.
        let upper = changed(|m| {
            m.queries[0].set_name(name("_ACME-challenge.www.example.com."));
        });
        assert!(upper.is_ok());
        let refused = changed(|m| {
            m.metadata.response_code = ResponseCode::Refused;
            m.queries.clear();
        });
        assert!(refused.is_ok_and(|answer| !answer.is_definite()));
    }

    #[test]
    fn garbage_is_refused_without_harm() {
        let good = message().to_vec().unwrap();
        let (mut kept, mut refused) = (0, 0);
        let mut look = |bytes: &[u8]| match read(bytes) {
            Ok(answer) => {
                kept += 1;
                let zone = answer.zone().cloned().unwrap_or_default();
                let _: (usize, usize) = (answer.texts().len(), answer.servers_of(&zone).len());
                let _: (Option<&Name>, bool) = (answer.referral(), answer.addresses().is_empty());
            }
            Err(_) => refused += 1,
        };
        for length in 0..good.len() {
            look(&good[..length]);
        }
        // A generator of our own, so that every run tries the same.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..=random(4) {
                let index = random(bytes.len());
                bytes[index] = u8::try_from(random(256)).unwrap();
            }
            look(&bytes);
        }
        assert!(
            kept > 1000 && refused > 1000,
            "{kept} kept, {refused} refused"
        );
    }
}
