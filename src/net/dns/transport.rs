//! How does one DNS message get to one address, and its answer back?

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout_at},
};

use super::Failure;

/// The largest answer taken over UDP. Servers are told less (see `EDNS_PAYLOAD`); some send more.
const UDP_BUFFER: usize = 4096;
/// The largest DNS message there is.
const MAX_MESSAGE: usize = u16::MAX as usize;
/// The length of a message's header.
const HEADER: usize = 12;

/// What carries a message to a nameserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram each way, sent again when no answer comes.
    Udp,
    /// One connection per exchange.
    Tcp,
}

/// How long to wait for answers.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From a question to its answer, over everything that is tried for it.
    pub total: Duration,
    /// After so long without an answer over UDP, TCP is tried.
    pub udp: Duration,
    /// After so long a datagram is sent again.
    pub resend: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(10),
            udp: Duration::from_secs(4),
            resend: Duration::from_millis(1500),
        }
    }
}

/// Sends `request` to `peer` and returns the first message that comes back with its ID.
pub async fn exchange(
    peer: SocketAddr,
    transport: Transport,
    request: &[u8],
    timing: &Timing,
) -> Result<Vec<u8>, Failure> {
    match transport {
        Transport::Udp => within(timing.total, over_udp(peer, request, timing.resend)).await,
        Transport::Tcp => within(timing.total, over_tcp(peer, request)).await,
    }
}

/// As [`exchange`] over UDP, then over TCP if the answer is truncated or none came.
pub async fn exchange_either(
    peer: SocketAddr,
    request: &[u8],
    timing: &Timing,
) -> Result<Vec<u8>, Failure> {
    let started = Instant::now();
    let udp = timing.udp.min(timing.total);
    let first = within(udp, over_udp(peer, request, timing.resend)).await;
    if let Ok(answer) = &first
        && !is_truncated(answer)
    {
        return first;
    }
    let left = timing.total.saturating_sub(started.elapsed());
    match (first, within(left, over_tcp(peer, request)).await) {
        (_, Ok(answer)) => Ok(answer),
        (Err(Failure::Timeout(_)), Err(Failure::Timeout(_))) => Err(Failure::Timeout(timing.total)),
        (Ok(_truncated), Err(tcp)) => Err(tcp),
        (Err(udp), Err(tcp)) => Err(Failure::Both {
            udp: Box::new(udp),
            tcp: Box::new(tcp),
        }),
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(Failure::Timeout(limit)))
}

async fn over_udp(peer: SocketAddr, request: &[u8], resend: Duration) -> Result<Vec<u8>, Failure> {
    let local: SocketAddr = match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // Connected: the kernel drops what comes from elsewhere, and a closed port is an error at once.
    let socket = UdpSocket::bind(local).await?;
    socket.connect(peer).await?;
    let mut buffer = vec![0; UDP_BUFFER];
    loop {
        socket.send(request).await?;
        let again = Instant::now() + resend;
        while let Ok(received) = timeout_at(again, socket.recv(&mut buffer)).await {
            let answer = buffer.get(..received?).unwrap_or_default();
            if answers(request, answer) {
                return Ok(answer.to_vec());
            }
        }
    }
}

async fn over_tcp(peer: SocketAddr, request: &[u8]) -> Result<Vec<u8>, Failure> {
    let length = u16::try_from(request.len())
        .map_err(|_| Failure::Query("the message is longer than 65535 bytes".to_owned()))?;
    let mut stream = TcpStream::connect(peer).await?;
    stream.set_nodelay(true)?;
    let mut framed = Vec::with_capacity(request.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(request);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await.map_err(closed)?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.map_err(closed)?;
    if !answers(request, &answer) {
        return Err(Failure::Malformed(
            "not an answer to this question".to_owned(),
        ));
    }
    Ok(answer)
}

fn closed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Failure::Io(io::Error::other("the server closed the connection"))
        }
        _ => Failure::Io(error),
    }
}

/// Posts `request` to a DNS-over-HTTPS service (RFC 8484 section 4.1).
pub(super) async fn over_https(
    http: &reqwest::Client,
    url: &reqwest::Url,
    request: &[u8],
    timing: &Timing,
) -> Result<Vec<u8>, Failure> {
    const MEDIA_TYPE: &str = "application/dns-message";
    let work = async {
        let mut response = http
            .post(url.clone())
            .header(reqwest::header::CONTENT_TYPE, MEDIA_TYPE)
            .header(reqwest::header::ACCEPT, MEDIA_TYPE)
            .body(request.to_vec())
            .send()
            .await
            .map_err(|error| Failure::Http(chain(&error.without_url())))?;
        if !response.status().is_success() {
            return Err(Failure::Http(format!("answered {}", response.status())));
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| Failure::Http(chain(&error.without_url())))?
        {
            answer.extend_from_slice(&chunk);
            if answer.len() > MAX_MESSAGE {
                return Err(Failure::Malformed("longer than 65535 bytes".to_owned()));
            }
        }
        if !answers(request, &answer) {
            return Err(Failure::Malformed(
                "not an answer to this question".to_owned(),
            ));
        }
        Ok(answer)
    };
    within(timing.total, work).await
}

/// An error with its causes: reqwest keeps what matters (a refused connection, a certificate) there.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Whether `answer` has a whole header, the ID of `request`, and is a response.
fn answers(request: &[u8], answer: &[u8]) -> bool {
    answer.len() >= HEADER && answer.get(..2) == request.get(..2) && answer[2] & 0x80 != 0
}

fn is_truncated(answer: &[u8]) -> bool {
    answer.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_response_with_the_same_id_is_an_answer() {
        let request = [0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let answer = |bytes: &[u8]| answers(&request, bytes);
        assert!(answer(&[0x12, 0x34, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
        assert!(!answer(&[0x12, 0x35, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
        assert!(!answer(&request));
        assert!(!answer(&[0x12, 0x34, 0x80]));
        assert!(!answer(&[]));
    }
}
