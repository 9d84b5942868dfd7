//! Which flags does `certwright controller` take? One line each: name, kind, default, key in a
//! configuration file, effect, help.

/// A flag, by cert-manager's name where it has the flag too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    /// Without the dashes.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As it would be typed.
    pub(super) default: &'static str,
    /// Paths in a ControllerConfiguration; the first is today's name.
    pub(super) keys: &'static [&'static str],
    pub(super) effect: Effect,
    pub(super) help: &'static str,
}

/// What is typed as the value of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing (true), or true or false after `=`.
    Bool,
    Duration,
    /// Separated by commas, or the flag repeated.
    List,
    /// `key=value`, separated by commas, or the flag repeated.
    Map,
    Number,
    Text,
}

/// What giving a flag leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Full,
    /// It is accepted and a line in the log says why it does nothing.
    None(&'static str),
    /// The start fails with this, unless the value asks for nothing (empty or false).
    Refused(&'static str),
}

const fn flag(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    keys: &'static [&'static str],
    help: &'static str,
) -> Flag {
    Flag {
        name,
        kind,
        default,
        keys,
        effect: Effect::Full,
        help,
    }
}

const fn idle(
    name: &'static str,
    kind: Kind,
    keys: &'static [&'static str],
    why: &'static str,
) -> Flag {
    Flag {
        name,
        kind,
        default: "",
        keys,
        effect: Effect::None(why),
        help: "Accepted, without effect",
    }
}

const fn refused(
    name: &'static str,
    kind: Kind,
    keys: &'static [&'static str],
    why: &'static str,
) -> Flag {
    Flag {
        name,
        kind,
        default: "",
        keys,
        effect: Effect::Refused(why),
        help: "Not supported yet",
    }
}

const FAIRNESS: &str = "the API server limits its clients itself (priority and fairness)";
const NO_CLOUD: &str = "no DNS provider of this version uses credentials of the environment";
const NO_INGRESSES: &str = "this version makes no Certificates for Ingresses";
const NO_PODS: &str = "challenges are answered by the operator, not by pods";
const NO_PROFILER: &str =
    "there is no Go profiler here; see certwright_* and process_* at /metrics";
const LOGGING: &str = "logs are written at once, without buffers, in one stream";
const PLAIN_METRICS: &str = "metrics over TLS are not supported yet: put a proxy before the port, \
                             or limit who reaches it by a NetworkPolicy";
const GATEWAY: &str = "Gateway API is not supported yet";

/// All flags, in the order of the help.
#[rustfmt::skip] // a flag is a line
pub(super) const FLAGS: &[Flag] = &[
    flag("config", Kind::Text, "", &[], "File with a ControllerConfiguration; flags override it"),
    flag("master", Kind::Text, "", &["apiServerHost"], "URL of the API server, instead of the kubeconfig's"),
    flag("kubeconfig", Kind::Text, "", &["kubeConfig"], "Kubeconfig file; in a cluster, the pod's own account when not given"),
    idle("kube-api-qps", Kind::Number, &["kubernetesAPIQPS"], FAIRNESS),
    idle("kube-api-burst", Kind::Number, &["kubernetesAPIBurst"], FAIRNESS),
    flag("cluster-resource-namespace", Kind::Text, "kube-system", &["clusterResourceNamespace"], "Namespace of the Secrets that ClusterIssuers name"),
    flag("namespace", Kind::Text, "", &["namespace"], "The only namespace to work in, without ClusterIssuers; all when empty"),
    flag("leader-elect", Kind::Bool, "true", &["leaderElectionConfig.enabled"], "Let only one of several replicas write"),
    flag("leader-election-namespace", Kind::Text, "kube-system", &["leaderElectionConfig.namespace"], "Namespace of the Lease cert-manager-controller"),
    flag("leader-election-lease-duration", Kind::Duration, "60s", &["leaderElectionConfig.leaseDuration"], "How long the others wait after the leader's last sign of life"),
    flag("leader-election-renew-deadline", Kind::Duration, "40s", &["leaderElectionConfig.renewDeadline"], "How long the leader tries to renew before it stops; shorter than the lease"),
    flag("leader-election-retry-period", Kind::Duration, "15s", &["leaderElectionConfig.retryPeriod"], "The pause between two tries to take or renew the lease"),
    flag("controllers", Kind::List, "*", &["controllers"], "What to run: names, * for all that run by default, -NAME for all but that"),
    flag("concurrent-workers", Kind::Number, "16", &["numberOfConcurrentWorkers"], "Objects of a kind worked on at the same time"),
    flag("max-concurrent-challenges", Kind::Number, "60", &["maxConcurrentChallenges"], "Challenges under way at the same time"),
    flag("acme-http01-solver-listen-address", Kind::Text, "0.0.0.0:8089", &[], "Where HTTP-01 challenges are answered"),
    flag("acme-http01-solver-service", Kind::Text, "", &[], "NAMESPACE/NAME of the Service whose ready addresses answer HTTP-01 challenges"),
    flag("acme-http01-solver-addresses", Kind::List, "", &[], "IP:PORT that answer HTTP-01 challenges, instead of a Service"),
    flag("acme-http01-solver-nameservers", Kind::List, "", &["acmeHTTP01Config.solverNameservers"], "HOST:PORT of the DNS servers to find HTTP-01 hosts by; the system's when empty"),
    flag("acme-http01-check-port", Kind::Number, "80", &[], "Port that the self-check of HTTP-01 asks at; the CA asks at 80, so another is for test CAs"),
    flag("acme-http01-solver-extra-labels", Kind::Map, "", &["acmeHTTP01Config.solverExtraLabels"], "Labels for the objects that route HTTP-01 challenges"),
    idle("acme-http01-solver-image", Kind::Text, &["acmeHTTP01Config.solverImage"], NO_PODS),
    idle("acme-http01-solver-resource-request-cpu", Kind::Text, &["acmeHTTP01Config.solverResourceRequestCPU"], NO_PODS),
    idle("acme-http01-solver-resource-request-memory", Kind::Text, &["acmeHTTP01Config.solverResourceRequestMemory"], NO_PODS),
    idle("acme-http01-solver-resource-limits-cpu", Kind::Text, &["acmeHTTP01Config.solverResourceLimitsCPU"], NO_PODS),
    idle("acme-http01-solver-resource-limits-memory", Kind::Text, &["acmeHTTP01Config.solverResourceLimitsMemory"], NO_PODS),
    idle("acme-http01-solver-run-as-non-root", Kind::Bool, &["acmeHTTP01Config.solverRunAsNonRoot"], NO_PODS),
    idle("acme-http01-solver-runtime-class-name", Kind::Text, &["acmeHTTP01Config.solverRuntimeClassName"], NO_PODS),
    flag("dns01-recursive-nameservers", Kind::List, "", &["acmeDNS01Config.recursiveNameservers"], "HOST:PORT or https:// URL of the DNS servers to begin DNS-01 checks at; the system's when empty"),
    flag("dns01-recursive-nameservers-only", Kind::Bool, "false", &["acmeDNS01Config.recursiveNameserversOnly"], "Ask only those servers, not the authoritative ones"),
    flag("dns01-authoritative-port", Kind::Number, "53", &[], "Port of the authoritative servers that the self-check of DNS-01 asks; another is for test servers"),
    flag("dns01-check-retry-period", Kind::Duration, "10s", &["acmeDNS01Config.checkRetryPeriod"], "The pause between two self-checks of a challenge, HTTP-01 too, once the first quick ones are over"),
    idle("cluster-issuer-ambient-credentials", Kind::Bool, &["clusterIssuerAmbientCredentials"], NO_CLOUD),
    idle("issuer-ambient-credentials", Kind::Bool, &["issuerAmbientCredentials"], NO_CLOUD),
    idle("auto-certificate-annotations", Kind::List, &["ingressShimConfig.defaultAutoCertificateAnnotations"], NO_INGRESSES),
    idle("extra-certificate-annotations", Kind::List, &["ingressShimConfig.extraCertificateAnnotations"], NO_INGRESSES),
    idle("default-issuer-name", Kind::Text, &["ingressShimConfig.defaultIssuerName"], NO_INGRESSES),
    idle("default-issuer-kind", Kind::Text, &["ingressShimConfig.defaultIssuerKind"], NO_INGRESSES),
    idle("default-issuer-group", Kind::Text, &["ingressShimConfig.defaultIssuerGroup"], NO_INGRESSES),
    flag("enable-certificate-owner-ref", Kind::Bool, "false", &["enableCertificateOwnerRef"], "Delete a certificate's Secret with the Certificate"),
    flag("default-deletion-policy", Kind::Text, "Revoke", &[], "What becomes of a certificate once its Certificate is gone, where neither that nor its issuer says: Revoke, Delete (the Secret alone) or Retain"),
    flag("deletion-delay", Kind::Duration, "1h", &[], "How long that waits, in case the Certificate comes back"),
    flag("issuances-namespace", Kind::Text, "", &[], "Namespace of the Issuances; that of --cluster-resource-namespace when empty"),
    flag("trust-revoke-requested-by", Kind::Bool, "false", &[], "Whether the policies of the chart are in force, which write into annotation certwright.io/revoke-requested-by of a Certificate who asks for a revocation; else the field manager is told"),
    flag("crl-listen-address", Kind::Text, "", &[], "Where the lists of revoked certificates are served; nowhere when empty"),
    flag("copied-annotation-prefixes", Kind::List, "*,-kubectl.kubernetes.io/,-fluxcd.io/,-argocd.argoproj.io/", &["copiedAnnotationPrefixes"], "Annotations copied from a Certificate to its requests, by prefix; -PREFIX is not"),
    flag("fault-point", Kind::Number, "0", &[], "For crash tests: end the process before the n-th request that changes something; 0 for never"),
    flag("certificate-request-minimum-backoff-duration", Kind::Duration, "1h", &["certificateRequestMinimumBackoffDuration"], "The pause after the first failed issuance; it doubles with each"),
    flag("certificate-request-maximum-backoff-duration", Kind::Duration, "32h", &["certificateRequestMaximumBackoffDuration"], "The longest pause after failed issuances"),
    flag("max-certificate-size", Kind::Number, "36500", &["pemSizeLimitsConfig.maxCertificateSize"], "Bytes of PEM that a single certificate or certificate request may have"),
    flag("max-private-key-size", Kind::Number, "13000", &["pemSizeLimitsConfig.maxPrivateKeySize"], "Bytes of PEM that a private key may have"),
    flag("max-certificate-chain-length", Kind::Number, "95000", &["pemSizeLimitsConfig.maxChainLength"], "Bytes of PEM that a certificate with its chain may have"),
    flag("max-certificate-bundle-size", Kind::Number, "330000", &["pemSizeLimitsConfig.maxBundleSize"], "Bytes of PEM that a bundle of certificates, such as a CA sends, may have"),
    flag("signers-config-map", Kind::Text, "", &[], "NAMESPACE/NAME of the ConfigMap that the approval policy has as parameter"),
    flag("feature-gates", Kind::Map, "", &["featureGates"], "NAME=true or NAME=false"),
    refused("enable-gateway-api", Kind::Bool, &["gatewayAPI.enabled", "enableGatewayAPI"], GATEWAY),
    refused("enable-gateway-api-listenerset", Kind::Bool, &["gatewayAPI.enableListenerSet", "enableGatewayAPIListenerSet"], GATEWAY),
    idle("gateway-api-extra-protocols", Kind::List, &["gatewayAPI.extraProtocols"], GATEWAY),
    flag("metrics-listen-address", Kind::Text, "0.0.0.0:9402", &["metricsListenAddress"], "Where /metrics is served"),
    refused("metrics-tls-cert-file", Kind::Text, &["metricsTLSConfig.filesystem.certFile"], PLAIN_METRICS),
    refused("metrics-tls-private-key-file", Kind::Text, &["metricsTLSConfig.filesystem.keyFile"], PLAIN_METRICS),
    refused("metrics-dynamic-serving-ca-secret-namespace", Kind::Text, &["metricsTLSConfig.dynamic.secretNamespace"], PLAIN_METRICS),
    refused("metrics-dynamic-serving-ca-secret-name", Kind::Text, &["metricsTLSConfig.dynamic.secretName"], PLAIN_METRICS),
    refused("metrics-dynamic-serving-dns-names", Kind::List, &["metricsTLSConfig.dynamic.dnsNames"], PLAIN_METRICS),
    idle("metrics-dynamic-serving-leaf-duration", Kind::Duration, &["metricsTLSConfig.dynamic.leafDuration", "metricsTLSConfig.dynamic.LeafDuration"], PLAIN_METRICS),
    idle("metrics-tls-cipher-suites", Kind::List, &["metricsTLSConfig.cipherSuites"], PLAIN_METRICS),
    idle("metrics-tls-min-version", Kind::Text, &["metricsTLSConfig.minTLSVersion"], PLAIN_METRICS),
    flag("internal-healthz-listen-address", Kind::Text, "0.0.0.0:9403", &["healthzListenAddress"], "Where /livez and /readyz are served"),
    flag("internal-healthz-leader-election-timeout", Kind::Duration, "20s", &["leaderElectionConfig.healthzTimeout"], "How long after the end of leadership the process may still run before /livez fails"),
    idle("enable-profiling", Kind::Bool, &["enablePprof"], NO_PROFILER),
    idle("profiler-address", Kind::Text, &["pprofAddress"], NO_PROFILER),
    flag("v", Kind::Number, "0", &["logging.verbosity"], "How much is logged: 0 to 2 what happens, 3 and 4 more, 5 and up everything"),
    flag("logging-format", Kind::Text, "text", &["logging.format"], "text or json"),
    idle("vmodule", Kind::Text, &["logging.vmodule"], "there is one verbosity for all modules: --v"),
    idle("log-flush-frequency", Kind::Text, &["logging.flushFrequency"], LOGGING),
    idle("log-text-split-stream", Kind::Bool, &["logging.options.text.splitStream"], LOGGING),
    idle("log-text-info-buffer-size", Kind::Text, &["logging.options.text.infoBufferSize"], LOGGING),
    idle("log-json-split-stream", Kind::Bool, &["logging.options.json.splitStream"], LOGGING),
    idle("log-json-info-buffer-size", Kind::Text, &["logging.options.json.infoBufferSize"], LOGGING),
];

impl Flag {
    /// The environment variable that is the same: `CERTWRIGHT_LEADER_ELECT`.
    pub(super) fn variable(&self) -> String {
        let name = self.name.to_ascii_uppercase().replace('-', "_");
        format!("CERTWRIGHT_{name}")
    }
}

/// The flag of that name.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

/// The flag that a path in a ControllerConfiguration is about.
pub(super) fn find_key(path: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.keys.contains(&path))
}
