//! In what state are the certificates, challenges and issuers, as samples read from the caches.

use jiff::Timestamp;

use super::text::{Family, Type};

/// Where the metrics of objects are read when somebody asks for them.
pub trait Source: Send + Sync {
    /// Visit every Certificate known.
    fn certificates(&self, visit: &mut dyn FnMut(&CertificateSample<'_>));

    /// Visit every Challenge known.
    fn challenges(&self, visit: &mut dyn FnMut(&ChallengeSample<'_>));

    /// Visit every Issuer known.
    fn issuers(&self, visit: &mut dyn FnMut(&IssuerSample<'_>));

    /// Visit every ClusterIssuer known; its namespace is empty.
    fn cluster_issuers(&self, visit: &mut dyn FnMut(&IssuerSample<'_>));

    /// Visit every state of Issuances, with how many are in it.
    fn issuances(&self, visit: &mut dyn FnMut(&'static str, usize));

    /// Visit every list of revoked certificates that an issuer publishes.
    fn lists(&self, visit: &mut dyn FnMut(&ListSample<'_>));
}

/// The status of a Ready condition; one that is absent is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ready {
    /// `False`.
    False,
    /// `True`.
    True,
    /// `Unknown`, or there is no such condition.
    #[default]
    Unknown,
}

impl Ready {
    pub(super) const ALL: [Self; 3] = [Self::True, Self::False, Self::Unknown];

    /// As in the condition's `status`; anything else is unknown.
    pub fn of(status: Option<&str>) -> Self {
        match status {
            Some("True") => Self::True,
            Some("False") => Self::False,
            _ => Self::Unknown,
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::False => "False",
            Self::True => "True",
            Self::Unknown => "Unknown",
        }
    }
}

/// What is told of a Certificate.
#[derive(Clone, Copy, Debug)]
pub struct CertificateSample<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// `spec.issuerRef.name`.
    pub issuer_name: &'a str,
    /// `spec.issuerRef.kind` as written, "" when it is not.
    pub issuer_kind: &'a str,
    /// `spec.issuerRef.group` as written, "" when it is not.
    pub issuer_group: &'a str,
    /// The Ready condition.
    pub ready: Ready,
    /// `status.notAfter`.
    pub not_after: Option<Timestamp>,
    /// `status.notBefore`.
    pub not_before: Option<Timestamp>,
    /// `status.renewalTime`.
    pub renewal: Option<Timestamp>,
}

/// What is told of a Challenge.
#[derive(Clone, Copy, Debug)]
pub struct ChallengeSample<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// `spec.dnsName`.
    pub domain: &'a str,
    /// `spec.type`: `HTTP-01` or `DNS-01`.
    pub kind: &'a str,
    /// `status.state`, "" when there is none.
    pub state: &'a str,
    /// `status.reason`.
    pub reason: &'a str,
    /// `status.processing`.
    pub processing: bool,
}

/// What is told of an Issuer or ClusterIssuer.
#[derive(Clone, Copy, Debug)]
pub struct IssuerSample<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// The Ready condition.
    pub ready: Ready,
}

/// What the families of Ready conditions are.
pub(super) const READY_HELP: &str = "Whether the Ready condition has that status.";

/// What is told of a list of revoked certificates.
#[derive(Clone, Copy, Debug)]
pub struct ListSample<'a> {
    /// The kind of its issuer.
    pub kind: &'a str,
    /// The name of its issuer.
    pub name: &'a str,
    /// The namespace of its issuer, empty for a ClusterIssuer.
    pub namespace: &'a str,
    /// How many certificates are on it.
    pub entries: usize,
    /// Until when it is good.
    pub next_update: Timestamp,
}

const CHALLENGE_STATES: [&str; 8] = [
    "ready",
    "valid",
    "errored",
    "expired",
    "invalid",
    "processing",
    "unknown",
    "pending",
];

/// The families of samples, each written in a pass of its own; of Certificates there may be many,
/// and they are elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Challenge,
    Issuer,
    ClusterIssuer,
    Issuances,
    ListEntries,
    ListNextUpdate,
}

impl Page {
    pub(super) const ALL: [Self; 6] = [
        Self::Challenge,
        Self::Issuer,
        Self::ClusterIssuer,
        Self::Issuances,
        Self::ListEntries,
        Self::ListNextUpdate,
    ];

    /// The page as text, empty when there are no such objects.
    pub(super) fn text(self, source: &dyn Source) -> String {
        let mut text = String::new();
        match self {
            Self::Challenge => challenges(&mut text, source),
            Self::Issuer => {
                let mut family = ready_family(&mut text, "certmanager_issuer_ready_status");
                source.issuers(&mut |issuer| {
                    let labels = [("name", issuer.name), ("namespace", issuer.namespace)];
                    ready(&mut family, issuer.ready, labels);
                });
            }
            Self::ClusterIssuer => {
                let mut family = ready_family(&mut text, "certmanager_clusterissuer_ready_status");
                source.cluster_issuers(&mut |issuer| {
                    ready(&mut family, issuer.ready, [("name", issuer.name)]);
                });
            }
            Self::Issuances => {
                let (name, help) = ("certwright_issuances", "Issuances in that state.");
                let mut family = Family::new(&mut text, name, help, Type::Gauge);
                source.issuances(&mut |state, count| family.sample(&[("state", state)], count));
            }
            Self::ListEntries => {
                let name = "certwright_crl_entries";
                let help = "Certificates on the revocation list of the issuer.";
                let mut family = Family::new(&mut text, name, help, Type::Gauge);
                source.lists(&mut |list| family.sample(&list_labels(list), list.entries));
            }
            Self::ListNextUpdate => {
                let name = "certwright_crl_next_update_timestamp_seconds";
                let help = "Until when the revocation list of the issuer is good, in Unix time.";
                let mut family = Family::new(&mut text, name, help, Type::Gauge);
                source.lists(&mut |list| {
                    family.sample(&list_labels(list), list.next_update.as_second());
                });
            }
        }
        text
    }
}

fn challenges(text: &mut String, source: &dyn Source) {
    let mut family = Family::new(
        text,
        "certmanager_certificate_challenge_status",
        "Whether the challenge is in that state.",
        Type::Gauge,
    );
    source.challenges(&mut |challenge| {
        let &ChallengeSample {
            name,
            namespace,
            domain,
            kind,
            state,
            reason,
            processing,
        } = challenge;
        for status in CHALLENGE_STATES {
            let labels = [
                ("status", status),
                ("domain", domain),
                ("reason", reason),
                ("processing", if processing { "true" } else { "false" }),
                ("name", name),
                ("namespace", namespace),
                ("type", kind),
            ];
            family.sample(&labels, u8::from(status == state));
        }
    });
}

fn ready_family<'a>(text: &'a mut String, name: &'static str) -> Family<'a> {
    Family::new(text, name, READY_HELP, Type::Gauge)
}

/// One sample per status, 1 for the one that holds.
fn ready<const N: usize>(family: &mut Family<'_>, now: Ready, labels: [(&str, &str); N]) {
    let mut all = Vec::with_capacity(N + 1);
    for status in Ready::ALL {
        all.clear();
        all.extend(labels);
        all.push(("condition", status.label()));
        family.sample(&all, u8::from(status == now));
    }
}

fn list_labels<'a>(list: &ListSample<'a>) -> [(&'static str, &'a str); 3] {
    [
        ("kind", list.kind),
        ("name", list.name),
        ("namespace", list.namespace),
    ]
}
