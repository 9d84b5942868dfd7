//! How does a CA refuse some requests, and take the others?

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    serve::Listener,
};
use k8s_openapi::ByteString;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::Pebble;
use crate::authority::Authority;

/// Requests to an ACME server are smaller.
const MOST_BYTES: usize = 1 << 20;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// What is answered instead of what the CA would say.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The path of requests that are refused, e.g. `/revoke-cert`.
    pub path: &'static str,
    /// The status.
    pub status: u16,
    /// The type of the problem, without what all begin with; none for what is no ACME at all, as
    /// things in front of a CA answer.
    pub problem: Option<&'static str>,
    /// Seconds of `Retry-After`.
    pub retry_after: Option<u32>,
}

/// A CA that can refuse: it passes on to a Pebble what it does not refuse.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    tls_root: String,
    inside: Arc<Inside>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Inside {
    host: String,
    behind: String,
    http: reqwest::Client,
    refusal: Mutex<Option<Refusal>>,
    refused: Mutex<usize>,
}

impl Gate {
    /// Opens one before `pebble`.
    pub async fn open(pebble: &Pebble) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let authority = Authority::new("gate TLS root")?;
        let identity = authority.server("gate", &[address.ip()])?;
        let chain = vec![CertificateDer::from_pem_slice(
            identity.certificate.as_bytes(),
        )?];
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let root = reqwest::Certificate::from_pem(pebble.tls_root().as_bytes())?;
        let behind = pebble.directory_url();
        let behind = behind.strip_suffix("/dir").context("no directory")?;
        let inside = Arc::new(Inside {
            host: address.to_string(),
            behind: behind.to_owned(),
            // HTTP/1: there, another host than that of the URL can be asked for.
            http: reqwest::Client::builder()
                .tls_certs_only([root])
                .no_proxy()
                .http1_only()
                .timeout(Duration::from_secs(30))
                .build()?,
            refusal: Mutex::default(),
            refused: Mutex::default(),
        });
        let app = Router::new().fallback(pass).with_state(Arc::clone(&inside));
        let listener = Tls {
            listener,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        };
        let task = tokio::spawn(async move {
            // It never ends by itself.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self {
            address,
            tls_root: authority.pem().to_owned(),
            inside,
            task,
        })
    }

    /// The directory, for `spec.acme.server`.
    pub fn directory_url(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// The CA of its HTTPS certificate, for `spec.acme.caBundle`.
    pub fn bundle(&self) -> ByteString {
        ByteString(self.tls_root.clone().into_bytes())
    }

    /// Refuse so from now on, or nothing.
    pub fn refuse(&self, refusal: Option<Refusal>) {
        let slot = self.inside.refusal.lock();
        *slot.unwrap_or_else(PoisonError::into_inner) = refusal;
    }

    /// How many requests were refused.
    pub fn refused(&self) -> usize {
        let count = self.inside.refused.lock();
        *count.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(State(inside): State<Arc<Inside>>, request: Request) -> Response {
    if let Some(refusal) = inside.refuses(request.uri().path()) {
        return refusal;
    }
    let passed = inside.pass(request).await;
    passed.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response())
}

impl Inside {
    fn refuses(&self, path: &str) -> Option<Response> {
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        let Refusal {
            path: refused,
            status,
            problem,
            retry_after,
        } = refusal.clone()?;
        if path != refused {
            return None;
        }
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let mut headers = HeaderMap::new();
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        let body = match problem {
            Some(problem) => {
                headers.insert(
                    header::CONTENT_TYPE,
                    header::HeaderValue::from_static("application/problem+json"),
                );
                json!({
                    "type": format!("urn:ietf:params:acme:error:{problem}"),
                    "detail": "not now", "status": status,
                })
                .to_string()
            }
            None => "<html>not now</html>".to_owned(),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Some((status, headers, body).into_response())
    }

    async fn pass(&self, request: Request) -> Result<Response> {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut asked = self
            .http
            .request(head.method, format!("{}{path}", self.behind))
            // The CA names its other URLs by it, and requests are signed with their URL.
            .header(header::HOST, &self.host);
        for name in [header::CONTENT_TYPE, header::ACCEPT, header::USER_AGENT] {
            if let Some(value) = head.headers.get(&name) {
                asked = asked.header(name, value);
            }
        }
        let answer = asked.body(to_bytes(body, MOST_BYTES).await?).send().await?;
        let mut passed = Response::new(Body::empty());
        *passed.status_mut() = answer.status();
        let of_connection = [
            header::CONNECTION,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
        ];
        for (name, value) in answer.headers() {
            if !of_connection.contains(name) {
                passed.headers_mut().append(name, value.clone());
            }
        }
        *passed.body_mut() = Body::from(answer.bytes().await?);
        Ok(passed)
    }
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
            let Ok((stream, address)) = self.listener.accept().await else {
                continue;
            };
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, self.acceptor.accept(stream)).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
