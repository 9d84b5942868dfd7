//! Is everything found that is missing or too much on a Secret?

use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::FieldsV1};
use serde_json::json;

use super::*;
use crate::{
    api::{
        certificate::{AdditionalOutputFormat, SecretTemplate},
        keystore::{JksKeystore, Keystores},
    },
    certificate::stories::{World, spec},
};

type Change = fn(&mut World);

fn secret(world: &mut World) -> &mut k8s_openapi::api::core::v1::Secret {
    world.secrets.get_mut("web-tls").unwrap()
}

fn held(world: &mut World) -> &mut serde_json::Value {
    let fields = secret(world).metadata.managed_fields.as_mut().unwrap();
    &mut fields[0].fields_v1.as_mut().unwrap().0
}

fn template(world: &mut World, key: &str) {
    let map = Some(BTreeMap::from([(key.to_owned(), "a".to_owned())]));
    world.spec().secret_template = Some(SecretTemplate {
        labels: map.clone(),
        annotations: map,
    });
}

fn formats(world: &mut World, formats: &[OutputFormat]) {
    let formats = formats
        .iter()
        .map(|type_| AdditionalOutputFormat { type_: *type_ });
    world.spec().additional_output_formats = Some(formats.collect());
}

#[test]
fn what_is_missing_or_too_much_on_the_secret() {
    let table: [(Change, &str, &str); 15] = [
        (
            |world| {
                let labels = secret(world).metadata.labels.as_mut().unwrap();
                labels.insert(label::WATCHED_SECRET.into(), "no".into());
            },
            "SecretManagedMetadataMismatch",
            "wrong base label controller.cert-manager.io/fao value \"no\", expected \"true\"",
        ),
        (
            |world| {
                let annotations = secret(world).metadata.annotations.as_mut().unwrap();
                annotations.insert(annotation::ALT_NAMES.into(), "wrong".into());
            },
            "SecretTemplateMismatch",
            "Secret metadata wrong does not match certificate metadata www.example.com",
        ),
        (
            |world| held(world)["f:metadata"]["f:labels"] = json!({}),
            "SecretManagedMetadataMismatch",
            "Secret is missing these Managed Labels: [controller.cert-manager.io/fao]",
        ),
        (
            |world| held(world)["f:metadata"]["f:labels"]["f:cert-manager.io/x"] = json!({}),
            "SecretManagedMetadataMismatch",
            "Secret has these extra Labels: [cert-manager.io/x]",
        ),
        (
            |world| {
                let annotations = &mut held(world)["f:metadata"]["f:annotations"];
                annotations
                    .as_object_mut()
                    .unwrap()
                    .remove("f:cert-manager.io/uri-sans");
            },
            "SecretManagedMetadataMismatch",
            "Secret is missing these Managed Annotations: [cert-manager.io/uri-sans]",
        ),
        (
            |world| template(world, "team"),
            "SecretTemplateMismatch",
            "Secret is missing these Template Labels: [team]",
        ),
        (
            |world| {
                template(world, "team");
                world.settle();
                world.spec().secret_template.as_mut().unwrap().annotations = None;
            },
            "SecretTemplateMismatch",
            "Secret has these extra Annotations: [team]",
        ),
        (
            |world| {
                template(world, "team");
                world.settle();
                let labels = secret(world).metadata.labels.as_mut().unwrap();
                labels.insert("team".into(), "b".into());
            },
            "SecretTemplateMismatch",
            "Certificate's SecretTemplate Labels missing or incorrect value on Secret",
        ),
        (
            |world| {
                template(world, "team");
                world.settle();
                let annotations = secret(world).metadata.annotations.as_mut().unwrap();
                annotations.insert("team".into(), "b".into());
            },
            "SecretTemplateMismatch",
            "Certificate's SecretTemplate Annotations missing or incorrect value on Secret",
        ),
        (
            |world| formats(world, &[OutputFormat::Der]),
            "AdditionalOutputFormatsMismatch",
            "Certificate's AdditionalOutputFormats doesn't match Secret Data",
        ),
        (
            |world| {
                formats(world, &[OutputFormat::Der, OutputFormat::CombinedPem]);
                world.settle();
                let data = secret(world).data.as_mut().unwrap();
                data.insert("tls-combined.pem".into(), ByteString(b"wrong".to_vec()));
            },
            "AdditionalOutputFormatsMismatch",
            "Certificate's AdditionalOutputFormats doesn't match Secret Data",
        ),
        (
            |world| {
                formats(world, &[OutputFormat::Der]);
                world.settle();
                formats(world, &[]);
            },
            "AdditionalOutputFormatsMismatch",
            "Certificate's AdditionalOutputFormats doesn't match Secret ManagedFields",
        ),
        (
            |world| world.settings.owner_reference = true,
            "SecretOwnerRefMismatch",
            "unexpected managed Secret Owner Reference field on Secret \
             --enable-certificate-owner-ref=true",
        ),
        (
            |world| held(world)["f:data"]["f:keystore.jks"] = json!({}),
            "SecretMismatch",
            "Keystore is not defined",
        ),
        (
            |world| {
                let fields = secret(world).metadata.managed_fields.as_mut().unwrap();
                fields[0].fields_v1 = Some(FieldsV1(json!("x")));
            },
            "ManagedFieldsParseError",
            "failed to decode managed fields on Secret: fieldsV1 is not an object",
        ),
    ];
    for (change, reason, message) in table {
        let mut world = World::issued(spec());
        change(&mut world);
        let owner_reference = world.settings.owner_reference;
        let look =
            |world: &World| violation(&world.facts(), &world.target().unwrap(), owner_reference);
        assert_eq!(look(&world), Some(Violation::new(reason, message)));
        world.restart();
        world.settle();
        assert_eq!(look(&world), None, "{message}");
    }
}

#[test]
fn an_owner_reference_of_another_shape_is_put_right() {
    let mut world = World::issued(spec());
    world.settings.owner_reference = true;
    world.spec();
    world.settle();
    let owners = secret(&mut world)
        .metadata
        .owner_references
        .as_mut()
        .unwrap();
    owners[0].controller = None;
    let found = violation(&world.facts(), &world.target().unwrap(), true).unwrap();
    assert!(
        found
            .message
            .starts_with("unexpected Secret Owner Reference value")
    );
}

#[test]
fn key_stores_that_lack_or_are_too_many() {
    let (lacks, extra) = (
        Some("Keystore key does not contain data"),
        Some("Keystore is not defined"),
    );
    let table: [(&[&str], bool, Option<&str>); 6] = [
        (&[], true, lacks),
        (&["keystore.jks"], true, lacks),
        (&["keystore.jks"], false, None),
        (&["keystore.jks", "truststore.jks"], true, None),
        (&["keystore.jks", "truststore.jks"], false, extra),
        (
            &["keystore.jks", "truststore.jks", "keystore.p12"],
            true,
            extra,
        ),
    ];
    for (stores, has_ca, want) in table {
        let mut asked = spec();
        asked.keystores = Some(Keystores {
            jks: Some(JksKeystore {
                create: true,
                ..JksKeystore::default()
            }),
            pkcs12: None,
        });
        let mut world = World::issued(asked);
        for store in stores {
            held(&mut world)["f:data"][format!("f:{store}")] = json!({});
            let data = secret(&mut world).data.as_mut().unwrap();
            data.insert((*store).to_owned(), ByteString(b"x".to_vec()));
        }
        if !has_ca {
            secret(&mut world).data.as_mut().unwrap().remove("ca.crt");
        }
        let found = violation(&world.facts(), &world.target().unwrap(), false);
        let found = found.map(|violation| violation.message);
        assert_eq!(found.as_deref(), want, "{stores:?} {has_ca}");
    }
}
