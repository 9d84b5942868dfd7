//! `certwright revoke`: have a certificate revoked, and see what comes of it.

mod asker;
mod follow;
mod progress;
#[cfg(test)]
mod samples;
mod target;
mod words;

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use kube::Client;

use self::{
    asker::Asker,
    progress::End,
    target::{Answer, Question, answer},
    words::{gone, unrecorded, where_to_look},
};
use crate::{
    api::{
        deletion::{self, RevocationReason},
        duration,
        names::annotation,
    },
    cli::connect::{self, ConnectError},
    cluster::{ObjectKey, RequestError},
};

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

    let impossible = |why| RevokeError::Impossible {
        certificate: asker.key.clone(),
        why,
    };
    let certificate = asker.certificate().await?;
    let records = asker.records().await?;
    let Some(certificate) = certificate else {
        return Err(match gone(&asker.key, records.as_deref()) {
            Some(why) => impossible(why),
            None => RevokeError::NotFound(asker.key.clone()),
        });
    };
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
    let (target, told) = match answer(&question) {
        Answer::Done(said) => return Ok(writeln!(out, "{said}")?),
        Answer::Impossible(why) => return Err(impossible(why)),
        Answer::Unrecorded => {
            let issuer = asker.issuer(&certificate).await;
            return Err(impossible(unrecorded(&certificate, issuer.as_ref())));
        }
        Answer::Stands { said, target } => {
            writeln!(out, "{said}")?;
            (target, Vec::new())
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
            let (key, name) = (&asker.key, annotation::REVOKE);
            writeln!(out, "Certificate {key} is annotated: {name}={value}")?;
            (target, told)
        }
    };
    let Some(within) = wait else {
        return Ok(writeln!(out, "{}", where_to_look(&asker.key, &target))?);
    };
    match asker.follow(target, told, within, out).await? {
        End::Done(said) => Ok(writeln!(out, "{said}")?),
        End::Failed(why) => Err(impossible(why)),
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
