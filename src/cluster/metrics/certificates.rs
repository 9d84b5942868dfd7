//! In what state are the Certificates? Each is read once for all families of samples.

use jiff::Timestamp;

use super::{
    objects::{CertificateSample, READY_HELP, Ready, Source},
    text::{Family, Type, push_labels},
};

/// What all families tell of the Certificates, in few allocations: they may be many, and are let go
/// with the last family.
#[derive(Default)]
pub(super) struct Certificates {
    /// Of all, as they are written.
    labels: String,
    rows: Vec<Row>,
}

struct Row {
    /// Where its labels end.
    labels_end: usize,
    ready: Ready,
    /// In Unix time; 0 where there is none.
    not_after: i64,
    not_before: i64,
    renewal: i64,
}

/// A family of samples of Certificates. Each is a page of its own: the format wants a family
/// together, and one page in memory is smaller than all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Ready,
    NotAfter,
    NotBefore,
    Expiration,
    Renewal,
}

impl Page {
    pub(super) const ALL: [Self; 5] = [
        Self::Ready,
        Self::NotAfter,
        Self::NotBefore,
        Self::Expiration,
        Self::Renewal,
    ];

    /// The page as text, empty when there are no Certificates.
    pub(super) fn text(self, certificates: &Certificates) -> String {
        match self {
            Self::Ready => certificates.ready(),
            Self::NotAfter => certificates.times(
                "certmanager_certificate_not_after_timestamp_seconds",
                "When the certificate ends being valid, in Unix time.",
                |row| row.not_after,
            ),
            Self::NotBefore => certificates.times(
                "certmanager_certificate_not_before_timestamp_seconds",
                "When the certificate begins being valid, in Unix time.",
                |row| row.not_before,
            ),
            Self::Expiration => certificates.times(
                "certmanager_certificate_expiration_timestamp_seconds",
                "When the certificate expires, in Unix time.",
                |row| row.not_after,
            ),
            Self::Renewal => certificates.times(
                "certmanager_certificate_renewal_timestamp_seconds",
                "When the certificate is to be renewed, in Unix time.",
                |row| row.renewal,
            ),
        }
    }
}

impl Certificates {
    /// All that `source` knows.
    pub(super) fn of(source: &dyn Source) -> Self {
        let mut all = Self::default();
        source.certificates(&mut |certificate| all.add(certificate));
        all
    }

    fn add(&mut self, certificate: &CertificateSample<'_>) {
        let &CertificateSample {
            name,
            namespace,
            issuer_name,
            issuer_kind,
            issuer_group,
            ready,
            not_after,
            not_before,
            renewal,
        } = certificate;
        let labels = [
            ("name", name),
            ("namespace", namespace),
            ("issuer_name", issuer_name),
            ("issuer_kind", issuer_kind),
            ("issuer_group", issuer_group),
        ];
        push_labels(&mut self.labels, &labels);
        let seconds = |time: Option<Timestamp>| time.map_or(0, Timestamp::as_second);
        self.rows.push(Row {
            labels_end: self.labels.len(),
            ready,
            not_after: seconds(not_after),
            not_before: seconds(not_before),
            renewal: seconds(renewal),
        });
    }

    fn ready(&self) -> String {
        let mut text = String::new();
        let name = "certmanager_certificate_ready_status";
        let mut family = Family::new(&mut text, name, READY_HELP, Type::Gauge);
        for (labels, row) in self.rows() {
            for status in Ready::ALL {
                let condition = [("condition", status.label())];
                family.written_sample(labels, &condition, u8::from(status == row.ready));
            }
        }
        text
    }

    fn times(&self, name: &'static str, help: &'static str, time: fn(&Row) -> i64) -> String {
        let mut text = String::new();
        let mut family = Family::new(&mut text, name, help, Type::Gauge);
        for (labels, row) in self.rows() {
            family.written_sample(labels, &[], time(row));
        }
        text
    }

    /// Each with its labels.
    fn rows(&self) -> impl Iterator<Item = (&str, &Row)> {
        let mut begin = 0;
        self.rows.iter().map(move |row| {
            let labels = self.labels.get(begin..row.labels_end).unwrap_or_default();
            begin = row.labels_end;
            (labels, row)
        })
    }
}
