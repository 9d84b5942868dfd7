//! Do the files of the chart fit each other and the package?

use std::{path::Path, process::Command};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition as Crd;
use serde_json::{Value, json};

use crate::render::{CHART, Render, helm, helm_path, stderr};

#[test]
fn it_lints() {
    let output = helm(["lint", "--strict", CHART]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn crds_come_when_asked_for_and_stay_when_told_to() {
    let crds = |render: Render| {
        let objects = render.objects();
        let crds = objects.all("CustomResourceDefinition");
        crds.into_iter().cloned().collect::<Vec<_>>()
    };
    assert!(crds(Render::of("x")).is_empty());
    let kept = "helm.sh/resource-policy";
    for (path, keep) in [
        ("crds.enabled", true),
        ("installCRDs", true),
        ("crds.enabled", false),
    ] {
        let render = Render::of("x")
            .set(path, json!(true))
            .set("crds.keep", json!(keep));
        let crds = crds(render);
        assert_eq!(crds.len(), 7);
        for crd in crds {
            let metadata = &crd["metadata"];
            assert_eq!(metadata["annotations"][kept] == "keep", keep, "{metadata}");
            assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], "x");
            let name = metadata["name"].as_str().unwrap();
            let (plural, group) = name.split_once('.').unwrap();
            let path = format!("crds/{group}_{plural}.yaml");
            let generated: Crd = serde_saphyr::from_str(&read(&path)).unwrap();
            // Typed, since helm writes 1 for 1.0.
            let crd: Crd = serde_json::from_value(crd).unwrap();
            assert!(crd.spec == generated.spec, "{path} is not what is rendered");
        }
    }
}

#[test]
fn the_plain_manifest_is_what_the_chart_renders() {
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/render"))
        .arg("--check")
        .env("HELM", helm_path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn the_chart_has_the_version_of_the_package() {
    let text = read("charts/certwright/Chart.yaml");
    let chart: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}
