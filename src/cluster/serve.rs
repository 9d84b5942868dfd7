//! How the small HTTP servers of this process (health, metrics, responder) take connections.
//!
//! All limits are here, so that a client that sends slowly, or many that send nothing, cost a
//! bounded amount of memory and cannot keep the process from stopping.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// The longest a client may take to send the head of a request, also the first.
const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// The most bytes of a request's head and of what is buffered of a connection.
const BUFFER_LIMIT: usize = 16 * 1024;

/// The longest a connection may be open.
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);

/// How long answers under way may take after the server was told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// An address that cannot be served on.
#[derive(Debug, thiserror::Error)]
#[error("listen for {purpose} on {address}: {source}")]
pub struct ListenError {
    /// What would have been served.
    pub purpose: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// A server that is bound but not yet running, so that a port in use is found at start.
#[derive(Debug)]
pub struct Server {
    purpose: &'static str,
    listener: TcpListener,
    connections: usize,
}

impl Server {
    /// Listen on `address` for `purpose` (`metrics`, `health`, …) with at most `connections` open at
    /// a time; more wait in the backlog. `0.0.0.0` stands for every address, also of IPv6, as in
    /// cert-manager's flags.
    ///
    /// # Errors
    /// The address is in use or not of this machine.
    pub async fn bind(
        purpose: &'static str,
        address: SocketAddr,
        connections: usize,
    ) -> Result<Self, ListenError> {
        let listener = listen(address).await.map_err(|source| ListenError {
            purpose,
            address,
            source,
        })?;
        Ok(Self {
            purpose,
            listener,
            connections,
        })
    }

    /// The address that is listened on, with the port chosen if 0 was asked for.
    ///
    /// # Errors
    /// The system does not know it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answer with `router` until `stop`.
    pub async fn run(self, router: Router, stop: CancellationToken) {
        let Self {
            purpose,
            listener,
            connections,
        } = self;
        let places = Arc::new(Semaphore::new(connections));
        let open = GracefulShutdown::new();
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(BUFFER_LIMIT);
        loop {
            let accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = accepted => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, for one: the listener itself is still good.
                    warn!(purpose, %error, "accept failed");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let service = TowerToHyperService::new(router.clone());
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            let connection = open.watch(connection);
            tokio::spawn(async move {
                match timeout(CONNECTION_LIMIT, connection).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => debug!(purpose, %error, "connection ended"),
                    Err(_) => debug!(purpose, "connection closed, it was open for too long"),
                }
                drop(place);
            });
        }
        drop(listener);
        if timeout(GRACE, open.shutdown()).await.is_err() {
            debug!(purpose, "connections left open at stop");
        }
    }
}

async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    if address.ip() == Ipv4Addr::UNSPECIFIED {
        // Takes IPv4 too; fails where the system has no IPv6.
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
        if let Ok(listener) = TcpListener::bind(both).await {
            return Ok(listener);
        }
    }
    TcpListener::bind(address).await
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn start(
        connections: usize,
    ) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind("test", local, connections).await.unwrap();
        let address = server.address().unwrap();
        let stop = CancellationToken::new();
        let router = Router::new().route("/", get(|| async { "here" }));
        let running = tokio::spawn(server.run(router, stop.clone()));
        (address, stop, running)
    }

    async fn ask(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn answers_until_stopped() {
        let (address, stop, running) = start(4).await;
        assert!(ask(address).await.ends_with("here"));
        stop.cancel();
        running.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_keep_it_from_stopping() {
        let (address, stop, running) = start(4).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HT").await.unwrap();
        assert!(ask(address).await.ends_with("here"));
        stop.cancel();
        running.await.unwrap();
    }

    #[tokio::test]
    async fn a_free_place_is_waited_for() {
        let (address, stop, _running) = start(1).await;
        let silent = TcpStream::connect(address).await.unwrap();
        let waiting = tokio::spawn(ask(address));
        drop(silent);
        assert!(waiting.await.unwrap().ends_with("here"));
        stop.cancel();
    }

    #[tokio::test]
    async fn every_address_includes_those_of_ipv6() {
        let every = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let server = Server::bind("test", every, 4).await.unwrap();
        let port = server.address().unwrap().port();
        let stop = CancellationToken::new();
        let router = Router::new().route("/", get(|| async { "here" }));
        tokio::spawn(server.run(router, stop.clone()));
        assert!(
            ask((Ipv4Addr::LOCALHOST, port).into())
                .await
                .ends_with("here")
        );
        // A machine may have no IPv6.
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.is_ok() {
            assert!(
                ask((Ipv6Addr::LOCALHOST, port).into())
                    .await
                    .ends_with("here")
            );
        }
        stop.cancel();
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let (address, _stop, _running) = start(1).await;
        let error = Server::bind("metrics", address, 1).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("listen for metrics on {address}: "))
        );
    }
}
