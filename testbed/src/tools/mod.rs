//! Which programs does the test bed run, and where does each come from?

use std::{collections::BTreeMap, fs, path::Path, path::PathBuf};

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::{
    home::{Home, is_executable},
    progress::Progress,
};

mod go;
mod python;

/// A program that the test bed runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// etcd.
    Etcd,
    /// helm, which renders the chart.
    Helm,
    /// Pebble, the ACME server.
    Pebble,
    /// Traefik, the ingress controller.
    Traefik,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ApiServer,
        Self::ControllerManager,
        Self::Etcd,
        Self::Helm,
        Self::Pebble,
        Self::Traefik,
    ];

    /// The name of its executable.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Etcd => "etcd",
            Self::Helm => "helm",
            Self::Pebble => "pebble",
            Self::Traefik => "traefik",
        }
    }

    fn origin(self) -> Origin {
        match self {
            Self::ApiServer | Self::ControllerManager => Origin::Go(go::Module::Kubernetes),
            Self::Etcd => Origin::Go(go::Module::Etcd),
            Self::Helm => Origin::Go(go::Module::Helm),
            Self::Pebble => Origin::Go(go::Module::Pebble),
            Self::Traefik => Origin::Python,
        }
    }

    /// What a copy found on the machine must at least be, and how it tells: the test bed relies on
    /// MutatingAdmissionPolicy v1 and on the flags of the versions that it builds itself.
    fn required(self) -> (&'static str, Version) {
        match self {
            Self::ApiServer | Self::ControllerManager => ("--version", Version(1, 36)),
            Self::Etcd => ("--version", Version(3, 6)),
            Self::Helm => ("version", Version(3, 14)),
            Self::Pebble => ("-version", Version(2, 10)),
            Self::Traefik => ("version", Version(3, 5)),
        }
    }
}

enum Origin {
    Go(go::Module),
    Python,
}

/// Where each tool is.
#[derive(Clone, Debug)]
pub struct Tools {
    paths: BTreeMap<Tool, PathBuf>,
}

impl Tools {
    /// Finds every tool; builds or fetches what is missing. Waits while another test bed does.
    pub async fn ready(home: &Home, progress: Progress) -> Result<Self> {
        let mut paths = BTreeMap::new();
        let mut missing = Vec::new();
        for tool in Tool::ALL {
            match find(home, tool).await? {
                Some(path) => drop(paths.insert(tool, path)),
                None => missing.push(tool),
            }
        }
        if missing.is_empty() {
            return Ok(Self { paths });
        }

        let _lock = lock(&home.cache()).await?;
        for tool in missing {
            // Another run may have built it meanwhile, or the module's other tool brought it.
            let path = match find(home, tool).await? {
                Some(path) => path,
                None => fetch(home, tool, progress).await?,
            };
            paths.insert(tool, path);
        }
        Ok(Self { paths })
    }

    /// The executable of `tool`.
    pub fn path(&self, tool: Tool) -> &Path {
        // `ready` fails unless it has found every tool.
        self.paths
            .get(&tool)
            .map_or(Path::new(tool.name()), PathBuf::as_path)
    }
}

async fn fetch(home: &Home, tool: Tool, progress: Progress) -> Result<PathBuf> {
    match tool.origin() {
        Origin::Go(module) => {
            go::build(home, module, progress).await?;
            Ok(home.bin().join(tool.name()))
        }
        Origin::Python => python::traefik(home, progress).await,
    }
}

async fn find(home: &Home, tool: Tool) -> Result<Option<PathBuf>> {
    let built = match tool.origin() {
        Origin::Go(module) => go::is_current(home, module)?.then(|| home.bin().join(tool.name())),
        Origin::Python => Some(python::traefik_path(home)),
    };
    let asset = home.assets().map(|folder| folder.join(tool.name()));
    let system = home.on_path(tool.name());
    for candidate in [asset, system].into_iter().flatten() {
        if is_executable(&candidate) && is_recent(&candidate, tool).await {
            return Ok(Some(candidate));
        }
    }
    Ok(built.filter(|path| is_executable(path)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

async fn is_recent(path: &Path, tool: Tool) -> bool {
    let (flag, at_least) = tool.required();
    let Ok(output) = Command::new(path).arg(flag).output().await else {
        return false;
    };
    version_in(&String::from_utf8_lossy(&output.stdout)).is_some_and(|found| found >= at_least)
}

/// The first `MAJOR.MINOR.` in a text such as `Kubernetes v1.36.3` or `etcd Version: 3.7.3`.
fn version_in(text: &str) -> Option<Version> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .find_map(|word| {
            let mut numbers = word.split('.').map(str::parse::<u32>);
            match (numbers.next(), numbers.next(), numbers.next()) {
                (Some(Ok(major)), Some(Ok(minor)), Some(_)) => Some(Version(major, minor)),
                _ => None,
            }
        })
}

/// Held while tools are built; released when dropped, also by the death of this process.
async fn lock(folder: &Path) -> Result<fs::File> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let path = folder.join("tools.lock");
    let file = fs::File::create(&path).with_context(|| format!("opening {}", path.display()))?;
    tokio::task::spawn_blocking(move || file.lock().map(|()| file))
        .await?
        .with_context(|| format!("locking {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_tools_print() {
        for (text, expected) in [
            ("Kubernetes v1.36.3\n", Some(Version(1, 36))),
            ("etcd Version: 3.7.3\nGit SHA: 12.", Some(Version(3, 7))),
            (
                "version.BuildInfo{Version:\"v3.22.0\", GoVersion:\"go1.26\"}",
                Some(Version(3, 22)),
            ),
            ("Version:      3.7.15\n", Some(Version(3, 7))),
            ("go version go1.26.8 linux/amd64", Some(Version(1, 26))),
            ("Pebble version: dev\n", None),
            ("", None),
        ] {
            assert_eq!(version_in(text), expected, "{text:?}");
        }
        assert!(Version(1, 36) > Version(1, 9) && Version(2, 0) > Version(1, 36));
    }
}
