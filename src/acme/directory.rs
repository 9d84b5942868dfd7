//! What does a CA offer (RFC 8555, 7.1.1)?

use std::collections::BTreeMap;

use serde::Deserialize;

/// A CA's directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Directory {
    /// Where nonces come from.
    pub new_nonce: String,
    /// Where accounts are made and found.
    pub new_account: String,
    /// Where orders are made.
    pub new_order: String,
    /// Where certificates are revoked.
    pub revoke_cert: Option<String>,
    /// Where an account's key is changed.
    pub key_change: Option<String>,
    /// Where renewal windows are asked for (RFC 9773).
    pub renewal_info: Option<String>,
    /// What the CA says about itself.
    #[serde(default)]
    pub meta: Meta,
}

/// What a CA says about itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Meta {
    /// The terms of service.
    pub terms_of_service: Option<String>,
    /// A page about the CA.
    pub website: Option<String>,
    /// What CAA records must name to allow this CA.
    pub caa_identities: Vec<String>,
    /// Whether new accounts must be bound to one at the CA.
    pub external_account_required: bool,
    /// The profiles on offer, with what the CA says about each.
    pub profiles: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_read_openly() {
        let directory = serde_json::from_str::<Directory>(
            r#"{"newNonce": "n", "newAccount": "a", "newOrder": "o", "x7y": "https://community",
                "meta": {"profiles": {"classic": "as before"}, "externalAccountRequired": true,
                         "somethingNew": {}}}"#,
        )
        .unwrap();
        assert_eq!(directory.new_order, "o");
        assert_eq!(directory.revoke_cert, None);
        assert!(directory.meta.external_account_required);
        assert_eq!(directory.meta.profiles["classic"], "as before");
    }
}
