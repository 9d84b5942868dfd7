//! How does PKCS#12 derive keys from a password, and encrypt with them?

use aws_lc_rs::{
    cipher::{
        AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
        PaddedBlockEncryptingKey, UnboundCipherKey,
    },
    digest,
    iv::FixedLength,
    pbkdf2, rand,
};
use cbc::cipher::{BlockDecryptMut, BlockEncryptMut, InnerIvInit, KeyInit, block_padding::Pkcs7};
use des::TdesEde3;
use rc2::Rc2;
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, DERWriter, models::ObjectIdentifier};
use zeroize::Zeroizing;

use super::Password;

/// Whoever may write the Secret could ask for any: keytool writes 10000, OpenSSL and cert-manager
/// 2048.
const MOST_ITERATIONS: u32 = 10_000;
/// What is written, as by cert-manager.
pub(super) const ITERATIONS: u32 = 2048;

/// The longest block of a cipher.
const MOST_PADDING: usize = 16;

const RC2_40: &[u64] = &[1, 2, 840, 113_549, 1, 12, 1, 6];
const TRIPLE_DES: &[u64] = &[1, 2, 840, 113_549, 1, 12, 1, 3];
const PBES2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 13];
const PBKDF2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 12];
const AES_256_CBC: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 1, 42];
pub(super) const HMAC_SHA256: &[u64] = &[1, 2, 840, 113_549, 2, 9];

/// The library failed; it says no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed;

/// Which algorithm encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    /// RC2 with 40 bits, key by SHA-1 (RFC 7292).
    Rc2,
    /// Triple DES, key by SHA-1 (RFC 7292).
    TripleDes,
    /// AES-256, key by PBKDF2 with SHA-256 (RFC 8018).
    Aes,
}

/// An algorithm with its parameters, as it stands before what is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scheme {
    pub(super) cipher: Cipher,
    salt: Vec<u8>,
    iterations: u32,
    /// AES only: the others derive theirs.
    iv: [u8; 16],
}

impl Scheme {
    /// With a salt of its own.
    pub(super) fn new(cipher: Cipher) -> Result<Self, Failed> {
        let mut scheme = Self {
            cipher,
            salt: match cipher {
                Cipher::Rc2 | Cipher::TripleDes => random::<8>()?.to_vec(),
                Cipher::Aes => random::<16>()?.to_vec(),
            },
            iterations: ITERATIONS,
            iv: [0; 16],
        };
        if cipher == Cipher::Aes {
            scheme.iv = random()?;
        }
        Ok(scheme)
    }

    /// Writes the AlgorithmIdentifier.
    pub(super) fn write(&self, writer: DERWriter<'_>) {
        let Self {
            cipher,
            salt,
            iterations,
            iv,
        } = self;
        let oid = match cipher {
            Cipher::Rc2 => RC2_40,
            Cipher::TripleDes => TRIPLE_DES,
            Cipher::Aes => PBES2,
        };
        writer.write_sequence(|writer| {
            write_oid(writer.next(), oid);
            if *cipher != Cipher::Aes {
                writer.next().write_sequence(|writer| {
                    writer.next().write_bytes(salt);
                    writer.next().write_u32(*iterations);
                });
                return;
            }
            writer.next().write_sequence(|writer| {
                write_pbkdf2(writer.next(), salt, *iterations, None);
                writer.next().write_sequence(|writer| {
                    write_oid(writer.next(), AES_256_CBC);
                    writer.next().write_bytes(iv);
                });
            });
        });
    }

    /// Reads an AlgorithmIdentifier.
    pub(super) fn read(reader: BERReader<'_, '_>) -> ASN1Result<Self> {
        reader.read_sequence(|reader| {
            let oid = reader.next().read_oid()?;
            let oid = oid.components().as_slice();
            let cipher = match oid {
                RC2_40 => Cipher::Rc2,
                TRIPLE_DES => Cipher::TripleDes,
                PBES2 => {
                    return reader.next().read_sequence(|reader| {
                        let (salt, iterations, _) = read_pbkdf2(reader.next())?;
                        let iv = reader.next().read_sequence(|reader| {
                            expect(reader.next(), AES_256_CBC)?;
                            reader.next().read_bytes()
                        })?;
                        Ok(Self {
                            cipher: Cipher::Aes,
                            salt,
                            iterations,
                            iv: iv.try_into().map_err(|_| invalid())?,
                        })
                    });
                }
                _ => return Err(invalid()),
            };
            let (salt, iterations) = reader.next().read_sequence(|reader| {
                Ok((reader.next().read_bytes()?, iterations(reader.next())?))
            })?;
            Ok(Self {
                cipher,
                salt,
                iterations,
                iv: [0; 16],
            })
        })
    }

    /// Encrypts `plain`.
    pub(super) fn encrypt(&self, plain: &[u8], password: &Password) -> Result<Vec<u8>, Failed> {
        // With room for the padding: a buffer that grows leaves its old content behind.
        let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len() + 2 * MOST_PADDING));
        buffer.extend_from_slice(plain);
        if self.cipher != Cipher::Aes {
            buffer.resize(plain.len() + MOST_PADDING, 0);
        }
        let encrypted = match self.cipher {
            Cipher::Rc2 => {
                let (key, iv) = self.derive::<5>(password);
                let cipher = Rc2::new_from_slice(&*key).map_err(|_| Failed)?;
                cbc::Encryptor::inner_iv_init(cipher, &iv.into())
                    .encrypt_padded_mut::<Pkcs7>(&mut buffer, plain.len())
                    .map_err(|_| Failed)?
            }
            Cipher::TripleDes => {
                let (key, iv) = self.derive::<24>(password);
                let cipher = TdesEde3::new_from_slice(&*key).map_err(|_| Failed)?;
                cbc::Encryptor::inner_iv_init(cipher, &iv.into())
                    .encrypt_padded_mut::<Pkcs7>(&mut buffer, plain.len())
                    .map_err(|_| Failed)?
            }
            Cipher::Aes => {
                let iv = EncryptionContext::Iv128(FixedLength::from(self.iv));
                PaddedBlockEncryptingKey::cbc_pkcs7(self.aes_key(password)?)
                    .and_then(|key| key.less_safe_encrypt(&mut *buffer, iv))
                    .map_err(|_| Failed)?;
                &buffer
            }
        };
        Ok(encrypted.to_vec())
    }

    /// Decrypts; fails if the password is another, or it was not encrypted so.
    pub(super) fn decrypt(
        &self,
        encrypted: &[u8],
        password: &Password,
    ) -> Result<Zeroizing<Vec<u8>>, Failed> {
        let mut buffer = Zeroizing::new(encrypted.to_vec());
        let plain = match self.cipher {
            Cipher::Rc2 => {
                let (key, iv) = self.derive::<5>(password);
                let cipher = Rc2::new_from_slice(&*key).map_err(|_| Failed)?;
                cbc::Decryptor::inner_iv_init(cipher, &iv.into())
                    .decrypt_padded_mut::<Pkcs7>(&mut buffer)
                    .map_err(|_| Failed)?
            }
            Cipher::TripleDes => {
                let (key, iv) = self.derive::<24>(password);
                let cipher = TdesEde3::new_from_slice(&*key).map_err(|_| Failed)?;
                cbc::Decryptor::inner_iv_init(cipher, &iv.into())
                    .decrypt_padded_mut::<Pkcs7>(&mut buffer)
                    .map_err(|_| Failed)?
            }
            Cipher::Aes => {
                let iv = DecryptionContext::Iv128(FixedLength::from(self.iv));
                let key = PaddedBlockDecryptingKey::cbc_pkcs7(self.aes_key(password)?)
                    .map_err(|_| Failed)?;
                &*key.decrypt(&mut buffer, iv).map_err(|_| Failed)?
            }
        };
        let length = plain.len();
        buffer.truncate(length);
        Ok(buffer)
    }

    /// The key and the initialization vector of RFC 7292.
    fn derive<const SIZE: usize>(&self, password: &Password) -> (Zeroizing<[u8; SIZE]>, [u8; 8]) {
        let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
        let password = password.bmp();
        let (mut key, mut iv) = (Zeroizing::new([0; SIZE]), [0; 8]);
        derive(sha1, 1, &password, &self.salt, self.iterations, &mut *key);
        derive(sha1, 2, &password, &self.salt, self.iterations, &mut iv);
        (key, iv)
    }

    fn aes_key(&self, password: &Password) -> Result<UnboundCipherKey, Failed> {
        let key = pbkdf2(password, &self.salt, self.iterations)?;
        UnboundCipherKey::new(&AES_256, &*key).map_err(|_| Failed)
    }
}

/// 32 bytes by PBKDF2 with SHA-256 (RFC 8018). The password is UTF-8 here.
pub(super) fn pbkdf2(
    password: &Password,
    salt: &[u8],
    iterations: u32,
) -> Result<Zeroizing<[u8; 32]>, Failed> {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        iterations.try_into().map_err(|_| Failed)?,
        salt,
        password.utf8().as_bytes(),
        &mut *key,
    );
    Ok(key)
}

/// Fills `out` by the derivation of PKCS#12 (RFC 7292, B.2). `id`: 1 for a key, 2 for an
/// initialization vector, 3 for the key of a MAC.
pub(super) fn derive(
    hash: &'static digest::Algorithm,
    id: u8,
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    out: &mut [u8],
) {
    let block = hash.block_len();
    let repeated = |bytes: &[u8]| -> Zeroizing<Vec<u8>> {
        let size = bytes.len().div_ceil(block) * block;
        Zeroizing::new(bytes.iter().copied().cycle().take(size).collect())
    };
    let diversifier = vec![id; block];
    let mut input = Zeroizing::new([&**repeated(salt), &**repeated(password)].concat());
    for chunk in out.chunks_mut(hash.output_len()) {
        let mut context = digest::Context::new(hash);
        context.update(&diversifier);
        context.update(&input);
        let mut hashed = context.finish();
        for _ in 1..iterations {
            hashed = digest::digest(hash, hashed.as_ref());
        }
        let hashed = hashed.as_ref();
        chunk.copy_from_slice(&hashed[..chunk.len()]);
        // Each block of the input, as a number: add the hash and one.
        for part in input.chunks_mut(block) {
            let mut carry = 1;
            for (at, byte) in part.iter_mut().enumerate().rev() {
                let sum = u16::from(*byte) + u16::from(hashed[at % hashed.len()]) + carry;
                [_, *byte] = sum.to_be_bytes();
                carry = sum >> 8;
            }
        }
    }
}

/// Writes PBKDF2 with SHA-256 as an AlgorithmIdentifier.
pub(super) fn write_pbkdf2(
    writer: DERWriter<'_>,
    salt: &[u8],
    iterations: u32,
    length: Option<u32>,
) {
    writer.write_sequence(|writer| {
        write_oid(writer.next(), PBKDF2);
        writer.next().write_sequence(|writer| {
            writer.next().write_bytes(salt);
            writer.next().write_u32(iterations);
            if let Some(length) = length {
                writer.next().write_u32(length);
            }
            writer.next().write_sequence(|writer| {
                write_oid(writer.next(), HMAC_SHA256);
            });
        });
    });
}

/// Reads PBKDF2 with SHA-256: salt, iterations and the length of the key, if it is given.
pub(super) fn read_pbkdf2(reader: BERReader<'_, '_>) -> ASN1Result<(Vec<u8>, u32, Option<u32>)> {
    reader.read_sequence(|reader| {
        expect(reader.next(), PBKDF2)?;
        reader.next().read_sequence(|reader| {
            let salt = reader.next().read_bytes()?;
            let iterations = iterations(reader.next())?;
            let length = reader.read_optional(number)?;
            read_algorithm(reader.next(), HMAC_SHA256)?;
            Ok((salt, iterations, length))
        })
    })
}

/// Reads an AlgorithmIdentifier that has to be `oid`, without parameters.
pub(super) fn read_algorithm(reader: BERReader<'_, '_>, oid: &[u64]) -> ASN1Result<()> {
    reader.read_sequence(|reader| {
        expect(reader.next(), oid)?;
        reader.read_optional(null)?;
        Ok(())
    })
}

/// Reads an object identifier that has to be `oid`.
pub(super) fn expect(reader: BERReader<'_, '_>, oid: &[u64]) -> ASN1Result<()> {
    match reader.read_oid()?.components().as_slice() == oid {
        true => Ok(()),
        false => Err(invalid()),
    }
}

/// Reads a number of iterations that can be worked off.
pub(super) fn iterations(reader: BERReader<'_, '_>) -> ASN1Result<u32> {
    match reader.read_u32()? {
        iterations @ 1..=MOST_ITERATIONS => Ok(iterations),
        _ => Err(invalid()),
    }
}

pub(super) fn write_oid(writer: DERWriter<'_>, oid: &[u64]) {
    writer.write_oid(&ObjectIdentifier::from_slice(oid));
}

pub(super) fn bytes(reader: BERReader<'_, '_>) -> ASN1Result<Vec<u8>> {
    reader.read_bytes()
}

pub(super) fn number(reader: BERReader<'_, '_>) -> ASN1Result<u32> {
    reader.read_u32()
}

pub(super) fn null(reader: BERReader<'_, '_>) -> ASN1Result<()> {
    reader.read_null()
}

pub(super) fn anything(reader: BERReader<'_, '_>) -> ASN1Result<Vec<u8>> {
    reader.read_der()
}

pub(super) fn invalid() -> ASN1Error {
    ASN1Error::new(ASN1ErrorKind::Invalid)
}

pub(super) fn random<const SIZE: usize>() -> Result<[u8; SIZE], Failed> {
    let mut bytes = [0; SIZE];
    rand::fill(&mut bytes).map_err(|_| Failed)?;
    Ok(bytes)
}
