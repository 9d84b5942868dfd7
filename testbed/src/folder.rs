//! Where does one run of the test bed keep its files, and who removes them?

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result};

use crate::home::Home;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The folder of one run. Removed when dropped, unless it is to be kept; what a killed run left
/// behind is removed by the next one.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    keep: bool,
    /// Held for as long as the run lasts, so that others see that the folder is in use.
    _lock: File,
}

impl Folder {
    /// Makes a new one, and removes those whose owner is gone.
    pub fn create(home: &Home) -> Result<Self> {
        let runs = home.runs();
        fs::create_dir_all(&runs).with_context(|| format!("creating {}", runs.display()))?;
        prune(&runs)?;
        let name = format!("{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = runs.join(name);
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        let lock = File::create(path.join("lock"))
            .and_then(|file| file.lock().map(|()| file))
            .with_context(|| format!("locking {}", path.display()))?;
        Ok(Self {
            path,
            keep: false,
            _lock: lock,
        })
    }

    /// Its path, which is absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it there, so that its logs can be read after a failure. The next run removes it.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Writes a file into it and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        use std::{io::Write, os::unix::fs::OpenOptionsExt};
        let path = self.path.join(name);
        // Keys and kubeconfigs are among them.
        File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_ref()))
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // Left-overs are the next run's to remove.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn prune(runs: &Path) -> Result<()> {
    for entry in fs::read_dir(runs).with_context(|| format!("reading {}", runs.display()))? {
        let path = entry?.path();
        // No lock file yet: its owner is just making it, or it was made by hand.
        let Ok(lock) = File::open(path.join("lock")) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            // Two runs may prune at once; the second finds nothing left.
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}
