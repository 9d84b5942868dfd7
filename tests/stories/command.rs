//! Does `certwright revoke` do what it says, and say what it cannot do?

use std::process::Output;

use anyhow::{Result, ensure};
use certwright::api::{issuance::IssuanceState, names::annotation};
use serde_json::json;
use testbed::Bed;
use tokio::process::Command;

use crate::{
    admission::chart_in_force, asked::person, private_ca::issuer, scene::Scene, site::SOON,
};

/// One who may see everything asks, waits, and asks again; what cannot be is said, and why.
pub(crate) async fn who_runs_the_cluster_asks(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "command").await?;
    let operator = scene.operator(&[]).await?;
    let first = scene.issued("www").await?.leaf.serial;
    let admin = Person::new(bed, bed.kubeconfig().display().to_string());
    let place = scene.site.namespace.name();
    let here = |line: &str| format!("--namespace={place} {line}");

    let said = admin.can(&here("www --wait")).await?;
    ensure!(
        said.starts_with(&format!("certificate {first} for {}", scene.host("www")))
            && said.contains("is replaced in Secret")
            && said.contains(&format!(
                "{}=superseded,serial={first}\n",
                annotation::REVOKE
            ))
            && said.contains("\nit is revoked since"),
        "{said}"
    );
    ensure!(scene.at_ca(&first).await? == "4");

    // The annotation stands, and the same is asked for again.
    let second = scene
        .site
        .issued_as("www", 2, &[&scene.host("www")])
        .await?;
    let second = second.leaf.serial;
    let said = admin.can(&here("www")).await?;
    ensure!(
        said.contains("What comes of it: kubectl -n certwright get issuance www-"),
        "{said}"
    );
    let done = scene
        .becomes(&second, IssuanceState::Revoked, &operator)
        .await?;
    let by = done
        .status
        .and_then(|status| status.revocation)
        .map(|done| done.by);
    ensure!(by.is_some_and(|by| by.contains(annotation::REVOKE)));
    scene
        .site
        .issued_as("www", 3, &[&scene.host("www")])
        .await?;

    let said = admin.can(&here(&format!("www --serial={first}"))).await?;
    ensure!(said.contains("is revoked since"), "{said}");
    let itself = issuer("Issuer", "itself", json!({"selfSigned": {}}));
    scene.site.namespace.apply_all(&[itself]).await?;
    let spec = json!({"issuerRef": {"name": "itself"}, "dnsNames": ["own.example"]});
    scene.site.ask_for("own", spec).await?;
    scene.site.namespace.ready("own", SOON).await?;
    let table = [
        ("nobody", format!("there is no Certificate {place}/nobody")),
        (
            "www --serial=f00",
            format!("no certificate f00 was issued for Certificate {place}/www"),
        ),
        (
            "own",
            "it signs itself: nobody would learn of a revocation".to_owned(),
        ),
        ("www --kubeconfig=/nowhere", "/nowhere".to_owned()),
        ("www --context=nowhere", "nowhere".to_owned()),
    ];
    for (line, want) in &table {
        admin.cannot(&here(line), want).await?;
    }

    // Nobody is there to do it, until somebody is.
    ensure!(operator.stop().await?.success());
    let late = "www --reason=keyCompromise --wait=1s";
    admin
        .cannot(&here(late), "not revoked within 1s; nothing was heard")
        .await?;
    let operator = scene.operator(&[]).await?;
    let said = admin
        .can(&here("www --reason=keyCompromise --wait"))
        .await?;
    ensure!(
        said.contains("is revoked since") && said.contains("for keyCompromise, as user admin"),
        "{said}"
    );

    // Its Certificate is gone: nothing is left to annotate.
    scene
        .site
        .issued_as("www", 4, &[&scene.host("www")])
        .await?;
    scene.delete("www").await?;
    admin
        .cannot(&here("www"), "it is gone; what becomes")
        .await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// One who may only write Certificates in a namespace asks, and hears of it by events; one who may not
/// is told which right that takes.
pub(crate) async fn a_tenant_asks(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "tenant").await?;
    chart_in_force(bed, &scene.site.namespace).await?;
    let operator = scene.operator(&[]).await?;
    let serial = scene.issued("www").await?.leaf.serial;
    let namespace = &scene.site.namespace;
    let mut people = Vec::new();
    for role in ["view", "edit"] {
        let access = person(bed, namespace, role, role).await?;
        let file = bed
            .logs()
            .join(format!("{}-{role}.kubeconfig", namespace.name()));
        std::fs::write(&file, access.text()?)?;
        people.push(Person::new(bed, file.display().to_string()));
    }
    let line = format!("-n {} www --wait", namespace.name());
    people[0]
        .cannot(&line, "cannot patch resource \"certificates\"")
        .await?;
    ensure!(scene.at_ca(&serial).await? == "Valid");
    let said = people[1].can(&line).await?;
    ensure!(
        said.starts_with(&format!("certificate {serial} is replaced"))
            && said.contains(&format!(
                "\ncertificate {serial} is revoked for superseded, as user "
            )),
        "{said}"
    );
    ensure!(scene.at_ca(&serial).await? == "4");
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// Somebody with a kubeconfig.
struct Person<'a> {
    bed: &'a Bed,
    kubeconfig: String,
}

impl<'a> Person<'a> {
    fn new(bed: &'a Bed, kubeconfig: String) -> Self {
        Self { bed, kubeconfig }
    }

    async fn types(&self, line: &str) -> Result<Output> {
        let mut command = Command::new(self.bed.binary().await?);
        command.arg("revoke").args(line.split(' '));
        // What is typed comes before what the environment says.
        command.env("KUBECONFIG", &self.kubeconfig);
        Ok(command.output().await?)
    }

    async fn can(&self, line: &str) -> Result<String> {
        let output = self.types(line).await?;
        let said = String::from_utf8(output.stdout)?;
        let why = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{line}: {said}{why}");
        Ok(said)
    }

    async fn cannot(&self, line: &str, want: &str) -> Result<()> {
        let output = self.types(line).await?;
        let why = String::from_utf8(output.stderr.clone())?;
        ensure!(output.status.code() == Some(1), "{line}: {output:?}");
        ensure!(
            why.starts_with("certwright: ") && why.contains(want),
            "{line}: {why}"
        );
        Ok(())
    }
}
