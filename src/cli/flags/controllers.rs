//! Which controllers run, by cert-manager's names for them.

use std::collections::BTreeSet;

/// A part of the work that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// Certificates: all of cert-manager's `certificates-*` but the metrics, which are one here.
    Certificates,
    /// Metrics of Certificates, Challenges and issuers.
    CertificateMetrics,
    /// ACME challenges.
    Challenges,
    /// ClusterIssuers.
    ClusterIssuers,
    /// Ingresses with annotations.
    IngressShim,
    /// What becomes of certificates that are no longer wanted: not one of cert-manager's.
    Issuances,
    /// Issuers.
    Issuers,
    /// ACME orders.
    Orders,
    /// Approval of CertificateRequests.
    RequestApprover,
    /// CertificateRequests of ACME issuers.
    RequestsAcme,
    /// CertificateRequests of CA issuers.
    RequestsCa,
    /// CertificateRequests of self-signed issuers.
    RequestsSelfSigned,
    /// CertificateRequests of Vault issuers.
    RequestsVault,
    /// CertificateRequests of Venafi issuers.
    RequestsVenafi,
    /// CertificateSigningRequests of ACME issuers.
    SigningRequestsAcme,
    /// CertificateSigningRequests of CA issuers.
    SigningRequestsCa,
    /// CertificateSigningRequests of self-signed issuers.
    SigningRequestsSelfSigned,
    /// CertificateSigningRequests of Vault issuers.
    SigningRequestsVault,
    /// CertificateSigningRequests of Venafi issuers.
    SigningRequestsVenafi,
}

impl Controller {
    /// Whether it works on objects that have no namespace.
    pub fn is_for_the_cluster(self) -> bool {
        self == Self::ClusterIssuers || self.is_for_signing_requests()
    }

    fn is_for_signing_requests(self) -> bool {
        matches!(
            self,
            Self::SigningRequestsAcme
                | Self::SigningRequestsCa
                | Self::SigningRequestsSelfSigned
                | Self::SigningRequestsVault
                | Self::SigningRequestsVenafi
        )
    }
}

/// cert-manager's name, what it is here, and whether `*` means it too.
const KNOWN: &[(&str, Option<Controller>, bool)] = &[
    (
        "certificaterequests-approver",
        Some(Controller::RequestApprover),
        true,
    ),
    (
        "certificaterequests-issuer-acme",
        Some(Controller::RequestsAcme),
        true,
    ),
    (
        "certificaterequests-issuer-ca",
        Some(Controller::RequestsCa),
        true,
    ),
    (
        "certificaterequests-issuer-selfsigned",
        Some(Controller::RequestsSelfSigned),
        true,
    ),
    (
        "certificaterequests-issuer-vault",
        Some(Controller::RequestsVault),
        true,
    ),
    (
        "certificaterequests-issuer-venafi",
        Some(Controller::RequestsVenafi),
        true,
    ),
    ("certificates-issuing", Some(Controller::Certificates), true),
    (
        "certificates-key-manager",
        Some(Controller::Certificates),
        true,
    ),
    (
        "certificates-metrics",
        Some(Controller::CertificateMetrics),
        true,
    ),
    (
        "certificates-readiness",
        Some(Controller::Certificates),
        true,
    ),
    (
        "certificates-request-manager",
        Some(Controller::Certificates),
        true,
    ),
    (
        "certificates-revision-manager",
        Some(Controller::Certificates),
        true,
    ),
    ("certificates-trigger", Some(Controller::Certificates), true),
    (
        "certificatesigningrequests-issuer-acme",
        Some(Controller::SigningRequestsAcme),
        false,
    ),
    (
        "certificatesigningrequests-issuer-ca",
        Some(Controller::SigningRequestsCa),
        false,
    ),
    (
        "certificatesigningrequests-issuer-selfsigned",
        Some(Controller::SigningRequestsSelfSigned),
        false,
    ),
    (
        "certificatesigningrequests-issuer-vault",
        Some(Controller::SigningRequestsVault),
        false,
    ),
    (
        "certificatesigningrequests-issuer-venafi",
        Some(Controller::SigningRequestsVenafi),
        false,
    ),
    ("challenges", Some(Controller::Challenges), true),
    ("clusterissuers", Some(Controller::ClusterIssuers), true),
    ("gateway-shim", None, false),
    ("ingress-shim", Some(Controller::IngressShim), true),
    ("issuances", Some(Controller::Issuances), true),
    ("issuers", Some(Controller::Issuers), true),
    ("orders", Some(Controller::Orders), true),
];

/// The controllers that `list` asks for, and those for CertificateSigningRequests where their
/// feature gate is on; what `list` takes away is never there.
///
/// # Errors
/// A name that nobody knows, one that is not supported yet, or one step of the Certificate
/// controller without the others: said in words.
pub(super) fn select(
    list: &[String],
    signing_requests: bool,
) -> Result<BTreeSet<Controller>, String> {
    let (mut enabled, mut disabled) = (BTreeSet::new(), BTreeSet::new());
    for item in list {
        match (item.as_str(), item.strip_prefix('-')) {
            ("*", _) => enabled.extend(by_default()),
            (_, Some(name)) => {
                disabled.insert(known(name)?.0);
            }
            (name, None) => {
                let (name, controller, _) = known(name)?;
                if controller.is_none() {
                    return Err(format!("{name} is not supported yet"));
                }
                enabled.insert(*name);
            }
        }
    }
    if enabled.is_empty() {
        enabled.extend(by_default());
    }
    if signing_requests {
        enabled.extend(for_signing_requests());
    }
    enabled.retain(|name| !disabled.contains(name));
    let missing: Vec<&str> = steps().filter(|step| !enabled.contains(step)).collect();
    if !missing.is_empty() && missing.len() < steps().count() {
        return Err(format!(
            "the certificates-* controllers are one here: enable {} too, or none of them",
            missing.join(", ")
        ));
    }
    let controller = |(name, controller, _): &(&str, Option<Controller>, bool)| {
        controller.filter(|_| enabled.contains(name))
    };
    Ok(KNOWN.iter().filter_map(controller).collect())
}

fn known(name: &str) -> Result<&'static (&'static str, Option<Controller>, bool), String> {
    let found = KNOWN.iter().find(|(known, ..)| *known == name);
    found.ok_or_else(|| format!("there is no controller {name:?}"))
}

fn by_default() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().filter(|known| known.2).map(|known| known.0)
}

fn for_signing_requests() -> impl Iterator<Item = &'static str> {
    let is_one = |(_, controller, _): &&(_, Option<Controller>, _)| {
        controller.is_some_and(Controller::is_for_signing_requests)
    };
    KNOWN.iter().filter(is_one).map(|known| known.0)
}

/// The names that together are the Certificate controller.
fn steps() -> impl Iterator<Item = &'static str> {
    let is_step = |known: &&(_, Option<Controller>, _)| known.1 == Some(Controller::Certificates);
    KNOWN.iter().filter(is_step).map(|known| known.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &[&str]) -> Result<BTreeSet<Controller>, String> {
        select(&texts(list), false)
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&item| item.to_owned()).collect()
    }

    #[test]
    fn lists_are_read_as_cert_manager_does() {
        let all = of(&["*"]).unwrap();
        assert_eq!(all.len(), 14);
        assert_eq!(of(&[]).unwrap(), all);
        let mut without = all.clone();
        without.remove(&Controller::RequestApprover);
        assert_eq!(of(&["-certificaterequests-approver"]).unwrap(), without);
        assert_eq!(
            of(&["-certificaterequests-approver", "*"]).unwrap(),
            without
        );
        assert_eq!(of(&["*", "-gateway-shim"]).unwrap(), all);
        let only = of(&["orders", "challenges", "-challenges"]).unwrap();
        assert_eq!(only, BTreeSet::from([Controller::Orders]));
    }

    #[test]
    fn signing_requests_are_served_by_their_gate_or_by_name() {
        let ca = "certificatesigningrequests-issuer-ca";
        let all = of(&["*"]).unwrap();
        let gated = select(&texts(&["*"]), true).unwrap();
        let added: Vec<Controller> = gated.difference(&all).copied().collect();
        assert_eq!(added.len(), 5);
        assert!(added.into_iter().all(Controller::is_for_the_cluster));
        let without = select(
            &texts(&["*", "-certificatesigningrequests-issuer-ca"]),
            true,
        );
        let mut wanted = gated.clone();
        wanted.remove(&Controller::SigningRequestsCa);
        assert_eq!(without.unwrap(), wanted);
        let only = BTreeSet::from([Controller::SigningRequestsCa]);
        assert_eq!(of(&[ca]).unwrap(), only);
    }

    #[test]
    fn what_is_not_there_is_refused() {
        for (list, want) in [
            (vec!["nonsense"], "there is no controller \"nonsense\""),
            (
                vec!["*", "-nonsense"],
                "there is no controller \"nonsense\"",
            ),
            (
                vec!["*", "gateway-shim"],
                "gateway-shim is not supported yet",
            ),
        ] {
            assert_eq!(of(&list).unwrap_err(), want);
        }
        let error = of(&["*", "-certificates-trigger"]).unwrap_err();
        assert!(error.contains("enable certificates-trigger too"), "{error}");
    }
}
