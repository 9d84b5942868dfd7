//! Do the flags mean what cert-manager's mean?

use std::{collections::BTreeSet, time::Duration};

use clap::{Args, FromArgMatches};

use super::{
    table::{Effect, find, find_key},
    *,
};
use crate::{
    api::deletion::DeletionPolicy,
    cli::logging::{Format, Logging},
    cluster::{ObjectKey, lease::Timing},
    pki::pem::Limits,
};

fn flags(arguments: &[&str]) -> Result<Flags, clap::Error> {
    let command = Flags::augment_args(Command::new("controller").no_binary_name(true));
    Flags::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

fn settings(arguments: &[&str]) -> Result<Settings, String> {
    let flags = flags(arguments).map_err(|error| error.to_string())?;
    flags.settings().map_err(|error| error.to_string())
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn defaults_are_those_of_cert_manager() {
    let Settings {
        api_server,
        cluster_resource_namespace,
        namespace,
        leader_election,
        leader_health_timeout,
        controllers,
        concurrent_workers,
        max_concurrent_challenges,
        http01,
        dns01,
        waits,
        certificate_owns_secret,
        deletion,
        copied_annotation_prefixes,
        pem_limits,
        signers_config_map,
        fault_point,
        gates,
        metrics_address,
        health_address,
        logging,
        crl_address,
        notes,
    } = settings(&[]).unwrap();
    assert_eq!(
        api_server,
        ApiServer {
            url: None,
            kubeconfig: None
        }
    );
    assert_eq!(cluster_resource_namespace, "kube-system");
    assert_eq!((namespace, fault_point), (None, None));
    let election = leader_election.unwrap();
    assert_eq!(election.namespace, "kube-system");
    assert_eq!(
        election.timing,
        Timing::new(seconds(60), seconds(40), seconds(15)).unwrap()
    );
    assert_eq!(leader_health_timeout, seconds(20));
    assert_eq!(controllers.len(), 14);
    assert_eq!(concurrent_workers, 16);
    assert_eq!(max_concurrent_challenges, 60);
    assert_eq!(http01.listen_address.to_string(), "0.0.0.0:8089");
    assert_eq!(http01.backend, None);
    assert!(http01.nameservers.is_empty() && http01.extra_labels.is_empty());
    assert!(dns01.nameservers.is_empty() && !dns01.recursive_only);
    assert_eq!(waits.check_retry, seconds(10));
    assert_eq!(waits.first_backoff, seconds(3600));
    assert_eq!(waits.most_backoff, seconds(32 * 3600));
    assert!(!certificate_owns_secret);
    let shipped = Deletion {
        default_policy: DeletionPolicy::Revoke,
        delay: seconds(3600),
        issuances: "kube-system".into(),
        users_are_checked: false,
    };
    assert_eq!(deletion, shipped);
    assert_eq!(
        copied_annotation_prefixes,
        [
            "*",
            "-kubectl.kubernetes.io/",
            "-fluxcd.io/",
            "-argocd.argoproj.io/"
        ]
    );
    assert_eq!(pem_limits, Limits::default());
    assert_eq!(signers_config_map, None);
    assert_eq!(gates, Gates::default());
    assert_eq!((http01.check_port, dns01.authoritative_port), (80, 53));
    assert_eq!(crl_address, None);
    assert_eq!(metrics_address.to_string(), "0.0.0.0:9402");
    assert_eq!(health_address.to_string(), "0.0.0.0:9403");
    assert_eq!(
        logging,
        Logging {
            verbosity: 0,
            format: Format::Text
        }
    );
    assert!(notes.is_empty());
}

#[test]
fn flags_are_typed_as_for_cert_manager() {
    let change = |arguments: &[&str], change: fn(&mut Settings)| {
        let mut want = settings(&[]).unwrap();
        change(&mut want);
        assert_eq!(settings(arguments).unwrap(), want, "{arguments:?}");
    };
    change(&["--leader-elect=false"], |s| s.leader_election = None);
    change(&["--leader-elect"], |_| ());
    change(&["--v=4", "-v", "2"], |s| s.logging.verbosity = 2);
    change(&["--v", "5"], |s| s.logging.verbosity = 5);
    change(&["--namespace=a"], |s| {
        s.namespace = Some("a".into());
        s.controllers.remove(&Controller::ClusterIssuers);
    });
    change(&["--controllers=*,-orders"], |s| {
        assert!(s.controllers.remove(&Controller::Orders));
    });
    change(&["--controllers", "-orders"], |s| {
        assert!(s.controllers.remove(&Controller::Orders));
    });
    change(
        &[
            "--dns01-recursive-nameservers=9.9.9.9:53",
            "--dns01-recursive-nameservers",
            "ns.example.com,https://d.example/q",
        ],
        |s| {
            s.dns01.nameservers = ["9.9.9.9:53", "ns.example.com:53", "https://d.example/q"]
                .map(|text| text.parse().unwrap())
                .to_vec();
        },
    );
    change(
        &[
            "--max-certificate-size=1",
            "--max-private-key-size=2",
            "--max-certificate-chain-length=3",
            "--max-certificate-bundle-size=4",
        ],
        |s| {
            s.pem_limits = Limits {
                certificate: 1,
                private_key: 2,
                chain: 3,
                bundle: 4,
            };
        },
    );
    change(&["--acme-http01-solver-service=cw/solver"], |s| {
        s.http01.backend = Some(SolverBackend::Service(ObjectKey::new("cw", "solver")));
    });
    change(
        &[
            "--acme-http01-solver-addresses=10.0.0.1:80,[fd00::1]:80",
            "--acme-http01-solver-service=a/b",
        ],
        |s| {
            let addresses = ["10.0.0.1:80", "[fd00::1]:80"].map(|text| text.parse().unwrap());
            s.http01.backend = Some(SolverBackend::Addresses(addresses.to_vec()));
        },
    );
    change(&["--metrics-listen-address=:80"], |s| {
        s.metrics_address = "0.0.0.0:80".parse().unwrap();
    });
    change(
        &[
            "--feature-gates=OtherNames=true",
            "--feature-gates=AllAlpha=false",
        ],
        |_| (),
    );
    change(
        &["--feature-gates=UseCertificateRequestBasicConstraints=true"],
        |s| {
            s.gates.basic_constraints_in_csr = true;
        },
    );
    let gate = "--feature-gates=ExperimentalCertificateSigningRequestControllers=true";
    change(&[gate, "--controllers=orders"], |s| {
        s.gates.signing_requests = true;
        s.controllers = BTreeSet::from([
            Controller::Orders,
            Controller::SigningRequestsAcme,
            Controller::SigningRequestsCa,
            Controller::SigningRequestsSelfSigned,
            Controller::SigningRequestsVault,
            Controller::SigningRequestsVenafi,
        ]);
    });
    // They have no namespace.
    change(&[gate, "--controllers=orders", "--namespace=a"], |s| {
        s.gates.signing_requests = true;
        s.controllers = BTreeSet::from([Controller::Orders]);
        s.namespace = Some("a".into());
    });
    change(
        &["--metrics-tls-cert-file=", "--enable-gateway-api=false"],
        |_| (),
    );
    change(&["--kube-api-qps=50"], |s| {
        s.notes = vec![
            "--kube-api-qps has no effect: the API server limits its clients itself (priority and fairness)".into(),
        ];
    });
}

#[test]
fn errors_name_the_flag() {
    for (argument, want) in [
        (
            "--leader-election-retry-period=5",
            "--leader-election-retry-period: \"5\" is no duration",
        ),
        (
            "--leader-election-retry-period=-5s",
            "--leader-election-retry-period: -5s must be longer",
        ),
        (
            "--leader-election-lease-duration=40s",
            "--leader-election-lease-duration: lease duration 40s must be longer than renew deadline 40s",
        ),
        (
            "--leader-elect=maybe",
            "--leader-elect: \"maybe\" is neither true nor false",
        ),
        (
            "--concurrent-workers=0",
            "--concurrent-workers: \"0\" is not a whole number, 1 or more",
        ),
        (
            "--max-certificate-size=0",
            "--max-certificate-size: \"0\" is not a number of bytes, 1 or more",
        ),
        (
            "--controllers=nonsense",
            "--controllers: there is no controller \"nonsense\"",
        ),
        (
            "--feature-gates=ListenerSets=true",
            "--feature-gates: ListenerSets is not supported yet",
        ),
        (
            "--feature-gates=OtherNames",
            "--feature-gates: \"OtherNames\" is not NAME=VALUE",
        ),
        (
            "--enable-gateway-api",
            "--enable-gateway-api: Gateway API is not supported yet",
        ),
        (
            "--metrics-tls-cert-file=a.pem",
            "--metrics-tls-cert-file: metrics over TLS are not supported yet",
        ),
        (
            "--metrics-dynamic-serving-dns-names=a",
            "--metrics-dynamic-serving-dns-names: metrics over TLS",
        ),
        (
            "--metrics-listen-address=9402",
            "--metrics-listen-address: \"9402\" is not IP:PORT",
        ),
        (
            "--signers-config-map=a",
            "--signers-config-map: \"a\" is not NAMESPACE/NAME",
        ),
        (
            "--dns01-recursive-nameservers=a:b:c",
            "--dns01-recursive-nameservers: ",
        ),
        ("--master=example", "--master: \"example\" is not a URL"),
        (
            "--logging-format=xml",
            "--logging-format: \"xml\" is neither text nor json",
        ),
        (
            "--certificate-request-minimum-backoff-duration=33h",
            "--certificate-request-minimum-backoff-duration: must not be longer",
        ),
        (
            "--cluster-resource-namespace=",
            "--cluster-resource-namespace: must not be empty",
        ),
        (
            "--config=/does/not/exist",
            "read configuration file /does/not/exist: ",
        ),
    ] {
        let error = settings(&[argument]).unwrap_err();
        assert!(error.starts_with(want), "{argument}: {error}");
    }
    assert!(flags(&["--no-such-flag"]).is_err());
}

/// A flag that no setting depends on would be dropped silently.
#[test]
fn every_flag_counts() {
    let default = settings(&[]).unwrap();
    for flag in FLAGS {
        let value = match (flag.kind, flag.default) {
            (Kind::Bool, "true") => "false",
            (Kind::Bool, _) => "true",
            (Kind::Duration | Kind::List | Kind::Map | Kind::Number | Kind::Text, _) => "x",
        };
        let changed = settings(&[&format!("--{}={value}", flag.name)]);
        assert_ne!(changed, Ok(default.clone()), "--{}", flag.name);
        if matches!(flag.effect, Effect::Refused(_)) {
            assert!(changed.is_err(), "--{}", flag.name);
        }
    }
}

#[test]
fn the_table_is_consistent() {
    let names: BTreeSet<_> = FLAGS.iter().map(|flag| flag.name).collect();
    assert_eq!(names.len(), FLAGS.len());
    let keys: Vec<_> = FLAGS.iter().flat_map(|flag| flag.keys).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    assert_eq!(find("v").unwrap().variable(), "CERTWRIGHT_V");
    assert_eq!(
        find_key("leaderElectionConfig.enabled").unwrap().variable(),
        "CERTWRIGHT_LEADER_ELECT"
    );
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let text = "apiVersion: controller.config.cert-manager.io/v1alpha1\n\
                kind: ControllerConfiguration\n\
                numberOfConcurrentWorkers: 7\nmaxConcurrentChallenges: 8\n\
                leaderElectionConfig: {retryPeriod: soon}\nenablePprof: true\n";
    let file = config::read(text).unwrap();
    let typed = flags(&[
        "--concurrent-workers=9",
        "--leader-election-retry-period=2s",
    ])
    .unwrap();
    let settings = Settings::of(&Values::new(typed.given, file.clone())).unwrap();
    assert_eq!(settings.concurrent_workers, 9);
    assert_eq!(settings.max_concurrent_challenges, 8);
    assert_eq!(settings.notes.len(), 1);
    assert!(settings.notes[0].starts_with("enablePprof in the configuration file has no effect: "));
    let error = Settings::of(&Values::new(BTreeMap::new(), file)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "leaderElectionConfig.retryPeriod in the configuration file: \"soon\" is no duration: \
         write numbers with units h, m or s, such as 2160h or 1h30m"
    );
}
