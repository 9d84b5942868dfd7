//! Where does a story of an issuance play? An ACME server, an Issuer of it, and what comes of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{
        certificate::Certificate,
        challenge::{Challenge, ChallengeType},
        condition::{self, Condition, ConditionStatus},
        names::annotation,
        request::CertificateRequest,
    },
    pki::certificate::CertificateFacts,
};
use futures::TryStreamExt;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Secret, Service},
        discovery::v1::EndpointSlice,
        networking::v1::Ingress,
    },
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testbed::{
    Bed,
    acme::{Pebble, PebbleOptions},
    follow::State,
    namespace::Namespace,
    process::wait::until,
    verify,
};
use tokio::task::JoinHandle;

/// How long anything may take that nobody has to do anything for: many stories run at once.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// An ACME server, and a namespace with the Issuer `ca` for it.
pub(crate) struct Site<'a> {
    pub(crate) bed: &'a Bed,
    pub(crate) pebble: Pebble,
    pub(crate) namespace: Namespace,
}

impl<'a> Site<'a> {
    /// With an ACME server as awkward as usual, and these solvers.
    pub(crate) async fn new(bed: &'a Bed, name: &str, solvers: Value) -> Result<Self> {
        Self::with(bed, name, &PebbleOptions::default(), solvers).await
    }

    /// With an ACME server like that, and these solvers.
    pub(crate) async fn with(
        bed: &'a Bed,
        name: &str,
        options: &PebbleOptions,
        solvers: Value,
    ) -> Result<Self> {
        let site = Self {
            bed,
            pebble: bed.pebble(&format!("pebble-{name}"), options).await?,
            namespace: bed.namespace(name).await?,
        };
        let issuer = bed.acme_issuer("ca", &site.pebble, &solvers);
        let objects = [bed.tsig_secret("tsig"), issuer];
        site.namespace.apply_all(&objects).await?;
        Ok(site)
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        self.namespace.api()
    }

    /// Ask for a certificate, by the object that is named as its Secret will be.
    pub(crate) async fn ask(&self, name: &str, dns_names: &[&str]) -> Result<()> {
        self.ask_for(name, json!({"dnsNames": dns_names})).await
    }

    /// The same, where what another has is not to be used.
    pub(crate) async fn ask_anew(&self, name: &str, dns_names: &[&str]) -> Result<()> {
        let mut certificate = certificate(name, json!({"dnsNames": dns_names}))?;
        certificate["metadata"]["annotations"] = json!({ annotation::REUSE: "false" });
        self.namespace.apply_all(&[certificate]).await
    }

    /// The same, with this in the spec.
    pub(crate) async fn ask_for(&self, name: &str, spec: Value) -> Result<()> {
        let certificate = certificate(name, spec)?;
        self.namespace.apply_all(&[certificate]).await
    }

    /// Change the spec of the issuer's `acme`.
    pub(crate) async fn change_issuer(&self, settings: Value) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"acme": settings}}));
        let issuers: Api<certwright::api::issuer::Issuer> = self.api();
        issuers.patch("ca", &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Wait until the Certificate is ready, and hold its Secret against the CA's roots and these
    /// names.
    pub(crate) async fn issued(&self, name: &str, names: &[&str]) -> Result<Issued> {
        self.namespace.ready(name, SOON).await?;
        self.verified(name, names).await
    }

    /// Wait until the Certificate is ready and of this revision, and hold its Secret against the
    /// CA's roots and these names.
    pub(crate) async fn issued_as(
        &self,
        name: &str,
        revision: i64,
        names: &[&str],
    ) -> Result<Issued> {
        until("the revision", SOON, async || {
            let certificate: Certificate = self.api().get(name).await?;
            let status = certificate.status.context("no status")?;
            let ready = condition::find(status.conditions.as_ref(), "Ready");
            ensure!(
                status.revision == Some(revision) && ready.is_some_and(is_true),
                "{status:?}"
            );
            Ok(())
        })
        .await?;
        self.verified(name, names).await
    }

    async fn verified(&self, name: &str, names: &[&str]) -> Result<Issued> {
        let secret: Secret = self.api().get(name).await?;
        let data = secret.data.clone().context("an empty Secret")?;
        let roots = self.pebble.roots().await?;
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        verify::secret(&data, &roots, &names)?;
        let leaf = CertificateFacts::from_pem(&data["tls.crt"].0)?;
        Ok(Issued { secret, leaf })
    }

    /// Wait until the Ready condition of the Certificate says something like this.
    pub(crate) async fn says(&self, certificate: &str, text: &str) -> Result<State> {
        self.namespace.says(certificate, text, SOON).await
    }

    /// The uids of all requests.
    pub(crate) async fn requests(&self) -> Result<BTreeSet<String>> {
        let requests: Api<CertificateRequest> = self.api();
        let list = requests.list(&ListParams::default()).await?;
        Ok(list.iter().filter_map(ResourceExt::uid).collect())
    }

    /// Wait until nothing is left of any challenge.
    pub(crate) async fn is_tidy(&self) -> Result<()> {
        until("nothing is left of challenges", SOON, async || {
            let left = [
                self.names::<Challenge>().await?,
                self.names::<Service>().await?,
                self.names::<EndpointSlice>().await?,
                self.names::<Ingress>().await?,
            ]
            .concat();
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await
    }

    /// The names of the objects of a kind, each with its kind.
    pub(crate) async fn names<K>(&self) -> Result<Vec<String>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let list = self.api::<K>().list(&ListParams::default()).await?;
        let named = |object: &K| format!("{} {}", K::kind(&()), object.name_any());
        Ok(list.iter().map(named).collect())
    }

    /// Remember every challenge from now on: once this returns, none is missed however short it lives.
    pub(crate) async fn watch_challenges(&self) -> Result<Challenges> {
        let seen = Arc::<Mutex<BTreeMap<_, _>>>::default();
        let challenges: Api<Challenge> = self.api();
        let told = Arc::clone(&seen);
        let (listed, is_listed) = tokio::sync::oneshot::channel();
        let mut listed = Some(listed);
        let task = tokio::spawn(async move {
            let changes = watcher(challenges, watcher::Config::default()).default_backoff();
            let _ended = changes
                .try_for_each(|event| {
                    match event {
                        Event::Apply(challenge) | Event::InitApply(challenge) => {
                            let spec = challenge.spec;
                            let star = if spec.wildcard == Some(true) {
                                "*."
                            } else {
                                ""
                            };
                            told.lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .insert(format!("{star}{}", spec.dns_name), spec.type_);
                        }
                        Event::InitDone => {
                            let _ = listed.take().map(|listed| listed.send(()));
                        }
                        Event::Init | Event::Delete(_) => {}
                    }
                    futures::future::ok(())
                })
                .await;
        });
        is_listed.await.context("watching challenges")?;
        Ok(Challenges { seen, task })
    }
}

/// What was issued.
pub(crate) struct Issued {
    pub(crate) secret: Secret,
    pub(crate) leaf: CertificateFacts,
}

impl Issued {
    /// An entry of the Secret.
    pub(crate) fn entry(&self, name: &str) -> &[u8] {
        let data = self.secret.data.as_ref();
        data.and_then(|data| data.get(name))
            .map_or(&[], |value| &value.0)
    }
}

/// How names were proven.
pub(crate) struct Challenges {
    seen: Arc<Mutex<BTreeMap<String, ChallengeType>>>,
    task: JoinHandle<()>,
}

impl Challenges {
    /// The way that each name was proven.
    pub(crate) fn ways(&self) -> BTreeMap<String, ChallengeType> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Challenges {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A Certificate of the issuer `ca` unless `spec` names another, with its Secret named as it is.
pub(crate) fn certificate(name: &str, spec: Value) -> Result<Value> {
    let mut all = json!({"secretName": name, "issuerRef": {"name": "ca"}});
    for (field, value) in spec.as_object().context("no spec")? {
        all[field] = value.clone();
    }
    Ok(json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
        "metadata": {"name": name}, "spec": all,
    }))
}

fn is_true(condition: &Condition) -> bool {
    condition.status == ConditionStatus::True
}
