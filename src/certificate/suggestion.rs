//! When does the CA want a certificate renewed (ARI, RFC 9773), and when is it asked again? Pure.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    acme::renewal::RenewalInfo,
    api::{
        certificate::{
            AriStatus, CertificateAcmeStatus, CertificateStatus, RenewalInformationWindow,
        },
        condition::to_the_second,
    },
    certificate::{
        facts::CertificateFacts,
        policy,
        secret::{Leaf, SecretFacts},
    },
};

/// The CA is asked this often, unless it says otherwise (RFC 9773, 4.3.2).
const INTERVAL: SignedDuration = SignedDuration::from_hours(6);
/// However soon the CA wants to be asked again, not sooner.
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);
/// However late, twice a day all the same: else a revocation is learnt too late.
const LONGEST: SignedDuration = SignedDuration::from_hours(12);
/// When the CA gave no answer, it is asked again after this long.
const AFTER_FAILURE: SignedDuration = SignedDuration::from_hours(1);
/// The most that is kept of an error or a URL that the CA sent.
const LONGEST_TEXT: usize = 512;

/// Whether the issuer of a Certificate is asked for renewal information.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// It is.
    Asked,
    /// It is not: no ACME server, or switched off.
    NotAsked,
    /// Nobody knows now: there is no such issuer at this moment.
    #[default]
    Unknown,
}

/// When the CA wants a certificate renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// A moment in the window: random, and the same each time for the same window.
    pub at: Timestamp,
    /// Whether the window was over when the CA named it: something is wrong with the certificate.
    pub is_urgent: bool,
}

/// What to do about the CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Ask it.
    Now,
    /// Ask it then.
    At(Timestamp),
    /// There is nothing to ask.
    Never,
}

/// What the CA said of the certificate `leaf`, as far as `status` knows.
pub fn suggestion(status: &CertificateStatus, leaf: &Leaf) -> Option<Suggestion> {
    let ari = status.acme.as_ref()?.ari.as_ref()?;
    let checked = ari.last_checked.as_ref()?.0;
    let window = ari.suggested_window.as_ref()?;
    let (start, end) = (window.start.0, window.end.0);
    if checked < leaf.not_before || end < start {
        // Said of another certificate, or nothing that can be used.
        return None;
    }
    let span = start.duration_until(end).as_secs();
    let offset = fraction(&format!("{}/{start}/{end}", leaf.serial), span);
    Some(Suggestion {
        at: start
            .checked_add(SignedDuration::from_secs(offset))
            .unwrap_or(end),
        is_urgent: end <= checked,
    })
}

/// What it is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The Certificate.
    pub certificate: &'a CertificateFacts,
    /// Its Secret.
    pub secret: Option<&'a SecretFacts>,
    /// Whether its issuer is asked at all.
    pub source: Source,
    /// Now.
    pub now: Timestamp,
}

/// Whether it is time to ask the CA about the certificate in the Secret.
pub fn ask(question: Question<'_>) -> Ask {
    let Question {
        certificate,
        secret,
        source,
        now,
    } = question;
    if source != Source::Asked || certificate.is_issuing() || certificate.meta.deleting {
        return Ask::Never;
    }
    let Some(secret) = secret else {
        return Ask::Never;
    };
    let Some(leaf) = secret.leaf.read() else {
        return Ask::Never;
    };
    if leaf.renewal_id.is_none()
        || leaf.is_temporary
        || now > leaf.not_after
        || policy::incorrect_issuer(&certificate.spec.issuer_ref, secret).is_some()
    {
        return Ask::Never;
    }
    let ari = certificate
        .status
        .acme
        .as_ref()
        .and_then(|a| a.ari.as_ref());
    let Some(ari) = ari else { return Ask::Now };
    let outdated = ari
        .last_checked
        .as_ref()
        .is_some_and(|checked| checked.0 < leaf.not_before);
    match &ari.next_check {
        Some(next) if next.0 > now && !outdated => Ask::At(next.0),
        Some(_) | None => Ask::Now,
    }
}

/// What is stored when the CA answered, and when it is asked next. `jitter` is random, below one.
pub fn answered(info: &RenewalInfo, now: Timestamp, jitter: f64) -> CertificateAcmeStatus {
    let wait = match info.retry_after {
        Some(retry) => now.duration_until(retry.until(now)),
        None => INTERVAL,
    };
    let window = &info.suggested_window;
    CertificateAcmeStatus {
        ari: Some(AriStatus {
            explanation_url: info.explanation_url.as_deref().map(bounded),
            last_checked: Some(to_the_second(now)),
            last_error: None,
            next_check: Some(later(now, wait.clamp(SHORTEST, LONGEST), jitter)),
            suggested_window: Some(RenewalInformationWindow {
                start: Time(window.start),
                end: Time(window.end),
            }),
        }),
    }
}

/// What is stored when the CA gave no answer: what it said before still holds.
pub fn unanswered(
    known: Option<&CertificateAcmeStatus>,
    why: &str,
    now: Timestamp,
    jitter: f64,
) -> CertificateAcmeStatus {
    let known = known.and_then(|known| known.ari.clone());
    CertificateAcmeStatus {
        ari: Some(AriStatus {
            last_error: Some(bounded(why)),
            next_check: Some(later(now, AFTER_FAILURE, jitter)),
            ..known.unwrap_or_default()
        }),
    }
}

/// What is stored when the CA was found to answer no such question.
pub fn silent(now: Timestamp, jitter: f64) -> CertificateAcmeStatus {
    CertificateAcmeStatus {
        ari: Some(AriStatus {
            next_check: Some(later(now, LONGEST, jitter)),
            ..AriStatus::default()
        }),
    }
}

/// What is left of `known` once there is a new certificate: what was said is not said of it. A CA
/// that wants every certificate renewed at once is not asked again at once.
pub fn renewed(
    known: Option<&CertificateAcmeStatus>,
    now: Timestamp,
) -> Option<CertificateAcmeStatus> {
    let window = known?.ari.as_ref()?.suggested_window.as_ref()?;
    (window.start.0 <= now).then(|| CertificateAcmeStatus {
        ari: Some(AriStatus {
            next_check: Some(later(now, INTERVAL, 0.0)),
            ..AriStatus::default()
        }),
    })
}

/// `wait` from now, up to a tenth less, in whole seconds.
fn later(now: Timestamp, wait: SignedDuration, jitter: f64) -> Time {
    let wait = wait.as_secs_f64() * (1.0 - 0.1 * jitter.clamp(0.0, 1.0));
    let wait = SignedDuration::try_from_secs_f64(wait).unwrap_or(INTERVAL);
    to_the_second(now.checked_add(wait).unwrap_or(now))
}

/// A number from zero to `most` that looks random and is the same each time for the same text.
fn fraction(text: &str, most: i64) -> i64 {
    let hash = digest(&SHA256, text.as_bytes());
    let number = hash
        .as_ref()
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    match u64::try_from(most) {
        Ok(most @ 1..) => i64::try_from(number % most).unwrap_or_default(),
        Ok(0) | Err(_) => 0,
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests;
