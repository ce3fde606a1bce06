//! `cargo xtask layers`: which crate may depend on which, and what the pure ones must never reach.
//!
//! The table is the architecture's map (docs/architecture.md) as data: an arrow that it does not allow is an error, and
//! so is a crate that it does not know. Arrows of tests may also go to the test lab.

use std::{collections::BTreeMap, fs, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, Metadata};

use crate::cargo;

/// A crate of the workspace, and the crates of the workspace that it may depend on.
type Row = (&'static str, &'static [&'static str]);

const TIME: &str = "holdfast-time";
const VRRP: &str = "vrrp";
const IPVS: &str = "ipvs-ctl";
const BFD: &str = "holdfast-bfd";
const HEALTH: &str = "holdfast-health";
const CONFIG: &str = "holdfast-config";
const IMPORT: &str = "holdfast-import";
const ENGINE: &str = "holdfast-engine";
const NET: &str = "holdfast-net";
const PROBE: &str = "holdfast-probe";
const WATCH: &str = "holdfast-watch";
const HOST: &str = "holdfast-host";
const CONTROL: &str = "holdfast-control";
const TELEMETRY: &str = "holdfast-telemetry";
const TESTKIT: &str = "holdfast-testkit";

/// The map, from the bottom up.
const ALLOWED: &[Row] = &[
    // Pure: no IO, no clock.
    (TIME, &[]),
    (VRRP, &[TIME]),
    (BFD, &[TIME]),
    (IPVS, &[]),
    (HEALTH, &[TIME]),
    (CONFIG, &[TIME, VRRP, IPVS, HEALTH]),
    (IMPORT, &[CONFIG]),
    (ENGINE, &[TIME, VRRP, IPVS, HEALTH, CONFIG]),
    // Adapters: the outside world, for one pure crate each.
    (NET, &[TIME, VRRP]),
    (PROBE, &[TIME, HEALTH, CONFIG, NET]),
    (WATCH, &[TIME, HEALTH, NET, PROBE]),
    // Shared by the programs. Metrics are the status that the API shows, so telemetry stands on its types.
    (CONTROL, &[]),
    (HOST, &[HEALTH, CONFIG, NET, PROBE, CONTROL]),
    (TELEMETRY, &[CONTROL]),
    // Programs.
    (
        "holdfastd",
        &[
            TIME, VRRP, BFD, IPVS, HEALTH, CONFIG, ENGINE, NET, PROBE, HOST, CONTROL, TELEMETRY,
            WATCH,
        ],
    ),
    // The command line talks to the kernel itself under `holdfast ipvs`, and asks the host for names.
    ("holdfast", &[VRRP, IPVS, HEALTH, CONFIG, IMPORT, NET, PROBE, HOST, CONTROL]),
    // Development.
    (TESTKIT, &[TIME, VRRP, IPVS, HEALTH, CONFIG, ENGINE]),
    (
        "holdfast-integration",
        &[TIME, VRRP, BFD, IPVS, HEALTH, CONFIG, ENGINE, NET, CONTROL, TESTKIT],
    ),
    ("xtask", &[TESTKIT]),
];

/// The pure crates. Each has its own clippy.toml, the same one.
const PURE: &[&str] = &[TIME, VRRP, BFD, IPVS, HEALTH, CONFIG, IMPORT, ENGINE];

/// What a pure crate must not reach, by any way.
const IMPURE: &[&str] =
    &["tokio", "mio", "nix", "libc", "socket2", "rustix", "netlink-sys", "netlink-proto"];

/// A dependency between two crates of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arrow {
    from: String,
    to: String,
    /// Only the tests of `from` have it.
    for_tests: bool,
}

/// `cargo xtask layers`.
pub(crate) fn run() -> Result<ExitCode> {
    let problems = problems()?;
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() {
        println!(
            "{} crates, every arrow points down; {} of them are pure.",
            ALLOWED.len(),
            PURE.len()
        );
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

/// Everything that is wrong, a line each.
pub(crate) fn problems() -> Result<Vec<String>> {
    let metadata = cargo::metadata()?;
    let crates: Vec<_> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let mut problems = strangers(&crates);
    problems.extend(forbidden(&arrows(&metadata)));
    for pure in PURE {
        problems.extend(impure_chains(&tree(pure)?));
    }
    problems.extend(differing_lints(&metadata)?);
    Ok(problems)
}

/// The crates that the table does not know, and those that it knows and that are gone.
fn strangers(crates: &[String]) -> Vec<String> {
    let unknown = crates
        .iter()
        .filter(|name| !ALLOWED.iter().any(|(known, _)| known == name))
        .map(|name| format!("{name} is in no layer: give it a row in crates/xtask/src/layers.rs"));
    let gone = ALLOWED.iter().filter(|(known, _)| !crates.iter().any(|name| name == known)).map(
        |(known, _)| {
            format!(
                "{known} has a row in crates/xtask/src/layers.rs and is no crate of the workspace"
            )
        },
    );
    unknown.chain(gone).collect()
}

/// The workspace's arrows.
fn arrows(metadata: &Metadata) -> Vec<Arrow> {
    let mut arrows = Vec::new();
    for package in &metadata.packages {
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some())
        {
            arrows.push(Arrow {
                from: package.name.to_string(),
                to: dependency.name.clone(),
                for_tests: dependency.kind == DependencyKind::Development,
            });
        }
    }
    arrows
}

/// The arrows that the table does not allow.
fn forbidden(arrows: &[Arrow]) -> Vec<String> {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    arrows
        .iter()
        .filter(|Arrow { from, to, for_tests }| {
            let row = allowed.get(from.as_str()).copied().unwrap_or_default();
            // A crate may be its own test's dependency, with other features.
            !row.contains(&to.as_str()) && !(*for_tests && (to == TESTKIT || to == from))
        })
        .map(|Arrow { from, to, for_tests }| {
            let what = if *for_tests { "the tests of " } else { "" };
            format!("{what}{from} must not depend on {to}: {from} → {to}")
        })
        .collect()
}

/// What `cargo tree` says that a crate needs when it is not tested and no feature of it is on.
fn tree(name: &str) -> Result<String> {
    let mut command = cargo::cargo();
    command.args(["tree", "--package", name, "--no-default-features", "--edges", "normal"]);
    let output = command
        .args(["--prefix", "depth", "--format", " {p}", "--no-dedupe"])
        .output()
        .context("cannot run cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree -p {name} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("cargo tree's output is not UTF-8")
}

/// The ways from the root of a tree (lines of `DEPTH NAME VERSION …`) to something impure; the first way to each.
fn impure_chains(tree: &str) -> Vec<String> {
    let mut chain: Vec<&str> = Vec::new();
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(depth), Some(name)) =
            (words.next().and_then(|word| word.parse().ok()), words.next())
        else {
            continue;
        };
        chain.truncate(depth);
        chain.push(name);
        if IMPURE.contains(&name) {
            let root = chain.first().copied().unwrap_or_default();
            found.entry(name).or_insert_with(|| {
                format!("{root} is pure and must not reach {name}: {}", chain.join(" → "))
            });
        }
    }
    found.into_values().collect()
}

/// The pure crates whose clippy.toml is missing or is not the others'. The nearest one wins and they don't merge, so each
/// has a copy.
fn differing_lints(metadata: &Metadata) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut first: Option<(String, String)> = None;
    for package in metadata.packages.iter().filter(|package| PURE.contains(&package.name.as_str()))
    {
        let folder = package.manifest_path.parent().context("a manifest is in no folder")?;
        let path = folder.join("clippy.toml");
        match (fs::read_to_string(Path::new(&path)), &first) {
            (Err(error), _) => problems.push(format!(
                "{} is pure and needs the pure crates' clippy.toml: {path}: {error}",
                package.name
            )),
            (Ok(text), None) => first = Some((text, path.to_string())),
            (Ok(text), Some((expected, of))) if text != *expected => {
                problems.push(format!("{path} must be the same as {of}"));
            }
            (Ok(_), Some(_)) => {}
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrow(from: &str, to: &str, for_tests: bool) -> Arrow {
        Arrow { from: from.to_owned(), to: to.to_owned(), for_tests }
    }

    /// `cargo metadata` as this module needs it, of a workspace in which vrrp depends on the engine.
    fn metadata(name: &str, dependency: &str, kind: &str) -> Metadata {
        let text = format!(
            r#"{{"packages":[{{"name":"{name}","version":"0.1.0","id":"path+file:///w/{name}#0.1.0","source":null,
            "dependencies":[{{"name":"{dependency}","source":null,"req":"*","kind":{kind},"optional":false,
            "uses_default_features":true,"features":[],"target":null,"registry":null,"path":"/w/{dependency}"}},
            {{"name":"serde","source":"registry","req":"1","kind":null,"optional":false,"uses_default_features":true,
            "features":[],"target":null,"registry":null}}],
            "targets":[],"features":{{}},"manifest_path":"/w/{name}/Cargo.toml","edition":"2024","authors":[],
            "categories":[],"keywords":[]}}],"workspace_members":[],"resolve":null,"target_directory":"/w/target",
            "version":1,"workspace_root":"/w"}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn an_arrow_that_points_up_is_named() {
        let arrows = arrows(&metadata("vrrp", "holdfast-engine", "null"));
        assert_eq!(arrows, [arrow("vrrp", "holdfast-engine", false)]);
        assert_eq!(
            forbidden(&arrows),
            ["vrrp must not depend on holdfast-engine: vrrp → holdfast-engine"]
        );
    }

    #[test]
    fn arrows_of_tests_may_go_to_the_lab_but_not_up() {
        let arrows = arrows(&metadata("holdfast-net", "holdfast-testkit", "\"dev\""));
        assert_eq!(arrows, [arrow("holdfast-net", "holdfast-testkit", true)]);
        assert!(forbidden(&arrows).is_empty());
        assert_eq!(forbidden(&[arrow("holdfast-net", "holdfast-testkit", false)]).len(), 1);
        let up = forbidden(&[arrow("vrrp", "holdfast-engine", true)]);
        assert_eq!(
            up,
            ["the tests of vrrp must not depend on holdfast-engine: vrrp → holdfast-engine"]
        );
    }

    #[test]
    fn the_table_itself_points_down() {
        for (row, (name, below)) in ALLOWED.iter().enumerate() {
            for lower in *below {
                let place = ALLOWED.iter().position(|(name, _)| name == lower);
                assert!(place.is_some_and(|place| place < row), "{name} → {lower}");
            }
        }
    }

    #[test]
    fn pure_crates_stand_on_pure_crates() {
        for (name, below) in ALLOWED.iter().filter(|(name, _)| PURE.contains(name)) {
            assert!(below.iter().all(|lower| PURE.contains(lower)), "{name}");
        }
    }

    #[test]
    fn a_crate_without_a_row_and_a_row_without_a_crate_are_named() {
        let mut crates: Vec<String> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert!(strangers(&crates).is_empty());
        crates[0] = "holdfast-utils".to_owned();
        let problems = strangers(&crates);
        assert!(problems[0].starts_with("holdfast-utils is in no layer"), "{problems:?}");
        assert!(problems[1].starts_with("holdfast-time has a row"), "{problems:?}");
    }

    #[test]
    fn the_way_to_something_impure_is_shown() {
        let tree = "0 ipvs-ctl v0.1.0 (/w/ipvs-ctl)\n1 serde v1.0.0\n2 serde_core v1.0.0\n\
                    1 netlink-packet-core v0.9.0\n2 pastey v0.1.0\n2 libc v0.2.0\n1 libc v0.2.0\n";
        assert_eq!(
            impure_chains(tree),
            ["ipvs-ctl is pure and must not reach libc: ipvs-ctl → netlink-packet-core → libc"]
        );
        assert!(impure_chains("0 vrrp v0.1.0\n1 serde v1.0.0\n").is_empty());
    }
}
