//! Does each of many names find the solver that was meant for it?

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use certwright::api::challenge::ChallengeType;
use serde_json::json;
use testbed::Bed;

use crate::site::{Site, certificate};

/// Names of one certificate are proven in different ways, by selectors of names, zones and labels.
pub(crate) async fn each_name_has_its_solver(bed: &Bed) -> Result<()> {
    let (http01, dns01) = (bed.http01(), bed.dns01("tsig"));
    let solvers = json!([
        {"http01": {"ingress": http01["ingress"]}},
        {"selector": {"dnsZones": ["zone.example.com"]}, "dns01": dns01},
        {"selector": {"dnsNames": ["exact.zone.example.com"]}, "http01": http01},
        {"selector": {"matchLabels": {"proof": "dns"}, "dnsNames": ["label.example.com"]},
            "dns01": dns01},
        {"selector": {"matchLabels": {"proof": "none"}}, "dns01": {"route53": {"region": "x"}}},
    ]);
    let site = Site::new(bed, "names", solvers).await?;
    let names = [
        "plain.example.com",
        "label.example.com",
        "zone.example.com",
        "*.zone.example.com",
        "deep.below.zone.example.com",
        "exact.zone.example.com",
    ];
    for name in names.iter().filter(|name| !name.starts_with('*')) {
        bed.host(name)?;
    }
    let challenges = site.watch_challenges().await?;
    let mut object = certificate("many", json!({"dnsNames": names}))?;
    object["metadata"]["labels"] = json!({"proof": "dns"});
    site.namespace.apply_all(&[object]).await?;
    site.issued("many", &names).await?;
    let wanted = BTreeMap::from([
        ("plain.example.com", ChallengeType::Http01),
        ("label.example.com", ChallengeType::Dns01),
        ("zone.example.com", ChallengeType::Dns01),
        ("*.zone.example.com", ChallengeType::Dns01),
        ("deep.below.zone.example.com", ChallengeType::Dns01),
        ("exact.zone.example.com", ChallengeType::Http01),
    ]);
    let ways = challenges.ways();
    let ways: BTreeMap<&str, ChallengeType> = ways
        .iter()
        .map(|(name, way)| (name.as_str(), *way))
        .collect();
    ensure!(ways == wanted, "{ways:?}");
    drop(challenges);

    // Without the label, the same name falls to the solver that has no selector.
    let challenges = site.watch_challenges().await?;
    site.ask("unlabelled", &["label.example.com"]).await?;
    site.issued("unlabelled", &["label.example.com"]).await?;
    let ways = challenges.ways();
    ensure!(
        ways["label.example.com"] == ChallengeType::Http01,
        "{ways:?}"
    );
    site.is_tidy().await
}

/// A name that no solver is for waits, says so, and goes on when there is one.
pub(crate) async fn a_name_without_a_solver_waits_for_one(bed: &Bed) -> Result<()> {
    let solver = json!([{"selector": {"dnsZones": ["other.example.com"]}, "http01": bed.http01()}]);
    let site = Site::new(bed, "no-solver", solver).await?;
    let name = "no-solver.example.com";
    bed.host(name)?;
    site.ask("www", &[name]).await?;
    let state = site.says("www", name).await?;
    ensure!(state.message.contains("solver"), "{state:?}");
    let requests = site.requests().await?;
    site.change_issuer(json!({"solvers": [{"http01": bed.http01()}]}))
        .await?;
    site.issued("www", &[name]).await?;
    ensure!(site.requests().await? == requests);
    site.is_tidy().await
}
