//! How are key, certificates and CA written as a Java key store (JKS, version 2), and read back?

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{Context, Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN},
};
use jiff::Timestamp;
use yasna::parse_der;
use zeroize::Zeroizing;

use super::{
    Contents, Password, Unreadable,
    pbe::{self, Failed, expect, null, write_oid},
};

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
const PRIVATE_KEY: u32 = 1;
const CERTIFICATE: u32 = 2;
/// How the type of a certificate is written; Java takes it for `X.509`.
const X509: &str = "X509";
/// Goes into the digest of every store.
const WHITENER: &[u8] = b"Mighty Aphrodite";
/// Sun's own protection of a private key, by SHA-1.
const KEY_PROTECTOR: &[u64] = &[1, 3, 6, 1, 4, 1, 42, 2, 17, 1, 1];

/// What is stored under an alias.
pub(super) enum Entry<'a> {
    /// A private key, PKCS#8, and its chain.
    Key(&'a [u8], &'a [Vec<u8>]),
    /// A certificate to trust.
    Trusted(&'a [u8]),
}

/// A store of `entries`, made at `now`. Java finds aliases whatever their case if they are written
/// in small letters.
pub(super) fn write(
    entries: &[(String, Entry<'_>)],
    password: &Password,
    now: Timestamp,
) -> Result<Vec<u8>, Failed> {
    let password = password.utf16();
    let mut out = Writer(Vec::new());
    out.number(MAGIC);
    out.number(VERSION);
    out.length(entries.len())?;
    for (alias, entry) in entries {
        out.number(match entry {
            Entry::Key(..) => PRIVATE_KEY,
            Entry::Trusted(_) => CERTIFICATE,
        });
        out.text(alias)?;
        out.0.extend(now.as_millisecond().to_be_bytes());
        match entry {
            Entry::Key(key, chain) => {
                out.block(&protect(key, &password)?)?;
                out.length(chain.len())?;
                for certificate in *chain {
                    out.certificate(certificate)?;
                }
            }
            Entry::Trusted(certificate) => out.certificate(certificate)?,
        }
    }
    let digest = sha1(&[&password, WHITENER, &out.0]);
    out.0.extend_from_slice(digest.as_ref());
    Ok(out.0)
}

/// What a store holds, and the alias of its key: with `password` as Java takes it, or as
/// cert-manager does.
pub(super) fn open(
    store: &[u8],
    password: &Password,
) -> Result<(Option<String>, Contents), Unreadable> {
    let end = store
        .len()
        .checked_sub(SHA1_OUTPUT_LEN)
        .ok_or(Unreadable::Format)?;
    let (body, digest) = store.split_at(end);
    let mut rest = Reader(body);
    if (rest.number()?, rest.number()?) != (MAGIC, VERSION) {
        return Err(Unreadable::Format);
    }
    let password = [password.utf16(), password.bytewise()]
        .into_iter()
        .find(|password| {
            let computed = sha1(&[password, WHITENER, body]);
            verify_slices_are_equal(computed.as_ref(), digest).is_ok()
        })
        .ok_or(Unreadable::Password)?;

    let mut contents = Contents::default();
    let mut alias = None;
    // However many there are said to be: each takes some of what is left to read.
    for _ in 0..rest.number()? {
        let kind = rest.number()?;
        let name = rest.text()?;
        rest.take(8)?;
        match kind {
            PRIVATE_KEY if contents.key.is_none() => {
                contents.key = Some(unprotect(rest.block()?, &password)?);
                alias = Some(name);
                for _ in 0..rest.number()? {
                    contents.chain.push(rest.certificate()?.to_vec());
                }
            }
            CERTIFICATE => contents.trusted.push(rest.certificate()?.to_vec()),
            _ => return Err(Unreadable::Format),
        }
    }
    match rest.0 {
        [] => Ok((alias, contents)),
        _ => Err(Unreadable::Format),
    }
}

/// Sun's protection of a key: salt, the key under a stream of hashes, and a check over it.
fn protect(key: &[u8], password: &[u8]) -> Result<Vec<u8>, Failed> {
    let salt = pbe::random::<SHA1_OUTPUT_LEN>()?;
    let mut protected = salt.to_vec();
    protected.extend_from_slice(&stream(key, &salt, password));
    protected.extend_from_slice(sha1(&[password, key]).as_ref());
    Ok(yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_sequence(|writer| {
                write_oid(writer.next(), KEY_PROTECTOR);
                writer.next().write_null();
            });
            writer.next().write_bytes(&protected);
        });
    }))
}

fn unprotect(der: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
    let protected = parse_der(der, |reader| {
        reader.read_sequence(|reader| {
            reader.next().read_sequence(|reader| {
                expect(reader.next(), KEY_PROTECTOR)?;
                reader.read_optional(null)?;
                Ok(())
            })?;
            reader.next().read_bytes()
        })
    })
    .map_err(|_| Unreadable::Format)?;
    let (salt, rest) = protected
        .split_at_checked(SHA1_OUTPUT_LEN)
        .ok_or(Unreadable::Format)?;
    let end = rest
        .len()
        .checked_sub(SHA1_OUTPUT_LEN)
        .ok_or(Unreadable::Format)?;
    let (hidden, check) = rest.split_at(end);
    let key = stream(hidden, salt, password);
    verify_slices_are_equal(sha1(&[password, &key]).as_ref(), check)
        .map_err(|_| Unreadable::Password)?;
    Ok(key)
}

/// `text` under a stream in which each hash is over the password and the hash before.
fn stream(text: &[u8], salt: &[u8], password: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(text.to_vec());
    let mut last = sha1(&[password, salt]);
    for chunk in out.chunks_mut(SHA1_OUTPUT_LEN) {
        for (byte, mask) in chunk.iter_mut().zip(last.as_ref()) {
            *byte ^= mask;
        }
        last = sha1(&[password, last.as_ref()]);
    }
    out
}

fn sha1(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    context.finish()
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: u32) {
        self.0.extend(number.to_be_bytes());
    }

    fn length(&mut self, length: usize) -> Result<(), Failed> {
        self.number(length.try_into().map_err(|_| Failed)?);
        Ok(())
    }

    fn block(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.length(bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn certificate(&mut self, der: &[u8]) -> Result<(), Failed> {
        self.text(X509)?;
        self.block(der)
    }

    /// As Java's `writeUTF`: UTF-8, but each half of a surrogate pair by itself, and no zero byte.
    fn text(&mut self, text: &str) -> Result<(), Failed> {
        let mut bytes = Vec::with_capacity(text.len());
        for unit in text.encode_utf16() {
            let [low, middle, high] = [unit & 0x3f, unit >> 6 & 0x3f, unit >> 12];
            let byte = |mark: u8, bits: u16| mark | bits.to_be_bytes()[1];
            match unit {
                0x01..=0x7f => bytes.push(byte(0, unit)),
                0 | 0x80..=0x7ff => bytes.extend([byte(0xc0, unit >> 6), byte(0x80, low)]),
                _ => bytes.extend([byte(0xe0, high), byte(0x80, middle), byte(0x80, low)]),
            }
        }
        let length = u16::try_from(bytes.len()).map_err(|_| Failed)?;
        self.0.extend(length.to_be_bytes());
        self.0.extend(bytes);
        Ok(())
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unreadable::Format)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, Unreadable> {
        let bytes = self.take(4)?.try_into().map_err(|_| Unreadable::Format)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn block(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = usize::try_from(self.number()?).map_err(|_| Unreadable::Format)?;
        self.take(length)
    }

    fn certificate(&mut self) -> Result<&'a [u8], Unreadable> {
        self.text()?;
        self.block()
    }

    /// As Java's `readUTF`, and plain UTF-8, as cert-manager writes it.
    fn text(&mut self) -> Result<String, Unreadable> {
        let length = self.take(2)?.try_into().map_err(|_| Unreadable::Format)?;
        let bytes = self.take(u16::from_be_bytes(length).into())?;
        if let Ok(text) = str::from_utf8(bytes)
            && !text.contains('\0')
        {
            return Ok(text.to_owned());
        }
        let mut units = Vec::with_capacity(bytes.len());
        let mut rest = bytes.iter().copied().map(u16::from);
        while let Some(first) = rest.next() {
            let mut next = || rest.next().map(|byte| byte & 0x3f);
            let unit = match first {
                0x01..=0x7f => Some(first),
                0xc0..=0xdf => next().map(|low| (first & 0x1f) << 6 | low),
                0xe0..=0xef => next()
                    .zip(next())
                    .map(|(middle, low)| (first & 0xf) << 12 | middle << 6 | low),
                _ => None,
            };
            units.push(unit.ok_or(Unreadable::Format)?);
        }
        String::from_utf16(&units).map_err(|_| Unreadable::Format)
    }
}
