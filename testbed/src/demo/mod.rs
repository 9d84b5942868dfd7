//! What does someone see who tries certwright for the first time?

mod life;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::{
    Bed, BedOptions,
    acme::{Pebble, PebbleOptions},
    apply::documents,
    follow::{State, certificates, states},
    home::Home,
    namespace::Namespace,
    operator::{self, Operator, OperatorOptions},
    process::tail,
    progress::Progress,
    verify,
};

/// How long the Certificates may take altogether.
const PATIENCE: Duration = Duration::from_secs(120);

/// Issues the certificates of `docs/examples/quickstart.yaml` and checks them. With `keep`, all of
/// it stays until Ctrl-C. An error means that not every certificate is good.
pub async fn run(home: Home, keep: bool) -> Result<()> {
    let progress = Progress::shown();
    progress.step("building the operator");
    let binary = operator::build(&home, false).await?;
    let options = BedOptions {
        home,
        progress,
        binary: Some(binary),
        audit: false,
    };
    let mut bed = Bed::start(options).await?;
    let done = show(&bed, progress, keep).await;
    if done.is_err() {
        bed.keep_folder();
        progress.step(&format!("the logs are in {}", bed.logs().display()));
    }
    done
}

async fn show(bed: &Bed, progress: Progress, keep: bool) -> Result<()> {
    progress.step("starting Pebble, an ACME server");
    // With several profiles Pebble would take any of them.
    let mut behaviour = PebbleOptions::default();
    behaviour.profiles.retain(|name, _| name == "default");
    let pebble = bed.pebble("pebble", &behaviour).await?;
    // An hour, if nobody says otherwise: too long to look at.
    let values = json!({
        "crds": { "enabled": true },
        "defaults": { "deletionPolicy": "Revoke", "deletionDelay": "5s" },
    });
    bed.install_chart(&values).await?;
    let binary = bed.binary().await?;
    progress.step(&format!(
        "starting the operator, {}",
        shortened(bed, binary)
    ));
    let mut operator = bed.operator(&OperatorOptions::default()).await?;

    let namespace = bed.namespace("demo").await?;
    let file = bed.home().workspace().join("docs/examples/quickstart.yaml");
    progress.step(&format!(
        "applying {} in namespace {}",
        shortened(bed, &file),
        namespace.name()
    ));
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let objects = at_home(bed, &pebble, documents(&text)?);
    namespace.apply_all(&objects).await?;

    follow(bed, &namespace, &mut operator, &objects, progress).await?;
    check(bed, &namespace, &pebble.roots().await?).await?;
    life::show(bed, &namespace, &pebble, "wildcard", progress).await?;
    if !keep {
        println!("\nTo look around in it: cargo demo --keep");
        return Ok(());
    }
    explain(bed, &namespace);
    tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")
}

/// The example with the test bed's CA and DNS server in the place of public ones.
fn at_home(bed: &Bed, pebble: &Pebble, mut objects: Vec<Value>) -> Vec<Value> {
    let ca = k8s_openapi::ByteString(pebble.tls_root().as_bytes().to_vec());
    let dns01 = bed.dns01("dns-key");
    for object in &mut objects {
        if object["kind"] == "Secret" && object["metadata"]["name"] == "dns-key" {
            object["stringData"] = bed.tsig_secret("dns-key")["stringData"].clone();
        }
        let Some(acme) = object.pointer_mut("/spec/acme") else {
            continue;
        };
        acme["server"] = json!(pebble.directory_url());
        acme["caBundle"] = json!(ca);
        for solver in acme["solvers"].as_array_mut().into_iter().flatten() {
            if let Some(nameserver) = solver.pointer_mut("/dns01/rfc2136/nameserver") {
                *nameserver = dns01["rfc2136"]["nameserver"].clone();
            }
        }
    }
    objects
}

/// Prints a line for each change of a Certificate's Ready condition until all are ready.
async fn follow(
    bed: &Bed,
    namespace: &Namespace,
    operator: &mut Operator,
    objects: &[Value],
    progress: Progress,
) -> Result<()> {
    let names = objects
        .iter()
        .filter(|object| object["kind"] == "Certificate");
    let mut open: BTreeMap<String, Option<State>> = names
        .filter_map(|object| object["metadata"]["name"].as_str())
        .map(|name| (name.to_owned(), None))
        .collect();
    let deadline = Instant::now() + PATIENCE;
    let mut states = states(bed.client(), namespace.name());
    while !open.is_empty() {
        let state = match timeout(Duration::from_secs(1), states.next()).await {
            Ok(Some(state)) => state?,
            Ok(None) => bail!("the watch of Certificates ended"),
            Err(_) if Instant::now() > deadline => bail!("{}", unfinished(&open, operator)),
            Err(_) => match operator.exited()? {
                Some(status) => bail!("the operator ended, {status}:\n{}", tail(&operator.log())),
                None => continue,
            },
        };
        let Some(last) = open.get_mut(&state.name) else {
            continue;
        };
        if last.as_ref() == Some(&state) {
            continue;
        }
        let mark = if state.ready { "✔" } else { "…" };
        let text = match state.message.as_str() {
            "" => "seen, no condition yet",
            message => message,
        };
        progress.step(&format!("{mark} Certificate {}: {text}", state.name));
        match state.ready {
            true => drop(open.remove(&state.name)),
            false => *last = Some(state),
        }
    }
    Ok(())
}

fn unfinished(open: &BTreeMap<String, Option<State>>, operator: &Operator) -> String {
    let mut lines = vec![format!(
        "not every Certificate is ready after {PATIENCE:?}:"
    )];
    lines.extend(open.iter().map(|(name, state)| match state {
        Some(State {
            reason, message, ..
        }) => format!("  {name}: {reason}: {message}"),
        None => format!("  {name}: nobody has looked at it"),
    }));
    lines.push("The operator's last words:".to_owned());
    lines.push(tail(&operator.log()));
    lines.join("\n")
}

/// Prints every issued chain, once it is verified.
async fn check(bed: &Bed, namespace: &Namespace, roots: &[String]) -> Result<()> {
    let secrets: Api<Secret> = namespace.api();
    let listed = certificates(bed.client(), namespace.name())
        .list(&Default::default())
        .await?;
    for certificate in listed {
        let (name, secret) = (certificate.name_any(), &certificate.spec.secret_name);
        let stored = secrets
            .get(secret)
            .await
            .with_context(|| format!("reading {secret}"))?;
        let data = stored.data.unwrap_or_default();
        let chain = verify::secret(&data, roots, &certificate.spec.dns_names)
            .with_context(|| format!("Certificate {name} is ready, but Secret {secret} is bad"))?;
        println!(
            "\nSecret {secret}, for {}:",
            certificate.spec.dns_names.join(", ")
        );
        for link in chain {
            println!("  {}", link.to_string().replace('\n', "\n  "));
        }
        println!("  verified: the key fits, the chain ends in the CA's root");
    }
    Ok(())
}

fn explain(bed: &Bed, namespace: &Namespace) {
    let name = namespace.name();
    println!("\nIt is running until Ctrl-C. In another terminal:");
    println!("  export KUBECONFIG={}", bed.kubeconfig().display());
    println!("  kubectl -n {name} get certificates,certificaterequests,orders,challenges");
    println!("  kubectl -n {name} describe certificate www");
    println!("  kubectl -n {name} delete secret www-tls    # it is issued again");
    println!("  tail -f {}/*.log", bed.logs().display());
}

fn shortened(bed: &Bed, path: &Path) -> String {
    let short = path.strip_prefix(bed.home().workspace()).unwrap_or(path);
    short.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_has_what_the_demo_fills_in() {
        let file = Home::from_env()
            .workspace()
            .join("docs/examples/quickstart.yaml");
        let objects = documents(&fs::read_to_string(file).unwrap()).unwrap();
        let kinds: Vec<_> = objects
            .iter()
            .map(|object| object["kind"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["Issuer", "Secret", "Certificate", "Certificate"]);
        let acme = &objects[0]["spec"]["acme"];
        assert!(acme["server"].is_string());
        assert!(acme["solvers"][1]["dns01"]["rfc2136"]["nameserver"].is_string());
        assert_eq!(
            acme["solvers"][1]["dns01"]["rfc2136"]["tsigKeyName"],
            crate::bed::TSIG_KEY
        );
        assert!(objects[1]["stringData"]["secret"].is_string());
    }
}
