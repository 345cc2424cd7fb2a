//! What lints cannot see: who depends on whom, the purity of the cores, the length of files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Production lines a file may have; beyond it the file is probably two ideas.
const FILE_LINES_MAX: usize = 450;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn tracked(extension: &str) -> Vec<(PathBuf, String)> {
    let listed = Command::new("git")
        .args(["ls-files", "-co", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let paths = listed.lines().filter(|path| path.ends_with(extension)).map(|path| root().join(path));
    let files: Vec<_> = paths
        .filter(|path| path.exists())
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    assert!(!files.is_empty(), "no {extension} files: is this a git checkout?");
    files
}

/// Everything before the inline test module.
fn production(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|p| (name(p), p["dependencies"].as_array().unwrap().iter().map(name).collect())).collect()
}

#[test]
fn dependencies_point_one_way() {
    let only = |name: &str| -> Vec<String> {
        dependencies()
            .into_iter()
            .filter(|(_, needs)| needs.contains(name))
            .map(|(package, _)| package)
            .collect()
    };
    for (name, allowed) in [
        ("rumqttd", vec!["broker"]),
        ("rumqttc", vec!["service-kit"]),
        ("sqlx", vec!["pricetag-service", "rtc-manager"]),
        ("redb", vec!["ap-gateway", "broker"]),
        ("broker", vec!["simulators"]),
        ("rtc-manager", vec!["simulators"]),
        ("pricetag-service", vec!["simulators"]),
        ("ap-gateway", vec!["simulators"]),
    ] {
        assert_eq!(only(name), allowed, "who may depend on `{name}`");
    }
}

#[test]
fn wire_needs_neither_runtime_nor_clock_nor_randomness() {
    let wire = &dependencies()["wire"];
    for name in ["tokio", "rand", "chrono", "axum", "uuid", "service-kit"] {
        assert!(!wire.contains(name), "wire depends on {name}");
    }
}

#[test]
fn cores_are_pure() {
    let forbidden = [
        ("async ", "a core waits for nothing"),
        ("tokio", "a core has no runtime"),
        ("HashMap", "a core iterates ordered maps only"),
        ("HashSet", "a core iterates ordered maps only"),
        ("Instant", "time is an argument"),
        ("SystemTime", "time is an argument"),
        ("std::fs", "a core does no I/O"),
        ("std::net::Tcp", "a core does no I/O"),
        ("std::net::Udp", "a core does no I/O"),
        ("service_kit::clock", "time is an argument"),
        ("service_kit::random", "randomness is an argument"),
        ("tracing::", "a core returns effects and logs nothing"),
    ];
    let mut cores = 0;
    for (path, text) in tracked(".rs").iter().filter(|(_, text)| text.starts_with("//! ●")) {
        cores += 1;
        let code = production(text).lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for (word, why) in forbidden {
                assert!(!line.contains(word), "{}: `{}`: {why}", path.display(), line.trim());
            }
        }
    }
    assert!(cores > 20, "only {cores} cores found");
}

#[test]
fn every_core_that_returns_effects_opens_with_a_diagram() {
    for (path, text) in tracked(".rs") {
        let returns_effects = text.starts_with("//! ●")
            && production(&text).contains("-> Vec<Effect>")
            && production(&text).contains("pub fn handle(");
        if returns_effects {
            let header: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
            assert!(header.contains("```text"), "{} has no state diagram", path.display());
        }
    }
}

#[test]
fn files_are_one_idea_long() {
    for (path, text) in tracked(".rs").iter().filter(|(path, _)| !is_test(path)) {
        let lines = production(text).lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines before its tests", path.display());
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (path, text) in tracked(".rs").into_iter().filter(|(path, _)| !is_test(path)) {
        let has_header = text.starts_with("//!") || text.starts_with("#![") || path.ends_with("build.rs");
        assert!(has_header, "{} has no //! header", path.display());
    }
}

#[test]
fn there_is_one_clippy_toml_and_nothing_left_for_later() {
    let listed = Command::new("git").args(["ls-files", "*clippy.toml"]).current_dir(root()).output().unwrap();
    assert_eq!(String::from_utf8(listed.stdout).unwrap().trim(), "clippy.toml");
    let later = ["TO", "DO"].concat();
    for (path, text) in tracked(".rs") {
        assert!(!text.contains(&later), "{} has a {later}: file an issue instead", path.display());
    }
}
