//! Where nobody has to be waited for, is a certificate issued in four writes, and once, wherever
//! the operator was killed?

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use certwright::api::{
    certificate::Certificate, condition::ConditionStatus, issuer::Issuer, names::annotation,
    request::CertificateRequest,
};
use futures::future::try_join_all;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    namespace::Namespace,
    operator::OperatorOptions,
    process::{tail, wait::until},
    verify,
};

use crate::{
    issuer::status,
    private_ca::self_signed,
    work::{SOON, certificate, is_ready},
};

/// The request, its status, the Secret, the status of the Certificate.
const WRITES: u64 = 4;
const HOST: &str = "www.example";

/// Who signs.
#[derive(Clone, Copy, Debug)]
enum Signer {
    Ca,
    Itself,
}

/// An issuance that an operator is killed in, before its write number `point`.
struct Case {
    namespace: Namespace,
    signer: Signer,
    point: u64,
}

/// Kills an operator before the first write of an issuance, another before the second one, and so
/// on. Then one that is not killed finishes the work.
pub(crate) async fn at_every_write(bed: &Bed) -> Result<()> {
    let points = 1..=WRITES + 1;
    let cases = [Signer::Ca, Signer::Itself]
        .into_iter()
        .flat_map(|signer| points.clone().map(move |point| (signer, point)))
        .map(|(signer, point)| Case::new(bed, signer, point));
    let cases = try_join_all(cases).await?;
    // What issuers write is no part of it.
    with_operator(bed, "crash-ca-first", async || {
        try_join_all(cases.iter().map(Case::is_prepared)).await?;
        Ok(())
    })
    .await?;
    try_join_all(cases.iter().map(|case| case.disturb(bed))).await?;
    with_operator(bed, "crash-ca-healer", async || {
        try_join_all(cases.iter().map(|case| case.is_done(1))).await?;
        // All is as it should be for the next one too.
        for case in &cases {
            let secrets: Api<Secret> = case.namespace.api();
            secrets.delete("www", &DeleteParams::default()).await?;
        }
        try_join_all(cases.iter().map(|case| case.is_done(2))).await?;
        Ok(())
    })
    .await
}

/// Runs an operator for all cases while something is done.
async fn with_operator(
    bed: &Bed,
    name: &str,
    work: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let options = OperatorOptions {
        name: name.to_owned(),
        args: vec!["--leader-elect=false".to_owned()],
        ..OperatorOptions::default()
    };
    let operator = bed.operator(&options).await?;
    if let Err(error) = work().await {
        bail!("{error:#}\n{}", tail(&operator.log()));
    }
    let status = operator.stop().await?;
    ensure!(status.success(), "asked to stop, it ended with {status}");
    Ok(())
}

impl Case {
    async fn new(bed: &Bed, signer: Signer, point: u64) -> Result<Self> {
        let namespace = bed.namespace("crash-ca").await?;
        let spec = match signer {
            Signer::Ca => json!({"ca": {"secretName": "root"}}),
            Signer::Itself => json!({"selfSigned": {}}),
        };
        let root: Value = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "root"},
            "data": self_signed("crash")?,
        });
        let issuer = json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
            "metadata": {"name": "ca"}, "spec": spec,
        });
        namespace.apply_all(&[root, issuer]).await?;
        Ok(Self {
            namespace,
            signer,
            point,
        })
    }

    async fn is_prepared(&self) -> Result<()> {
        let issuers: Api<Issuer> = self.namespace.api();
        until("the Issuer is ready", SOON, async || {
            let (_, ready) = status(&issuers, "ca").await?;
            ensure!(ready.status == ConditionStatus::True, "{ready:?}");
            Ok(())
        })
        .await
    }

    /// Has an operator of its own issue the certificate until it reaches the fault point.
    async fn disturb(&self, bed: &Bed) -> Result<()> {
        let certificate = certificate("www", &[HOST.to_owned()]);
        self.namespace.apply_all(&[certificate]).await?;
        let point = self.point;
        let options = OperatorOptions {
            name: format!("{}-{point}", self.namespace.name()),
            args: vec![
                format!("--namespace={}", self.namespace.name()),
                "--leader-elect=false".to_owned(),
                format!("--fault-point={point}"),
            ],
            // It may end before it is ready.
            wait: false,
            ..OperatorOptions::default()
        };
        let mut operator = bed.operator(&options).await?;
        let certificates: Api<Certificate> = self.namespace.api();
        let killed = until("the end at the fault point", SOON, async || {
            if operator.exited()?.is_some() {
                return Ok(true);
            }
            ensure!(is_ready(&certificates.get("www").await?), "not ready");
            Ok(false)
        })
        .await
        .with_context(|| format!("fault point {point}:\n{}", tail(&operator.log())))?;
        ensure!(
            killed == (point <= WRITES),
            "{:?}: killed before write {point}: {killed}\n{}",
            self.signer,
            tail(&operator.log())
        );
        if !killed {
            let status = operator.stop().await?;
            ensure!(status.success(), "asked to stop, it ended with {status}");
        }
        Ok(())
    }

    /// Waits until `revision` is issued, and nothing is left over.
    async fn is_done(&self, revision: i64) -> Result<()> {
        let place = format!("{:?}, killed before write {}", self.signer, self.point);
        until("it is done", SOON, async || self.holds(revision).await)
            .await
            .context(place)
    }

    async fn holds(&self, revision: i64) -> Result<()> {
        let found: Certificate = self.namespace.api().get("www").await?;
        ensure!(is_ready(&found), "not ready");
        let status = found.status.unwrap_or_default();
        ensure!(status.revision == Some(revision), "{status:?}");
        ensure!(status.next_private_key_secret_name.is_none(), "{status:?}");
        let conditions = status.conditions.unwrap_or_default();
        ensure!(conditions.len() == 1, "{conditions:?}");

        let requests: Api<CertificateRequest> = self.namespace.api();
        let requests = requests.list(&ListParams::default()).await?;
        let [request] = requests.items.as_slice() else {
            bail!("{} requests", requests.items.len());
        };
        ensure!(request.name_any() == format!("www-{revision}"));
        let annotations = request.annotations();
        ensure!(annotations[annotation::CERTIFICATE_REVISION] == revision.to_string());
        ensure!(annotations.contains_key(annotation::PRIVATE_KEY_SECRET_NAME));

        let secrets: Api<Secret> = self.namespace.api();
        let secrets = secrets.list(&ListParams::default()).await?;
        let names: Vec<String> = secrets.iter().map(ResourceExt::name_any).collect();
        ensure!(names == ["root", "www"], "{names:?}");
        let data = |name: &str| -> BTreeMap<String, ByteString> {
            let mut found = secrets.iter().filter(|secret| secret.name_any() == name);
            found
                .next()
                .and_then(|secret| secret.data.clone())
                .unwrap_or_default()
        };
        let www = data("www");
        let answer = request.status.clone().unwrap_or_default();
        ensure!(
            answer.certificate.as_ref() == www.get("tls.crt"),
            "another certificate"
        );
        let root = match self.signer {
            Signer::Ca => &data("root")["tls.crt"],
            Signer::Itself => &www["tls.crt"],
        };
        ensure!(www.get("ca.crt") == Some(root), "another CA");
        if let Signer::Ca = self.signer {
            let roots = [String::from_utf8(root.0.clone())?];
            verify::secret(&www, &roots, &[HOST.to_owned()])?;
        }
        Ok(())
    }
}
