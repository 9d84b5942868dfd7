//! How does a CA refuse an order, or a revocation, that it would take at another time?

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{
        HeaderMap, Method, StatusCode,
        header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING},
    },
    response::{IntoResponse, Response},
    serve::Listener,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::authority::Identity;

/// Where Pebble takes new orders.
const NEW_ORDER: &str = "/order-plz";
/// Where it takes revocations.
const REVOCATION: &str = "/revoke-cert";
/// More than any message of ACME.
const MOST: usize = 1 << 20;
/// A client that says nothing for longer is none.
const PATIENCE: Duration = Duration::from_secs(5);

/// What new orders, or revocations, are answered.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// The problem document; an answer without one when `Null`.
    pub problem: Value,
}

/// Passes requests on to a Pebble, but for orders or revocations while they are to be refused. It
/// closes when dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    guard: Arc<Guard>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Guard {
    behind: SocketAddr,
    http: reqwest::Client,
    /// What is refused, by its path.
    refusal: Mutex<Option<(&'static str, Refusal)>>,
    refused: AtomicUsize,
}

impl Gate {
    /// Opens one with the identity of the server `behind` it, which `root` vouches for.
    pub(super) async fn open(behind: SocketAddr, identity: &Identity, root: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let root = reqwest::Certificate::from_pem(root.as_bytes())?;
        let http = reqwest::Client::builder()
            .tls_certs_only([root])
            // The server makes its URLs from the Host header.
            .http1_only()
            .no_proxy()
            .build()?;
        let guard = Arc::new(Guard {
            behind,
            http,
            refusal: Mutex::default(),
            refused: AtomicUsize::new(0),
        });
        let app = Router::new().fallback(pass).with_state(Arc::clone(&guard));
        let listener = Tls {
            listener,
            acceptor: acceptor(identity)?,
        };
        let task = tokio::spawn(async move {
            // Never ends by itself.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self {
            address,
            guard,
            task,
        })
    }

    /// The directory of the server behind it.
    pub fn directory_url(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// Refuses new orders from now on.
    pub fn refuse(&self, refusal: Refusal) {
        self.guard.set(Some((NEW_ORDER, refusal)));
    }

    /// Refuses revocations from now on.
    pub fn refuse_revocations(&self, refusal: Refusal) {
        self.guard.set(Some((REVOCATION, refusal)));
    }

    /// Lets everything pass again.
    pub fn admit(&self) {
        self.guard.set(None);
    }

    /// How many orders and revocations were refused.
    pub fn refused(&self) -> usize {
        self.guard.refused.load(Ordering::SeqCst)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Guard {
    fn set(&self, refusal: Option<(&'static str, Refusal)>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }

    fn refusal(&self, asked: &str) -> Option<Refusal> {
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        let (path, refusal) = refusal.as_ref()?;
        (*path == asked).then(|| refusal.clone())
    }
}

async fn pass(State(guard): State<Arc<Guard>>, request: Request) -> Response {
    if request.method() == Method::POST
        && let Some(refusal) = guard.refusal(request.uri().path())
    {
        guard.refused.fetch_add(1, Ordering::SeqCst);
        return refuse(&refusal);
    }
    match forward(&guard, request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

fn refuse(refusal: &Refusal) -> Response {
    let Refusal {
        status,
        retry_after,
        problem,
    } = refusal;
    let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = match problem {
        Value::Null => String::new(),
        problem => problem.to_string(),
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, (*seconds).into());
    }
    if let Ok(type_) = "application/problem+json".parse() {
        headers.insert(CONTENT_TYPE, type_);
    }
    response
}

async fn forward(guard: &Guard, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("https://{}{path}", guard.behind);
    let answer = guard
        .http
        .request(parts.method, url)
        .headers(end_to_end(parts.headers))
        .body(to_bytes(body, MOST).await.context("reading a request")?)
        .send()
        .await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = Response::new(Body::from(answer.bytes().await?));
    *response.status_mut() = status;
    *response.headers_mut() = end_to_end(headers);
    Ok(response)
}

/// Without what concerns one connection alone.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

fn acceptor(identity: &Identity) -> Result<TlsAcceptor> {
    let chain = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![chain.context("reading a certificate")?],
            key.context("reading a key")?,
        )?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // What fails concerns that connection alone.
            if let Ok((stream, address)) = self.listener.accept().await
                && let Ok(Ok(stream)) = timeout(PATIENCE, self.acceptor.accept(stream)).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
