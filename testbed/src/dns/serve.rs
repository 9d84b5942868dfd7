//! Who listens, and what comes back for a message: the answer, or what a test wants to go wrong.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, ResponseCode},
    rr::{Name, RecordType, rdata::tsig::TsigError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

use super::{
    locked,
    tsig::{self, Key, Signature, Verdict},
    update::{self, Update},
    zone::{Response, Zones},
};

/// A free port must be free for UDP and TCP; so many are tried.
const PORT_TRIES: usize = 50;
/// The least a client takes over UDP (RFC 1035 section 4.2.1).
const UDP_MIN: u16 = 512;

/// What goes wrong at one listener. By default nothing.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Answers are held back for so long.
    pub delay: Option<Duration>,
    /// Queries get no answer.
    pub drop_queries: bool,
    /// Updates get no answer and are not applied.
    pub drop_updates: bool,
    /// Updates are applied and get no answer.
    pub drop_update_answers: bool,
    /// Nothing is answered over UDP.
    pub drop_udp: bool,
    /// Answers over UDP are empty and say that there is more over TCP.
    pub truncate_udp: bool,
    /// Queries for these names (absolute, in lower case) get this code.
    pub codes: BTreeMap<String, ResponseCode>,
    /// Updates get this code and are not applied.
    pub refuse_updates: Option<ResponseCode>,
    /// Answers are something else.
    pub garbage: Option<Garbage>,
    /// Answers to signed updates are not signed.
    pub unsigned_answers: bool,
    /// Answers to signed updates are signed wrongly.
    pub bad_signatures: bool,
    /// Seconds that the server's clock is ahead.
    pub clock_ahead: i64,
}

/// What is sent instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// The right ID and flags, and then nonsense.
    Noise,
    /// An answer that ends in the middle of the question.
    Cut,
    /// A good answer with another ID, and then nothing.
    WrongId,
    /// A good answer to another question.
    WrongQuestion,
    /// The query itself.
    Echo,
    /// Three bytes.
    Short,
}

/// What all listeners of a server have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) zones: Mutex<Zones>,
    pub(super) keys: Vec<Key>,
    pub(super) updates: Mutex<Vec<Update>>,
}

/// How often each name was asked for each type.
type Asked = Arc<Mutex<BTreeMap<(Name, RecordType), usize>>>;

/// A UDP and a TCP socket on one address, and the tasks that serve them.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) addr: SocketAddr,
    pub(super) faults: Arc<Mutex<Faults>>,
    queries: Arc<AtomicUsize>,
    asked: Asked,
    /// Aborted when dropped.
    _tasks: JoinSet<()>,
}

impl Listener {
    /// Serves the zones of `shared`, or the `copy` of a secondary.
    pub(super) fn start(
        shared: &Arc<Shared>,
        wanted: SocketAddr,
        copy: Option<Arc<Mutex<Zones>>>,
    ) -> anyhow::Result<Self> {
        let (udp, tcp) = bind(wanted)?;
        let addr = tcp.local_addr()?;
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let udp = tokio::net::UdpSocket::from_std(udp)?;
        let tcp = tokio::net::TcpListener::from_std(tcp)?;
        let faults = Arc::new(Mutex::new(Faults::default()));
        let queries = Arc::new(AtomicUsize::new(0));
        let asked = Asked::default();
        let handler = Handler {
            shared: shared.clone(),
            copy,
            faults: faults.clone(),
            queries: queries.clone(),
            asked: asked.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, handler.clone()));
        tasks.spawn(serve_tcp(tcp, handler));
        Ok(Self {
            addr,
            faults,
            queries,
            asked,
            _tasks: tasks,
        })
    }

    pub(super) fn queries(&self) -> usize {
        self.queries.load(Ordering::Relaxed)
    }

    pub(super) fn asked(&self, name: &Name, kind: RecordType) -> usize {
        let asked = locked(&self.asked);
        asked.get(&(name.clone(), kind)).copied().unwrap_or(0)
    }
}

fn bind(wanted: SocketAddr) -> anyhow::Result<(UdpSocket, TcpListener)> {
    let tries = if wanted.port() == 0 { PORT_TRIES } else { 1 };
    let mut last = None;
    for _ in 0..tries {
        let tcp = TcpListener::bind(wanted).with_context(|| format!("listening on {wanted}"))?;
        match UdpSocket::bind(tcp.local_addr()?) {
            Ok(udp) => return Ok((udp, tcp)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| anyhow::anyhow!("no port"), Into::into))
        .with_context(|| format!("listening on {wanted} over UDP"))
}

async fn serve_udp(socket: tokio::net::UdpSocket, handler: Handler) {
    let socket = Arc::new(socket);
    let mut answers = JoinSet::new();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        // An ICMP error of an earlier answer is no reason to stop.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        while answers.try_join_next().is_some() {}
        let (request, handler, socket) =
            (buffer[..length].to_vec(), handler.clone(), socket.clone());
        answers.spawn(async move {
            if let Some(answer) = handler.handle(&request, from, false).await {
                let _gone = socket.send_to(&answer, from).await;
            }
        });
    }
}

async fn serve_tcp(listener: tokio::net::TcpListener, handler: Handler) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((mut stream, from)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let handler = handler.clone();
        connections.spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut request = vec![0; usize::from(length)];
                if stream.read_exact(&mut request).await.is_err() {
                    return;
                }
                if let Some(answer) = handler.handle(&request, from, true).await {
                    let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
                    let mut framed = length.to_be_bytes().to_vec();
                    framed.extend_from_slice(&answer);
                    if stream.write_all(&framed).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

#[derive(Clone)]
struct Handler {
    shared: Arc<Shared>,
    copy: Option<Arc<Mutex<Zones>>>,
    faults: Arc<Mutex<Faults>>,
    queries: Arc<AtomicUsize>,
    asked: Asked,
}

impl Handler {
    /// The message to send back, if any.
    async fn handle(&self, request: &[u8], from: SocketAddr, tcp: bool) -> Option<Vec<u8>> {
        let faults = locked(&self.faults).clone();
        if faults.drop_udp && !tcp {
            return None;
        }
        if let Some(delay) = faults.delay {
            tokio::time::sleep(delay).await;
        }
        let message = match Message::from_vec(request) {
            Ok(message) if message.message_type == MessageType::Query => message,
            // Not even a header, or an answer: silence.
            Ok(_) => return None,
            Err(_) => return form_error(request),
        };
        let answer = match message.op_code {
            OpCode::Update => self.update(request, &message, from, tcp, &faults),
            OpCode::Query => self.query(request, &message, tcp, &faults),
            _ => encode(
                &reply(&message, Response::of_code(ResponseCode::NotImp)),
                None,
            ),
        }?;
        match faults.garbage {
            None => Some(answer),
            Some(garbage) => Some(spoil(garbage, request, answer)),
        }
    }

    fn query(
        &self,
        request: &[u8],
        message: &Message,
        tcp: bool,
        faults: &Faults,
    ) -> Option<Vec<u8>> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        if faults.drop_queries {
            return None;
        }
        let [query] = message.queries.as_slice() else {
            return encode(
                &reply(message, Response::of_code(ResponseCode::FormErr)),
                None,
            );
        };
        let name = query.name().to_lowercase();
        let response = match faults.codes.get(&name.to_ascii()) {
            Some(code) => Response::of_code(*code),
            None => match &self.copy {
                Some(copy) => locked(copy).answer(&name, query.query_type()),
                None => locked(&self.shared.zones).answer(&name, query.query_type()),
            },
        };
        // Once the answer stands: whoever changes the zone now does not change it any more.
        let asked = (name, query.query_type());
        *locked(&self.asked).entry(asked).or_default() += 1;
        let mut whole = reply(message, response);
        if faults.truncate_udp && !tcp {
            truncate(&mut whole);
        }
        let signature = match tsig::verify(request, &self.shared.keys, now(faults)).ok()? {
            Verdict::Unsigned | Verdict::Bad(..) => None,
            Verdict::Good(signature) => Some(signature),
        };
        let bytes = encode(&whole, signature.as_ref().map(|s| (s, None, now(faults))))?;
        let room = message.edns.as_ref().map_or(UDP_MIN, Edns::max_payload);
        if tcp || bytes.len() <= usize::from(room.max(UDP_MIN)) {
            return Some(bytes);
        }
        truncate(&mut whole);
        encode(&whole, None)
    }

    fn update(
        &self,
        request: &[u8],
        message: &Message,
        from: SocketAddr,
        tcp: bool,
        faults: &Faults,
    ) -> Option<Vec<u8>> {
        if faults.drop_updates {
            return None;
        }
        let now = now(faults);
        let verdict = tsig::verify(request, &self.shared.keys, now).ok()?;
        let (code, signature, error) = match verdict {
            Verdict::Bad(signature, error) => (ResponseCode::NotAuth, Some(signature), Some(error)),
            Verdict::Unsigned if !self.shared.keys.is_empty() => {
                (ResponseCode::Refused, None, None)
            }
            Verdict::Unsigned => (self.apply(message, faults), None, None),
            Verdict::Good(signature) => (self.apply(message, faults), Some(signature), None),
        };
        locked(&self.shared.updates).push(Update {
            from,
            tcp,
            zone: message
                .queries
                .first()
                .map(|zone| zone.name().to_ascii())
                .unwrap_or_default(),
            changes: update::changes(message),
            key: signature.as_ref().map(Signature::key_name),
            code,
        });
        if faults.drop_update_answers {
            return None;
        }
        let mut response = reply(message, Response::of_code(code));
        // The update section is not sent back.
        response.authorities.clear();
        let sign = signature
            .as_ref()
            .filter(|_| !faults.unsigned_answers)
            .map(|signature| (signature, error, now));
        let mut bytes = encode(&response, sign)?;
        if faults.bad_signatures {
            corrupt_mac(&mut bytes);
        }
        Some(bytes)
    }

    fn apply(&self, message: &Message, faults: &Faults) -> ResponseCode {
        match (faults.refuse_updates, &self.copy) {
            (Some(code), _) => code,
            (None, Some(_)) => ResponseCode::NotAuth,
            (None, None) => update::apply(&mut locked(&self.shared.zones), message),
        }
    }
}

fn reply(request: &Message, response: Response) -> Message {
    let Response {
        code,
        authoritative,
        answers,
        authorities,
        additionals,
    } = response;
    let mut message = Message::response(request.id, request.op_code);
    message.metadata.response_code = code;
    message.metadata.authoritative = authoritative;
    message.metadata.recursion_desired = request.recursion_desired;
    message.add_queries(request.queries.clone());
    message.insert_answers(answers);
    message.insert_authorities(authorities);
    message.insert_additionals(additionals);
    if request.edns.is_some() {
        message.set_edns(Edns::new());
    }
    message
}

fn truncate(message: &mut Message) {
    message.answers.clear();
    message.authorities.clear();
    message.additionals.clear();
    message.metadata.truncation = true;
}

fn encode(
    message: &Message,
    sign: Option<(&Signature, Option<TsigError>, u64)>,
) -> Option<Vec<u8>> {
    let bytes = message.to_vec().ok()?;
    let Some((signature, error, now)) = sign else {
        return Some(bytes);
    };
    let record = tsig::sign(&bytes, signature, error, now).ok()?;
    tsig::attach(&bytes, &record).ok()
}

fn form_error(request: &[u8]) -> Option<Vec<u8>> {
    let id = u16::from_be_bytes(*request.first_chunk()?);
    Message::error_msg(id, OpCode::Query, ResponseCode::FormErr)
        .to_vec()
        .ok()
}

fn spoil(garbage: Garbage, request: &[u8], mut answer: Vec<u8>) -> Vec<u8> {
    match garbage {
        Garbage::Noise => {
            answer.truncate(4);
            answer.extend(std::iter::repeat_n(0xff, 60));
            answer
        }
        Garbage::Cut => {
            answer.truncate(14);
            answer
        }
        Garbage::WrongId => {
            answer[0] ^= 0xff;
            answer
        }
        Garbage::WrongQuestion => {
            // The first letter of the first label.
            answer[13] = if answer[13] == b'x' { b'y' } else { b'x' };
            answer
        }
        Garbage::Echo => request.to_vec(),
        Garbage::Short => vec![answer[0], answer[1], 0x80],
    }
}

/// The MAC ends before the ID, the error and the length of the other data, which is empty.
fn corrupt_mac(bytes: &mut [u8]) {
    let length = bytes.len();
    if let Some(last) = bytes.get_mut(length.saturating_sub(7)) {
        *last ^= 0xff;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server is a world of its own, with a clock that tests shift"
)]
fn now(faults: &Faults) -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    since.as_secs().saturating_add_signed(faults.clock_ahead)
}
