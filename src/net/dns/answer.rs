//! What did a nameserver say?

use std::{fmt, net::IpAddr};

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

    /// The TXT values of the answer, the strings of each joined (RFC 7208 section 3.3 style).
    pub fn texts(&self) -> Vec<Vec<u8>> {
        self.answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(txt) => Some(txt.txt_data.concat()),
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

/// What the server said, as a half-sentence: `answered NXDOMAIN for _acme-challenge.example.com`.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Question { name, kind, .. } = &self.question;
        let name = shown(name);
        match self.code {
            ResponseCode::NoError => write!(f, "{} answered for {kind} of {name}", self.server),
            code => write!(f, "{} answered {} for {name}", self.server, mnemonic(code)),
        }
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
