//! What is to be measured, as the command line says it?

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::Serialize;

/// What issues the certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Pebble, by RFC 2136 updates.
    AcmeDns01,
    /// Pebble, through the ingress controller.
    AcmeHttp01,
    /// CAs in Secrets.
    Ca,
    /// Each signs itself.
    SelfSigned,
}

/// The algorithm and size of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// ECDSA on P-256.
    Ecdsa,
    /// RSA with 2048 bits.
    Rsa2048,
}

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Load {
    /// How many Certificates are created.
    #[arg(long, default_value_t = 100)]
    pub n: usize,
    /// What issues them.
    #[arg(long, value_enum, default_value = "acme-dns01")]
    pub issuer: Kind,
    /// How many Issuers of that kind there are in each namespace; the Certificates take turns.
    #[arg(long, default_value_t = 10)]
    pub issuers: usize,
    /// How many namespaces the Certificates are spread over.
    #[arg(long, default_value_t = 1)]
    pub namespaces: usize,
    /// The algorithm of their keys. With rsa2048, also measure how many such keys the cores can
    /// generate when they do nothing else.
    #[arg(long, value_enum, default_value = "ecdsa")]
    pub algorithm: Algorithm,
    /// Create each Certificate when the one before is ready, instead of all at once.
    #[arg(long)]
    pub sequential: bool,
    /// Switch the operator's own approver off; the bench approves each CertificateRequest as soon
    /// as a watch shows it.
    #[arg(long)]
    pub external_approver: bool,
    /// Also measure the API server alone: record what is written for one Certificate, and in the end
    /// write the same without the operator, for each of as many Certificates (1000 at the most), over
    /// 4, 8 and 16 connections.
    #[arg(long)]
    pub ceiling: bool,
    /// When all are ready, stop the operator, start it again and measure until it comes to rest.
    #[arg(long)]
    pub restart: bool,
    /// Seconds for all of them to become ready.
    #[arg(long, default_value_t = 600)]
    pub patience: u64,
    /// Only measure the operator with nothing to do.
    #[arg(long, conflicts_with_all = ["ceiling", "restart", "sequential", "external_approver"])]
    pub rest: bool,
    /// Run the operator as built for debugging, which says little about its speed.
    #[arg(long)]
    pub debug_build: bool,
}

impl Load {
    /// An error if there is nothing to measure.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            self.n > 0 && self.namespaces > 0 && self.issuers > 0,
            "nothing to measure: --n, --namespaces and --issuers are 1 or more"
        );
        Ok(())
    }
}
