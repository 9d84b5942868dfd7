//! Which ports are free?

use std::{
    fmt::{self, Display, Formatter},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Result, bail};

/// Below what Linux gives to outgoing connections by default: a port from there could be taken by
/// any client between our look and its use, or while the program behind it is restarted.
const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that nothing listens on, for TCP and UDP, and that was not handed out before.
pub fn free() -> Result<u16> {
    // Two test beds that run at once begin far apart.
    let start = (process::id() % 1_000) * 37 % u32::from(COUNT);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + ((start + u32::from(step)) % u32::from(COUNT)) as u16;
        if is_free(port) {
            return Ok(port);
        }
    }
    bail!("no port from {FIRST} to {} is free", FIRST + COUNT);
}

fn is_free(port: u16) -> bool {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    TcpListener::bind(any).is_ok() && UdpSocket::bind(any).is_ok()
}

/// The error of a program that found its port taken: worth another try with another port.
#[derive(Debug)]
pub struct Taken {
    pub(super) by: String,
}

impl Display for Taken {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} found its port taken", self.by)
    }
}

impl std::error::Error for Taken {}

/// Runs `start` until it meets no taken port, at most three times.
pub async fn avoiding<T>(mut start: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    for _ in 0..2 {
        match start().await {
            Err(error) if error.is::<Taken>() => {}
            done => return done,
        }
    }
    start().await
}

/// This machine's own address that is not loopback: what an EndpointSlice may name.
pub fn own_address() -> Result<IpAddr> {
    // Nothing is sent: connecting a UDP socket only asks the routing table which address of ours
    // would be used. The targets are documentation addresses.
    let v4 = (
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv4Addr::new(198, 51, 100, 1).into(),
    );
    let v6 = (
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    );
    for (any, target) in [v4, v6] {
        let (any, target): (IpAddr, IpAddr) = (any, target);
        let address = UdpSocket::bind((any, 0)).and_then(|socket| {
            socket.connect((target, 9))?;
            socket.local_addr()
        });
        if let Ok(address) = address
            && !address.ip().is_loopback()
            && !address.ip().is_unspecified()
        {
            return Ok(address.ip());
        }
    }
    bail!("this machine has no address but loopback, which Kubernetes refuses as an endpoint");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let (one, two) = (free().unwrap(), free().unwrap());
        assert_ne!(one, two);
        let held = TcpListener::bind((Ipv4Addr::UNSPECIFIED, one)).unwrap();
        assert!(!is_free(one));
        drop(held);
        assert!(is_free(one));
    }
}
