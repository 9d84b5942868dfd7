//! What is issued while an operator is disturbed, and what must be true of it afterwards?

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use certwright::api::{
    certificate::Certificate,
    challenge::Challenge,
    names::{annotation, label},
    order::{Order, State},
    request::CertificateRequest,
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Secret, Service},
        discovery::v1::EndpointSlice,
        networking::v1::Ingress,
    },
};
use kube::{
    Resource, ResourceExt,
    api::{ListParams, ObjectList},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use testbed::{
    Bed,
    acme::{Pebble, PebbleOptions},
    bed::ZONE,
    dns::RecordType,
    namespace::Namespace,
    process::wait::until,
    verify,
};

/// How long it may take until what was disturbed is done.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// How names are proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Dns01,
    Http01,
}

/// A namespace with an Issuer `ca` and Certificates of it.
pub(crate) struct Work<'a> {
    pub(crate) namespace: Namespace,
    bed: &'a Bed,
    pebble: &'a Pebble,
    certificates: Vec<String>,
}

impl<'a> Work<'a> {
    /// A namespace whose name begins with `name`, with an Issuer but no Certificate.
    pub(crate) async fn new(
        bed: &'a Bed,
        pebble: &'a Pebble,
        name: &str,
        way: Way,
    ) -> Result<Self> {
        let namespace = bed.namespace(name).await?;
        let solver = match way {
            Way::Dns01 => json!({ "dns01": bed.dns01("tsig") }),
            Way::Http01 => json!({ "http01": bed.http01() }),
        };
        let issuer = bed.acme_issuer("ca", pebble, &json!([solver]));
        let objects = [bed.tsig_secret("tsig"), issuer];
        namespace.apply_all(&objects).await?;
        Ok(Self {
            namespace,
            bed,
            pebble,
            certificates: Vec::new(),
        })
    }

    /// The host name that the Certificate `name` is for.
    pub(crate) fn host(&self, name: &str) -> String {
        format!("{name}.{}.{ZONE}", self.namespace.name())
    }

    /// Asks for a Certificate of the host of its name, which leads to the ingress controller.
    pub(crate) async fn ask(&mut self, name: &str) -> Result<()> {
        self.bed.host(&self.host(name))?;
        self.ask_elsewhere(name).await
    }

    /// Asks for a Certificate of the host of its name, wherever that leads.
    pub(crate) async fn ask_elsewhere(&mut self, name: &str) -> Result<()> {
        let object = certificate(name, &[self.host(name)]);
        self.namespace.apply_all(&[object]).await?;
        self.certificates.push(name.to_owned());
        Ok(())
    }

    /// How many Certificates were asked for.
    pub(crate) fn count(&self) -> usize {
        self.certificates.len()
    }

    /// How many Certificates are ready.
    pub(crate) async fn ready(&self) -> Result<usize> {
        let certificates = self.all::<Certificate>().await?;
        Ok(certificates.iter().filter(|found| is_ready(found)).count())
    }

    /// Waits until all is done, and holds it to what must be true of every issuance: one request,
    /// one order and one certificate each, a Secret that a server can use, and nothing left over.
    pub(crate) async fn is_done(&self) -> Result<()> {
        for name in &self.certificates {
            self.namespace.ready(name, SOON).await?;
        }
        until("nothing is left over", SOON, async || self.is_tidy().await).await?;

        let place = self.namespace.name();
        let wanted = self.count();
        let requests = self.all::<CertificateRequest>().await?;
        ensure!(
            requests.items.len() == wanted,
            "{place}: {} requests for {wanted} Certificates",
            requests.items.len()
        );
        for request in &requests {
            let revision = request.annotations().get(annotation::CERTIFICATE_REVISION);
            ensure!(revision.is_some_and(|number| number == "1"), "{request:?}");
        }
        let orders = self.all::<Order>().await?;
        ensure!(orders.items.len() == wanted, "{place}: {orders:?}");
        let log = self.pebble.log().await;
        for order in &orders {
            let status = order.status.clone().unwrap_or_default();
            ensure!(status.state == Some(State::Valid), "{place}: {status:?}");
            let url = status.url.context("an order without URL")?;
            let id = url.rsplit('/').next().unwrap_or_default();
            let issued = log
                .lines()
                .filter(|line| line.contains("Issued certificate serial") && line.contains(id));
            ensure!(issued.count() == 1, "{place}: issued again for order {id}");
        }
        let roots = self.pebble.roots().await?;
        for name in &self.certificates {
            let found: Certificate = self.namespace.api().get(name).await?;
            let status = found.status.unwrap_or_default();
            ensure!(status.revision == Some(1), "{place}: {status:?}");
            ensure!(
                status.next_private_key_secret_name.is_none(),
                "{place}: {status:?}"
            );
            let secret: Secret = self.namespace.api().get(name).await?;
            let data: BTreeMap<_, _> = secret.data.unwrap_or_default();
            verify::secret(&data, &roots, &[self.host(name)])?;
        }
        Ok(())
    }

    /// Whether no object and no record is left that was only there for the issuance.
    pub(crate) async fn is_tidy(&self) -> Result<()> {
        let mut left = [
            self.names::<Challenge>().await?,
            self.names::<Service>().await?,
            self.names::<EndpointSlice>().await?,
            self.names::<Ingress>().await?,
        ]
        .concat();
        for secret in self.all::<Secret>().await? {
            if secret.labels().contains_key(label::NEXT_PRIVATE_KEY) {
                left.push(format!("Secret {}", secret.name_any()));
            }
        }
        for name in &self.certificates {
            let record = format!("_acme-challenge.{}", self.host(name));
            left.extend(self.bed.dns().records(&record, RecordType::TXT));
        }
        ensure!(left.is_empty(), "{}: {left:?}", self.namespace.name());
        Ok(())
    }

    async fn names<K>(&self) -> Result<Vec<String>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let named = |object: &K| format!("{} {}", K::kind(&()), object.name_any());
        Ok(self.all::<K>().await?.iter().map(named).collect())
    }

    async fn all<K>(&self) -> Result<ObjectList<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        Ok(self.namespace.api().list(&ListParams::default()).await?)
    }
}

/// An ACME server that is as it should be: requests are counted, and who waits is known.
pub(crate) async fn pebble(bed: &Bed, name: &str) -> Result<Pebble> {
    let options = PebbleOptions {
        rejected_nonces: 0,
        ..PebbleOptions::default()
    };
    bed.pebble(&format!("pebble-{name}"), &options).await
}

/// A Certificate of the Issuer `ca`, with its Secret named as it is.
pub(crate) fn certificate(name: &str, hosts: &[String]) -> serde_json::Value {
    json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": { "name": name },
        "spec": {
            "secretName": name,
            "dnsNames": hosts,
            "privateKey": { "algorithm": "ECDSA", "size": 256 },
            "issuerRef": { "name": "ca" },
        },
    })
}

/// Whether its Ready condition is True.
pub(crate) fn is_ready(certificate: &Certificate) -> bool {
    use certwright::api::condition::{self, ConditionStatus};

    let conditions = certificate
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    condition::find(conditions, "Ready").is_some_and(|ready| ready.status == ConditionStatus::True)
}
