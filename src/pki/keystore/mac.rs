//! What keeps a PKCS#12 store from being changed?

use aws_lc_rs::{digest, hmac};
use yasna::{ASN1Result, BERReader, DERWriter};
use zeroize::Zeroizing;

use super::{
    Password,
    pbe::{self, Failed, invalid, null, number, write_oid},
};

const SHA1: &[u64] = &[1, 3, 14, 3, 2, 26];
const SHA256: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 1];
const PBMAC1: &[u64] = &[1, 2, 840, 113_549, 1, 5, 14];

/// Which algorithm computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MacKind {
    /// HMAC with SHA-1 (RFC 7292), after one iteration.
    Sha1,
    /// HMAC with SHA-256 (RFC 7292).
    Sha256,
    /// PBMAC1 with PBKDF2 and HMAC, both with SHA-256 (RFC 9879).
    Pbmac1,
}

/// A message authentication code, before it is computed.
pub(super) struct Mac {
    pub(super) kind: MacKind,
    salt: Vec<u8>,
    iterations: u32,
}

impl Mac {
    /// With a salt of its own.
    pub(super) fn new(kind: MacKind) -> Result<Self, Failed> {
        let (salt, iterations) = match kind {
            MacKind::Sha1 => (pbe::random::<8>()?.to_vec(), 1),
            MacKind::Sha256 | MacKind::Pbmac1 => (pbe::random::<16>()?.to_vec(), pbe::ITERATIONS),
        };
        Ok(Self {
            kind,
            salt,
            iterations,
        })
    }

    pub(super) fn compute(&self, message: &[u8], password: &Password) -> Result<hmac::Tag, Failed> {
        let (hash, algorithm): (_, hmac::Algorithm) = match self.kind {
            MacKind::Pbmac1 => {
                let key = pbe::pbkdf2(password, &self.salt, self.iterations)?;
                let key = hmac::Key::new(hmac::HMAC_SHA256, &*key);
                return Ok(hmac::sign(&key, message));
            }
            MacKind::Sha1 => (
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
                hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            ),
            MacKind::Sha256 => (&digest::SHA256, hmac::HMAC_SHA256),
        };
        let mut key = Zeroizing::new(vec![0; hash.output_len()]);
        pbe::derive(
            hash,
            3,
            &password.bmp(),
            &self.salt,
            self.iterations,
            &mut key,
        );
        Ok(hmac::sign(&hmac::Key::new(algorithm, &key), message))
    }

    pub(super) fn write(&self, writer: DERWriter<'_>, tag: &[u8]) {
        let Self {
            kind,
            salt,
            iterations,
        } = self;
        writer.write_sequence(|writer| {
            writer.next().write_sequence(|writer| {
                writer.next().write_sequence(|writer| match kind {
                    MacKind::Sha1 => write_oid(writer.next(), SHA1),
                    MacKind::Sha256 => write_oid(writer.next(), SHA256),
                    MacKind::Pbmac1 => {
                        write_oid(writer.next(), PBMAC1);
                        writer.next().write_sequence(|writer| {
                            pbe::write_pbkdf2(writer.next(), salt, *iterations, Some(32));
                            writer.next().write_sequence(|writer| {
                                write_oid(writer.next(), pbe::HMAC_SHA256);
                            });
                        });
                    }
                });
                writer.next().write_bytes(tag);
            });
            match (kind, iterations) {
                // PBMAC1 has its own; cert-manager writes these.
                (MacKind::Pbmac1, _) => {
                    writer.next().write_bytes(&[]);
                    writer.next().write_u8(0);
                }
                // The default is not written.
                (_, 1) => writer.next().write_bytes(salt),
                (_, iterations) => {
                    writer.next().write_bytes(salt);
                    writer.next().write_u32(*iterations);
                }
            }
        });
    }

    /// The MAC, and the value that it is to have.
    pub(super) fn read(reader: BERReader<'_, '_>) -> ASN1Result<(Self, Vec<u8>)> {
        reader.read_sequence(|reader| {
            let ((kind, pbmac1), tag) = reader.next().read_sequence(|reader| {
                let kind = reader.next().read_sequence(|reader| {
                    let oid = reader.next().read_oid()?;
                    let kind = match oid.components().as_slice() {
                        SHA1 => MacKind::Sha1,
                        SHA256 => MacKind::Sha256,
                        PBMAC1 => {
                            let parameters = reader.next().read_sequence(|reader| {
                                let parameters = pbe::read_pbkdf2(reader.next())?;
                                pbe::read_algorithm(reader.next(), pbe::HMAC_SHA256)?;
                                Ok(parameters)
                            })?;
                            return match parameters {
                                (salt, iterations, Some(32)) => {
                                    Ok((MacKind::Pbmac1, Some((salt, iterations))))
                                }
                                _ => Err(invalid()),
                            };
                        }
                        _ => return Err(invalid()),
                    };
                    reader.read_optional(null)?;
                    Ok((kind, None))
                })?;
                Ok((kind, reader.next().read_bytes()?))
            })?;
            let salt = reader.next().read_bytes()?;
            let (salt, iterations) = match pbmac1 {
                Some(parameters) => {
                    reader.read_optional(number)?;
                    parameters
                }
                None => {
                    let iterations = reader.read_optional(pbe::iterations)?;
                    (salt, iterations.unwrap_or(1))
                }
            };
            let mac = Self {
                kind,
                salt,
                iterations,
            };
            Ok((mac, tag))
        })
    }
}
