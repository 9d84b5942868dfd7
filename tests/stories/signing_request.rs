//! Are Kubernetes' own CertificateSigningRequests signed by the issuers they name, and only when
//! they should be?

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{issuer::ClusterIssuer, order::Order},
    pki::{
        certificate::CertificateFacts,
        key::KeyEncoding,
        usages::{Usage, UsageSet},
    },
};
use k8s_openapi::{
    ByteString,
    api::{core::v1::Secret, rbac::v1::ClusterRoleBinding},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    operator::OperatorOptions,
    process::{tail, wait::until},
    stage::EXPERIMENTS,
};

use crate::{
    http01::nowhere,
    private_ca::{issuer, self_signed},
    signing_place::{Place, conditions},
    site::{SOON, Site, certificate},
};

const DURATION: &str = "experimental.cert-manager.io/request-duration";
const IS_CA: &str = "experimental.cert-manager.io/request-is-ca";
const PROFILE: &str = "certwright.io/acme-profile";
const KEY: &str = "experimental.cert-manager.io/private-key-secret-name";
/// Where the operator is told to look for the Secrets of ClusterIssuers.
const ELSEWHERE: &str = "certwright";

/// Signed once it is approved and never when it is denied, with the usages and for the time that
/// are asked for; what is asked for in vain is told.
pub(crate) async fn a_ca_signs_what_is_approved(bed: &Bed) -> Result<()> {
    let place = Place::new(bed, "csr-ca").await?;
    let root = self_signed("csr root")?;
    let roots = [String::from_utf8(root["tls.crt"].0.clone())?];
    place.ca("ca", &root).await?;
    let signer = place.issuer("ca");

    let waiting = place.ask("waiting", &signer, json!({})).await?;
    place.event("waiting", "WaitingApproval").await?;
    place.ask("denied", &signer, json!({})).await?;
    place.decide("denied", "Denied").await?;

    let hour = json!({"spec": {"expirationSeconds": 3600}});
    let hour = place.issued("hour", &signer, hour).await?;
    hour.is_good(&roots)?;
    let facts = CertificateFacts::from_pem(&hour.chain)?;
    assert_eq!(facts.issuer_common_name.as_deref(), Some("csr root"));
    let usages = [Usage::DigitalSignature, Usage::ServerAuth];
    assert_eq!(facts.usages, UsageSet::of(&usages, false));
    assert_eq!(seconds(&facts), 3600);
    place.event("hour", "CertificateIssued").await?;

    // The annotation comes before the field; a CA has no usage that was not approved.
    let both = json!({
        "metadata": {"annotations": {DURATION: "2h", IS_CA: "true"}},
        "spec": {"expirationSeconds": 3600},
    });
    let both = place.issued("both", &signer, both).await?;
    let facts = CertificateFacts::from_pem(&both.chain)?;
    assert_eq!(seconds(&facts), 7200);
    assert!(facts.is_ca());
    assert_eq!(facts.usages, UsageSet::of(&usages, false));

    for (name, duration, reason) in [
        ("short", "9m", "InvalidDuration"),
        ("words", "soon", "ErrorParseDuration"),
    ] {
        let change = json!({"metadata": {"annotations": {DURATION: duration}}});
        place.ask(name, &signer, change).await?;
        place.decide(name, "Approved").await?;
        let message = place.failed(name, reason).await?;
        ensure!(message.contains(duration), "{message}");
        place.event(name, reason).await?;
    }

    let status = place.status("denied").await?;
    assert_eq!(conditions(&status), ["Denied"]);
    assert_eq!(status.certificate, None);
    assert_eq!(place.status("waiting").await?.certificate, None);
    place.decide("waiting", "Approved").await?;
    place
        .certificate("waiting", waiting)
        .await?
        .is_good(&roots)?;
    place.end().await
}

/// A ClusterIssuer signs for everybody whose request is approved; others' signers are left alone.
pub(crate) async fn a_cluster_issuer_signs_too(bed: &Bed) -> Result<()> {
    let place = Place::new(bed, "csr-cluster").await?;
    let (root, name) = (self_signed("csr cluster")?, "csr-cluster-ca");
    let roots = [String::from_utf8(root["tls.crt"].0.clone())?];
    bed.apply_all(&[
        issuer("ClusterIssuer", name, json!({"ca": {"secretName": name}})),
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "namespace": ELSEWHERE}, "data": root,
        }),
    ])
    .await?;
    let signer = format!("clusterissuers.cert-manager.io/{name}");
    place
        .ask("foreign", "example.com/signer", json!({}))
        .await?;
    place.decide("foreign", "Approved").await?;
    // Nobody asks the namespace here: there is none.
    let somebody = place.somebody("nobody-in-particular").await?;
    let key = place.ask_as(somebody, "ours", &signer, json!({})).await?;
    place.decide("ours", "Approved").await?;
    place.certificate("ours", key).await?.is_good(&roots)?;
    let status = place.status("foreign").await?;
    assert_eq!(conditions(&status), ["Approved"]);
    assert_eq!(status.certificate, None);

    // What signs itself has its key there too.
    let (itself, secret) = ("csr-cluster-itself", "csr-cluster-key");
    let objects = [issuer("ClusterIssuer", itself, json!({"selfSigned": {}}))];
    bed.apply_all(&objects).await?;
    let signer = format!("clusterissuers.cert-manager.io/{itself}");
    let named = json!({"metadata": {"annotations": {KEY: secret}}});
    let key = place.ask("itself", &signer, named).await?;
    place.decide("itself", "Approved").await?;
    place.event("itself", "SecretNotFound").await?;
    let pem = key.to_pem(KeyEncoding::Pkcs8)?;
    bed.apply_all(&[json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": secret, "namespace": ELSEWHERE},
        "data": {"tls.key": ByteString(pem.as_bytes().to_vec())},
    })])
    .await?;
    let signed = place.certificate("itself", key).await?;
    signed.is_good(&[String::from_utf8(signed.chain.clone())?])?;

    place.end().await?;
    let issuers: Api<ClusterIssuer> = Api::all(bed.client().clone());
    let secrets: Api<Secret> = Api::namespaced(bed.client().clone(), ELSEWHERE);
    for name in [name, itself] {
        issuers.delete(name, &DeleteParams::default()).await?;
    }
    for name in [name, secret] {
        secrets.delete(name, &DeleteParams::default()).await?;
    }
    Ok(())
}

/// Who may not use an Issuer is refused, although somebody approved; the right is given by name, or
/// for all of a namespace.
pub(crate) async fn an_issuer_is_used_by_those_who_may(bed: &Bed) -> Result<()> {
    let place = Place::new(bed, "csr-reference").await?;
    place.ca("ca", &self_signed("csr reference")?).await?;
    let signer = place.issuer("ca");
    for (name, grant, may) in [
        ("none", None, false),
        ("other", Some("another"), false),
        ("named", Some("ca"), true),
        ("all", Some("*"), true),
    ] {
        let client = place.somebody(name).await?;
        if let Some(grant) = grant {
            place.grant(name, grant).await?;
        }
        let key = place.ask_as(client, name, &signer, json!({})).await?;
        place.decide(name, "Approved").await?;
        if may {
            place.certificate(name, key).await?;
            continue;
        }
        let message = place.failed(name, "DeniedReference").await?;
        ensure!(message.contains("may not reference"), "{message}");
        place.event(name, "DeniedReference").await?;
        assert_eq!(place.status(name).await?.certificate, None);
    }
    place.end().await
}

/// An issuer that does not exist is waited for, then its CA, and then the certificate is there.
pub(crate) async fn a_missing_issuer_is_waited_for(bed: &Bed) -> Result<()> {
    let place = Place::new(bed, "csr-missing").await?;
    let key = place.ask("early", &place.issuer("ca"), json!({})).await?;
    place.decide("early", "Approved").await?;
    place.event("early", "IssuerNotFound").await?;
    let spec = json!({"ca": {"secretName": "ca"}});
    let ca = issuer("Issuer", "ca", spec);
    place.namespace.apply_all(&[ca]).await?;
    place.event("early", "IssuerNotReady").await?;
    let root = self_signed("csr late")?;
    place.ca("ca", &root).await?;
    let roots = [String::from_utf8(root["tls.crt"].0.clone())?];
    place.certificate("early", key).await?.is_good(&roots)?;
    place.end().await
}

/// A request that signs itself says where its key is: in the namespace of the issuer.
pub(crate) async fn a_request_signs_itself(bed: &Bed) -> Result<()> {
    let place = Place::new(bed, "csr-itself").await?;
    let itself = issuer("Issuer", "itself", json!({"selfSigned": {}}));
    place.namespace.apply_all(&[itself]).await?;
    let signer = place.issuer("itself");
    let named = |secret: &str| json!({"metadata": {"annotations": {KEY: secret}}});

    place.ask("unnamed", &signer, json!({})).await?;
    place.decide("unnamed", "Approved").await?;
    let message = place.failed("unnamed", "MissingAnnotation").await?;
    ensure!(message.contains(KEY), "{message}");

    let key = place.ask("early", &signer, named("key")).await?;
    place.decide("early", "Approved").await?;
    place.event("early", "SecretNotFound").await?;
    let pem = key.to_pem(KeyEncoding::Pkcs8)?;
    let secret = |text: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"},
            "data": {"tls.key": ByteString(text.as_bytes().to_vec())}})
    };
    place.namespace.apply_all(&[secret("no key")]).await?;
    place.event("early", "ErrorParsingKey").await?;
    place.namespace.apply_all(&[secret(&pem)]).await?;
    let early = place.certificate("early", key).await?;
    early.is_good(&[String::from_utf8(early.chain.clone())?])?;

    place.ask("other", &signer, named("key")).await?;
    place.decide("other", "Approved").await?;
    place.failed("other", "ErrorKeyMatch").await?;
    place.end().await
}

/// An Order beside the Issuer, proven over HTTP; it goes with its request.
pub(crate) async fn by_http01(bed: &Bed) -> Result<()> {
    let solvers = json!([{"http01": bed.http01()}]);
    let site = Site::new(bed, "csr-http01", solvers).await?;
    let place = Place::new(bed, "csr-http01-requests").await?;
    let signer = format!("issuers.cert-manager.io/{}.ca", site.namespace.name());
    let host = "csr-http01.example.com";
    bed.host(host)?;
    let of_profile = |name| json!({"metadata": {"annotations": {PROFILE: name}}});
    // Not offered, and nothing is ordered instead.
    place
        .ask_for("fast", &signer, of_profile("fast"), host)
        .await?;
    place.decide("fast", "Approved").await?;
    place.event("fast", "ProfileNotOffered").await?;
    let key = place
        .ask_for("www", &signer, of_profile("shortlived"), host)
        .await?;
    place.decide("www", "Approved").await?;
    let mut issued = place.certificate("www", key).await?;
    issued.host = host.to_owned();
    issued.is_good(&site.pebble.roots().await?)?;
    place.event("www", "OrderCreated").await?;
    let orders: Api<Order> = site.api();
    let order = only(&orders).await?;
    let owner = &order.owner_references()[0];
    assert_eq!(owner.kind, "CertificateSigningRequest");
    assert_eq!(owner.name, place.name("www"));
    assert_eq!(order.spec.issuer_ref.kind.as_deref(), Some("Issuer"));
    assert_eq!(order.spec.profile.as_deref(), Some("shortlived"));
    site.is_tidy().await?;

    // What ACME cannot certify fails for good.
    let change = json!({"commonName": "elsewhere.example.com"});
    place.ask_for("cn", &signer, change, host).await?;
    place.decide("cn", "Approved").await?;
    let message = place.failed("cn", "InvalidOrder").await?;
    ensure!(message.contains("elsewhere.example.com"), "{message}");

    place.end().await?;
    until("the order is gone", SOON, async || {
        let left = site.names::<Order>().await?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

/// A ClusterIssuer's Order is where its Secrets are, proven by DNS.
pub(crate) async fn by_dns01_of_a_cluster_issuer(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "csr-dns01", json!([])).await?;
    let place = Place::new(bed, "csr-dns01-requests").await?;
    let mut tsig = bed.tsig_secret("csr-dns01-tsig");
    tsig["metadata"]["namespace"] = json!(ELSEWHERE);
    let solvers = json!([{"dns01": bed.dns01("csr-dns01-tsig")}]);
    let mut issuer = bed.acme_issuer("csr-dns01", &site.pebble, &solvers);
    issuer["kind"] = json!("ClusterIssuer");
    bed.apply_all(&[tsig, issuer]).await?;
    let signer = "clusterissuers.cert-manager.io/csr-dns01";
    let host = "*.csr-dns01.example.com";
    let key = place.ask_for("www", signer, json!({}), host).await?;
    place.decide("www", "Approved").await?;
    let mut issued = place.certificate("www", key).await?;
    issued.host = host.to_owned();
    issued.is_good(&site.pebble.roots().await?)?;
    let orders: Api<Order> = Api::namespaced(bed.client().clone(), ELSEWHERE);
    let all = orders.list(&ListParams::default()).await?;
    let ours = all
        .iter()
        .filter(|order| order.owner_references()[0].name == place.name("www"));
    assert_eq!(ours.count(), 1);
    place.end().await?;
    let secrets: Api<Secret> = Api::namespaced(bed.client().clone(), ELSEWHERE);
    for name in ["csr-dns01-account", "csr-dns01-tsig"] {
        secrets.delete(name, &DeleteParams::default()).await?;
    }
    let issuers: Api<ClusterIssuer> = Api::all(bed.client().clone());
    issuers
        .delete("csr-dns01", &DeleteParams::default())
        .await?;
    Ok(())
}

/// An operator that is killed while the CA waits for the proof is followed by one that goes on with
/// the same Order.
pub(crate) async fn another_operator_goes_on(bed: &Bed) -> Result<()> {
    let first = bed.operator(&alone("csr-first")).await?;
    let solvers = json!([{"http01": bed.http01()}]);
    let site = Site::new(bed, "csr-restart", solvers).await?;
    let place = Place::new(bed, "csr-restart-requests").await?;
    let signer = format!("issuers.cert-manager.io/{}.ca", site.namespace.name());
    let host = "csr-restart.example.com";
    nowhere(bed, host)?;
    let key = place.ask_for("www", &signer, json!({}), host).await?;
    place.decide("www", "Approved").await?;
    place.event("www", "OrderPending").await?;
    let orders: Api<Order> = site.api();
    let before = only(&orders).await?;
    first.kill().await?;

    let second = bed.operator(&alone("csr-second")).await?;
    bed.host(host)?;
    let mut issued = place.certificate("www", key).await?;
    issued.host = host.to_owned();
    issued.is_good(&site.pebble.roots().await?)?;
    assert_eq!(only(&orders).await?.uid(), before.uid());
    let log = site.pebble.log().await;
    let placed = log.lines().filter(|line| line.contains("Added order"));
    assert_eq!(placed.count(), 1, "{log}");
    place.end().await?;
    ensure!(second.stop().await?.success());
    Ok(())
}

/// Without the right to read these requests all the rest works, and they are served once it is there.
pub(crate) async fn without_rights_all_the_rest_works(bed: &Bed) -> Result<()> {
    let release = bed.install_chart(&Value::Null).await?;
    let name = format!("{}-controller-certificatesigningrequests", release.name());
    let binding = release
        .objects()
        .iter()
        .find(|object| {
            object["kind"] == "ClusterRoleBinding" && object["metadata"]["name"] == *name
        })
        .context("the chart has no such binding")?
        .clone();
    let bindings: Api<ClusterRoleBinding> = Api::all(bed.client().clone());
    bindings.delete(&name, &DeleteParams::default()).await?;
    let told = async {
        let operator = bed.operator(&alone("csr-rights")).await?;
        let place = Place::new(bed, "csr-rights").await?;
        let root = self_signed("csr rights")?;
        place.ca("ca", &root).await?;
        let certificate = certificate("www", json!({"dnsNames": ["www.example"]}))?;
        place.namespace.apply_all(&[certificate]).await?;
        place.namespace.ready("www", SOON).await?;
        until("the operator tells", SOON, async || {
            let log = operator.log();
            let told = log
                .lines()
                .any(|line| line.contains("WARN") && line.contains("CertificateSigningRequest"));
            ensure!(told, "{}", tail(&log));
            Ok(())
        })
        .await?;
        let key = place.ask("www", &place.issuer("ca"), json!({})).await?;
        place.decide("www", "Approved").await?;
        bed.apply_all(std::slice::from_ref(&binding)).await?;
        let roots = [String::from_utf8(root["tls.crt"].0.clone())?];
        place.certificate("www", key).await?.is_good(&roots)?;
        place.end().await?;
        ensure!(operator.stop().await?.success());
        Ok(())
    };
    let told = told.await;
    bed.apply_all(&[binding]).await?;
    told
}

fn alone(name: &str) -> OperatorOptions {
    OperatorOptions {
        name: name.to_owned(),
        args: vec!["--leader-elect=false".to_owned(), EXPERIMENTS.to_owned()],
        ..OperatorOptions::default()
    }
}

/// For how long it is valid.
fn seconds(facts: &CertificateFacts) -> i64 {
    facts.not_after.as_second() - facts.not_before.as_second()
}

async fn only(orders: &Api<Order>) -> Result<Order> {
    let mut all = orders.list(&ListParams::default()).await?.items;
    ensure!(all.len() == 1, "{} orders", all.len());
    all.pop().context("no order")
}
