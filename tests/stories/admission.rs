//! What does the API server take and refuse, with our definitions and policies in force?
//!
//! The tables in `admission/` say it, object by object, each with what the answer must say.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use certwright::api::{order::Order, request::CertificateRequest};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::{GroupVersionKind, TypeMeta},
};
use serde::Deserialize;
use serde_json::{Value, json};
use testbed::{Bed, chart::Release, namespace::Namespace, process::wait::until};

/// How long the API server may take to go by new policies.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Objects of one kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    base: Value,
    cases: Vec<Case>,
}

/// One object on its way: created, given a status, changed. The last step is the one in question.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    that: String,
    /// Merged into the base; null takes out.
    with: Value,
    user: Option<User>,
    status: Option<Value>,
    status_user: Option<User>,
    then: Option<Value>,
    then_user: Option<User>,
    then_status: Option<Value>,
    then_status_user: Option<User>,
    /// What the answer to the last step says; accepted when absent.
    refused: Option<String>,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum User {
    /// May do everything, but is not the operator.
    Admin,
    /// The operator.
    Operator,
    /// May do everything with our kinds, but approve nothing.
    Tenant,
    /// As a tenant, and may approve requests to Issuer `ca`.
    Approver,
}

type Users = BTreeMap<User, Client>;

/// Certificates that are accepted and refused.
pub(crate) async fn certificates(bed: &Bed) -> Result<()> {
    hold(bed, include_str!("admission/certificate.yaml"), User::Admin).await
}

/// Issuers and ClusterIssuers that are accepted and refused.
pub(crate) async fn issuers(bed: &Bed) -> Result<()> {
    let table = include_str!("admission/issuer.yaml");
    hold(bed, table, User::Admin).await?;
    let (before, after) = table
        .split_once("kind: Issuer")
        .context("no kind in the table")?;
    hold(
        bed,
        &format!("{before}kind: ClusterIssuer{after}"),
        User::Admin,
    )
    .await
}

/// CertificateRequests that are accepted and refused, and who may approve them.
pub(crate) async fn requests(bed: &Bed) -> Result<()> {
    hold(bed, include_str!("admission/request.yaml"), User::Admin).await
}

/// Orders that are accepted and refused, and who may make them.
pub(crate) async fn orders(bed: &Bed) -> Result<()> {
    hold(bed, include_str!("admission/order.yaml"), User::Operator).await
}

/// Challenges that are accepted and refused, and who may make them.
pub(crate) async fn challenges(bed: &Bed) -> Result<()> {
    hold(
        bed,
        include_str!("admission/challenge.yaml"),
        User::Operator,
    )
    .await
}

/// A Certificate with thousands of names of every kind is within the budget of the rules.
pub(crate) async fn many_names(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("admission").await?;
    let users = users(bed, &namespace).await?;
    let place = Place {
        users,
        usual: User::Admin,
        namespace: namespace.name().to_owned(),
    };
    let many = |name: fn(usize) -> String| (0..10_000).map(name).collect::<Vec<_>>();
    let base = json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": { "generateName": "many-" },
        "spec": { "secretName": "many", "issuerRef": { "name": "ca" } },
    });
    let names = json!({ "spec": {
        "dnsNames": many(|n| format!("host-{n}.example.com")),
        "ipAddresses": many(|n| format!("2001:db8::{n:x}")),
        "emailAddresses": many(|n| format!("person-{n}@example.com")),
    }});
    let case = Case {
        with: names,
        then: Some(json!({ "spec": { "secretName": "other" } })),
        ..Case::default()
    };
    match place.follow(&base, &case).await {
        Ok(()) => Ok(()),
        Err(Refusal::OnTheWay(said) | Refusal::InQuestion(said)) => bail!("refused: {said:.400}"),
    }
}

/// Tries every case of a table, and tells all that went otherwise.
async fn hold(bed: &Bed, table: &str, usual: User) -> Result<()> {
    let Table { base, cases } = serde_saphyr::from_str(table).context("reading the table")?;
    ensure!(
        cases.iter().any(|case| case.refused.is_none()),
        "a table that accepts nothing"
    );
    let namespace = bed.namespace("admission").await?;
    let users = users(bed, &namespace).await?;
    let place = Place {
        users,
        usual,
        namespace: namespace.name().to_owned(),
    };
    let mut otherwise = vec![];
    for case in &cases {
        let answer = place.follow(&base, case).await;
        let told = match (&case.refused, answer) {
            (None, Ok(())) => continue,
            (Some(want), Err(Refusal::InQuestion(said))) if said.contains(want) => continue,
            (Some(want), Ok(())) => format!("accepted, instead of refused with {want:?}"),
            (_, Err(Refusal::InQuestion(said))) => format!("refused: {said}"),
            (_, Err(Refusal::OnTheWay(said))) => format!("refused on the way there: {said}"),
        };
        otherwise.push(format!("{}: {told}", case.that));
    }
    ensure!(
        otherwise.is_empty(),
        "{} of {}:\n{}",
        otherwise.len(),
        cases.len(),
        otherwise.join("\n")
    );
    Ok(())
}

/// Where a step was refused, and with which words.
enum Refusal {
    OnTheWay(String),
    InQuestion(String),
}

/// One request to the API server.
enum Step<'a> {
    Create,
    Change(&'a Value),
    ChangeStatus(&'a Value),
}

struct Place {
    users: Users,
    usual: User,
    namespace: String,
}

impl Place {
    async fn follow(&self, base: &Value, case: &Case) -> Result<(), Refusal> {
        let mut object = base.clone();
        merge(&mut object, &case.with);
        let later = [
            (
                case.status.as_ref().map(Step::ChangeStatus),
                case.status_user,
            ),
            (case.then.as_ref().map(Step::Change), case.then_user),
            (
                case.then_status.as_ref().map(Step::ChangeStatus),
                case.then_status_user,
            ),
        ];
        let mut steps = vec![(Step::Create, case.user.unwrap_or(self.usual))];
        steps.extend(later.into_iter().filter_map(|(step, user)| {
            // What is done to a status is done by the operator, unless the table says otherwise.
            let usual = match step.as_ref()? {
                Step::ChangeStatus(_) => User::Operator,
                Step::Create | Step::Change(_) => self.usual,
            };
            Some((step?, user.unwrap_or(usual)))
        }));
        let last = steps.len() - 1;
        let mut name = String::new();
        for (at, (step, user)) in steps.iter().enumerate() {
            match self.take(&object, &name, step, *user).await {
                Ok(made) => name = made,
                Err(said) if at == last => return Err(Refusal::InQuestion(said)),
                Err(said) => return Err(Refusal::OnTheWay(said)),
            }
        }
        Ok(())
    }

    /// Makes one request; returns the name of the object, or what the API server says.
    async fn take(
        &self,
        object: &Value,
        name: &str,
        step: &Step<'_>,
        user: User,
    ) -> Result<String, String> {
        let api = self
            .api(object, user)
            .map_err(|error| format!("{error:#}"))?;
        let params = PatchParams::default();
        let answer = match step {
            Step::Create => {
                let object = serde_json::from_value(object.clone()).map_err(|e| e.to_string())?;
                api.create(&PostParams::default(), &object).await
            }
            Step::Change(change) => api.patch(name, &params, &Patch::Merge(change)).await,
            Step::ChangeStatus(status) => {
                let change = json!({ "status": status });
                api.patch_status(name, &params, &Patch::Merge(change)).await
            }
        };
        match answer {
            Ok(object) => Ok(object.name_any()),
            Err(kube::Error::Api(status)) => Err(status.message.clone()),
            Err(error) => Err(format!("no answer: {error}")),
        }
    }

    fn api(&self, object: &Value, user: User) -> Result<Api<DynamicObject>> {
        let resource = resource(object)?;
        let client = self.users[&user].clone();
        Ok(match object["kind"].as_str() {
            Some("ClusterIssuer") => Api::all_with(client, &resource),
            _ => Api::namespaced_with(client, &self.namespace, &resource),
        })
    }
}

/// JSON merge patch (RFC 7396).
fn merge(target: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in change {
        if value.is_null() {
            target.as_object_mut().map(|object| object.remove(key));
        } else {
            merge(&mut target[key], value);
        }
    }
}

fn resource(object: &Value) -> Result<ApiResource> {
    let types: TypeMeta = serde_json::from_value(object.clone())?;
    let kind = GroupVersionKind::try_from(types)?;
    let plural = format!("{}s", kind.kind.to_lowercase());
    Ok(ApiResource::from_gvk_with_plural(&kind, &plural))
}

/// Installs the chart, and waits until the API server goes by its policies.
pub(crate) async fn chart_in_force<'a>(bed: &'a Bed, namespace: &Namespace) -> Result<&'a Release> {
    let release = bed
        .install_chart(&json!({ "crds": { "enabled": true } }))
        .await?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let requests = namespace.api::<CertificateRequest>();
    let request = serde_json::from_value(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "CertificateRequest",
        "metadata": { "generateName": "in-force-" },
        "spec": { "request": "YQ==", "issuerRef": { "name": "ca" } },
    }))?;
    let orders = namespace.api::<Order>();
    let order = serde_json::from_value(json!({
        "apiVersion": "acme.cert-manager.io/v1",
        "kind": "Order",
        "metadata": { "generateName": "in-force-" },
        "spec": { "request": "YQ==", "issuerRef": { "name": "acme" } },
    }))?;
    until("policies in force", PATIENCE, async || {
        let made = requests.create(&dry, &request).await?;
        ensure!(made.spec.username.is_some(), "no requester is written down");
        ensure!(
            orders.create(&dry, &order).await.is_err(),
            "anybody makes orders"
        );
        Ok(())
    })
    .await?;
    Ok(release)
}

/// Those who ask.
async fn users(bed: &Bed, namespace: &Namespace) -> Result<Users> {
    let release = bed
        .install_chart(&json!({ "crds": { "enabled": true } }))
        .await?;
    let own = namespace.name();
    namespace.apply_all(&people(own)).await?;
    let mut users = Users::from([(User::Admin, bed.client().clone())]);
    for (user, place, account) in [
        (
            User::Operator,
            release.namespace(),
            release.service_account(),
        ),
        (User::Tenant, own, "tenant"),
        (User::Approver, own, "approver"),
    ] {
        let access = bed
            .access()
            .with_service_account(bed.client(), place, account)
            .await?;
        users.insert(user, access.client().await?);
    }
    Ok(users)
}

/// The accounts of a tenant and an approver, with their rights. No right of theirs reaches beyond
/// their namespace.
fn people(namespace: &str) -> Vec<Value> {
    let of_kind = |kind: &str, name: &str, rest: Value| {
        let mut object = json!({ "kind": kind, "metadata": { "name": name } });
        object["apiVersion"] = match kind {
            "ServiceAccount" => json!("v1"),
            _ => json!("rbac.authorization.k8s.io/v1"),
        };
        merge(&mut object, &rest);
        object
    };
    let subject =
        |name: &str| json!({ "kind": "ServiceAccount", "name": name, "namespace": namespace });
    let role = |kind: &str, name: &str| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name });
    let everything = json!({
        "apiGroups": ["cert-manager.io", "acme.cert-manager.io"],
        "resources": [
            "certificates", "certificaterequests", "certificaterequests/status", "issuers",
            "orders", "orders/status", "challenges", "challenges/status",
        ],
        "verbs": ["*"],
    });
    let approval = json!({
        "apiGroups": ["cert-manager.io"],
        "resources": ["signers"],
        "resourceNames": [format!("issuers.cert-manager.io/{namespace}.ca")],
        "verbs": ["approve"],
    });
    let approver = format!("{namespace}-approver");
    vec![
        of_kind("ServiceAccount", "tenant", json!({})),
        of_kind("ServiceAccount", "approver", json!({})),
        of_kind("Role", "everything", json!({ "rules": [everything] })),
        of_kind(
            "RoleBinding",
            "everything",
            json!({
                "roleRef": role("Role", "everything"),
                "subjects": [subject("tenant"), subject("approver")],
            }),
        ),
        // Signers have no namespace, so neither has the right to approve for one.
        of_kind("ClusterRole", &approver, json!({ "rules": [approval] })),
        of_kind(
            "ClusterRoleBinding",
            &approver,
            json!({
                "roleRef": role("ClusterRole", &approver),
                "subjects": [subject("approver")],
            }),
        ),
    ]
}
