//! When may a certificate be renewed?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Duration;

/// When the certificate is renewed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Renewal {
    /// Whether it is renewed without being asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<RenewalPolicy>,
    /// Times in which renewal may start. It starts at the first opening of a window once renewal is
    /// due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<Vec<RenewalWindow>>,
}

/// Whether a certificate is renewed without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RenewalPolicy {
    /// Renew some time before expiry.
    RenewBefore,
    /// Never renew; an expired certificate stays until someone asks.
    Disabled,
}

/// A recurring time in which renewal may start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenewalWindow {
    /// When the window opens: five cron fields, or a descriptor such as @daily.
    #[schemars(length(min = 1))]
    pub cron: String,
    /// IANA time zone in which cron is read. Absent means UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub timezone: Option<String>,
    /// How long the window stays open, for instance 2h30m.
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(s|m|h))+$"))]
    pub window_duration: Duration,
}
