//! Who asked for a certificate, and can anybody say it was another?

use anyhow::{Context, Result, ensure};
use certwright::api::request::CertificateRequest;
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, UserInfo};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    apply::documents,
    chart::Release,
    namespace::Namespace,
    operator::OperatorOptions,
    process::wait::until,
    progress::Progress,
    tools::{Tool, Tools},
};
use tokio::process::Command;

use crate::{
    admission::{PATIENCE, chart_in_force},
    asked,
    work::{SOON, certificate},
};

/// Who asks.
const ACCOUNT: &str = "asker";

/// The API server writes the requester into a request, whatever the requester claims.
pub(crate) async fn the_requester_is_written_down(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("identity").await?;
    chart_in_force(bed, &namespace).await?;
    let requester = Requester::new(bed, &namespace).await?;
    for claim in [
        json!({}),
        json!({ "username": "admin", "uid": "1", "groups": ["system:masters"], "extra": { "a": ["b"] } }),
        json!({ "username": "", "groups": [], "extra": {} }),
    ] {
        let made = requester.claim(&claim).await?;
        requester
            .is_in(&made)
            .with_context(|| format!("claimed {claim}"))?;
    }
    Ok(())
}

/// The operator says of its own requests that they are its own: no policy does.
pub(crate) async fn the_operator_says_who_it_is(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("identity").await?;
    chart_in_force(bed, &namespace).await?;
    let issuer = json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
        "metadata": { "name": "ca" }, "spec": { "selfSigned": {} },
    });
    let operator = bed.operator(&OperatorOptions::default()).await?;
    let wanted = certificate("www", &["www.example".to_owned()]);
    namespace.apply_all(&[issuer, wanted]).await?;
    namespace.ready("www", SOON).await?;
    operator.stop().await?;
    let requests = namespace.api::<CertificateRequest>();
    let client = bed.operator_access().await?.client().await?;
    is_named(&requests.get("www-1").await?, &bed.operator_user()?)?;
    let own = who_is(&client).await?;
    let made = requests.get("www-1").await?.spec;
    ensure!(
        (&made.uid, &made.groups) == (&own.uid, &own.groups),
        "{:?} {:?}",
        made.uid,
        made.groups
    );
    Ok(())
}

/// An API server that cannot do so refuses every identity but the requester's own, and none.
pub(crate) async fn where_it_cannot_be_nothing_else_is_claimed(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("identity").await?;
    let release = chart_in_force(bed, &namespace).await?;
    let requester = Requester::new(bed, &namespace).await?;
    let before_1_36 = rendered(bed, release, "1.35.0").await?;
    ensure!(
        before_1_36.iter().all(|object| !is_mutating(object)),
        "the chart asks an old API server for what it cannot do"
    );
    for object in release
        .objects()
        .iter()
        .filter(|object| is_mutating(object))
    {
        delete(bed.client(), object).await?;
    }
    let outcome = async {
        bed.apply_all(&before_1_36).await?;
        requester.claims_its_own_or_nothing().await?;
        asked::nobody_names_another(&namespace).await
    };
    let outcome = outcome.await;
    bed.apply_all(&policies(release.objects())).await?;
    chart_in_force(bed, &namespace).await?;
    outcome
}

/// Somebody who asks for certificates.
struct Requester {
    name: String,
    client: Client,
    requests: Api<CertificateRequest>,
}

impl Requester {
    /// An account of that namespace, with no other right.
    async fn new(bed: &Bed, namespace: &Namespace) -> Result<Self> {
        let place = namespace.name();
        let named = |kind: &str, rest: Value| {
            let mut object = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
                "metadata": { "name": ACCOUNT },
            });
            if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
                object.extend(rest);
            }
            object
        };
        let right = json!({
            "apiGroups": ["cert-manager.io"], "resources": ["certificaterequests"], "verbs": ["create"],
        });
        let role =
            json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT });
        let subject = json!({ "kind": "ServiceAccount", "name": ACCOUNT, "namespace": place });
        namespace
            .apply_all(&[
                named("ServiceAccount", json!({ "apiVersion": "v1" })),
                named("Role", json!({ "rules": [right] })),
                named(
                    "RoleBinding",
                    json!({ "roleRef": role, "subjects": [subject] }),
                ),
            ])
            .await?;
        let access = bed
            .access()
            .with_service_account(bed.client(), place, ACCOUNT)
            .await?;
        let client = access.client().await?;
        let requests = Api::namespaced(client.clone(), place);
        Ok(Self {
            name: format!("system:serviceaccount:{place}:{ACCOUNT}"),
            client,
            requests,
        })
    }

    async fn claim(&self, claim: &Value) -> Result<CertificateRequest> {
        let mut spec =
            json!({ "request": "YQ==", "issuerRef": { "name": "ca", "group": "example.com" } });
        let claimed = claim.as_object().context("a claim is a map")?.clone();
        spec.as_object_mut()
            .context("spec is a map")?
            .extend(claimed);
        let request = json!({
            "apiVersion": "cert-manager.io/v1",
            "kind": "CertificateRequest",
            "metadata": { "generateName": "r-" },
            "spec": spec,
        });
        Ok(self
            .requests
            .create(&PostParams::default(), &serde_json::from_value(request)?)
            .await?)
    }

    /// Whether the request says that it is ours, and nothing else.
    fn is_in(&self, request: &CertificateRequest) -> Result<()> {
        is_named(request, &self.name)
    }

    async fn claims_its_own_or_nothing(&self) -> Result<()> {
        until(
            "policies of an old API server in force",
            PATIENCE,
            async || {
                let made = self.claim(&json!({})).await?;
                ensure!(
                    made.spec.username.is_none(),
                    "the requester is still written down"
                );
                Ok(())
            },
        )
        .await?;
        for claim in [
            json!({ "username": "admin" }),
            json!({ "username": self.name, "groups": ["system:masters"] }),
            json!({ "groups": ["system:masters"] }),
            json!({ "uid": "1" }),
            json!({ "extra": { "a": ["b"] } }),
        ] {
            let refusal = match self.claim(&claim).await {
                Ok(_) => anyhow::bail!("{claim} was accepted"),
                Err(error) => format!("{error:#}"),
            };
            ensure!(
                refusal.contains("identity must be that of the requester"),
                "{claim}: {refusal}"
            );
        }
        self.claim(&json!({ "username": "", "groups": [], "extra": {} }))
            .await?;
        let own = who_is(&self.client).await?;
        let made = self.claim(&serde_json::to_value(own)?).await?;
        self.is_in(&made)
    }
}

/// Whether the request says that `name` made it, and nothing else.
fn is_named(request: &CertificateRequest, name: &str) -> Result<()> {
    let spec = &request.spec;
    let groups = spec.groups.as_deref().unwrap_or_default();
    let has = |group: &str| groups.iter().any(|g| g == group);
    ensure!(
        spec.username.as_deref() == Some(name),
        "username {:?}",
        spec.username
    );
    ensure!(
        spec.uid.as_ref().is_some_and(|uid| uid.len() == 36),
        "uid {:?}",
        spec.uid
    );
    ensure!(
        has("system:serviceaccounts") && !has("system:masters"),
        "groups {groups:?}"
    );
    ensure!(
        !spec.extra.clone().unwrap_or_default().contains_key("a"),
        "extra {:?}",
        spec.extra
    );
    Ok(())
}

async fn who_is(client: &Client) -> Result<UserInfo> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await?;
    let user = review.status.and_then(|status| status.user_info);
    user.context("nobody")
}

/// The policies of the chart, as for an API server of that version.
async fn rendered(bed: &Bed, release: &Release, version: &str) -> Result<Vec<Value>> {
    let tools = Tools::ready(bed.home(), Progress::quiet()).await?;
    let output = Command::new(tools.path(Tool::Helm))
        .args(["template", release.name(), "charts/certwright"])
        .args([
            "--namespace",
            release.namespace(),
            "--kube-version",
            version,
        ])
        .current_dir(bed.home().workspace())
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "helm template: {said}");
    Ok(policies(&documents(&String::from_utf8_lossy(
        &output.stdout,
    ))?))
}

fn policies(objects: &[Value]) -> Vec<Value> {
    let is_policy = |object: &&Value| {
        object["apiVersion"]
            .as_str()
            .is_some_and(|v| v.starts_with("admissionregistration.k8s.io/"))
    };
    objects.iter().filter(is_policy).cloned().collect()
}

fn is_mutating(object: &Value) -> bool {
    object["kind"]
        .as_str()
        .is_some_and(|kind| kind.starts_with("Mutating"))
}

async fn delete(client: &Client, object: &Value) -> Result<()> {
    let kind = object["kind"].as_str().context("an object without kind")?;
    let name = object["metadata"]["name"]
        .as_str()
        .context("an object without name")?;
    let plural = if kind.ends_with("Binding") {
        "mutatingadmissionpolicybindings"
    } else {
        "mutatingadmissionpolicies"
    };
    let gvk = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    api.delete(name, &DeleteParams::default()).await?;
    Ok(())
}
