//! How are key, certificates and CA written as PKCS#12 (RFC 7292), and read back?
//!
//! A store looks as cert-manager's do: certificates in an encrypted safe; the key, encrypted by
//! itself, in a plain one; both marked with the SHA-1 of the leaf.

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use yasna::{ASN1Result, BERReader, DERWriter, Tag, parse_der};
use zeroize::Zeroizing;

use super::{
    Contents, Password, Unreadable,
    mac::{Mac, MacKind},
    pbe::{Cipher, Failed, Scheme, anything, bytes, expect, invalid, write_oid},
};

const DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 1];
const ENCRYPTED_DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 6];
const ENCRYPTED_KEY_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 2];
const CERTIFICATE_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 3];
const X509: &[u64] = &[1, 2, 840, 113_549, 1, 9, 22, 1];
const FRIENDLY_NAME: &[u64] = &[1, 2, 840, 113_549, 1, 9, 20];
const LOCAL_KEY_ID: &[u64] = &[1, 2, 840, 113_549, 1, 9, 21];
/// Java trusts a certificate only with this attribute, which says for what.
const TRUSTED_FOR: &[u64] = &[2, 16, 840, 1, 113_894, 746_875, 1, 1];
const ANY_USAGE: &[u64] = &[2, 5, 29, 37, 0];

/// More safes than any store has that is read here: each may cost a derivation of keys.
const MOST_SAFES: usize = 4;

/// Which algorithms protect a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    certificates: Cipher,
    key: Cipher,
    mac: MacKind,
}

impl Profile {
    /// RC2 and triple DES.
    pub const LEGACY_RC2: Self = Self {
        certificates: Cipher::Rc2,
        key: Cipher::TripleDes,
        mac: MacKind::Sha1,
    };
    /// Triple DES.
    pub const LEGACY_DES: Self = Self {
        certificates: Cipher::TripleDes,
        ..Self::LEGACY_RC2
    };
    /// AES-256 and SHA-256.
    pub const MODERN_2023: Self = Self {
        certificates: Cipher::Aes,
        key: Cipher::Aes,
        mac: MacKind::Sha256,
    };
    /// As before, with PBMAC1 (RFC 9879).
    pub const MODERN_2026: Self = Self {
        mac: MacKind::Pbmac1,
        ..Self::MODERN_2023
    };
}

/// A store with a private key, PKCS#8, and its chain.
pub(super) fn keystore(
    profile: Profile,
    key: &[u8],
    chain: &[&[u8]],
    password: &Password,
) -> Result<Vec<u8>, Failed> {
    let leaf = chain.first().ok_or(Failed)?;
    let key_id = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, leaf);
    let key_id = Attribute::LocalKeyId(key_id.as_ref());
    let bags: Vec<(&[u8], &[Attribute<'_>])> = chain
        .iter()
        .enumerate()
        .map(|(at, certificate)| match at {
            0 => (*certificate, std::slice::from_ref(&key_id)),
            _ => (*certificate, &[][..]),
        })
        .collect();

    let scheme = Scheme::new(profile.key)?;
    let encrypted = scheme.encrypt(key, password)?;
    let key_safe = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            write_bag(writer.next(), ENCRYPTED_KEY_BAG, &[key_id], |writer| {
                writer.write_sequence(|writer| {
                    scheme.write(writer.next());
                    writer.next().write_bytes(&encrypted);
                });
            });
        });
    });
    let safes = [
        encrypted_safe(profile, &bags, password)?,
        yasna::construct_der(|writer| write_data(writer, &key_safe)),
    ];
    seal(profile, &safes, password)
}

/// A store with certificates to trust, and what they are called.
pub(super) fn truststore(
    profile: Profile,
    certificates: &[(&[u8], String)],
    password: &Password,
) -> Result<Vec<u8>, Failed> {
    let attributes: Vec<[Attribute<'_>; 2]> = certificates
        .iter()
        .map(|(_, name)| [Attribute::Trusted, Attribute::FriendlyName(name)])
        .collect();
    let bags: Vec<(&[u8], &[Attribute<'_>])> = certificates
        .iter()
        .zip(&attributes)
        .map(|((certificate, _), attributes)| (*certificate, &attributes[..]))
        .collect();
    seal(
        profile,
        &[encrypted_safe(profile, &bags, password)?],
        password,
    )
}

#[derive(Clone, Copy)]
enum Attribute<'a> {
    LocalKeyId(&'a [u8]),
    FriendlyName(&'a str),
    Trusted,
}

impl Attribute<'_> {
    fn write(self, writer: DERWriter<'_>) {
        let oid = match self {
            Self::LocalKeyId(_) => LOCAL_KEY_ID,
            Self::FriendlyName(_) => FRIENDLY_NAME,
            Self::Trusted => TRUSTED_FOR,
        };
        writer.write_sequence(|writer| {
            write_oid(writer.next(), oid);
            writer.next().write_set(|writer| match self {
                Self::LocalKeyId(id) => writer.next().write_bytes(id),
                Self::FriendlyName(name) => writer.next().write_bmp_string(name),
                Self::Trusted => write_oid(writer.next(), ANY_USAGE),
            });
        });
    }
}

fn write_bag(
    writer: DERWriter<'_>,
    kind: &[u64],
    attributes: &[Attribute<'_>],
    value: impl FnOnce(DERWriter<'_>),
) {
    writer.write_sequence(|writer| {
        write_oid(writer.next(), kind);
        writer.next().write_tagged(Tag::context(0), value);
        if !attributes.is_empty() {
            writer.next().write_set_of(|writer| {
                for attribute in attributes {
                    attribute.write(writer.next());
                }
            });
        }
    });
}

/// A ContentInfo with plain data.
fn write_data(writer: DERWriter<'_>, data: &[u8]) {
    writer.write_sequence(|writer| {
        write_oid(writer.next(), DATA);
        writer
            .next()
            .write_tagged(Tag::context(0), |writer| writer.write_bytes(data));
    });
}

/// A ContentInfo with certificates, encrypted.
fn encrypted_safe(
    profile: Profile,
    certificates: &[(&[u8], &[Attribute<'_>])],
    password: &Password,
) -> Result<Vec<u8>, Failed> {
    let plain = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for (certificate, attributes) in certificates {
                write_bag(writer.next(), CERTIFICATE_BAG, attributes, |writer| {
                    writer.write_sequence(|writer| {
                        write_oid(writer.next(), X509);
                        writer.next().write_tagged(Tag::context(0), |writer| {
                            writer.write_bytes(certificate);
                        });
                    });
                });
            }
        });
    });
    let scheme = Scheme::new(profile.certificates)?;
    let encrypted = scheme.encrypt(&plain, password)?;
    Ok(yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            write_oid(writer.next(), ENCRYPTED_DATA);
            writer.next().write_tagged(Tag::context(0), |writer| {
                writer.write_sequence(|writer| {
                    writer.next().write_u8(0);
                    writer.next().write_sequence(|writer| {
                        write_oid(writer.next(), DATA);
                        scheme.write(writer.next());
                        writer
                            .next()
                            .write_tagged_implicit(Tag::context(0), |writer| {
                                writer.write_bytes(&encrypted);
                            });
                    });
                });
            });
        });
    }))
}

/// The store of these safes, with its MAC.
fn seal(profile: Profile, safes: &[Vec<u8>], password: &Password) -> Result<Vec<u8>, Failed> {
    let safes = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for safe in safes {
                writer.next().write_der(safe);
            }
        });
    });
    seal_bytes(profile, &safes, password)
}

pub(super) fn seal_bytes(
    profile: Profile,
    safes: &[u8],
    password: &Password,
) -> Result<Vec<u8>, Failed> {
    let mac = Mac::new(profile.mac)?;
    let tag = mac.compute(safes, password)?;
    Ok(yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(3);
            write_data(writer.next(), safes);
            mac.write(writer.next(), tag.as_ref());
        });
    }))
}

/// What a store holds that cert-manager or this module has written, and its profile.
pub(super) fn open(store: &[u8], password: &Password) -> Result<(Ciphers, Contents), Unreadable> {
    let (safes, (mac, tag)) = parse_der(store, |reader| {
        reader.read_sequence(|reader| {
            if reader.next().read_u8()? != 3 {
                return Err(invalid());
            }
            let safes = reader.next().read_sequence(|reader| {
                expect(reader.next(), DATA)?;
                reader.next().read_tagged(Tag::context(0), bytes)
            })?;
            Ok((safes, Mac::read(reader.next())?))
        })
    })
    .map_err(|_| Unreadable::Format)?;
    let computed = mac
        .compute(&safes, password)
        .map_err(|_| Unreadable::Format)?;
    verify_slices_are_equal(computed.as_ref(), &tag).map_err(|_| Unreadable::Password)?;

    let mut ciphers = Ciphers {
        certificates: None,
        key: None,
        mac: mac.kind,
    };
    let mut contents = Contents::default();
    let safes = parse_der(&safes, |reader| reader.collect_sequence_of(Safe::read))
        .map_err(|_| Unreadable::Format)?;
    if safes.len() > MOST_SAFES {
        return Err(Unreadable::Format);
    }
    for safe in safes {
        let plain = match safe {
            Safe::Plain(plain) => plain,
            Safe::Encrypted(scheme, encrypted) => {
                ciphers.certificates = Some(scheme.cipher);
                scheme
                    .decrypt(&encrypted, password)
                    .map_err(|Failed| Unreadable::Password)?
            }
        };
        let bags = parse_der(&plain, |reader| reader.collect_sequence_of(Bag::read))
            .map_err(|_| Unreadable::Format)?;
        for bag in bags {
            match bag {
                Bag::Certificate(certificate) => contents.chain.push(certificate),
                Bag::Key(..) if contents.key.is_some() => return Err(Unreadable::Format),
                Bag::Key(scheme, encrypted) => {
                    ciphers.key = Some(scheme.cipher);
                    let key = scheme
                        .decrypt(&encrypted, password)
                        .map_err(|Failed| Unreadable::Password)?;
                    contents.key = Some(key);
                }
            }
        }
    }
    Ok((ciphers, contents))
}

/// The algorithms that were found in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ciphers {
    certificates: Option<Cipher>,
    key: Option<Cipher>,
    mac: MacKind,
}

impl Ciphers {
    /// Whether they are those of `profile`, as far as the store has any.
    pub(super) fn are_of(self, profile: Profile) -> bool {
        self.certificates == Some(profile.certificates)
            && self.key.is_none_or(|key| key == profile.key)
            && self.mac == profile.mac
    }
}

enum Safe {
    Plain(Zeroizing<Vec<u8>>),
    Encrypted(Scheme, Vec<u8>),
}

impl Safe {
    fn read(reader: BERReader<'_, '_>) -> ASN1Result<Self> {
        reader.read_sequence(|reader| {
            let kind = reader.next().read_oid()?;
            let content = reader.next();
            match kind.components().as_slice() {
                DATA => content.read_tagged(Tag::context(0), |reader| {
                    Ok(Self::Plain(Zeroizing::new(reader.read_bytes()?)))
                }),
                ENCRYPTED_DATA => content.read_tagged(Tag::context(0), |reader| {
                    reader.read_sequence(|reader| {
                        reader.next().read_u8()?;
                        reader.next().read_sequence(|reader| {
                            expect(reader.next(), DATA)?;
                            let scheme = Scheme::read(reader.next())?;
                            let encrypted =
                                reader.next().read_tagged_implicit(Tag::context(0), bytes)?;
                            Ok(Self::Encrypted(scheme, encrypted))
                        })
                    })
                }),
                _ => Err(invalid()),
            }
        })
    }
}

enum Bag {
    Certificate(Vec<u8>),
    Key(Scheme, Vec<u8>),
}

impl Bag {
    fn read(reader: BERReader<'_, '_>) -> ASN1Result<Self> {
        reader.read_sequence(|reader| {
            let kind = reader.next().read_oid()?;
            let value = reader.next();
            let bag = match kind.components().as_slice() {
                CERTIFICATE_BAG => value.read_tagged(Tag::context(0), |reader| {
                    reader.read_sequence(|reader| {
                        expect(reader.next(), X509)?;
                        let certificate = reader.next().read_tagged(Tag::context(0), bytes)?;
                        Ok(Self::Certificate(certificate))
                    })
                }),
                ENCRYPTED_KEY_BAG => value.read_tagged(Tag::context(0), |reader| {
                    reader.read_sequence(|reader| {
                        let scheme = Scheme::read(reader.next())?;
                        Ok(Self::Key(scheme, reader.next().read_bytes()?))
                    })
                }),
                _ => Err(invalid()),
            }?;
            // Names and marks: nothing is decided by them.
            reader.read_optional(anything)?;
            Ok(bag)
        })
    }
}
