//! Which functions read what comes from outside, to be given bytes of any shape?
//!
//! Built for `cargo fuzz` and for tests only. Each target asserts what must hold for every input;
//! that it returns at all, without a panic and soon, goes without saying. The seeds are in
//! `fuzz/seeds/TARGET`.

use crate::{acme, api, certificate, issuer, net, pki, solver};

/// What is done with an input.
pub type Target = fn(&[u8]);

/// Every target, by the name of its binary in `fuzz/` and of its folder of seeds.
pub const TARGETS: &[(&str, Target)] = &[
    ("acme", acme::fuzzing::answer),
    ("certificate", pki::fuzzing::certificate),
    ("certificate_object", certificate::fuzzing::certificate),
    ("chain", pki::fuzzing::chain),
    ("dns", net::dns::fuzzing::answer),
    ("duration", api::fuzzing::duration),
    ("http01", solver::http01::fuzzing::request),
    ("issuer_object", issuer::fuzzing::issuer),
    ("key", pki::fuzzing::key),
    ("key_store", pki::keystore::fuzzing::key_store),
    ("names", pki::fuzzing::names),
    ("nameserver", net::dns::fuzzing::nameserver),
    ("pem", pki::fuzzing::pem),
    ("request", pki::fuzzing::request),
    ("request_object", certificate::fuzzing::request),
    ("retry_after", acme::fuzzing::header),
    ("revocation_list", pki::fuzzing::revocation_list),
    ("secret_object", certificate::fuzzing::secret),
    ("subject", pki::fuzzing::subject),
    ("tsig", solver::dns01::tsig::fuzzing::message),
    ("window", certificate::fuzzing::window),
];

/// Gives `data` to the target of that name.
pub fn run(name: &str, data: &[u8]) {
    for (_, target) in TARGETS.iter().filter(|(known, _)| *known == name) {
        target(data);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        panic::catch_unwind,
        path::{Path, PathBuf},
        sync::mpsc::{RecvTimeoutError, channel},
        thread,
        time::Duration,
    };

    use super::*;

    /// No input that may be stored takes a tenth of this, in a build without optimisation on a busy
    /// machine; one that stalls the operator takes all of it.
    const STALLED: Duration = Duration::from_secs(60);

    #[test]
    fn every_seed_is_survived() {
        for (name, target) in TARGETS {
            let seeds = files(&folder().join("seeds").join(name));
            assert!(!seeds.is_empty(), "fuzz/seeds/{name} is empty");
            for seed in seeds {
                survives(*target, &seed);
            }
        }
    }

    #[test]
    fn every_target_has_its_binary_and_its_seeds() {
        let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).into()).collect();
        assert_eq!(targets.len(), TARGETS.len());
        let stems = |folder: PathBuf| {
            let entries = fs::read_dir(folder).unwrap();
            let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
            entries
                .map(|entry| stem(entry.unwrap().path()))
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(stems(folder().join("seeds")), targets);
        assert_eq!(stems(folder().join("fuzz_targets")), targets);
        let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
        for name in &targets {
            let path = format!("path = \"fuzz_targets/{name}.rs\"");
            assert!(manifest.contains(&path), "fuzz/Cargo.toml lacks {path}");
            let binary = folder().join(format!("fuzz_targets/{name}.rs"));
            let code = fs::read_to_string(binary).unwrap();
            assert!(code.contains(&format!("run(\"{name}\"")), "{code}");
        }
    }

    fn survives(target: Target, seed: &Path) {
        let bytes = fs::read(seed).unwrap();
        let (done, result) = channel();
        let work = thread::spawn(move || {
            let result = catch_unwind(|| target(&bytes));
            let _ = done.send(result.is_ok());
        });
        match result.recv_timeout(STALLED) {
            Ok(survived) => assert!(survived, "{} breaks its target", seed.display()),
            Err(RecvTimeoutError::Timeout) => panic!("{} stalls its target", seed.display()),
            Err(RecvTimeoutError::Disconnected) => panic!("{} kills its target", seed.display()),
        }
        drop(work);
    }

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}
