//! `certwright revoke`: have a certificate revoked, and see what comes of it.

mod follow;
mod progress;
#[cfg(test)]
mod samples;
mod target;

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

use self::{
    progress::End,
    target::{Answer, Question, Target, answer, unrecorded},
};
use crate::{
    api::{
        certificate::Certificate,
        deletion::{self, RevocationReason},
        duration,
        issuance::Issuance,
        issuer::{ClusterIssuer, Issuer, IssuerSpec},
        names::{CLUSTER_ISSUER_KIND, annotation},
        request::CertificateRequest,
    },
    certificate::request,
    cli::connect::{self, ConnectError},
    cluster::{ObjectKey, RequestError, write},
    pki::certificate::CertificateFacts,
};

/// What the field of the annotation belongs to.
const MANAGER: &str = "certwright-revoke";
/// The namespace whose uid tells one cluster from another.
const OLDEST_NAMESPACE: &str = "kube-system";
/// Issuances of one Certificate that are looked at.
const MOST_RECORDS: u32 = 500;

/// What `certwright revoke` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The Certificate.
    #[arg(value_name = "CERTIFICATE")]
    certificate: String,
    /// Its namespace; that of the context when not given.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Why: the CA writes it into its list of revoked certificates.
    #[arg(long, value_name = "REASON", default_value = "superseded", value_parser = reasons())]
    reason: RevocationReason,
    /// Which certificate, by its serial number; the one in the Secret when not given.
    #[arg(long, value_name = "HEX", value_parser = serial)]
    serial: Option<String>,
    /// Wait until it is revoked, and tell each change; at most so long, 5m when not given.
    #[arg(long, value_name = "TIMEOUT", num_args = 0..=1, require_equals = true,
          default_missing_value = "5m", value_parser = timeout)]
    wait: Option<Duration>,
    /// Kubeconfig file; $KUBECONFIG or ~/.kube/config when not given.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; the current one when not given.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// Why a certificate is not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// No way to the API server is known.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The client cannot be made.
    #[error("make a client for the API server: {0}")]
    Client(#[source] Box<kube::Error>),
    /// A request to the API server failed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// There is no such Certificate.
    #[error("there is no Certificate {0}")]
    NotFound(ObjectKey),
    /// The API server does not know the kinds.
    #[error("certwright is not installed in this cluster: nobody would revoke anything")]
    NotInstalled,
    /// It cannot be done.
    #[error("Certificate {certificate}: {why}")]
    Impossible {
        /// The Certificate.
        certificate: ObjectKey,
        /// Why not.
        why: String,
    },
    /// It did not happen in time.
    #[error("Certificate {certificate}: not revoked within {}s; {last}", within.as_secs())]
    Overdue {
        /// The Certificate.
        certificate: ObjectKey,
        /// How long was waited.
        within: Duration,
        /// What was heard last.
        last: String,
    },
    /// The system refuses to run it, or to print.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// Ask for the revocation, and wait for it if that is wanted.
///
/// # Errors
/// It was not asked for, or did not happen.
pub fn run(args: Args, out: &mut impl Write) -> Result<(), RevokeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(revoke(args, out));
    // A look-up of a name on a blocking thread must not hold the end up.
    runtime.shutdown_background();
    done
}

async fn revoke(args: Args, out: &mut impl Write) -> Result<(), RevokeError> {
    let Args {
        certificate,
        namespace,
        reason,
        serial,
        wait,
        kubeconfig,
        context,
    } = args;
    let config = connect::persons_config(kubeconfig.as_deref(), context).await?;
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let key = ObjectKey::new(namespace, certificate);
    let client = Client::try_from(config).map_err(|error| RevokeError::Client(Box::new(error)))?;
    let asker = Asker { client, key };

    let certificate = asker.certificate().await?;
    let records = asker.records().await?;
    let answered = match records {
        Some(_) => None,
        None => asker.answered(&certificate).await,
    };
    let cluster = match records.as_deref() {
        Some([_, ..]) => asker.cluster().await,
        Some([]) | None => None,
    };
    let question = Question {
        key: &asker.key,
        certificate: &certificate,
        records: records.as_deref(),
        answered: answered.as_deref(),
        cluster: cluster.as_deref(),
        reason,
        serial: serial.as_deref(),
    };
    let impossible = |why| RevokeError::Impossible {
        certificate: asker.key.clone(),
        why,
    };
    let target = match answer(&question) {
        Answer::Done(said) => return Ok(writeln!(out, "{said}")?),
        Answer::Impossible(why) => return Err(impossible(why)),
        Answer::Unrecorded => {
            let issuer = asker.issuer(&certificate).await;
            return Err(impossible(unrecorded(&certificate, issuer.as_ref())));
        }
        Answer::Stands { said, target } => {
            writeln!(out, "{said}")?;
            target
        }
        Answer::Write {
            value,
            will,
            target,
        } => {
            writeln!(out, "{will}")?;
            // Whoever waits must not take what was told before for an answer.
            let told = match (wait, &target.record) {
                (Some(_), None) => asker.told().await?,
                _ => Vec::new(),
            };
            asker.annotate(&value).await?;
            writeln!(
                out,
                "Certificate {} is annotated: {}={value}",
                asker.key,
                annotation::REVOKE
            )?;
            return match wait {
                Some(within) => asker.wait(target, told, within, out).await,
                None => asker.where_to_look(&target, out),
            };
        }
    };
    match wait {
        Some(within) => asker.wait(target, Vec::new(), within, out).await,
        None => asker.where_to_look(&target, out),
    }
}

/// Who asks, and about which Certificate.
struct Asker {
    client: Client,
    key: ObjectKey,
}

impl Asker {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.key.namespace)
    }

    async fn certificate(&self) -> Result<Certificate, RevokeError> {
        match write::get(&self.api::<Certificate>(), &self.key).await {
            Ok(Some(certificate)) => Ok(certificate),
            Ok(None) => Err(RevokeError::NotFound(self.key.clone())),
            Err(error) if error.status() == Some(404) => Err(RevokeError::NotInstalled),
            Err(error) => Err(error.into()),
        }
    }

    /// What was issued for the Certificate, wherever the operator writes that down; `None` for who may
    /// not see it.
    async fn records(&self) -> Result<Option<Vec<Issuance>>, RevokeError> {
        let of_it = format!(
            "spec.certificateRef.namespace={},spec.certificateRef.name={}",
            self.key.namespace, self.key.name
        );
        let of_it = ListParams::default().fields(&of_it).limit(MOST_RECORDS);
        let all: Api<Issuance> = Api::all(self.client.clone());
        match all.list(&of_it).await {
            Ok(list) => Ok(Some(list.items)),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 404 => Err(RevokeError::NotInstalled),
            Err(error) => Err(RequestError::new::<Issuance>("list", &self.key, error).into()),
        }
    }

    /// The serial of the certificate that the last request was answered with. Not to be seen is no
    /// error: it only says more exactly what is meant.
    async fn answered(&self, certificate: &Certificate) -> Option<String> {
        let revision = certificate.status.as_ref()?.revision?;
        let name = request::name(&self.key.name, revision);
        let found = self.api::<CertificateRequest>().get_opt(&name).await;
        let chain = found.ok()??.status?.certificate?;
        let leaf = CertificateFacts::from_pem(&chain.0).ok()?;
        Some(leaf.serial)
    }

    /// Which cluster this is, for who may see that.
    async fn cluster(&self) -> Option<String> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = api.get_opt(OLDEST_NAMESPACE).await;
        found.ok()??.metadata.uid
    }

    /// The issuer of the Certificate, for who may see it.
    async fn issuer(&self, certificate: &Certificate) -> Option<IssuerSpec> {
        let reference = &certificate.spec.issuer_ref;
        if reference.kind_or_default() == CLUSTER_ISSUER_KIND {
            let api: Api<ClusterIssuer> = Api::all(self.client.clone());
            let found = api.get_opt(&reference.name).await;
            return found.ok()?.map(|issuer| issuer.spec.0);
        }
        let found = self.api::<Issuer>().get_opt(&reference.name).await;
        found.ok()?.map(|issuer| issuer.spec)
    }

    async fn annotate(&self, value: &str) -> Result<(), RequestError> {
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = json!({"metadata": {"annotations": {annotation::REVOKE: value}}});
        let patched = self
            .api::<Certificate>()
            .patch(&self.key.name, &params, &Patch::Merge(patch))
            .await;
        patched.map_err(|error| RequestError::new::<Certificate>("patch", &self.key, error))?;
        Ok(())
    }

    fn where_to_look(&self, target: &Target, out: &mut impl Write) -> Result<(), RevokeError> {
        let ObjectKey { namespace, name } = &self.key;
        match &target.record {
            Some(record) => writeln!(
                out,
                "What comes of it: kubectl -n {} get issuance {}",
                record.namespace, record.name
            )?,
            None => writeln!(
                out,
                "What comes of it: kubectl -n {namespace} events --for certificate/{name}"
            )?,
        }
        Ok(())
    }

    async fn wait(
        &self,
        target: Target,
        told: Vec<String>,
        within: Duration,
        out: &mut impl Write,
    ) -> Result<(), RevokeError> {
        match self.follow(target, told, within, out).await? {
            End::Done(said) => Ok(writeln!(out, "{said}")?),
            End::Failed(why) => Err(RevokeError::Impossible {
                certificate: self.key.clone(),
                why,
            }),
        }
    }
}

fn reasons() -> impl TypedValueParser<Value = RevocationReason> {
    let values = RevocationReason::ALL.map(|reason| PossibleValue::new(reason.as_str()));
    PossibleValuesParser::new(values).try_map(|text| text.parse::<RevocationReason>())
}

fn serial(text: &str) -> Result<String, String> {
    deletion::serial_number(text).ok_or_else(|| "a serial number is hexadecimal".to_owned())
}

fn timeout(text: &str) -> Result<Duration, String> {
    let parsed = duration::parse(text).map_err(|problem| problem.to_string())?;
    let timeout = Duration::try_from(parsed).unwrap_or_default();
    match timeout.is_zero() {
        true => Err("must be longer than nothing".to_owned()),
        false => Ok(timeout),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        let words = std::iter::once("revoke").chain(line.split(' '));
        Line::try_parse_from(words).map(|line| line.args)
    }

    #[test]
    fn what_is_typed_is_what_is_meant() {
        let plain = parse("www").unwrap();
        assert_eq!(plain.certificate, "www");
        assert_eq!(plain.reason, RevocationReason::Superseded);
        assert_eq!(
            (plain.namespace, plain.serial, plain.wait),
            (None, None, None)
        );
        let waits = |line| parse(line).unwrap().wait.map(|wait| wait.as_secs());
        assert_eq!(waits("--wait www"), Some(300));
        assert_eq!(waits("--wait=90s www"), Some(90));
        let all = "-n web --reason=keyCompromise --serial=0A:BC --context=prod www";
        let all = parse(all).unwrap();
        assert_eq!(all.namespace.as_deref(), Some("web"));
        assert_eq!(all.reason, RevocationReason::KeyCompromise);
        assert_eq!(all.serial.as_deref(), Some("abc"));
        assert_eq!(all.context.as_deref(), Some("prod"));
        for wrong in [
            "--reason=because www",
            "--serial=xyz www",
            "--wait=0s www",
            "--wait=soon www",
            "www other",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
