//! What do the flags ask of each room?

use jiff::SignedDuration;

use crate::{
    certificate::facts as certificate,
    cli::flags::{Controller, Deletion, Settings},
    request::plan::Served,
    retire,
};

/// Which issuers' CertificateSigningRequests are handed to them.
pub(super) fn signing_requests(settings: &Settings) -> Served {
    let wants = |controller| settings.controllers.contains(&controller);
    Served {
        acme: wants(Controller::SigningRequestsAcme),
        ca: wants(Controller::SigningRequestsCa),
        self_signed: wants(Controller::SigningRequestsSelfSigned),
    }
}

pub(super) fn certificate_settings(settings: &Settings) -> certificate::Settings {
    let duration = |wait| SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    certificate::Settings {
        backoff_min: duration(settings.waits.first_backoff),
        backoff_max: duration(settings.waits.most_backoff),
        owner_reference: settings.certificate_owns_secret,
        basic_constraints_in_csr: settings.gates.basic_constraints_in_csr,
        copied_annotation_prefixes: settings.copied_annotation_prefixes.clone(),
    }
}

pub(super) fn retire_settings(settings: &Settings) -> retire::Settings {
    let Deletion {
        default_policy,
        delay,
        issuances: _,
        users_are_checked,
    } = settings.deletion;
    retire::Settings {
        delay: SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX),
        default_policy,
        users_are_checked,
    }
}
