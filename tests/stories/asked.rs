//! Who asked for a revocation, and can anybody say it was another?

use anyhow::{Context, Result, bail, ensure};
use certwright::api::{certificate::Certificate, issuance::IssuanceState, names::annotation};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testbed::{Bed, cluster::access::Access, namespace::Namespace, process::wait::until};

use crate::{
    admission::{PATIENCE, chart_in_force},
    scene::Scene,
};

/// The API server writes down who sets the annotation or changes it, whatever anybody claims; the
/// name stays with it, and goes with it.
pub(crate) async fn who_asks_is_written_down(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("asked").await?;
    chart_in_force(bed, &namespace).await?;
    let other = person(bed, &namespace, "joe", "edit")
        .await?
        .client()
        .await?;
    let (jane, joe) = (whoami(bed.client()).await?, whoami(&other).await?);
    ensure!(jane != joe);
    let place = namespace.name();
    let by_jane = Asking::new(bed.client(), place);
    let by_joe = Asking::new(&other, place);
    until("the policies in force", PATIENCE, async || {
        let made = by_jane
            .create(json!({annotation::REVOKE: "superseded"}))
            .await?;
        ensure!(made.by.as_ref() == Some(&jane), "{made:?}");
        Ok(())
    })
    .await?;

    let claimed = json!({annotation::REVOKE: "superseded", annotation::REVOKE_REQUESTED_BY: joe});
    let made = by_jane.create(claimed).await?;
    ensure!(made.by.as_ref() == Some(&jane), "{made:?}");
    let bare = by_jane
        .create(json!({annotation::REVOKE_REQUESTED_BY: joe}))
        .await?;
    ensure!(bare.by.is_none(), "{bare:?}");

    // What is done by whom to the first, and whose name stands there then.
    let name = &made.name;
    let steps: [(&Asking, Value, Option<&String>); 9] = [
        (
            &by_joe,
            json!({annotation::REVOKE_REQUESTED_BY: joe}),
            Some(&jane),
        ),
        (
            &by_joe,
            json!({annotation::REVOKE_REQUESTED_BY: null}),
            Some(&jane),
        ),
        (&by_joe, json!({"note": "changed"}), Some(&jane)),
        (
            &by_joe,
            json!({annotation::REVOKE: "superseded"}),
            Some(&jane),
        ),
        (
            &by_joe,
            json!({annotation::REVOKE: "unspecified"}),
            Some(&joe),
        ),
        (
            &by_jane,
            json!({annotation::REVOKE: "superseded", annotation::REVOKE_REQUESTED_BY: joe}),
            Some(&jane),
        ),
        (&by_joe, json!({annotation::REVOKE: null}), None),
        (
            &by_joe,
            json!({annotation::REVOKE_REQUESTED_BY: jane}),
            None,
        ),
        (
            &by_joe,
            json!({annotation::REVOKE: "superseded"}),
            Some(&joe),
        ),
    ];
    for (who, annotations, want) in steps {
        let changed = who.change(name, &annotations).await?;
        ensure!(changed.by.as_ref() == want, "{annotations}: {changed:?}");
    }
    Ok(())
}

/// What stands in the record is the user, and where no policy says so, the field manager.
pub(crate) async fn who_asked_stands_in_the_record(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "asker").await?;
    chart_in_force(bed, &scene.site.namespace).await?;
    let jane = whoami(bed.client()).await?;
    let table = [
        (
            "true",
            format!("user {jane} (annotation certwright.io/revoke"),
        ),
        (
            "false",
            "field manager pencil (annotation certwright.io/revoke".to_owned(),
        ),
    ];
    for (is_trusted, want) in table {
        let flag = format!("--trust-revoke-requested-by={is_trusted}");
        let operator = scene.operator(&[&flag]).await?;
        let name = format!("www-{is_trusted}");
        let serial = scene.issued(&name).await?.leaf.serial;
        let params = PatchParams {
            field_manager: Some("pencil".to_owned()),
            ..PatchParams::default()
        };
        let patch = json!({"metadata": {"annotations": {annotation::REVOKE: "superseded"}}});
        let certificates: Api<Certificate> = scene.site.api();
        certificates
            .patch(&name, &params, &Patch::Merge(patch))
            .await?;
        let done = scene
            .becomes(&serial, IssuanceState::Revoked, &operator)
            .await?;
        let revocation = done.status.and_then(|status| status.revocation);
        let by = revocation.context("no revocation")?.by;
        ensure!(by.starts_with(&want), "{by} is not {want}");
        let note = format!("certificate {serial} is revoked for superseded, as {want}");
        scene.told("Revoked", &note).await?;
        let log = operator.log();
        ensure!(
            log.lines().any(|line| line.contains(&serial)
                && line.contains("asked_by")
                && line.contains(&want)),
            "{log}"
        );
        ensure!(operator.stop().await?.success());
    }
    Ok(())
}

/// Where the API server cannot write the name, nobody claims another than their own.
pub(crate) async fn nobody_names_another(namespace: &Namespace) -> Result<()> {
    let client = namespace.api::<Certificate>().into_client();
    let asking = Asking::new(&client, namespace.name());
    let own = whoami(&client).await?;
    until(
        "policies of an old API server in force",
        PATIENCE,
        async || {
            let made = asking
                .create(json!({annotation::REVOKE: "superseded"}))
                .await?;
            ensure!(made.by.is_none(), "it is still written down: {made:?}");
            let claim = json!({annotation::REVOKE_REQUESTED_BY: "somebody else"});
            ensure!(asking.create(claim).await.is_err(), "not yet");
            Ok(())
        },
    )
    .await?;
    let made = asking
        .create(json!({annotation::REVOKE: "superseded", annotation::REVOKE_REQUESTED_BY: own}))
        .await?;
    ensure!(made.by.as_ref() == Some(&own), "{made:?}");
    for claim in [
        json!({annotation::REVOKE_REQUESTED_BY: "somebody else"}),
        json!({annotation::REVOKE: "unspecified", annotation::REVOKE_REQUESTED_BY: "somebody else"}),
    ] {
        let refusal = match asking.change(&made.name, &claim).await {
            Ok(changed) => bail!("{claim} was accepted: {changed:?}"),
            Err(error) => format!("{error:#}"),
        };
        ensure!(refusal.contains("must be who sets"), "{claim}: {refusal}");
    }
    let left_out = json!({annotation::REVOKE_REQUESTED_BY: null});
    ensure!(asking.change(&made.name, &left_out).await?.by.is_none());
    Ok(())
}

/// Somebody with that ClusterRole in the namespace.
pub(crate) async fn person(
    bed: &Bed,
    namespace: &Namespace,
    name: &str,
    role: &str,
) -> Result<Access> {
    let rbac = "rbac.authorization.k8s.io";
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    let binding = json!({
        "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace.name()}],
    });
    namespace.apply_all(&[account, binding]).await?;
    bed.access()
        .with_service_account(bed.client(), namespace.name(), name)
        .await
}

/// Somebody who writes Certificates.
struct Asking(Api<Certificate>);

/// What came of it.
#[derive(Debug)]
struct Asked {
    name: String,
    by: Option<String>,
}

impl Asking {
    fn new(client: &Client, namespace: &str) -> Self {
        Self(Api::namespaced(client.clone(), namespace))
    }

    async fn create(&self, annotations: Value) -> Result<Asked> {
        let certificate = serde_json::from_value(json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": {"generateName": "c-", "annotations": annotations},
            "spec": {
                "secretName": "nobodys", "dnsNames": ["www.example.com"],
                "issuerRef": {"name": "nobody"},
            },
        }))?;
        let made = self.0.create(&PostParams::default(), &certificate).await?;
        Ok(Self::found(&made))
    }

    async fn change(&self, name: &str, annotations: &Value) -> Result<Asked> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        let changed = self.0.patch(name, &PatchParams::default(), &patch).await?;
        Ok(Self::found(&changed))
    }

    fn found(certificate: &Certificate) -> Asked {
        let annotations = certificate.annotations();
        Asked {
            name: certificate.name_any(),
            by: annotations.get(annotation::REVOKE_REQUESTED_BY).cloned(),
        }
    }
}

async fn whoami(client: &Client) -> Result<String> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await?;
    let user = review.status.and_then(|status| status.user_info);
    user.and_then(|user| user.username).context("nobody")
}
