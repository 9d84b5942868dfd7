//! How does cert-manager write the Secret of a Certificate?

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use certwright::pki::key::KeyEncoding;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::namespace::Namespace;

use crate::{acceptance::ISSUING, parts::owner, predecessor::Pair, x509::details};

/// What goes into the Secret of a Certificate.
pub(crate) struct Target<'a> {
    /// Of the Certificate.
    pub(crate) name: &'a str,
    pub(crate) spec: &'a Value,
    pub(crate) pair: &'a Pair,
    /// Key stores and trust stores, by their entries.
    pub(crate) stores: &'a [(&'static str, &'static [u8])],
    /// The uid of the Certificate, where it is to be the owner of the Secret.
    pub(crate) owner: Option<&'a str>,
    /// Whether no issuer has signed it.
    pub(crate) is_temporary: bool,
}

impl Target<'_> {
    pub(crate) async fn write(&self, namespace: &Namespace) -> Result<()> {
        let mut metadata = json!({
            "name": self.spec["secretName"],
            "labels": self.labels(), "annotations": self.annotations()?,
        });
        if let Some(uid) = self.owner {
            let owner = owner("cert-manager.io/v1", "Certificate", self.name, uid);
            metadata["ownerReferences"] = json!([owner]);
        }
        let secrets: Api<Secret> = namespace.api();
        let name = self.spec["secretName"].as_str().context("no name")?;
        let standing = secrets.get_opt(name).await?.and_then(|secret| secret.type_);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": self.data()?,
            "type": standing.unwrap_or_else(|| "kubernetes.io/tls".to_owned()),
        });
        let params = PatchParams::apply(ISSUING).force();
        secrets.patch(name, &params, &Patch::Apply(secret)).await?;
        Ok(())
    }

    fn data(&self) -> Result<Value> {
        let Pair { key, chain, ca, .. } = self.pair;
        let encoding = match self.spec["privateKey"]["encoding"].as_str() {
            Some("PKCS8") => KeyEncoding::Pkcs8,
            _ => KeyEncoding::Pkcs1,
        };
        let key = key.to_pem(encoding)?;
        let mut data = json!({});
        let mut put =
            |entry: &str, bytes: &[u8]| data[entry] = json!(BASE64_STANDARD.encode(bytes));
        put("tls.crt", chain.as_bytes());
        put("tls.key", key.as_bytes());
        if let Some(ca) = ca {
            put("ca.crt", ca.as_bytes());
        }
        let formats = self.spec["additionalOutputFormats"].as_array();
        for format in formats.into_iter().flatten() {
            if format["type"] == "DER" {
                put("key.der", pem::parse(key.as_bytes())?.contents());
            } else {
                put("tls-combined.pem", format!("{}\n{chain}", *key).as_bytes());
            }
        }
        for (entry, store) in self.stores {
            put(entry, store);
        }
        Ok(data)
    }

    fn labels(&self) -> Value {
        let mut labels = self.spec["secretTemplate"]["labels"].clone();
        labels["controller.cert-manager.io/fao"] = json!("true");
        labels
    }

    fn annotations(&self) -> Result<Value> {
        let mut annotations = self.spec["secretTemplate"]["annotations"].clone();
        let (_, leaf) = x509_parser::pem::parse_x509_pem(self.pair.chain.as_bytes())?;
        for (key, value) in details(&leaf.parse_x509()?)? {
            annotations[key] = json!(value);
        }
        annotations["cert-manager.io/certificate-name"] = json!(self.name);
        if !self.is_temporary {
            for field in ["name", "kind", "group"] {
                let value = self.spec["issuerRef"][field].as_str().unwrap_or_default();
                annotations[format!("cert-manager.io/issuer-{field}")] = json!(value);
            }
        }
        Ok(annotations)
    }
}
