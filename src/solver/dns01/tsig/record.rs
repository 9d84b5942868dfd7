//! How does a TSIG record stand at the end of a message (RFC 8945 section 4.2)?

use std::ops::Range;

use hickory_proto::{
    op::{Header, Query},
    rr::Name,
    serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder, NameEncoding},
};

use super::{BADTIME, Error};

/// TYPE of the TSIG record.
pub(super) const TYPE_TSIG: u16 = 250;
/// CLASS of the TSIG record.
pub(super) const CLASS_ANY: u16 = 255;
/// Where a message's header counts the records of the additional section.
const ARCOUNT: Range<usize> = 10..12;

/// What is signed besides the message and the names.
pub(super) struct Variables<'a> {
    pub(super) time: u64,
    pub(super) fudge: u16,
    pub(super) error: u16,
    pub(super) other: &'a [u8],
}

/// A TSIG record as received.
pub(super) struct Received {
    pub(super) key: Name,
    pub(super) algorithm: Name,
    pub(super) time: u64,
    pub(super) fudge: u16,
    pub(super) mac: Vec<u8>,
    pub(super) id: [u8; 2],
    pub(super) error: u16,
    pub(super) other: Vec<u8>,
}

impl Received {
    pub(super) fn variables(&self) -> Variables<'_> {
        Variables {
            time: self.time,
            fudge: self.fudge,
            error: self.error,
            other: &self.other,
        }
    }

    /// With BADTIME, the server's time stands in the other data (RFC 8945 section 5.2.3).
    pub(super) fn server_time(&self) -> Option<i64> {
        if self.error != BADTIME {
            return None;
        }
        let six: [u8; 6] = self.other.as_slice().try_into().ok()?;
        Some(
            six.iter()
                .fold(0, |time, byte| time << 8 | i64::from(*byte)),
        )
    }
}

/// Takes the TSIG record, which must be the last one, off a message: gives the message as it was
/// signed, and the record. `None` if there is no such record.
pub(super) fn split(message: &[u8]) -> Result<Option<(Vec<u8>, Received)>, Error> {
    let mut decoder = BinDecoder::new(message);
    let header = Header::read(&mut decoder).map_err(|_| Error::Malformed("header"))?;
    let counts = header.counts;
    for _ in 0..counts.queries {
        Query::read(&mut decoder).map_err(|_| Error::Malformed("question"))?;
    }
    let Some(additionals) = counts.additionals.checked_sub(1) else {
        return Ok(None);
    };
    let others = u32::from(counts.answers) + u32::from(counts.authorities) + u32::from(additionals);
    for _ in 0..others {
        let (_, _, kind, _) = read_record(&mut decoder)?;
        if kind == TYPE_TSIG {
            return Err(Error::Malformed("a TSIG record that is not the last"));
        }
    }
    let end = decoder.index();
    let (key, class, kind, data) = read_record(&mut decoder)?;
    if kind != TYPE_TSIG {
        return Ok(None);
    }
    if class != CLASS_ANY || !decoder.is_empty() {
        return Err(Error::Malformed("TSIG record"));
    }
    let record = read_tsig(key.to_lowercase(), data).ok_or(Error::Malformed("TSIG record"))?;
    let mut stripped = message.get(..end).unwrap_or_default().to_vec();
    stripped.splice(..2, record.id);
    stripped.splice(ARCOUNT, additionals.to_be_bytes());
    Ok(Some((stripped, record)))
}

/// Owner, class, type and data of the next record.
fn read_record<'a>(decoder: &mut BinDecoder<'a>) -> Result<(Name, u16, u16, &'a [u8]), Error> {
    let mut read = || {
        let owner = Name::read(decoder).ok()?;
        let kind = decoder.read_u16().ok()?.unverified();
        let class = decoder.read_u16().ok()?.unverified();
        decoder.read_u32().ok()?;
        let length = decoder.read_u16().ok()?.unverified();
        let data = decoder.read_slice(usize::from(length)).ok()?.unverified();
        Some((owner, class, kind, data))
    };
    read().ok_or(Error::Malformed("record"))
}

/// The data of a TSIG record; its algorithm name must not be compressed.
fn read_tsig(key: Name, data: &[u8]) -> Option<Received> {
    let mut decoder = BinDecoder::new(data);
    let algorithm = Name::read(&mut decoder).ok()?;
    let mut u16 = || Some(decoder.read_u16().ok()?.unverified());
    let time = (u64::from(u16()?) << 32) | (u64::from(u16()?) << 16) | u64::from(u16()?);
    let fudge = u16()?;
    let mac = u16()?;
    let mac = decoder
        .read_slice(usize::from(mac))
        .ok()?
        .unverified()
        .to_vec();
    let mut u16 = || Some(decoder.read_u16().ok()?.unverified());
    let id = u16()?.to_be_bytes();
    let error = u16()?;
    let other = u16()?;
    let other = decoder
        .read_slice(usize::from(other))
        .ok()?
        .unverified()
        .to_vec();
    decoder.is_empty().then_some(Received {
        key,
        algorithm,
        time,
        fudge,
        mac,
        id,
        error,
        other,
    })
}

/// The message with `record` as the last of its additional section.
pub(super) fn append(message: &[u8], record: &[u8]) -> Result<Vec<u8>, Error> {
    let count: [u8; 2] = message
        .get(ARCOUNT)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(Error::Malformed("no header"))?;
    let count = u16::from_be_bytes(count)
        .checked_add(1)
        .ok_or(Error::Malformed("too many records"))?;
    let mut bytes = message.to_vec();
    bytes.splice(ARCOUNT, count.to_be_bytes());
    bytes.extend_from_slice(record);
    Ok(bytes)
}

/// A name in canonical wire form: in lower case, not compressed.
pub(super) fn wire(name: &Name) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    let mut encoder = encoder.with_name_encoding(NameEncoding::UncompressedLowercase);
    name.emit(&mut encoder)
        .map_err(|_| Error::Malformed("name"))?;
    drop(encoder);
    Ok(bytes)
}

pub(super) fn time48(time: u64) -> [u8; 6] {
    let [_, _, six @ ..] = time.to_be_bytes();
    six
}

pub(super) fn push_sized(bytes: &mut Vec<u8>, data: &[u8]) -> Result<(), Error> {
    let length = u16::try_from(data.len()).map_err(|_| Error::Malformed("too long"))?;
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(data);
    Ok(())
}
