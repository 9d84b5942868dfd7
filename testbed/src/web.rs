//! How does the test bed itself speak HTTP?

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Certificate;

/// A client that trusts these CA certificates alone, takes no proxy from the environment and waits
/// for no answer longer than 5 s.
pub fn client(roots: &[&str]) -> Result<reqwest::Client> {
    let roots = roots
        .iter()
        .map(|pem| Certificate::from_pem(pem.as_bytes()))
        .collect::<Result<Vec<_>, _>>()
        .context("reading a CA certificate")?;
    reqwest::Client::builder()
        .tls_certs_only(roots)
        .user_agent("certwright-testbed")
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()
        .context("making an HTTP client")
}
