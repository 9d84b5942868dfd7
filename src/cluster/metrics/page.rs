//! How /metrics is served: a page at a time, so that many objects do not cost memory at once.

use std::convert::Infallible;

use axum::{
    Router, body::Body, extract::State, http::header, response::IntoResponse, routing::get,
};
use futures::stream;
use prometheus::TextEncoder;

use super::{
    Metrics,
    certificates::{self, Certificates},
    objects, process,
    text::{Family, Type},
};

/// `/metrics`.
pub fn router(metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", get(all))
        .with_state(metrics)
}

async fn all(State(metrics): State<Metrics>) -> impl IntoResponse {
    let pages = metrics.pages().map(Ok::<_, Infallible>);
    let body = Body::from_stream(stream::iter(pages));
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        body,
    )
}

impl Metrics {
    /// The text of all metrics, page by page, each made when it is asked for.
    pub(crate) fn pages(&self) -> impl Iterator<Item = String> + Send + 'static {
        let (counted, now, source) = (self.clone(), self.clone(), self.inner.source.get().cloned());
        let objects = source.into_iter().flat_map(|source| {
            let certificates = Certificates::of(source.as_ref());
            let of_certificates = certificates::Page::ALL
                .into_iter()
                .map(move |page| page.text(&certificates));
            let others = objects::Page::ALL
                .into_iter()
                .map(move |page| page.text(source.as_ref()));
            of_certificates.chain(others)
        });
        std::iter::once_with(move || counted.counted())
            .chain(std::iter::once_with(move || now.now()))
            .chain(objects)
            .filter(|page| !page.is_empty())
    }

    /// What was counted.
    fn counted(&self) -> String {
        let mut text = String::new();
        let families = self.inner.registry.gather();
        if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
            tracing::error!(%error, "metrics are incomplete");
        }
        text
    }

    /// What is so at this moment.
    fn now(&self) -> String {
        let mut text = String::new();
        let seconds = self.inner.clock.now().as_second();
        for (name, help, kind) in [
            (
                "certmanager_clock_time_seconds",
                "The clock of this process in Unix time. Deprecated: \
                 certmanager_clock_time_seconds_gauge is the same with the right type.",
                Type::Counter,
            ),
            (
                "certmanager_clock_time_seconds_gauge",
                "The clock of this process in Unix time.",
                Type::Gauge,
            ),
        ] {
            Family::new(&mut text, name, help, kind).sample(&[], seconds);
        }
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let (name, help) = ("certwright_build_info", "The version that runs.");
        Family::new(&mut text, name, help, Type::Gauge).sample(&version, 1);
        if let Some(leadership) = self.inner.leadership.get() {
            let (name, help) = ("certwright_leading", "Whether this process may write.");
            let leads = u8::from(leadership.is_leading());
            Family::new(&mut text, name, help, Type::Gauge).sample(&[], leads);
        }
        process::write(&mut text);
        text
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use axum::http::Request;
    use jiff::Timestamp;
    use tower::ServiceExt;

    use super::*;
    use crate::cluster::{
        client::BeforeRequest,
        clock::Clock,
        leader::Leadership,
        metrics::{
            AcmeRequest, CertificateSample, ChallengeSample, EventOutcome, IssuerSample,
            ListSample, Ready, Source,
        },
    };

    #[derive(Default)]
    struct One {
        reads: AtomicUsize,
    }

    impl Source for One {
        fn certificates(&self, visit: &mut dyn FnMut(&CertificateSample<'_>)) {
            self.reads.fetch_add(1, Ordering::SeqCst);
            visit(&CertificateSample {
                name: "web",
                namespace: "shop",
                issuer_name: "le",
                issuer_kind: "ClusterIssuer",
                issuer_group: "",
                ready: Ready::True,
                not_after: Some(Timestamp::from_second(2_000_000_000).unwrap()),
                not_before: None,
                renewal: Some(Timestamp::from_second(1_900_000_000).unwrap()),
            });
        }

        fn challenges(&self, visit: &mut dyn FnMut(&ChallengeSample<'_>)) {
            visit(&ChallengeSample {
                name: "web-1",
                namespace: "shop",
                domain: "www.example.com",
                kind: "HTTP-01",
                state: "pending",
                reason: "answered \"404\"",
                processing: true,
            });
        }

        fn issuers(&self, _: &mut dyn FnMut(&IssuerSample<'_>)) {}

        fn cluster_issuers(&self, visit: &mut dyn FnMut(&IssuerSample<'_>)) {
            visit(&IssuerSample {
                name: "le",
                namespace: "",
                ready: Ready::Unknown,
            });
        }

        fn issuances(&self, visit: &mut dyn FnMut(&'static str, usize)) {
            visit("Active", 3);
            visit("Held", 0);
        }

        fn lists(&self, visit: &mut dyn FnMut(&ListSample<'_>)) {
            visit(&ListSample {
                kind: "Issuer",
                name: "ca",
                namespace: "shop",
                entries: 2,
                next_update: Timestamp::from_second(2_000_000_000).unwrap(),
            });
        }
    }

    async fn scrape() -> String {
        let metrics = Metrics::new(Clock::default()).unwrap();
        let one = Arc::new(One::default());
        metrics.read_objects(Arc::clone(&one) as _);
        metrics.follow(Leadership::alone());
        metrics.acme_request(&AcmeRequest {
            scheme: "https",
            host: "ca.example.com",
            action: "create_order",
            method: "POST",
            status: None,
            took: Duration::from_millis(250),
        });
        metrics.reconciled("certificates", false, Duration::from_millis(3));
        metrics.backing_off("certificates", 4);
        metrics.invalid_object("Certificate");
        metrics.before(
            "PATCH",
            "/apis/cert-manager.io/v1/namespaces/a/certificates/b/status",
        );
        metrics.events(EventOutcome::Dropped).inc();
        metrics.certificates_to_reissue("Issuer", "shop", "ca", 7);
        metrics.certificates_to_reissue("ClusterIssuer", "", "done", 7);
        metrics.certificates_to_reissue("ClusterIssuer", "", "done", 0);
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        let answer = router(metrics).oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20)
            .await
            .unwrap();
        assert_eq!(one.reads.load(Ordering::SeqCst), 1);
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn samples_have_the_names_and_labels_of_cert_manager() {
        let text = scrape().await;
        let certificate = "name=\"web\",namespace=\"shop\",issuer_name=\"le\",issuer_kind=\"ClusterIssuer\",issuer_group=\"\"";
        let issuer = "kind=\"Issuer\",name=\"ca\",namespace=\"shop\"";
        let acme = "action=\"create_order\",host=\"ca.example.com\",method=\"POST\",scheme=\"https\",status=\"999\"";
        for line in [
            format!("certmanager_certificate_ready_status{{{certificate},condition=\"True\"}} 1"),
            format!("certmanager_certificate_ready_status{{{certificate},condition=\"False\"}} 0"),
            format!("certmanager_certificate_ready_status{{{certificate},condition=\"Unknown\"}} 0"),
            format!("certmanager_certificate_not_after_timestamp_seconds{{{certificate}}} 2000000000"),
            format!("certmanager_certificate_not_before_timestamp_seconds{{{certificate}}} 0"),
            format!("certmanager_certificate_expiration_timestamp_seconds{{{certificate}}} 2000000000"),
            format!("certmanager_certificate_renewal_timestamp_seconds{{{certificate}}} 1900000000"),
            "certmanager_certificate_challenge_status{status=\"pending\",domain=\"www.example.com\",\
             reason=\"answered \\\"404\\\"\",processing=\"true\",name=\"web-1\",namespace=\"shop\",\
             type=\"HTTP-01\"} 1"
                .to_owned(),
            "certmanager_clusterissuer_ready_status{name=\"le\",condition=\"Unknown\"} 1".to_owned(),
            format!("certmanager_http_acme_client_request_count{{{acme}}} 1"),
            "certmanager_controller_sync_call_count{controller=\"certificates\"} 1".to_owned(),
            "certmanager_controller_sync_error_count{controller=\"certificates\"} 0".to_owned(),
            "certwright_backing_off_objects{controller=\"certificates\"} 4".to_owned(),
            "certwright_invalid_objects_total{kind=\"Certificate\"} 1".to_owned(),
            "certwright_api_requests_total{method=\"PATCH\",\
             resource=\"certificates.cert-manager.io/status\"} 1"
                .to_owned(),
            "certwright_events_total{outcome=\"dropped\"} 1".to_owned(),
            "certwright_leading 1".to_owned(),
            "certwright_issuances{state=\"Active\"} 3".to_owned(),
            "certwright_issuances{state=\"Held\"} 0".to_owned(),
            format!("certwright_crl_entries{{{issuer}}} 2"),
            format!("certwright_crl_next_update_timestamp_seconds{{{issuer}}} 2000000000"),
            format!("certwright_certificates_to_reissue{{{issuer}}} 7"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("certmanager_issuer_ready_status"));
        assert!(!text.contains("name=\"done\""));
    }

    #[tokio::test]
    async fn durations_are_a_summary() {
        let text = scrape().await;
        let name = "certmanager_http_acme_client_request_duration_seconds";
        assert!(text.contains(&format!("# TYPE {name} summary\n")));
        for quantile in ["0.5", "0.9", "0.99"] {
            let end = format!("quantile=\"{quantile}\"}} 0.25");
            let found = |line: &str| line.starts_with(name) && line.ends_with(&end);
            assert!(text.lines().any(found), "{end} in {text}");
        }
        assert!(text.contains(&format!("{name}_count{{")));
    }

    #[tokio::test]
    async fn every_family_comes_once_with_its_type() {
        let text = scrape().await;
        let mut seen = BTreeSet::new();
        let mut current = "";
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("# TYPE ") {
                current = head.split(' ').next().unwrap();
                assert!(seen.insert(current), "{current} comes twice");
            } else if !line.starts_with('#') {
                assert!(line.starts_with(current), "{line} under {current}");
            }
        }
        for name in [
            "certmanager_clock_time_seconds",
            "certmanager_clock_time_seconds_gauge",
            "process_cpu_seconds_total",
        ] {
            assert!(seen.contains(name), "{name}");
        }
        assert!(text.contains("# TYPE certmanager_clock_time_seconds counter\n"));
    }
}
