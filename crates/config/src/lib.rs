//! Configuration text to domain types, with every problem found at once.
//!
//! It is pure: no file is read, no name looked up, no clock asked. [`parse`] takes the text of a file; [`host::check`] takes
//! what the caller has found out about the host. Nothing here panics on any text, and every list has a limit
//! (docs/configuration.md).
//!
//! ```text
//! bytes ─ syntax ─► text ─ positions ─► Source (the place of every path)
//!                              └─ raw ─► tree ─ read ─► Document ─ rules ─► Config
//!                                                │          │
//!                                                └─ Problems (by path) ─► Diagnostics (by place)
//! ```
//!
//! Invariant: a [`Config`] is only handed out when no diagnostic is an error.

mod code;
mod defaults;
mod diagnostic;
pub mod diff;
mod export;
pub mod fingerprint;
pub mod host;
mod include;
mod model;
mod path;
mod pattern;
mod positions;
mod raw;
mod read;
mod reader;
mod reference;
mod render;
mod rules;
mod secret;
mod server;
mod sharing;
mod source;
mod suggest;
mod syntax;
mod sysctls;
mod targets;
mod text;
mod whereabouts;
mod withdraw;

pub use code::{Code, Severity};
pub use defaults::SERVERS_MAX;
pub use diagnostic::{Diagnostic, Label};
pub use export::{Edit, EditKind, export};
pub use include::{FilePattern, includes, state_directory};
pub use model::*;
pub use pattern::Pattern;
pub use reference::{Key, UnknownTopic, explain, keys};
pub use render::{render, summary};
pub use source::{Source, Span};
pub use syntax::MAX_BYTES;
pub use sysctls::{Aim, Sysctl, WantedSysctl};
pub use targets::{Target, parse_targets};
pub use text::parse_duration;

use diagnostic::Problems;
use reader::Reader;

/// What a configuration depends on besides its text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Environment {
    /// The name of this node where the file has no `node`: the short host name.
    pub node: String,
}

impl Environment {
    /// The environment of a node, by default its short host name.
    pub fn new(node: impl Into<String>) -> Self {
        Self { node: node.into() }
    }
}

/// What became of a configuration's text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The configuration; none when a diagnostic is an error.
    pub config: Option<Config>,
    /// Errors and warnings in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// The text with the places of its keys, for [`render()`] and [`host::check`].
    pub source: Source,
}

impl Outcome {
    /// The diagnostics as a person reads them; empty without any.
    pub fn render(&self, color: bool) -> String {
        render(&self.source, &self.diagnostics, color)
    }

    /// The configuration with its warnings, or the diagnostics that refuse it.
    ///
    /// # Errors
    /// All diagnostics, when one of them is an error.
    pub fn into_result(self) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
        match self.config {
            Some(config) => Ok((config, self.diagnostics)),
            None => Err(self.diagnostics),
        }
    }
}

/// Reads a configuration. `file` is the name that diagnostics show; `text` is the file's bytes as they are, UTF-8 or not. What it
/// includes is left out: [`parse_files`] takes that.
pub fn parse(file: &str, text: impl AsRef<[u8]>, environment: &Environment) -> Outcome {
    parse_files(vec![(file.to_owned(), text.as_ref().to_owned())], environment)
}

/// Reads a configuration of several files: the first, and those that it includes ([`includes`]), each with the name that diagnostics show
/// and its bytes.
pub fn parse_files(files: Vec<(String, Vec<u8>)>, environment: &Environment) -> Outcome {
    let mut problems = Problems::default();
    let (sources, texts) = include::decode(files);
    let (source, root) = include::read(sources, &texts, &mut problems);
    let document = root.and_then(|root| read_document(&root, &source, &mut problems, environment));
    let diagnostics = problems.locate(&source);
    let refused = diagnostics.iter().any(|found| found.severity == Severity::Error);
    let config = document.filter(|_| !refused).and_then(into_config);
    Outcome { config, diagnostics, source }
}

fn read_document<'a>(
    root: &'a raw::Node<'a>,
    source: &'a Source,
    problems: &mut Problems,
    environment: &Environment,
) -> Option<read::Document> {
    let mut reader = Reader::new(source, std::mem::take(problems));
    let document = read::document(&mut reader, root, &environment.node);
    *problems = reader.problems;
    if let Some(document) = &document {
        rules::check(document, source, problems);
    }
    document
}

/// The configuration of this node. None only if an instance was left unread, which has been reported as an error.
fn into_config(document: read::Document) -> Option<Config> {
    let read::Document { node, daemon, ipvs, vrrp, views, services } = document;
    let own = views.into_iter().next()?;
    let mut settings = ipvs.ipvs;
    if let Some(view) = ipvs.sync.into_iter().next() {
        settings.sync = Some(view.draft.sync(&vrrp, &own.instances)?);
    }
    let paired = daemon.pair.is_some();
    let instances = own
        .instances
        .into_iter()
        .map(|draft| Some((draft.name.clone(), draft.instance(paired)?)))
        .collect::<Option<_>>()?;
    let services = services.into_iter().map(|(name, draft)| (name, draft.service)).collect();
    let mut config =
        Config { node, daemon, vrrp: vrrp.into(), instances, services, ipvs: settings };
    withdraw::track_services(&mut config);
    Some(config)
}
