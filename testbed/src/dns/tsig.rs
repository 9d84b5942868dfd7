//! Is a request signed with a key of ours (RFC 8945), and how is its answer signed?

use hickory_proto::{
    rr::{
        DNSClass, Name, Record,
        rdata::{TSIG, tsig::TsigAlgorithm, tsig::TsigError, tsig::signed_bitmessage_to_buf},
    },
    serialize::binary::{BinEncodable, BinEncoder},
};
use hmac::{Hmac, Mac};

use super::parse_name;

/// The algorithms a key can be used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// hmac-md5.sig-alg.reg.int
    HmacMd5,
    /// hmac-sha1
    HmacSha1,
    /// hmac-sha256
    HmacSha256,
    /// hmac-sha512
    HmacSha512,
}

impl Algorithm {
    fn on_the_wire(self) -> TsigAlgorithm {
        match self {
            Self::HmacMd5 => TsigAlgorithm::HmacMd5,
            Self::HmacSha1 => TsigAlgorithm::HmacSha1,
            Self::HmacSha256 => TsigAlgorithm::HmacSha256,
            Self::HmacSha512 => TsigAlgorithm::HmacSha512,
        }
    }

    fn mac(self, secret: &[u8], data: &[u8]) -> anyhow::Result<Vec<u8>> {
        macro_rules! mac {
            ($digest:ty) => {{
                let mut mac = Hmac::<$digest>::new_from_slice(secret)?;
                mac.update(data);
                mac.finalize().into_bytes().to_vec()
            }};
        }
        Ok(match self {
            Self::HmacMd5 => mac!(md5::Md5),
            Self::HmacSha1 => mac!(sha1::Sha1),
            Self::HmacSha256 => mac!(sha2::Sha256),
            Self::HmacSha512 => mac!(sha2::Sha512),
        })
    }
}

/// A key that may sign updates.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// The one algorithm it is used with.
    pub algorithm: Algorithm,
    /// Its bytes.
    pub secret: Vec<u8>,
}

/// What the signature of a request is worth.
pub(super) enum Verdict {
    /// There is none.
    Unsigned,
    /// It is good.
    Good(Signature),
    /// It is not; the answer is NOTAUTH with this error, signed only for BADTIME.
    Bad(Signature, TsigError),
}

/// What is needed to answer a signed request.
pub(super) struct Signature {
    key_name: Name,
    algorithm: TsigAlgorithm,
    request_mac: Vec<u8>,
    time: u64,
    id: u16,
    key: Option<Key>,
}

impl Signature {
    pub(super) fn key_name(&self) -> String {
        self.key_name.to_ascii()
    }
}

/// Checks `request` in the order of RFC 8945 section 5.2: key, MAC, time.
pub(super) fn verify(request: &[u8], keys: &[Key], now: u64) -> anyhow::Result<Verdict> {
    let Ok((signed, record)) = signed_bitmessage_to_buf(request, None, true) else {
        return Ok(Verdict::Unsigned);
    };
    let tsig = record.data;
    let key = keys.iter().find(|key| {
        let same_name = parse_name(&key.name).is_ok_and(|name| name == record.name);
        same_name && is(&tsig.algorithm, key.algorithm)
    });
    let signature = Signature {
        key_name: record.name,
        algorithm: tsig.algorithm,
        request_mac: tsig.mac,
        time: tsig.time,
        id: tsig.oid,
        key: key.cloned(),
    };
    let Some(key) = key else {
        return Ok(Verdict::Bad(signature, TsigError::BadKey));
    };
    if key.algorithm.mac(&key.secret, &signed)? != signature.request_mac {
        return Ok(Verdict::Bad(signature, TsigError::BadSig));
    }
    if now.abs_diff(signature.time) > u64::from(tsig.fudge) {
        return Ok(Verdict::Bad(signature, TsigError::BadTime));
    }
    Ok(Verdict::Good(signature))
}

/// Algorithm names are compared without case; the message's may be in any.
fn is(algorithm: &TsigAlgorithm, wanted: Algorithm) -> bool {
    algorithm
        .to_name()
        .to_ascii()
        .trim_end_matches('.')
        .eq_ignore_ascii_case(
            wanted
                .on_the_wire()
                .to_name()
                .to_ascii()
                .trim_end_matches('.'),
        )
}

/// The TSIG record for `answer`, which has none yet.
pub(super) fn sign(
    answer: &[u8],
    signature: &Signature,
    error: Option<TsigError>,
    now: u64,
) -> anyhow::Result<Record<TSIG>> {
    // With BADTIME the answer is signed for the client's time, and ours stands beside it.
    let (time, other) = match error {
        Some(TsigError::BadTime) => (signature.time, now.to_be_bytes()[2..].to_vec()),
        _ => (now, Vec::new()),
    };
    let mut tsig = TSIG::new(
        signature.algorithm.clone(),
        time,
        300,
        Vec::new(),
        signature.id,
        error,
        other,
    );
    let unsigned = matches!(error, Some(TsigError::BadKey | TsigError::BadSig));
    if let (Some(key), false) = (&signature.key, unsigned) {
        let mut data = Vec::new();
        let mut encoder = BinEncoder::new(&mut data);
        encoder.emit_u16(u16::try_from(signature.request_mac.len())?)?;
        encoder.emit_vec(&signature.request_mac)?;
        encoder.emit_vec(answer)?;
        tsig.emit_tsig_for_mac(&mut encoder, &signature.key_name)?;
        drop(encoder);
        let mac = key.algorithm.mac(&key.secret, &data)?;
        tsig = tsig.set_mac(mac);
    }
    let mut record = Record::from_rdata(signature.key_name.clone(), 0, tsig);
    record.dns_class = DNSClass::ANY;
    Ok(record)
}

/// `answer` with the record as its last.
pub(super) fn attach(answer: &[u8], record: &Record<TSIG>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = answer.to_vec();
    let count = u16::from_be_bytes([bytes[10], bytes[11]]) + 1;
    bytes[10..12].copy_from_slice(&count.to_be_bytes());
    let mut tail = Vec::new();
    let mut encoder = BinEncoder::new(&mut tail);
    record.emit(&mut encoder)?;
    drop(encoder);
    bytes.extend_from_slice(&tail);
    Ok(bytes)
}
