//! Is this DNS message signed with our key (TSIG, RFC 8945), and how do we sign one?
//!
//! One path for all four algorithms that cert-manager knows, of which hickory signs with two.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod record;

use std::{fmt, str::FromStr};

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac as lc};
use hickory_proto::rr::Name;
use hmac::Mac;
use jiff::Timestamp;
use zeroize::Zeroizing;

use record::{CLASS_ANY, TYPE_TSIG, Variables, append, push_sized, split, time48, wire};

/// Seconds that the two clocks may differ (RFC 8945 section 10 recommends 300).
pub const FUDGE: u16 = 300;

/// The error field with which a server reports that the clocks differ.
pub(super) const BADTIME: u16 = 18;

/// The message authentication codes that cert-manager's `tsigAlgorithm` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `HMACMD5`: the default, for compatibility; servers have begun to drop it.
    HmacMd5,
    /// `HMACSHA1`.
    HmacSha1,
    /// `HMACSHA256`.
    HmacSha256,
    /// `HMACSHA512`.
    HmacSha512,
}

impl Algorithm {
    /// The name in TSIG records (RFC 8945 section 6), canonical: in lower case.
    fn wire_name(self) -> &'static str {
        match self {
            Self::HmacMd5 => "hmac-md5.sig-alg.reg.int.",
            Self::HmacSha1 => "hmac-sha1.",
            Self::HmacSha256 => "hmac-sha256.",
            Self::HmacSha512 => "hmac-sha512.",
        }
    }
}

impl FromStr for Algorithm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_uppercase().as_str() {
            "HMACMD5" => Ok(Self::HmacMd5),
            "HMACSHA1" => Ok(Self::HmacSha1),
            "HMACSHA256" => Ok(Self::HmacSha256),
            "HMACSHA512" => Ok(Self::HmacSha512),
            _ => Err(()),
        }
    }
}

/// A key shared with a nameserver.
#[derive(Clone)]
pub struct Key {
    name: Name,
    algorithm: Algorithm,
    secret: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name.to_ascii())
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// The key `name`, whose bytes are `secret`.
    pub fn new(name: &Name, algorithm: Algorithm, secret: Zeroizing<Vec<u8>>) -> Self {
        let mut name = name.to_lowercase();
        name.set_fqdn(true);
        Self {
            name,
            algorithm,
            secret,
        }
    }

    /// The name that both sides know it by, in lower case.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Signs `message`, which has no TSIG record yet.
    ///
    /// # Errors
    /// When `message` is no whole DNS message or has no room for the record.
    pub fn sign(&self, message: &[u8], now: Timestamp) -> Result<Signed, Error> {
        let variables = Variables {
            time: u64::try_from(now.as_second()).map_err(|_| Error::Time)?,
            fudge: FUDGE,
            error: 0,
            other: &[],
        };
        let mac = self.mac(&[message, &self.digested(&variables)?])?;
        let id = message.get(..2).ok_or(Error::Malformed("no header"))?;
        Ok(Signed {
            bytes: append(message, &self.record(&variables, &mac, id)?)?,
            request_mac: mac,
        })
    }

    /// Checks that `answer` is signed with this key as the answer to the request with
    /// `request_mac`. What it says may be believed only then.
    ///
    /// # Errors
    /// When it is not, or was signed too far from `now`.
    pub fn verify(
        &self,
        answer: &[u8],
        request_mac: &[u8],
        now: Timestamp,
    ) -> Result<Verified, Error> {
        let (message, record) = split(answer)?.ok_or(Error::Unsigned)?;
        let known = record.key == self.name
            && record.algorithm.to_lowercase().to_ascii() == self.algorithm.wire_name();
        if !known {
            return Err(Error::OtherKey(record.key.to_ascii()));
        }
        let length =
            u16::try_from(request_mac.len()).map_err(|_| Error::Malformed("MAC length"))?;
        let variables = record.variables();
        let digested = self.digested(&variables)?;
        let mac = self.mac(&[&length.to_be_bytes(), request_mac, &message, &digested])?;
        // Truncated MACs are refused with it: we never ask for them.
        verify_slices_are_equal(&mac, &record.mac).map_err(|_| Error::BadMac)?;
        // A server that finds our clock wrong signs its answer with its own: that is the message.
        let skew = i64::try_from(record.time).map_err(|_| Error::Time)? - now.as_second();
        if record.error != BADTIME && skew.abs() > i64::from(record.fudge) {
            return Err(Error::Skew(skew));
        }
        Ok(Verified {
            error: record.error,
            clock_ahead: record.server_time().map(|time| time - now.as_second()),
        })
    }

    /// The bytes of the TSIG record that are signed with the message (RFC 8945 section 4.3.3).
    fn digested(&self, variables: &Variables<'_>) -> Result<Vec<u8>, Error> {
        let mut bytes = wire(&self.name)?;
        bytes.extend_from_slice(&CLASS_ANY.to_be_bytes());
        bytes.extend_from_slice(&0_u32.to_be_bytes());
        bytes.extend_from_slice(&wire(&self.algorithm_name()?)?);
        bytes.extend_from_slice(&time48(variables.time));
        bytes.extend_from_slice(&variables.fudge.to_be_bytes());
        bytes.extend_from_slice(&variables.error.to_be_bytes());
        push_sized(&mut bytes, variables.other)?;
        Ok(bytes)
    }

    /// The whole TSIG record (RFC 8945 section 4.2).
    fn record(&self, variables: &Variables<'_>, mac: &[u8], id: &[u8]) -> Result<Vec<u8>, Error> {
        let mut data = wire(&self.algorithm_name()?)?;
        data.extend_from_slice(&time48(variables.time));
        data.extend_from_slice(&variables.fudge.to_be_bytes());
        push_sized(&mut data, mac)?;
        data.extend_from_slice(id);
        data.extend_from_slice(&variables.error.to_be_bytes());
        push_sized(&mut data, variables.other)?;
        let mut record = wire(&self.name)?;
        record.extend_from_slice(&TYPE_TSIG.to_be_bytes());
        record.extend_from_slice(&CLASS_ANY.to_be_bytes());
        record.extend_from_slice(&0_u32.to_be_bytes());
        push_sized(&mut record, &data)?;
        Ok(record)
    }

    fn algorithm_name(&self) -> Result<Name, Error> {
        Name::from_ascii(self.algorithm.wire_name()).map_err(|_| Error::Malformed("algorithm name"))
    }

    fn mac(&self, parts: &[&[u8]]) -> Result<Vec<u8>, Error> {
        let sha = match self.algorithm {
            Algorithm::HmacMd5 => return self.mac_md5(parts),
            Algorithm::HmacSha1 => lc::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::HmacSha256 => lc::HMAC_SHA256,
            Algorithm::HmacSha512 => lc::HMAC_SHA512,
        };
        let mut context = lc::Context::with_key(&lc::Key::new(sha, &self.secret));
        parts.iter().for_each(|part| context.update(part));
        Ok(context.sign().as_ref().to_vec())
    }

    /// aws-lc-rs has no HMAC-MD5.
    fn mac_md5(&self, parts: &[&[u8]]) -> Result<Vec<u8>, Error> {
        let mut hasher = hmac::Hmac::<md5::Md5>::new_from_slice(&self.secret)
            .map_err(|_| Error::Malformed("key"))?;
        parts.iter().for_each(|part| hasher.update(part));
        Ok(hasher.finalize().into_bytes().to_vec())
    }
}

/// A signed message, and what its answer must refer to.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The message with its TSIG record.
    pub bytes: Vec<u8>,
    /// The MAC of the request, which is part of what the answer's MAC covers.
    pub request_mac: Vec<u8>,
}

/// A message whose signature holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The error field of the TSIG record; 0 for none.
    pub error: u16,
    /// With BADTIME: the server's clock minus ours, in seconds.
    pub clock_ahead: Option<i64>,
}

/// Why a signature could not be made, or does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No TSIG record.
    #[error("it is not signed")]
    Unsigned,
    /// Signed with a key or algorithm that was not used for the request.
    #[error("it is signed with another key or algorithm (key {0})")]
    OtherKey(String),
    /// The MAC is wrong.
    #[error("its signature does not hold")]
    BadMac,
    /// Signed too long ago, or in the future: seconds ahead of our clock.
    #[error("it was signed {} s {} our time", .0.abs(), if *.0 < 0 { "before" } else { "after" })]
    Skew(i64),
    /// Our own time cannot be written.
    #[error("the time is out of range")]
    Time,
    /// The bytes are no DNS message with a well-formed TSIG record.
    #[error("it is malformed ({0})")]
    Malformed(&'static str),
}

/// The error field of the TSIG record of `answer`, believed or not: servers do not sign the answers
/// that say that they do not know the key, or that our signature is wrong (RFC 8945 section 5.2).
pub fn unverified_error(answer: &[u8]) -> Option<u16> {
    let (_, record) = split(answer).ok()??;
    (record.error != 0).then_some(record.error)
}

#[cfg(test)]
mod tests;
