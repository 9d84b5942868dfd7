//! Does certwright go on with what cert-manager had begun, and leave nothing behind of it?

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{challenge::Challenge, order::Order, request::CertificateRequest},
    pki::certificate::CertificateFacts,
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Pod, Secret, Service},
        discovery::v1::EndpointSlice,
        networking::v1::Ingress,
    },
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use testbed::{
    Bed,
    bed::LAGGING_ZONE,
    dns::RecordType,
    ingress::CLASS,
    operator::{Operator, OperatorOptions},
    process::{ports, tail, wait::until},
    verify,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    begun::{Begun, FINALIZER, LEGACY_FINALIZER, Proof, Way},
    parts::owner,
    predecessor::Predecessor,
    solver_pod::solver_pod,
    stand_in,
    switch::before_the_switch,
    work,
};

const SOON: Duration = Duration::from_secs(90);

/// Orders and challenges in every state, with solver pods that answer and that do not, requests that
/// wait and keys under random names: all become certificates, by the same requests, orders and keys.
pub(crate) async fn what_was_begun_is_finished(bed: &Bed) -> Result<()> {
    // Pinned, here and below: the stack of a test has no room for all of it at once.
    let own = Box::pin(before_the_switch(bed)).await?;
    let place = Box::pin(Predecessor::new(&own, "begun")).await?;
    let pebble = Box::pin(work::pebble(&own, "begun")).await?;
    let begun = Box::pin(Begun::new(&own, &pebble, &place)).await?;
    let routed = Box::pin(Routed::left(&begun, &own, &place)).await?;
    let mut orders = Box::pin(ordered(&begun)).await?;
    let record = format!("_acme-challenge.{}", orders[0].host);
    orders.extend(Box::pin(proven(&begun)).await?);
    let keyed = Box::pin(begun.key_only("keyed")).await?;
    let requested = Box::pin(begun.requested("requested")).await?;
    let stood_in = Box::pin(stand_in::left(&place)).await?;
    let placed = orders_placed(&pebble.log().await);

    Box::pin(own.install_chart(&json!({}))).await?;
    let operator = Box::pin(own.operator(&OperatorOptions::default())).await?;
    let finished = async {
        for one in orders.iter().chain(&routed.orders) {
            Box::pin(is_finished(&place, one)).await?;
            let secret: Secret = place.namespace.api().get(&one.name).await?;
            let data = secret.data.context("an empty Secret")?;
            verify::secret(
                &data,
                &pebble.roots().await?,
                std::slice::from_ref(&one.host),
            )?;
        }
        for one in [&keyed, &requested] {
            Box::pin(is_finished(&place, one)).await?;
        }
        Box::pin(stand_in::are_replaced(&place, &stood_in)).await?;
        Box::pin(is_tidy(&own, &place, &record)).await
    };
    finished.await.with_context(|| tail(&operator.log()))?;
    let again = orders_placed(&pebble.log().await) - placed;
    ensure!(again == 0, "{again} orders were placed again");
    routed.went_its_way(&operator, &place).await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// Challenges by HTTP-01 with what cert-manager had put in place for them.
struct Routed {
    orders: Vec<Way>,
    answering: Proof,
    asked: Arc<AtomicUsize>,
    dead: Proof,
    edited: Proof,
    ingress: Ingress,
}

impl Routed {
    async fn left(begun: &Begun<'_>, bed: &Bed, place: &Predecessor) -> Result<Self> {
        let mut orders = Vec::new();
        for name in ["answering", "dead", "edited"] {
            orders.push(Box::pin(begun.order(name)).await?);
        }
        let answering = Box::pin(begun.http01(&orders[0], None, LEGACY_FINALIZER)).await?;
        let service = Box::pin(solver_pod(place, &answering)).await?;
        let asked = Box::pin(answers(bed, place, &service, &answering.key)).await?;
        let dead = Box::pin(begun.http01(&orders[1], None, FINALIZER)).await?;
        Box::pin(solver_pod(place, &dead)).await?;
        let edited = Box::pin(begun.http01(&orders[2], Some("web"), FINALIZER)).await?;
        let ingress = Box::pin(users_ingress(place, &orders[2].host)).await?;
        Box::pin(solver_pod(place, &edited)).await?;
        Ok(Self {
            orders,
            answering,
            asked,
            dead,
            edited,
            ingress,
        })
    }

    /// The pod that answered was let answer; what did not was made anew, and the user's Ingress is as
    /// it was.
    async fn went_its_way(&self, operator: &Operator, place: &Predecessor) -> Result<()> {
        let asked = self.asked.load(Ordering::Relaxed);
        ensure!(asked > 0, "nobody asked the solver pod");
        let log = operator.log();
        let made_anew = |proof: &Proof| {
            let mut lines = log.lines();
            lines.any(|line| line.contains("made anew") && line.contains(&proof.name))
        };
        ensure!(!made_anew(&self.answering), "{log}");
        ensure!(made_anew(&self.dead) && made_anew(&self.edited), "{log}");
        let after: Ingress = place.namespace.api().get("web").await?;
        ensure!(after.spec == self.ingress.spec, "{:?}", after.spec);
        Ok(())
    }
}

/// An Order whose challenge has its record, and one whose challenge waits for its turn.
async fn ordered(begun: &Begun<'_>) -> Result<Vec<Way>> {
    let recorded = Box::pin(begun.order("recorded")).await?;
    Box::pin(begun.dns01(&recorded)).await?;
    let waiting = Box::pin(begun.order("waiting")).await?;
    Box::pin(begun.not_begun(&waiting)).await?;
    Ok(vec![recorded, waiting])
}

/// An Order that is ready, and one that has its certificate.
async fn proven(begun: &Begun<'_>) -> Result<Vec<Way>> {
    let ready = Box::pin(begun.order("ready")).await?;
    Box::pin(begun.proven(&ready)).await?;
    let valid = Box::pin(begun.order("valid")).await?;
    Box::pin(begun.proven(&valid)).await?;
    Box::pin(begun.finalized(&valid)).await?;
    Ok(vec![ready, valid])
}

/// Waits for the certificate, and holds it to the key, the request and the Order that were there.
async fn is_finished(place: &Predecessor, one: &Way) -> Result<()> {
    let name = &one.name;
    place.namespace.ready(name, SOON).await?;
    let secret: Secret = place.namespace.api().get(name).await?;
    let leaf = CertificateFacts::from_pem(&secret.data.context("empty")?["tls.crt"].0)?;
    ensure!(leaf.public_key == one.public_key, "{name}: another key");
    if one.request_uid.is_some() {
        let request: CertificateRequest = place.namespace.api().get(&one.request).await?;
        ensure!(request.uid() == one.request_uid, "{name}: another request");
    }
    if one.order_uid.is_some() {
        let order: Order = place.namespace.api().get(&one.order).await?;
        ensure!(order.uid() == one.order_uid, "{name}: another order");
    }
    Ok(())
}

/// A challenge that certwright guards can be taken down by cert-manager, which lets go only of what
/// its own field manager holds.
pub(crate) async fn a_challenge_can_be_handed_back(bed: &Bed) -> Result<()> {
    let own = Box::pin(before_the_switch(bed)).await?;
    let place = Box::pin(Predecessor::new(&own, "back")).await?;
    let pebble = Box::pin(work::pebble(&own, "back")).await?;
    Box::pin(own.install_chart(&json!({}))).await?;
    let operator = Box::pin(own.operator(&OperatorOptions::default())).await?;
    // The second server of the zone is not there: the challenge waits.
    let issuer = own.acme_issuer("acme", &pebble, &json!([{"dns01": own.dns01("tsig")}]));
    let host = format!("www.{LAGGING_ZONE}");
    let asked = json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate",
        "metadata": {"name": "www"},
        "spec": {"secretName": "www", "dnsNames": [host], "issuerRef": {"name": "acme"}}});
    let objects = [own.tsig_secret("tsig"), issuer, asked];
    place.namespace.apply_all(&objects).await?;
    let challenges: Api<Challenge> = place.namespace.api();
    let name = until("a challenge in place", SOON, async || {
        let list = challenges.list(&ListParams::default()).await?;
        let challenge = list.items.first().context("none")?;
        let status = challenge.status.clone().unwrap_or_default();
        ensure!(status.presented == Some(true), "{status:?}");
        Ok(challenge.name_any())
    })
    .await?;
    ensure!(operator.stop().await?.success());

    const MANAGER: &str = "cert-manager-challenges";
    challenges
        .delete(&name, &DeleteParams::background())
        .await?;
    let standing = challenges.get(&name).await?;
    ensure!(
        standing.finalizers() == [FINALIZER],
        "{:?}",
        standing.metadata
    );
    // As its upgrade from updates to server-side apply.
    let mut fields = serde_json::to_value(standing.managed_fields())?;
    for entry in fields.as_array_mut().context("no fields")? {
        if entry["manager"] == MANAGER && entry["subresource"].is_null() {
            entry["operation"] = json!("Apply");
        }
    }
    let upgrade = Patch::Merge(json!({"metadata": {"managedFields": fields}}));
    challenges
        .patch(&name, &PatchParams::default(), &upgrade)
        .await?;
    let none = json!({
        "apiVersion": "acme.cert-manager.io/v1", "kind": "Challenge",
        "metadata": {"name": name, "uid": standing.uid()},
    });
    let params = PatchParams::apply(MANAGER).force();
    challenges
        .patch(&name, &params, &Patch::Apply(none))
        .await?;
    let left = challenges.get_opt(&name).await?;
    ensure!(left.is_none(), "{:?}", left.map(|left| left.metadata));
    Ok(())
}

/// An Ingress of a user, for a solver that names it.
async fn users_ingress(place: &Predecessor, host: &str) -> Result<Ingress> {
    let backend = json!({"service": {"name": "app", "port": {"number": 80}}});
    let ingress = json!({"metadata": {"name": "web"}, "spec": {
        "ingressClassName": CLASS,
        "rules": [{"host": host, "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": backend},
        ]}}],
    }});
    place.create("kubectl-create", &ingress).await
}

/// Does what a kubelet and the controllers of a cluster do for a solver pod; counts who asks it.
async fn answers(
    bed: &Bed,
    place: &Predecessor,
    service: &Service,
    key: &str,
) -> Result<Arc<AtomicUsize>> {
    let address = SocketAddr::new(bed.address(), ports::free()?);
    let listener = TcpListener::bind(address).await?;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{key}",
        key.len()
    );
    // Ends with the runtime of the stories.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // One read takes a request this small; an error is the client's to notice.
            let _ = stream.read(&mut [0; 4096]).await;
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let name = service.name_any();
    let slice = json!({
        "metadata": {
            "generateName": format!("{name}-"),
            "labels": {"kubernetes.io/service-name": name},
            "ownerReferences": [owner(
                "v1", "Service", &name, &service.uid().context("no uid")?,
            )],
        },
        "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "http", "port": address.port()}],
    });
    place
        .create::<EndpointSlice>("kube-controller-manager", &slice)
        .await?;
    Ok(asked)
}

/// Waits until nothing is left of challenges and issuances.
async fn is_tidy(bed: &Bed, place: &Predecessor, record: &str) -> Result<()> {
    async fn names<K>(place: &Predecessor, params: &ListParams) -> Result<Vec<String>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let list = place.namespace.api::<K>().list(params).await?;
        let named = |one: &K| format!("{} {}", K::kind(&()), one.name_any());
        Ok(list.iter().map(named).collect())
    }
    until("nothing is left", SOON, async || {
        let all = ListParams::default();
        let marked = ListParams::default().labels("cert-manager.io/next-private-key=true");
        let left = [
            names::<Challenge>(place, &all).await?,
            names::<Pod>(place, &all).await?,
            names::<Service>(place, &all).await?,
            names::<EndpointSlice>(place, &all).await?,
            names::<Ingress>(place, &all).await?,
            names::<Secret>(place, &marked).await?,
        ]
        .concat();
        ensure!(left == ["Ingress web"], "{left:?}");
        let records = bed.dns().records(record, RecordType::TXT);
        ensure!(records.is_empty(), "{records:?}");
        Ok(())
    })
    .await
}

/// How many orders the CA was asked for.
fn orders_placed(log: &str) -> usize {
    log.matches("POST /order-plz ").count()
}
