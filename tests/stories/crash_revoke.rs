//! Is a certificate revoked, and replaced where it must be, wherever the operator was killed?

use anyhow::{Context, Error, Result, ensure};
use certwright::{
    api::{
        certificate::Certificate,
        issuance::{Issuance, IssuanceState},
        names::annotation,
    },
    pki::{PublicKeyHash, certificate::CertificateFacts, crl::Reason},
};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use serde_json::json;
use testbed::{
    Bed,
    operator::OperatorOptions,
    process::{tail, wait::until},
};

use crate::{
    register::{OPERATORS, Register, number, read},
    work::{SOON, is_ready},
};

/// Operators that are killed at the same time.
const WIDTH: usize = 6;
/// Writes there are at least, each of which an operator is killed before.
const LEAST: usize = 5;
/// As short as it can be.
const DELAY: &str = "--deletion-delay=1s";

/// What is asked for while the operator is killed.
#[derive(Clone, Copy, Debug)]
enum Way {
    Deleted,
    Superseded,
    Compromised,
}

impl Way {
    /// Fault points tried: more than there are writes from what is asked for to its end, and of
    /// deletions not so many that they are taken for a mistake.
    fn points(self) -> u64 {
        match self {
            Self::Deleted => 9,
            Self::Superseded | Self::Compromised => 14,
        }
    }

    /// What stands on the list.
    fn reason(self) -> Reason {
        match self {
            Self::Deleted => Reason::CessationOfOperation,
            Self::Superseded => Reason::Superseded,
            Self::Compromised => Reason::KeyCompromise,
        }
    }
}

/// The Certificate is deleted: the certificate is on the list in the end, and its Secret gone.
pub(crate) async fn what_is_deleted(bed: &Bed) -> Result<()> {
    sweep(bed, Way::Deleted).await
}

/// It is to be replaced: another is issued, once, and then the first is on the list.
pub(crate) async fn what_is_superseded(bed: &Bed) -> Result<()> {
    sweep(bed, Way::Superseded).await
}

/// Others have its key: it is on the list, and another with another key issued, once.
pub(crate) async fn what_is_compromised(bed: &Bed) -> Result<()> {
    sweep(bed, Way::Compromised).await
}

/// One certificate, and the operator that is killed before its n-th write.
struct Case<'a> {
    register: Register<'a>,
    way: Way,
    point: u64,
    serial: String,
    key: PublicKeyHash,
}

async fn sweep(bed: &Bed, way: Way) -> Result<()> {
    // Those of other stories would be counted among what was deleted.
    let records: Api<Issuance> = Api::namespaced(bed.client().clone(), OPERATORS);
    records
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await?;
    let cases = (1..=way.points()).map(async |point| {
        let register = Register::new(bed, "crash-crl", &["cert sign", "crl sign"]).await?;
        Ok::<_, Error>((register, point))
    });
    let cases = try_join_all(cases).await?;
    let cases = with_operator(bed, "crash-crl-first", async || {
        let cases = cases
            .into_iter()
            .map(|(register, point)| Case::prepared(register, way, point));
        try_join_all(cases).await
    })
    .await?;
    let killed: Vec<bool> = stream::iter(&cases)
        .map(Case::disturb)
        .buffer_unordered(WIDTH)
        .try_collect()
        .await?;
    let died = killed.iter().filter(|killed| **killed).count();
    ensure!(died >= LEAST, "there are only {died} writes");
    ensure!(died < killed.len(), "nobody lived: there are more writes");
    with_operator(bed, "crash-crl-healer", async || {
        try_join_all(cases.iter().map(Case::is_done)).await
    })
    .await?;
    Ok(())
}

/// Runs an operator for all cases while something is done.
async fn with_operator<T>(
    bed: &Bed,
    name: &str,
    work: impl AsyncFnOnce() -> Result<T>,
) -> Result<T> {
    let options = OperatorOptions {
        name: name.to_owned(),
        args: vec!["--leader-elect=false".to_owned(), DELAY.to_owned()],
        ..OperatorOptions::default()
    };
    let operator = bed.operator(&options).await?;
    let done = work().await;
    let done = done.with_context(|| tail(&operator.log()))?;
    let status = operator.stop().await?;
    ensure!(status.success(), "asked to stop, it ended with {status}");
    Ok(done)
}

impl<'a> Case<'a> {
    /// With a certificate issued.
    async fn prepared(register: Register<'a>, way: Way, point: u64) -> Result<Self> {
        let data = register.issued("www", json!({"name": "ca"})).await?;
        let leaf = CertificateFacts::from_pem(&data["tls.crt"].0)?;
        register
            .list("a list", |list| list.entries.is_empty())
            .await?;
        Ok(Self {
            register,
            way,
            point,
            serial: leaf.serial,
            key: leaf.public_key,
        })
    }

    /// Has an operator of its own do what is asked for until it reaches the fault point. Whether it
    /// did.
    async fn disturb(&self) -> Result<bool> {
        let ask = |reason: &str| json!({"metadata": {"annotations": {annotation::REVOKE: reason}}});
        match self.way {
            Way::Deleted => self.register.delete("www").await?,
            Way::Superseded => self.register.patch("www", ask("superseded")).await?,
            Way::Compromised => self.register.patch("www", ask("keyCompromise")).await?,
        }
        let point = self.point;
        let options = OperatorOptions {
            name: format!("{}-{point}", self.register.namespace.name()),
            args: vec![
                format!("--namespace={}", self.register.namespace.name()),
                "--leader-elect=false".to_owned(),
                DELAY.to_owned(),
                format!("--fault-point={point}"),
            ],
            // It may end before it is ready.
            wait: false,
            ..OperatorOptions::default()
        };
        let mut operator = self.register.bed.operator(&options).await?;
        let killed = until("the end at the fault point", SOON, async || {
            if operator.exited()?.is_some() {
                return Ok(true);
            }
            self.holds().await?;
            Ok(false)
        })
        .await
        .with_context(|| format!("{self}:\n{}", tail(&operator.log())))?;
        if killed {
            ensure!(operator.log().contains("fault point reached"), "{self}");
            return Ok(true);
        }
        operator.kill().await?;
        Ok(false)
    }

    async fn is_done(&self) -> Result<()> {
        until("it is done", SOON, async || self.holds().await)
            .await
            .with_context(|| self.to_string())
    }

    async fn holds(&self) -> Result<()> {
        let mut records = self.register.records().await?;
        let record = records.remove(&self.serial).context("no record")?;
        let status = record.status.unwrap_or_default();
        ensure!(status.state == Some(IssuanceState::Revoked), "{status:?}");
        let (list, _) = read(&self.register.config_maps(), "ca-crl").await?;
        let entry = list.entries.get(&number(&self.serial)?);
        let reason = entry.map(|entry| entry.reason);
        ensure!(reason == Some(self.way.reason()), "{reason:?}");
        ensure!(list.entries.len() == 1, "{list:?}");
        if let Way::Deleted = self.way {
            let secrets: Api<Secret> = self.register.namespace.api();
            ensure!(secrets.get_opt("www").await?.is_none(), "the Secret stands");
            return Ok(());
        }
        let certificates: Api<Certificate> = self.register.namespace.api();
        let certificate = certificates.get("www").await?;
        ensure!(is_ready(&certificate), "not ready");
        let revision = certificate.status.and_then(|status| status.revision);
        ensure!(revision == Some(2), "revision {revision:?}");
        let data = self.register.secret("www").await?;
        let leaf = CertificateFacts::from_pem(&data["tls.crt"].0)?;
        ensure!(leaf.serial != self.serial && leaf.public_key != self.key);
        let record = records.remove(&leaf.serial).context("no record of it")?;
        let status = record.status.unwrap_or_default();
        ensure!(status.state == Some(IssuanceState::Active), "{status:?}");
        ensure!(status.request.is_none(), "{status:?}");
        Ok(())
    }
}

impl std::fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (way, point) = (self.way, self.point);
        let namespace = self.register.namespace.name();
        write!(f, "{way:?}, killed before write {point} in {namespace}")
    }
}
