//! Do dependencies between the rooms point inwards only?

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Rooms, and what must not stand in their code.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "acme",
        &[
            "kube::",
            "k8s_openapi",
            "crate::api",
            "crate::cluster",
            "crate::issuer",
        ],
    ),
    (
        "net",
        &[
            "kube::",
            "k8s_openapi",
            "crate::api",
            "crate::cluster",
            "crate::acme",
        ],
    ),
    (
        "pki",
        &["kube::", "k8s_openapi", "crate::", "async fn", "tokio::"],
    ),
    (
        "api",
        &[
            "kube::Client",
            "kube::Api",
            "async fn",
            "crate::cluster",
            "crate::certificate",
            "crate::pki",
        ],
    ),
    (
        "cluster",
        &[
            "crate::certificate",
            "crate::request",
            "crate::signing_request",
            "crate::order",
            "crate::challenge",
            "crate::issuer",
            "crate::acme",
        ],
    ),
    // Who only looks, and tells.
    (
        "answers",
        &[
            "kube::Client",
            "kube::Api",
            "crate::caches",
            "crate::certificate",
            "crate::request",
        ],
    ),
    (
        "solver/dns01",
        &["kube::", "k8s_openapi", "crate::api", "crate::cluster"],
    ),
];

/// What a pure decision does without.
const IMPURE: &[&str] = &[
    "async fn",
    ".await",
    "kube::Client",
    "kube::Api",
    "Clock",
    "tokio::",
    "Timestamp::now",
];

#[test]
fn rooms_know_only_those_further_in() {
    for (room, words) in FORBIDDEN {
        let files = rust_files(&Path::new("src").join(room));
        assert!(!files.is_empty(), "{room} has no files: was it renamed?");
        for file in files {
            let code = code_of(&file);
            for word in *words {
                let own = format!("crate::{}", room.split('/').next().unwrap());
                let found = code.lines().find(|line| {
                    line.contains(word) && !(*word == "crate::" && line.contains(&own))
                });
                assert_eq!(found, None, "{} must not use {word}", file.display());
            }
        }
    }
}

#[test]
fn nobody_uses_the_command_line() {
    for file in rust_files(Path::new("src")) {
        if file.starts_with("src/cli") || file == Path::new("src/main.rs") {
            continue;
        }
        assert!(
            !code_of(&file).contains("crate::cli"),
            "{} uses cli",
            file.display()
        );
    }
}

#[test]
fn plans_are_pure() {
    let plans: Vec<PathBuf> = rust_files(Path::new("src"))
        .into_iter()
        .filter(|file| file.file_name().is_some_and(|name| name == "plan.rs"))
        .collect();
    assert!(plans.len() >= 4, "{plans:?}");
    for file in plans {
        let code = code_of(&file);
        for word in IMPURE {
            assert!(
                !code.contains(word),
                "{} must not use {word}",
                file.display()
            );
        }
    }
}

/// The code of a file without its tests and comments.
fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
