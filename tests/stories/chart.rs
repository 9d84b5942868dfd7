//! Does the chart work on a real API server, in the place of cert-manager too?

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use k8s_openapi::{
    api::{
        admissionregistration::v1::{
            MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingWebhookConfiguration,
        },
        apps::v1::Deployment,
        authorization::v1::SubjectAccessReview,
        core::v1::Pod,
        rbac::v1::ClusterRole,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testbed::{
    Bed, BedOptions,
    apply::documents,
    operator::OperatorOptions,
    process::wait::until,
    progress::Progress,
    stage::EXPERIMENTS,
    tools::{Tool, Tools},
};
use tokio::process::Command;

const RELEASE: &str = "cert-manager";
const NAMESPACE: &str = "cert-manager";
const CERT_MANAGER: &str = "tests/fixtures/cert-manager-chart";
const CERTWRIGHT: &str = "charts/certwright";

/// A release of cert-manager is upgraded to certwright, rolled back, and upgraded again, and its
/// Certificates live through it all.
pub(crate) async fn cert_manager_is_replaced_and_comes_back(bed: &Bed) -> Result<()> {
    // The definitions of all kinds change here: nobody else can use this cluster meanwhile.
    let own = own_bed(bed).await?;
    let helm = Helm::new(&own).await?;
    let client = own.client();

    helm.run(&[
        "install",
        RELEASE,
        CERT_MANAGER,
        "--create-namespace",
        "--set=crds.enabled=true,webhook.registered=false",
    ])
    .await?;
    let before = certificate(&own, "before", "24h").await?;
    helm.run(&[
        "upgrade",
        RELEASE,
        CERT_MANAGER,
        "--reset-then-reuse-values",
        "--set=webhook.registered=true",
    ])
    .await?;
    let refused = certificate(&own, "refused", "24h").await.unwrap_err();
    ensure!(format!("{refused:#}").contains("webhook.cert-manager.io"));

    for round in ["first", "second"] {
        let said = helm
            .run(&[
                "upgrade",
                RELEASE,
                CERTWRIGHT,
                "--reset-then-reuse-values",
                "--set=fullnameOverride=cert-manager",
            ])
            .await?;
        ensure!(
            said.contains("webhook: validation and approval are done by"),
            "{said}"
        );
        ensure!(
            names::<Deployment>(client).await? == ["cert-manager-certwright"],
            "{round}"
        );
        ensure!(names::<ValidatingWebhookConfiguration>(client).await? == [""; 0]);
        ensure!(names::<MutatingWebhookConfiguration>(client).await? == [""; 0]);
        ensure!(!names::<ValidatingAdmissionPolicy>(client).await?.is_empty());
        ensure!(uid(&own, "before").await? == before, "{round}");
        certificate(&own, round, "24h").await?;
        // Only the schema of certwright knows.
        let invalid = certificate(&own, "invalid", "5m").await.unwrap_err();
        ensure!(
            format!("{invalid:#}").contains("duration"),
            "{round}: {invalid:#}"
        );

        helm.run(&["rollback", RELEASE, "2"]).await?;
        ensure!(
            names::<Deployment>(client).await?
                == [
                    "cert-manager",
                    "cert-manager-cainjector",
                    "cert-manager-webhook"
                ],
            "{round}"
        );
        ensure!(names::<ValidatingWebhookConfiguration>(client).await?.len() == 1);
        ensure!(names::<ValidatingAdmissionPolicy>(client).await? == [""; 0]);
        let roles = names::<ClusterRole>(client).await?;
        ensure!(roles.contains(&"cert-manager-controller-orders".to_owned()));
        ensure!(!roles.iter().any(|name| name.contains("certwright")));
        ensure!(uid(&own, "before").await? == before, "{round}");
    }
    Ok(())
}

/// What would go wrong half way is refused before anything has changed.
pub(crate) async fn a_switch_that_would_fail_is_not_begun(bed: &Bed) -> Result<()> {
    let own = own_bed(bed).await?;
    let helm = Helm::new(&own).await?;
    helm.run(&[
        "install",
        RELEASE,
        CERT_MANAGER,
        "--create-namespace",
        "--set=crds.enabled=true,webhook.registered=false",
    ])
    .await?;
    let before = certificate(&own, "before", "24h").await?;
    for (argument, expected) in [
        ("--reuse-values", "Use --reset-then-reuse-values"),
        (
            "--set=crds.enabled=false",
            "the CustomResourceDefinitions belong to this release",
        ),
        (
            "--set=image.repository=quay.io/jetstack/cert-manager-controller",
            "is an image of cert-manager",
        ),
    ] {
        let error = helm
            .run(&["upgrade", RELEASE, CERTWRIGHT, argument])
            .await
            .unwrap_err();
        ensure!(format!("{error:#}").contains(expected), "{error:#}");
        ensure!(names::<Deployment>(own.client()).await?.len() == 3);
    }

    // Uninstalled, it leaves the definitions and so the Certificates.
    helm.run(&["upgrade", RELEASE, CERTWRIGHT, "--reset-then-reuse-values"])
        .await?;
    helm.run(&["uninstall", RELEASE]).await?;
    ensure!(names::<Deployment>(own.client()).await? == [""; 0]);
    ensure!(names::<CustomResourceDefinition>(own.client()).await?.len() == 7);
    ensure!(uid(&own, "before").await? == before);
    // Another release takes them over when told to.
    let install = ["install", "other", CERTWRIGHT, "--set=crds.enabled=true"];
    let error = helm.run(&install).await.unwrap_err();
    ensure!(format!("{error:#}").contains("cannot be imported"));
    helm.run(&[&install[..], &["--take-ownership"]].concat())
        .await?;
    ensure!(uid(&own, "before").await? == before);
    Ok(())
}

/// `deploy/certwright.yaml` applies as it is, and its pod is let into a restricted namespace.
pub(crate) async fn the_plain_manifest_applies(bed: &Bed) -> Result<()> {
    let own = own_bed(bed).await?;
    let path = own.home().workspace().join("deploy/certwright.yaml");
    let text = tokio::fs::read_to_string(&path).await?;
    own.apply_all(&documents(&text)?).await?;
    let deployments: Api<Deployment> = Api::namespaced(own.client().clone(), "certwright");
    let deployment = deployments.get("certwright").await?;
    let template = deployment.spec.context("no spec")?.template;
    // As the controllers of Kubernetes would make it; nothing here runs pods.
    let pod = Pod {
        metadata: kube::core::ObjectMeta {
            name: Some("certwright".to_owned()),
            ..template.metadata.unwrap_or_default()
        },
        spec: template.spec,
        status: None,
    };
    let pods: Api<Pod> = Api::namespaced(own.client().clone(), "certwright");
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    pods.create(&dry_run, &pod).await?;

    // The namespace does refuse what is not restricted.
    let mut lax = pod;
    for container in lax.spec.iter_mut().flat_map(|spec| &mut spec.containers) {
        container.security_context = None;
    }
    let error = pods.create(&dry_run, &lax).await.unwrap_err();
    ensure!(error.to_string().contains("restricted"), "{error}");
    Ok(())
}

/// The API server's own view of who may do what.
pub(crate) async fn rights_are_what_they_should_be(bed: &Bed) -> Result<()> {
    bed.install_chart(&json!({ "crds": { "enabled": true } }))
        .await?;
    let namespace = bed.namespace("rights").await?;
    let space = namespace.name();
    for role in ["view", "edit"] {
        namespace.apply_all(&[json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": { "name": role },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": role }],
        })]).await?;
    }
    let operator = "system:serviceaccount:certwright:certwright";
    let (plain, acme) = ("cert-manager.io", "acme.cert-manager.io");
    for (user, verb, group, resource, expected) in [
        ("edit", "create", plain, "certificates", true),
        ("edit", "create", plain, "issuers", true),
        ("edit", "create", plain, "clusterissuers", false),
        ("edit", "create", acme, "orders", false),
        ("edit", "create", acme, "challenges", false),
        ("edit", "delete", acme, "challenges", true),
        ("edit", "patch", acme, "challenges", true),
        ("edit", "approve", plain, "signers", false),
        ("view", "get", plain, "certificates", true),
        ("view", "list", acme, "challenges", true),
        ("view", "patch", plain, "certificates", false),
        (operator, "create", acme, "challenges", true),
        (operator, "patch", plain, "certificates/status", true),
        (operator, "patch", plain, "certificates", false),
        (operator, "delete", plain, "certificates", false),
        (operator, "delete", "", "secrets", true),
        (operator, "get", "", "pods", false),
        (operator, "create", "", "serviceaccounts/token", false),
        // Lists of revoked certificates are in ConfigMaps beside their issuers.
        (operator, "create", "", "configmaps", true),
        (operator, "update", "", "configmaps", false),
        (operator, "get", "coordination.k8s.io", "leases", false),
        (operator, "list", "", "services", false),
        (
            operator,
            "list",
            "discovery.k8s.io",
            "endpointslices",
            false,
        ),
    ] {
        // The controller manager adds our roles to the built-in ones some time later.
        until(
            &format!("{user} may {verb} {resource}.{group}: {expected}"),
            Duration::from_secs(20),
            async || {
                let allowed = may(bed.client(), user, verb, group, resource, space).await?;
                ensure!(allowed == expected, "it is {allowed}");
                Ok(())
            },
        )
        .await?;
    }
    Ok(())
}

/// The operator, started just as its Deployment starts it, is refused nothing that it asks for.
pub(crate) async fn the_operator_is_refused_nothing(bed: &Bed) -> Result<()> {
    let operator = bed
        .operator(&OperatorOptions {
            name: "rights".to_owned(),
            // The Service of the chart, as in a cluster; and every list in the log.
            args: vec![
                "--acme-http01-solver-addresses=".to_owned(),
                "--v=4".to_owned(),
                EXPERIMENTS.to_owned(),
            ],
            ..OperatorOptions::default()
        })
        .await?;
    // Nothing waits for the list of CertificateSigningRequests.
    until("it leads", Duration::from_secs(30), async || {
        let log = operator.log();
        let listed = log.contains("kind=\"CertificateSigningRequest\"");
        ensure!(log.contains("leading") && listed, "{log}");
        Ok(())
    })
    .await?;
    let log = operator.log();
    ensure!(log.contains("kind=\"EndpointSlice\""), "{log}");
    // Other refusals are of objects that earlier stories left, in namespaces that are being deleted.
    ensure!(!log.contains("is forbidden: User "), "{log}");
    ensure!(!log.contains("cannot look for webhooks"), "{log}");
    ensure!(operator.stop().await?.success());
    Ok(())
}

async fn may(
    client: &Client,
    user: &str,
    verb: &str,
    group: &str,
    resource: &str,
    namespace: &str,
) -> Result<bool> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review: SubjectAccessReview = serde_json::from_value(json!({
        "metadata": {},
        "spec": {
            "user": user,
            "groups": ["system:authenticated", "system:serviceaccounts"],
            "resourceAttributes": {
                "verb": verb,
                "group": group,
                "resource": resource,
                "subresource": subresource,
                "namespace": namespace,
            },
        },
    }))?;
    let answer = Api::all(client.clone())
        .create(&PostParams::default(), &review)
        .await?;
    Ok(answer.status.context("the review has no status")?.allowed)
}

/// A second test bed, with nothing in it.
async fn own_bed(bed: &Bed) -> Result<Bed> {
    Bed::start(BedOptions {
        home: bed.home().clone(),
        progress: Progress::quiet(),
        binary: None,
        audit: false,
    })
    .await
}

/// helm against one cluster, in [`NAMESPACE`].
struct Helm<'a> {
    bed: &'a Bed,
    tools: Tools,
}

impl<'a> Helm<'a> {
    async fn new(bed: &'a Bed) -> Result<Self> {
        let tools = Tools::ready(bed.home(), Progress::quiet()).await?;
        Ok(Self { bed, tools })
    }

    /// What it printed; an error if it failed.
    async fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(self.tools.path(Tool::Helm))
            .args(arguments)
            .args(["--namespace", NAMESPACE])
            .env("KUBECONFIG", self.bed.kubeconfig())
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .kill_on_drop(true)
            .output()
            .await
            .context("running helm")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "helm {}: {said}",
            arguments.join(" ")
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Creates a Certificate and gives its uid.
async fn certificate(bed: &Bed, name: &str, duration: &str) -> Result<String> {
    bed.apply_all(&[json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "secretName": name,
            "duration": duration,
            "renewBefore": "5m",
            "dnsNames": ["www.example.com"],
            "issuerRef": { "name": "ca" },
        },
    })])
    .await?;
    uid(bed, name).await
}

async fn uid(bed: &Bed, name: &str) -> Result<String> {
    let request = http::Request::get(format!(
        "/apis/cert-manager.io/v1/namespaces/default/certificates/{name}"
    ))
    .body(Vec::new())?;
    let found: Value = bed.client().request(request).await?;
    let uid = found["metadata"]["uid"].as_str().context("no uid")?;
    Ok(uid.to_owned())
}

/// The names of all objects of a kind, without those of Kubernetes itself.
async fn names<K>(client: &Client) -> Result<Vec<String>>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    let found = api.list(&ListParams::default()).await?.items;
    Ok(found
        .iter()
        .map(ResourceExt::name_any)
        .filter(|name| !name.contains("k8s.io"))
        .collect())
}
