//! Is every object named so that cert-manager's are never met?

use serde_json::json;

use crate::render::{CERT_MANAGER_CHART, Render};

#[test]
fn objects_are_named_for_the_release_and_never_as_cert_managers() {
    for (release, overridden, expected) in [
        ("certwright", None, "certwright"),
        ("my-certwright", None, "my-certwright"),
        ("cert-manager", None, "cert-manager-certwright"),
        (
            "cert-manager",
            Some("cert-manager"),
            "cert-manager-certwright",
        ),
        ("x", Some("certwright-pki"), "certwright-pki"),
        (
            "a-release-name-as-long-as-helm-lets-a-name-be-at-most",
            None,
            "a-release-name-as-long-as-helm-lets-a-name-certwright",
        ),
    ] {
        let mut render = Render::of(release);
        if let Some(name) = overridden {
            render = render.set("fullnameOverride", json!(name));
        }
        let objects = render.objects();
        assert_eq!(objects.deployment()["metadata"]["name"], expected);
        for (kind, name) in objects.names() {
            assert!(name.starts_with(expected), "{kind} {name}");
            assert!(name.len() <= 63 || kind != "Service", "{kind} {name}");
        }
    }
}

#[test]
fn nothing_has_the_name_of_an_object_of_cert_managers_but_the_crds() {
    for names in [json!({}), json!({"nameOverride": "cert-manager"})] {
        let theirs = Render::of("cert-manager")
            .chart(CERT_MANAGER_CHART)
            .set("crds.enabled", json!(true))
            .objects()
            .names();
        let mut ours = Render::of("cert-manager").set("crds.enabled", json!(true));
        for (path, value) in names.as_object().unwrap() {
            ours = ours.set(path, value.clone());
        }
        let shared: Vec<_> = ours
            .objects()
            .names()
            .intersection(&theirs)
            .filter(|(kind, _)| kind != "CustomResourceDefinition")
            .cloned()
            .collect();
        assert!(theirs.len() > 30);
        assert!(shared.is_empty(), "{shared:?}");
    }
}
