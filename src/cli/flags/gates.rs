//! Which of cert-manager's feature gates are honoured, and what asking for the others says.

/// Feature gates that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gates {
    /// `ACMEHTTP01IngressPathTypeExact`: Ingress paths of HTTP-01 challenges are `Exact`, not
    /// `ImplementationSpecific`.
    pub exact_ingress_path: bool,
    /// `UseCertificateRequestBasicConstraints`: CSRs carry BasicConstraints.
    pub basic_constraints_in_csr: bool,
    /// `ExperimentalCertificateSigningRequestControllers`: Kubernetes' CertificateSigningRequests are
    /// handed to the issuers that they name.
    pub signing_requests: bool,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            exact_ingress_path: true,
            basic_constraints_in_csr: false,
            signing_requests: false,
        }
    }
}

/// What a gate means here.
enum Stand {
    /// The feature is there and cannot be switched off.
    Always,
    /// It is not there yet.
    Never,
    /// Both settings mean the same here, for this reason.
    Same(&'static str),
    Choice(fn(&mut Gates) -> &mut bool),
}

/// What reading a gate came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    /// Accepted, with a line for the log.
    Idle(&'static str),
    /// Not accepted, for this reason.
    Refused(String),
}

fn stand(name: &str) -> Option<Stand> {
    Some(match name {
        "ACMEUseARI"
        | "AdditionalCertificateOutputFormats"
        | "AllBeta"
        | "DefaultPrivateKeyRotationPolicyAlways"
        | "DisallowInsecureCSRUsageDefinition"
        | "LiteralCertificateSubject"
        | "NameConstraints"
        | "OtherNames"
        | "StableCertificateRequestName"
        | "UseDomainQualifiedFinalizer" => Stand::Always,
        "AllAlpha" | "ListenerSets" => Stand::Never,
        "ContextualLogging" | "LoggingAlphaOptions" | "LoggingBetaOptions" => {
            Stand::Same("logs are always structured")
        }
        "ExperimentalGatewayAPISupport" => Stand::Same("Gateway API is not supported yet"),
        "SecretsFilteredCaching" => Stand::Same("the contents of Secrets are never cached"),
        "ServerSideApply" => Stand::Same("status is written by merge patches with resourceVersion"),
        "ValidateCAA" => Stand::Same("cert-manager has removed it"),
        "ACMEHTTP01IngressPathTypeExact" => Stand::Choice(|gates| &mut gates.exact_ingress_path),
        "UseCertificateRequestBasicConstraints" => {
            Stand::Choice(|gates| &mut gates.basic_constraints_in_csr)
        }
        "ExperimentalCertificateSigningRequestControllers" => {
            Stand::Choice(|gates| &mut gates.signing_requests)
        }
        _ => return None,
    })
}

impl Gates {
    /// Set the gate `name` to `on`.
    pub(super) fn set(&mut self, name: &str, on: bool) -> Answer {
        match (stand(name), on) {
            (None, _) => Answer::Refused(format!("there is no feature gate {name}")),
            (Some(Stand::Always), true) | (Some(Stand::Never), false) => Answer::Accepted,
            (Some(Stand::Always), false) => {
                Answer::Refused(format!("{name} cannot be switched off"))
            }
            (Some(Stand::Never), true) => Answer::Refused(format!("{name} is not supported yet")),
            (Some(Stand::Same(why)), _) => Answer::Idle(why),
            (Some(Stand::Choice(field)), on) => {
                *field(self) = on;
                Answer::Accepted
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_accepted_refused_or_chosen() {
        let mut gates = Gates::default();
        let refused = |text: &str| Answer::Refused(text.to_owned());
        for (name, on, want) in [
            ("OtherNames", true, Answer::Accepted),
            (
                "OtherNames",
                false,
                refused("OtherNames cannot be switched off"),
            ),
            ("ListenerSets", false, Answer::Accepted),
            (
                "ListenerSets",
                true,
                refused("ListenerSets is not supported yet"),
            ),
            (
                "Nonsense",
                true,
                refused("there is no feature gate Nonsense"),
            ),
            (
                "ValidateCAA",
                true,
                Answer::Idle("cert-manager has removed it"),
            ),
            ("ACMEHTTP01IngressPathTypeExact", false, Answer::Accepted),
            (
                "UseCertificateRequestBasicConstraints",
                true,
                Answer::Accepted,
            ),
            (
                "ExperimentalCertificateSigningRequestControllers",
                true,
                Answer::Accepted,
            ),
        ] {
            assert_eq!(gates.set(name, on), want, "{name}={on}");
        }
        assert!(!gates.exact_ingress_path);
        assert!(gates.basic_constraints_in_csr);
        assert!(gates.signing_requests);
    }
}
