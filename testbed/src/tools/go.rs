//! How are the Go tools built at their pinned versions?

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::{Version, python, version_in};
use crate::{home::Home, progress::Progress};

/// A folder under `testbed/tools`, each a Go module that pins tools.
#[derive(Clone, Copy, Debug)]
pub(super) enum Module {
    Etcd,
    Helm,
    Kubernetes,
    Pebble,
}

impl Module {
    fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Helm => "helm",
            Self::Kubernetes => "kubernetes",
            Self::Pebble => "pebble",
        }
    }

    /// What it builds, and about how long that takes on two cores.
    fn announcement(self) -> &'static str {
        match self {
            Self::Etcd => "building etcd (1 min, once)",
            Self::Helm => "building helm (1 min, once)",
            Self::Kubernetes => "building kube-apiserver and kube-controller-manager (4 min, once)",
            Self::Pebble => "building pebble (1 min, once)",
        }
    }
}

/// Whether what is in the cache was built from the module files as they are now.
pub(super) fn is_current(home: &Home, module: Module) -> Result<bool> {
    let wanted = fingerprint(home, module)?;
    Ok(fs::read_to_string(stamp(home, module)).is_ok_and(|found| found == wanted))
}

/// Builds the tools of `module` into the cache. The caller holds the lock.
pub(super) async fn build(home: &Home, module: Module, progress: Progress) -> Result<()> {
    let go = compiler(home, module, progress).await?;
    progress.long(module.announcement());

    let folder = home.modules().join(module.name());
    let fresh = home.cache().join(format!("fresh-{}", module.name()));
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("emptying {}", fresh.display()))?;
    }
    fs::create_dir_all(&fresh).with_context(|| format!("creating {}", fresh.display()))?;
    let output = Command::new(&go)
        .args(["install", "-trimpath", "-ldflags=-s -w", "tool"])
        .current_dir(&folder)
        .env("GOBIN", &fresh)
        .env("CGO_ENABLED", "0")
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("running {}", go.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<_> = said.lines().rev().take(15).collect();
        let tail: Vec<_> = tail.into_iter().rev().collect();
        bail!(
            "`go install tool` in {} failed:\n{}",
            folder.display(),
            tail.join("\n")
        );
    }
    adopt(home, &fresh)?;
    fs::write(stamp(home, module), fingerprint(home, module)?)
        .with_context(|| format!("noting that {} is built", module.name()))
}

/// Moves what was built to its place, each file in one step.
fn adopt(home: &Home, fresh: &Path) -> Result<()> {
    let bin = home.bin();
    fs::create_dir_all(&bin).with_context(|| format!("creating {}", bin.display()))?;
    for entry in fs::read_dir(fresh).with_context(|| format!("reading {}", fresh.display()))? {
        let built = entry?.path();
        let name = match built.file_name().and_then(|name| name.to_str()) {
            // The package path of etcd ends in `server`.
            Some("server") => "etcd",
            Some(name) => name,
            None => continue,
        };
        fs::rename(&built, bin.join(name)).with_context(|| format!("storing {name}"))?;
    }
    fs::remove_dir_all(fresh).with_context(|| format!("removing {}", fresh.display()))
}

/// A Go that is new enough for the module: the machine's own, or one fetched into the cache.
async fn compiler(home: &Home, module: Module, progress: Progress) -> Result<PathBuf> {
    if let Some(go) = home.on_path("go")
        && let Ok(output) = Command::new(&go)
            .arg("version")
            .env("GOTOOLCHAIN", "local")
            .output()
            .await
        && version_in(&String::from_utf8_lossy(&output.stdout)) >= Some(Version(1, 26))
    {
        return Ok(go);
    }
    python::go(home, progress)
        .await
        .with_context(|| {
        let name = module.name();
        format!(
            "building {name} needs Go 1.26 or newer: install it, or Python 3 with pip (python3-pip) \
             to have it fetched"
        )
    })
}

fn stamp(home: &Home, module: Module) -> PathBuf {
    home.bin().join(format!(".{}.stamp", module.name()))
}

fn fingerprint(home: &Home, module: Module) -> Result<String> {
    let folder = home.modules().join(module.name());
    let mut text = String::new();
    for name in ["go.mod", "go.sum"] {
        let file = folder.join(name);
        text +=
            &fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    }
    Ok(text)
}
