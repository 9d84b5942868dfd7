//! Where do the test bed's files live, and what does it take from the environment?

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The folders that the test bed works in, and the search path for binaries.
#[derive(Clone, Debug)]
pub struct Home {
    workspace: PathBuf,
    target: PathBuf,
    assets: Option<PathBuf>,
    path: Option<OsString>,
}

impl Home {
    /// Reads `CARGO_TARGET_DIR`, `KUBEBUILDER_ASSETS` and `PATH`; nothing else in the test bed
    /// looks at the environment.
    pub fn from_env() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = manifest.parent().unwrap_or(manifest).to_owned();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => workspace.join(folder),
            None => workspace.join("target"),
        };
        Self {
            workspace,
            target,
            assets: env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from),
            path: env::var_os("PATH"),
        }
    }

    /// The folder of the workspace's `Cargo.toml`.
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// The Go modules that say which version of each tool is built.
    pub fn modules(&self) -> PathBuf {
        self.workspace.join("testbed/tools")
    }

    /// Everything that the test bed keeps from one run to the next.
    pub fn cache(&self) -> PathBuf {
        self.target.join("testbed")
    }

    /// The tools that the test bed built itself.
    pub fn bin(&self) -> PathBuf {
        self.cache().join("bin")
    }

    /// One folder per running test bed.
    pub fn runs(&self) -> PathBuf {
        self.cache().join("runs")
    }

    /// `$KUBEBUILDER_ASSETS`.
    pub fn assets(&self) -> Option<&Path> {
        self.assets.as_deref()
    }

    /// The first executable of that name on `PATH`.
    pub fn on_path(&self, name: &str) -> Option<PathBuf> {
        let path = self.path.as_ref()?;
        env::split_paths(path)
            .map(|folder| folder.join(name))
            .find(|file| is_executable(file))
    }
}

/// Whether `file` is there and may be run.
pub fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
