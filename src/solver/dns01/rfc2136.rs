//! How is a challenge's record put into a zone, and taken out, by DNS UPDATE (RFC 2136)?

use std::net::SocketAddr;

use futures::{FutureExt, future::BoxFuture};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, RData, Record as ResourceRecord, RecordType, rdata::TXT},
};
use jiff::Timestamp;

use super::{
    Error, Provider, Record, Rejection,
    config::Rfc2136Config,
    tsig::{self, Signed},
};
use crate::net::dns::{self, Failure, Timing, exchange};

/// The longest string in a TXT record (RFC 1035 section 3.3).
const MAX_STRING: usize = 255;

/// Writes records by DNS UPDATE to one server.
#[derive(Debug)]
pub struct Rfc2136 {
    config: Rfc2136Config,
    client: dns::Client,
}

/// What an update does with its record.
#[derive(Clone, Copy)]
enum Change {
    /// Section 2.5.1: add to an RRset, which may have other members.
    Add,
    /// Section 2.5.4: delete this RR from its RRset.
    Delete,
}

impl Rfc2136 {
    /// A provider that sends updates as `config` says, with the waiting times of `client`.
    pub fn new(config: Rfc2136Config, client: dns::Client) -> Self {
        Self { config, client }
    }

    async fn update(&self, change: Change, record: &Record, now: Timestamp) -> Result<(), Error> {
        let message = message(change, record)?;
        let untrusted = |source| self.untrusted(record, source);
        let (request, request_mac) = match &self.config.tsig {
            None => (message, None),
            Some(key) => {
                let Signed { bytes, request_mac } = key.sign(&message, now).map_err(untrusted)?;
                (bytes, Some(request_mac))
            }
        };
        let answer = self.send(&request, record).await?;
        self.judge(&answer, request_mac.as_deref(), record, now)
    }

    /// Sends the update to the first address of the server that answers.
    async fn send(&self, request: &[u8], record: &Record) -> Result<Vec<u8>, Error> {
        let unreachable = |source| Error::Unreachable {
            nameserver: self.config.nameserver.to_string(),
            zone: Box::new(record.zone.clone()),
            source,
        };
        let addresses = self
            .client
            .addresses_of(&self.config.nameserver)
            .await
            .map_err(unreachable)?;
        let mut last = None;
        for address in addresses {
            match self.send_to(address, request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => {
                    last = Some(dns::Error::Exchange {
                        server: address.to_string(),
                        failure,
                    });
                }
            }
        }
        Err(unreachable(last.unwrap_or(dns::Error::Resolve {
            host: self.config.nameserver.to_string(),
            problem: "has no address".to_owned(),
        })))
    }

    async fn send_to(&self, address: SocketAddr, request: &[u8]) -> Result<Vec<u8>, Failure> {
        let timing: &Timing = self.client.timing();
        exchange(address, self.config.transport, request, timing).await
    }

    /// Whether the answer says that the update was applied. What is not signed as it should be is
    /// not believed when it says yes; when it says no, it is reported.
    fn judge(
        &self,
        answer: &[u8],
        request_mac: Option<&[u8]>,
        record: &Record,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (code, mut tsig, mut clock_ahead) = (
            self.code(answer, record)?,
            tsig::unverified_error(answer),
            None,
        );
        if let (Some(key), Some(mac)) = (&self.config.tsig, request_mac) {
            match key.verify(answer, mac, now) {
                Ok(verified) => {
                    tsig = (verified.error != 0).then_some(verified.error);
                    clock_ahead = verified.clock_ahead;
                }
                Err(source) if code == ResponseCode::NoError => {
                    return Err(self.untrusted(record, source));
                }
                Err(_) => {}
            }
        }
        if code == ResponseCode::NoError && tsig.is_none() {
            return Ok(());
        }
        Err(Error::Rejected {
            nameserver: self.config.nameserver.to_string(),
            zone: Box::new(record.zone.clone()),
            rejection: Rejection {
                code,
                tsig,
                clock_ahead,
                signed: request_mac.is_some(),
            },
        })
    }

    fn code(&self, answer: &[u8], record: &Record) -> Result<ResponseCode, Error> {
        let malformed = |what: String| Error::Unreachable {
            nameserver: self.config.nameserver.to_string(),
            zone: Box::new(record.zone.clone()),
            source: dns::Error::Exchange {
                server: self.config.nameserver.to_string(),
                failure: Failure::Malformed(what),
            },
        };
        let message = Message::from_vec(answer).map_err(|error| malformed(error.to_string()))?;
        if message.op_code != OpCode::Update || message.message_type != MessageType::Response {
            return Err(malformed("not the answer to an update".to_owned()));
        }
        Ok(message.response_code)
    }

    fn untrusted(&self, record: &Record, source: tsig::Error) -> Error {
        Error::Untrusted {
            nameserver: self.config.nameserver.to_string(),
            zone: Box::new(record.zone.clone()),
            source,
        }
    }
}

impl Provider for Rfc2136 {
    fn present<'a>(
        &'a self,
        record: &'a Record,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.update(Change::Add, record, now).boxed()
    }

    fn clean_up<'a>(
        &'a self,
        record: &'a Record,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.update(Change::Delete, record, now).boxed()
    }
}

/// The UPDATE message: the zone stands in the question section, the change in the authority section.
fn message(change: Change, record: &Record) -> Result<Vec<u8>, Error> {
    let Record {
        fqdn,
        zone,
        value,
        ttl,
    } = record;
    if !zone.zone_of(fqdn) {
        return Err(Error::NotInZone {
            fqdn: Box::new(fqdn.clone()),
            zone: Box::new(zone.clone()),
        });
    }
    let strings: Vec<&[u8]> = value.as_bytes().chunks(MAX_STRING).collect();
    let data = RData::TXT(TXT::from_bytes(strings));
    let mut txt = ResourceRecord::from_rdata(fqdn.clone(), *ttl, data);
    match change {
        Change::Add => txt.dns_class = DNSClass::IN,
        Change::Delete => {
            txt.dns_class = DNSClass::NONE;
            txt.ttl = 0;
        }
    }
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(zone.clone(), RecordType::SOA));
    message.add_authority(txt);
    message.to_vec().map_err(|error| Error::Message {
        zone: Box::new(zone.clone()),
        problem: error.to_string(),
    })
}
