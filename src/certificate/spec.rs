//! Can what a Certificate asks for be issued at all?

use crate::{
    api::certificate::CertificateSpec,
    certificate::{key, policy::Violation, request},
};

/// Reason of the Ready condition where the spec asks for what nobody can do.
pub const INVALID_SPEC: &str = "InvalidSpec";

/// Why nothing is issued for `spec`, if nothing is: told on the Certificate rather than issued
/// without what it asks for.
pub fn refusal(spec: &CertificateSpec) -> Option<Violation> {
    let invalid = |problem| Violation::new(INVALID_SPEC, format!("Not issuing: {problem}"));
    check(spec).err().map(invalid)
}

/// What admission rules cannot check, and what they would have refused.
fn check(spec: &CertificateSpec) -> Result<(), String> {
    if spec.secret_name.is_empty() {
        return Err("spec.secretName is empty".to_owned());
    }
    if spec.issuer_ref.name.is_empty() {
        return Err("spec.issuerRef.name is empty".to_owned());
    }
    let key = key::parameters(spec)?;
    let parameters = request::parameters(spec)?;
    if let Some(algorithm) = parameters.signature_algorithm
        && algorithm.key_algorithm() != key.algorithm()
    {
        return Err(format!(
            "spec.signatureAlgorithm: {} does not go with a private key of kind {}",
            algorithm.as_str(),
            key.algorithm()
        ));
    }
    for (field, duration) in [
        ("spec.duration", &spec.duration),
        ("spec.renewBefore", &spec.renew_before),
    ] {
        if let Some(duration) = duration {
            duration
                .parse()
                .map_err(|error| format!("{field}: {error}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::certificate::SignatureAlgorithm, certificate::stories::spec};

    #[test]
    fn refusals_name_the_field() {
        type Change = fn(&mut CertificateSpec);
        let table: [(Change, Option<(&str, &str)>); 7] = [
            (|_| {}, None),
            (
                |spec| spec.secret_name.clear(),
                Some((INVALID_SPEC, "Not issuing: spec.secretName is empty")),
            ),
            (
                |spec| spec.issuer_ref.name.clear(),
                Some((INVALID_SPEC, "spec.issuerRef.name is empty")),
            ),
            (
                |spec| spec.private_key.as_mut().unwrap().size = Some(1),
                Some((INVALID_SPEC, "spec.privateKey.size: ")),
            ),
            (
                |spec| spec.signature_algorithm = Some(SignatureAlgorithm::PureEd25519),
                Some((
                    INVALID_SPEC,
                    "spec.signatureAlgorithm: PureEd25519 does not go with a private key of kind \
                     ECDSA",
                )),
            ),
            (
                |spec| spec.duration = Some("90d".into()),
                Some((INVALID_SPEC, "spec.duration: \"90d\" is no duration")),
            ),
            (
                |spec| spec.dns_names = None,
                Some((INVALID_SPEC, "at least one of commonName")),
            ),
        ];
        for (change, want) in table {
            let mut spec = spec();
            change(&mut spec);
            match (refusal(&spec), want) {
                (None, None) => {}
                (Some(found), Some((reason, message))) => {
                    assert_eq!(found.reason, reason);
                    assert!(found.message.contains(message), "{}", found.message);
                }
                (found, want) => panic!("{found:?} is not {want:?}"),
            }
        }
    }
}
