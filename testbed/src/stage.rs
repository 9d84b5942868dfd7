//! How do tests that run at the same time share one test bed and one operator?

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};
use tokio::{
    runtime::Runtime,
    sync::{Mutex, OnceCell},
    time::timeout,
};

use crate::{
    Bed, BedOptions,
    home::Home,
    operator::{Operator, OperatorOptions},
    process::tail,
    progress::Progress,
};

/// What the shared operator does beside what the chart has it do.
pub const EXPERIMENTS: &str =
    "--feature-gates=ExperimentalCertificateSigningRequestControllers=true";
/// How long a test may take that shares the operator.
const BESIDE: Duration = Duration::from_secs(180);
/// How long a test may take that starts operators of its own, perhaps dozens of them.
const ALONE: Duration = Duration::from_secs(900);

/// One test bed, started by the first test that runs. Clones are the same.
#[derive(Clone)]
pub struct Stage {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Runtime,
    binary: Option<PathBuf>,
    // An error is kept too: no test tries again what took a minute to fail.
    bed: OnceCell<Result<Bed, String>>,
    operator: Mutex<Option<Operator>>,
    /// Read by tests that share the operator, written by one that is alone.
    turn: RwLock<()>,
}

impl Stage {
    /// `binary` is the operator; cargo builds it when not given.
    pub fn new(binary: Option<PathBuf>) -> Result<Self> {
        let runtime = Runtime::new().context("starting a runtime")?;
        let inner = Inner {
            runtime,
            binary,
            bed: OnceCell::new(),
            operator: Mutex::new(None),
            turn: RwLock::new(()),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// A test that needs the test bed but no operator.
    pub fn without_operator<T>(&self, test: T) -> impl FnOnce() -> Result<()> + use<T>
    where
        T: AsyncFnOnce(&Bed) -> Result<()>,
    {
        let inner = self.inner.clone();
        move || {
            let _turn = inner.turn.read().unwrap_or_else(PoisonError::into_inner);
            inner
                .runtime
                .block_on(async { within(BESIDE, test(inner.bed().await?)).await })
        }
    }

    /// A test that shares the operator with others that run at the same time.
    pub fn beside<T>(&self, test: T) -> impl FnOnce() -> Result<()> + use<T>
    where
        T: AsyncFnOnce(&Bed) -> Result<()>,
    {
        let inner = self.inner.clone();
        move || {
            let _turn = inner.turn.read().unwrap_or_else(PoisonError::into_inner);
            inner.runtime.block_on(async {
                let bed = inner.bed().await?;
                inner.ensure_operator(bed).await?;
                within(BESIDE, test(bed)).await
            })
        }
    }

    /// A test that starts operators of its own: no other test and no other operator runs.
    pub fn alone<T>(&self, test: T) -> impl FnOnce() -> Result<()> + use<T>
    where
        T: AsyncFnOnce(&Bed) -> Result<()>,
    {
        let inner = self.inner.clone();
        move || {
            let _turn = inner.turn.write().unwrap_or_else(PoisonError::into_inner);
            inner.runtime.block_on(async {
                let bed = inner.bed().await?;
                bed.install_chart(&values()).await?;
                inner.stop_operator().await?;
                free_lease(bed).await?;
                within(ALONE, test(bed)).await
            })
        }
    }

    /// Ends everything. After a failure the logs stay, and their place is printed.
    pub fn end(self, failed: bool) {
        // Tests that panicked have dropped their clones all the same.
        let Some(Inner {
            runtime,
            bed,
            operator,
            ..
        }) = Arc::into_inner(self.inner)
        else {
            return;
        };
        runtime.block_on(async move {
            drop(operator);
            if let Some(Ok(mut bed)) = bed.into_inner()
                && failed
            {
                bed.keep_folder();
                eprintln!("the logs are in {}", bed.logs().display());
            }
        });
    }
}

impl Inner {
    async fn bed(&self) -> Result<&Bed> {
        let start = async || {
            let options = BedOptions {
                home: Home::from_env(),
                progress: Progress::quiet(),
                binary: self.binary.clone(),
                audit: false,
            };
            Bed::start(options)
                .await
                .map_err(|error| format!("{error:#}"))
        };
        match self.bed.get_or_init(start).await {
            Ok(bed) => Ok(bed),
            Err(error) => bail!("the test bed did not start: {error}"),
        }
    }

    async fn ensure_operator(&self, bed: &Bed) -> Result<()> {
        let mut slot = self.operator.lock().await;
        if let Some(operator) = slot.as_mut() {
            let Some(status) = operator.exited()? else {
                return Ok(());
            };
            let log = operator.log();
            *slot = None;
            bail!("the shared operator ended with {status}:\n{}", tail(&log));
        }
        bed.install_chart(&values()).await?;
        let options = OperatorOptions {
            args: vec![EXPERIMENTS.to_owned()],
            ..OperatorOptions::default()
        };
        *slot = Some(bed.operator(&options).await?);
        Ok(())
    }

    async fn stop_operator(&self) -> Result<()> {
        match self.operator.lock().await.take() {
            Some(operator) => {
                let status = operator.stop().await?;
                if !status.success() {
                    bail!("the shared operator ended with {status} when asked to stop");
                }
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// A test that failed has killed its operators: one may still hold the lease, and the next test
/// would wait until it runs out.
async fn free_lease(bed: &Bed) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(bed.client().clone(), "kube-system");
    match leases
        .delete("cert-manager-controller", &DeleteParams::default())
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error).context("freeing the lease"),
    }
}

/// The values of the chart that all tests share. What their namespaces leave behind is left alone: a
/// test about that starts an operator of its own, with another default.
fn values() -> Value {
    json!({
        "crds": { "enabled": true },
        "defaults": { "deletionPolicy": "Retain" },
    })
}

async fn within(limit: Duration, test: impl Future<Output = Result<()>>) -> Result<()> {
    timeout(limit, test)
        .await
        .with_context(|| format!("still running after {limit:?}"))?
}
