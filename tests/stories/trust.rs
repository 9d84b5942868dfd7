//! While a CA changes, does whoever reads one Secret trust what is in the others, all the while?

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result, bail, ensure};
use certwright::{
    api::{condition, issuer::Issuer},
    pki::chain::certificates,
};
use futures::TryStreamExt;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, ResourceExt,
    api::{ListParams, WatchEvent, WatchParams},
};
use rcgen::KeyPair;
use serde_json::json;
use testbed::{
    Bed,
    namespace::Namespace,
    operator::{Operator, OperatorOptions},
    process::{tail, wait::until},
    verify,
};

use crate::{
    private_ca::issuer,
    rotation::{Ca, is_of, rotating, server, trusts_both, with_stores},
    work::SOON,
};

const LEAVES: [&str; 3] = ["first", "second", "third"];
/// More operators than it takes writes, all in all.
const MOST_OPERATORS: u64 = 40;

type Data = BTreeMap<String, ByteString>;

/// What was seen of a rotation.
#[derive(Default)]
struct Seen {
    /// What each Secret holds.
    now: BTreeMap<String, Data>,
    /// How many versions of Secrets there were.
    versions: usize,
    /// How often one was of the old CA and had both roots, with what should be in its stores.
    extended: BTreeSet<String>,
    /// What the issuer said.
    said: BTreeSet<String>,
    /// What was not as it must be.
    wrong: Vec<String>,
}

impl Seen {
    /// A Secret was written.
    fn secret(&mut self, secret: Secret, old: &Ca) {
        let name = secret.name_any();
        let Some(data) = secret.data.filter(|_| LEAVES.contains(&&*name)) else {
            return;
        };
        self.versions += 1;
        let holds = |roots: &str| {
            let names = [format!("{name}.example")];
            verify::secret(&data, &[roots.to_owned()], &names).is_ok()
        };
        let roots = text(&data, "ca.crt").to_owned();
        let is_both = certificates(roots.as_bytes()).is_ok_and(|roots| roots.len() == 2);
        if is_both && holds(&old.pem) {
            self.extended.insert(name.clone());
            if data.contains_key("truststore.p12")
                && let Err(error) = trusts_both(&data)
            {
                self.wrong.push(format!("{name}: {error:#}"));
            }
        }
        self.now.insert(name, data);
        for (reader, has) in &self.now {
            for (peer, shows) in &self.now {
                let roots = text(has, "ca.crt").to_owned();
                if let Err(error) = verify::secret(shows, &[roots], &[format!("{peer}.example")]) {
                    let number = self.versions;
                    let wrong = format!("{number}: {reader} does not trust {peer}: {error:#}");
                    self.wrong.push(wrong);
                }
            }
        }
    }
}

fn text<'a>(data: &'a Data, entry: &str) -> &'a str {
    let bytes = data.get(entry).map_or(&[][..], |bytes| &bytes.0);
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// From the moment in which the CA is another one to the moment in which nothing of the old one is left,
/// every version of every Secret holds the roots of all the others, as they stand then; and all the
/// while operators are killed, each one write later than the one before.
pub(crate) async fn everybody_is_trusted_all_the_while(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("trust").await?;
    let [old, new] = ["old", "new"].map(|name| Ca::new(name, &KeyPair::generate()?));
    let (old, new) = (Arc::new(old?), new?);
    namespace
        .apply_all(&[
            old.secret("ca"),
            issuer("Issuer", "ca", json!({"ca": {"secretName": "ca"}})),
            with_stores(server("first", "48h")),
            server("second", "96h"),
            server("third", "240h"),
        ])
        .await?;
    let operator = start(bed, &namespace, None).await?;
    for name in LEAVES {
        namespace.ready(name, SOON).await?;
    }
    ensure!(operator.stop().await?.success());

    let seen = Arc::new(Mutex::new(Seen::default()));
    let watching = [
        tokio::spawn(watch_secrets(namespace.api(), Arc::clone(&seen), old)),
        tokio::spawn(watch_issuers(namespace.api(), Arc::clone(&seen))),
    ];
    until("the Secrets to be seen", SOON, async || {
        ensure!(seen.lock().unwrap().now.len() == LEAVES.len());
        Ok(())
    })
    .await?;
    namespace.apply_all(&[new.secret("ca")]).await?;
    let mut killed = 0;
    for point in 1.. {
        ensure!(point < MOST_OPERATORS, "no end");
        let mut operator = start(bed, &namespace, Some(point)).await?;
        let is_done = until("all is of the new CA, or the end", SOON, async || {
            if operator.exited()?.is_some() {
                return Ok(false);
            }
            for name in LEAVES {
                is_of(&namespace, name, &new, 2).await?;
            }
            ensure!(rotating(&namespace).await?.is_none(), "it goes on");
            Ok(true)
        })
        .await
        .with_context(|| format!("killed before write {point}: {}", tail(&operator.log())))?;
        if is_done {
            ensure!(operator.stop().await?.success());
            break;
        }
        killed += 1;
    }
    for watch in watching {
        ensure!(!watch.is_finished(), "the watch has ended");
        watch.abort();
    }
    let seen = seen.lock().unwrap();
    let Seen {
        versions,
        extended,
        said,
        wrong,
        ..
    } = &*seen;
    ensure!(wrong.is_empty(), "{wrong:#?}");
    ensure!(extended.len() == LEAVES.len(), "extended: {extended:?}");
    // At first, with both roots, re-issued, and all but one put back.
    ensure!(*versions >= 11, "{versions} versions");
    ensure!(killed >= 3, "{killed} operators were killed");
    for part in ["Secrets get its root", "certificates are of the new one"] {
        let is_said = said.iter().any(|said| said.contains(part));
        ensure!(is_said, "{part}: {said:#?}");
    }
    Ok(())
}

/// An operator for that namespace, that is killed before its write of that number.
async fn start(bed: &Bed, namespace: &Namespace, point: Option<u64>) -> Result<Operator> {
    let point_flag = point.map(|point| format!("--fault-point={point}"));
    let options = OperatorOptions {
        name: match point {
            Some(point) => format!("{}-{point}", namespace.name()),
            None => namespace.name().to_owned(),
        },
        args: [
            format!("--namespace={}", namespace.name()),
            "--leader-elect=false".to_owned(),
        ]
        .into_iter()
        .chain(point_flag)
        .collect(),
        // It may end before it is ready.
        wait: false,
        ..OperatorOptions::default()
    };
    bed.operator(&options).await
}

async fn watch_secrets(api: Api<Secret>, seen: Arc<Mutex<Seen>>, old: Arc<Ca>) -> Result<()> {
    let listed = api.list(&ListParams::default()).await?;
    let mut version = listed.metadata.resource_version.clone().unwrap_or_default();
    for secret in listed {
        seen.lock().unwrap().secret(secret, &old);
    }
    loop {
        let mut events = std::pin::pin!(api.watch(&WatchParams::default(), &version).await?);
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Added(secret) | WatchEvent::Modified(secret) => {
                    version = secret.resource_version().unwrap_or_default();
                    seen.lock().unwrap().secret(secret, &old);
                }
                WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(error) => bail!("{error:?}"),
            }
        }
    }
}

async fn watch_issuers(api: Api<Issuer>, seen: Arc<Mutex<Seen>>) -> Result<()> {
    let listed = api.list(&ListParams::default()).await?;
    let mut version = listed.metadata.resource_version.clone().unwrap_or_default();
    loop {
        let mut events = std::pin::pin!(api.watch(&WatchParams::default(), &version).await?);
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Added(issuer) | WatchEvent::Modified(issuer) => {
                    version = issuer.resource_version().unwrap_or_default();
                    let conditions = issuer.status.and_then(|status| status.conditions);
                    let found = condition::find(conditions.as_ref(), condition::kind::ROTATING);
                    let message = found.and_then(|found| found.message.clone());
                    seen.lock().unwrap().said.extend(message);
                }
                WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(error) => bail!("{error:?}"),
            }
        }
    }
}
