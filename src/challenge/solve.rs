//! Which solver does the work of a Challenge, and with what.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use zeroize::Zeroizing;

use crate::{
    api::{
        challenge::ChallengeType,
        dns01::{self as api_dns01, Dns01Solver, Rfc2136 as Rfc2136Spec, Rfc2136Protocol},
        names,
        reference::{SecretKeySelector, named},
    },
    challenge::{error::SolveError, facts::ChallengeFacts},
    cluster::{Clock, ObjectKey, write},
    issuer::solvers::{Provider as ProviderKind, Way},
    net::dns::{self, Nameserver},
    solver::{
        dns01::{
            self, CnameStrategy, Provider, Record,
            config::{Rfc2136Config, Rfc2136Settings},
            propagation::{self, Outcome, View},
            rfc2136::Rfc2136,
        },
        http01::{
            check::{Checker, Seen},
            endpoints::Endpoints,
            present::{self, Target},
            route::PathType,
        },
    },
};

/// Puts proofs in place, takes them away, and looks whether they are seen.
pub struct Solvers {
    /// For the API server.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// Where the Secrets of ClusterIssuers are.
    pub cluster_resource_namespace: Arc<str>,
    /// Asks nameservers.
    pub dns: dns::Client,
    /// Where look-ups of DNS-01 begin, as the operator is told; the system's when empty.
    pub nameservers: Vec<Nameserver>,
    /// Whether only they are asked.
    pub recursive_only: bool,
    /// The system's nameservers.
    pub system_nameservers: Vec<Nameserver>,
    /// Checks HTTP-01.
    pub checker: Checker,
    /// Where the responder is reached.
    pub endpoints: Endpoints,
    /// How ingress controllers compare the path.
    pub path_type: PathType,
    /// Labels for the objects that lead there.
    pub extra_labels: BTreeMap<String, String>,
}

impl Solvers {
    /// Put the proof of `challenge` in place. Idempotent.
    pub async fn present(&self, challenge: &ChallengeFacts) -> Result<(), SolveError> {
        match challenge.spec.type_ {
            ChallengeType::Http01 => {
                let target = Target {
                    endpoints: self.endpoints.ready(),
                    labels: &self.extra_labels,
                    path_type: self.path_type,
                };
                Ok(present::present(&self.client, challenge, &target).await?)
            }
            ChallengeType::Dns01 => {
                let (provider, record) = self.dns01(challenge).await?;
                Ok(provider.present(&record, self.clock.now()).await?)
            }
        }
    }

    /// Take the proof of `challenge` away, and nothing else. Idempotent.
    pub async fn clean_up(&self, challenge: &ChallengeFacts) -> Result<(), SolveError> {
        match challenge.spec.type_ {
            ChallengeType::Http01 => Ok(present::clean_up(&self.client, challenge).await?),
            ChallengeType::Dns01 => {
                let (provider, record) = self.dns01(challenge).await?;
                Ok(provider.clean_up(&record, self.clock.now()).await?)
            }
        }
    }

    /// Look for the proof of `challenge` as the CA would: `None` when it is seen, otherwise what
    /// is seen instead.
    pub async fn check(&self, challenge: &ChallengeFacts) -> Result<Option<String>, SolveError> {
        let spec = &challenge.spec;
        match spec.type_ {
            ChallengeType::Http01 => Ok(
                match self
                    .checker
                    .check(&spec.dns_name, &spec.token, &spec.key)
                    .await
                {
                    Seen::Answer => None,
                    Seen::Other(seen) => Some(seen),
                },
            ),
            ChallengeType::Dns01 => {
                let view = self.view(dns01_of(challenge)?)?;
                let name = dns01::challenge_name(&spec.dns_name)?;
                Ok(
                    match propagation::check(&self.dns, &view, &name, &spec.key).await {
                        Outcome::Ready => None,
                        Outcome::NotYet { seen } => Some(seen),
                    },
                )
            }
        }
    }

    async fn dns01(
        &self,
        challenge: &ChallengeFacts,
    ) -> Result<(Box<dyn Provider>, Record), SolveError> {
        let solver = dns01_of(challenge)?;
        let provider = match (Way::of(&challenge.spec.solver), &solver.rfc2136) {
            (Way::Dns01(ProviderKind::Rfc2136), Some(spec)) => {
                self.rfc2136(challenge, spec).await?
            }
            (other, _) => return Err(SolveError::Unsupported(other.to_string())),
        };
        let strategy = match solver.cname_strategy {
            Some(api_dns01::CnameStrategy::Follow) => CnameStrategy::Follow,
            Some(api_dns01::CnameStrategy::None) | None => CnameStrategy::None,
        };
        let view = self.view(solver)?;
        let spec = &challenge.spec;
        let record = dns01::locate(
            &self.dns,
            view.nameservers(),
            &spec.dns_name,
            &spec.key,
            strategy,
        )
        .await?;
        Ok((provider, record))
    }

    async fn rfc2136(
        &self,
        challenge: &ChallengeFacts,
        spec: &Rfc2136Spec,
    ) -> Result<Box<dyn Provider>, SolveError> {
        let Rfc2136Spec {
            nameserver,
            protocol,
            tsig_algorithm,
            tsig_key_name,
            tsig_secret_secret_ref,
        } = spec;
        let secret = match named(tsig_secret_secret_ref.as_ref()) {
            Some(reference) => Some(
                self.secret(challenge, "rfc2136.tsigSecretSecretRef", reference)
                    .await?,
            ),
            None => None,
        };
        let config = Rfc2136Config::parse(&Rfc2136Settings {
            nameserver,
            protocol: protocol.map(Rfc2136Protocol::as_str),
            tsig_key_name: tsig_key_name.as_deref(),
            tsig_algorithm: tsig_algorithm.as_deref(),
            tsig_secret: secret.as_deref().map(Vec::as_slice),
        });
        let config = config.map_err(dns01::Error::from)?;
        Ok(Box::new(Rfc2136::new(config, self.dns.clone())))
    }

    fn view(&self, solver: &Dns01Solver) -> Result<View, SolveError> {
        let of_solver: Result<Vec<Nameserver>, _> = solver
            .nameservers
            .iter()
            .flatten()
            .map(|text| text.parse())
            .collect();
        let of_solver = of_solver.map_err(|error: dns::Error| {
            SolveError::Setting(format!("dns01.nameservers: {error}"))
        })?;
        Ok(View::choose(
            &of_solver,
            &self.nameservers,
            self.recursive_only,
            &self.system_nameservers,
        ))
    }

    /// An entry of a Secret that the solver names: beside the Issuer, or where ClusterIssuers keep
    /// theirs.
    async fn secret(
        &self,
        challenge: &ChallengeFacts,
        field: &'static str,
        reference: &SecretKeySelector,
    ) -> Result<Zeroizing<Vec<u8>>, SolveError> {
        let namespace = if challenge.spec.issuer_ref.kind_or_default() == names::CLUSTER_ISSUER_KIND
        {
            Arc::clone(&self.cluster_resource_namespace)
        } else {
            Arc::clone(&challenge.meta.key.namespace)
        };
        let key = ObjectKey::new(namespace, reference.name.as_str());
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        let entry = reference.key_or("");
        let Some(secret) = write::get(&api, &key).await? else {
            return Err(SolveError::SecretMissing { field, secret: key });
        };
        let mut data = secret.data.unwrap_or_default();
        match data.remove(entry) {
            Some(value) => Ok(Zeroizing::new(value.0)),
            None => Err(SolveError::EntryMissing {
                field,
                secret: key,
                entry: entry.to_owned(),
            }),
        }
    }
}

/// How long to wait instead of checking, if the solver says so.
pub fn wait_instead(challenge: &ChallengeFacts) -> Result<Option<Duration>, SolveError> {
    let Some(text) = &challenge.spec.solver.wait_instead_of_self_check else {
        return Ok(None);
    };
    let wait = text
        .parse()
        .map_err(|error| SolveError::Setting(format!("waitInsteadOfSelfCheck: {error}")))?;
    Ok(Some(Duration::try_from(wait).unwrap_or_default()))
}

fn dns01_of(challenge: &ChallengeFacts) -> Result<&Dns01Solver, SolveError> {
    let solver = challenge.spec.solver.dns01.as_ref();
    solver
        .ok_or_else(|| SolveError::Setting("the solver of a DNS-01 challenge has no dns01".into()))
}
