//! Every word of keepalived's language, by the block that it stands in, and what becomes of it.

mod checks;
mod global;
mod servers;
mod vrrp;

use std::collections::BTreeMap;

use crate::ledger::Ledger;
use crate::secret::masked;
use crate::tree::Statement;

/// A block of keepalived's language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// The top of the file.
    Root,
    /// `global_defs`.
    Global,
    /// `vrrp_instance`.
    Instance,
    /// `authentication`.
    Authentication,
    /// `auth_hmac`.
    Hmac,
    /// `vrrp_sync_group`.
    SyncGroup,
    /// `vrrp_script`.
    Script,
    /// `vrrp_track_file` and `track_file` at the top.
    TrackFile,
    /// `vrrp_track_process`.
    TrackProcess,
    /// `bfd_instance`.
    Bfd,
    /// `garp_group`.
    GarpGroup,
    /// `virtual_server`.
    VirtualServer,
    /// `real_server`.
    RealServer,
    /// `SSL`.
    Ssl,
    /// What every check takes.
    Check,
    /// `HTTP_GET` and `SSL_GET`.
    Http,
    /// `url`.
    Url,
    /// `SMTP_CHECK`.
    Smtp,
    /// `DNS_CHECK`.
    Dns,
    /// `MISC_CHECK`.
    Misc,
    /// `UDP_CHECK`.
    Udp,
    /// `BFD_CHECK`.
    BfdCheck,
    /// `FILE_CHECK`.
    FileCheck,
}

/// What becomes of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It is converted, in `convert`.
    Converted,
    /// Holdfast does so anyway; the note says how.
    Anyway(&'static str),
    /// It is not converted; the note says why, and what to do.
    Left(&'static str),
}

/// Words with the same fate.
pub(crate) type Row = (Use, &'static [&'static str]);

/// Whether keepalived knows the word in the block: any version of it, and also words that no manual has.
pub fn known(context: Context, word: &str) -> bool {
    fate(context, word).is_some()
}

fn rows(context: Context) -> &'static [Row] {
    match context {
        Context::Root => global::ROOT,
        Context::Global => global::GLOBAL,
        Context::Instance => vrrp::INSTANCE,
        Context::Authentication => vrrp::AUTHENTICATION,
        Context::Hmac => vrrp::HMAC,
        Context::SyncGroup => vrrp::SYNC_GROUP,
        Context::Script => vrrp::SCRIPT,
        Context::TrackFile => vrrp::TRACK_FILE,
        Context::TrackProcess => vrrp::TRACK_PROCESS,
        Context::Bfd => vrrp::BFD,
        Context::GarpGroup => vrrp::GARP_GROUP,
        Context::VirtualServer => servers::VIRTUAL,
        Context::RealServer => servers::REAL,
        Context::Ssl => servers::SSL,
        Context::Check => checks::COMMON,
        Context::Http => checks::HTTP,
        Context::Url => checks::URL,
        Context::Smtp => checks::SMTP,
        Context::Dns => checks::DNS,
        Context::Misc => checks::MISC,
        Context::Udp => checks::UDP,
        Context::BfdCheck => checks::BFD,
        Context::FileCheck => checks::FILE,
    }
}

/// Whether the checks' common words stand there as well.
const fn is_check(context: Context) -> bool {
    matches!(
        context,
        Context::Http
            | Context::Smtp
            | Context::Dns
            | Context::Misc
            | Context::Udp
            | Context::BfdCheck
            | Context::FileCheck
    )
}

fn fate(context: Context, word: &str) -> Option<Use> {
    let common = if is_check(context) { checks::COMMON } else { &[] };
    let all = rows(context).iter().chain(common);
    all.filter(|(_, words)| words.contains(&word)).map(|(fate, _)| *fate).next()
}

/// Accounts for a statement that the conversion has no rule of its own for: by the table, or as a word that keepalived does not know.
pub(crate) fn account(statement: &Statement, context: Context, ledger: &mut Ledger) {
    match fate(context, statement.keyword()) {
        Some(Use::Anyway(note)) => {
            ledger.note(statement.id, note);
            inside(statement, ledger);
        }
        Some(Use::Left(note)) => {
            ledger.left(statement.id, note);
            inside(statement, ledger);
        }
        Some(Use::Converted) => {}
        None => unknown(statement, context, ledger),
    }
}

fn unknown(statement: &Statement, context: Context, ledger: &mut Ledger) {
    let word = statement.keyword();
    // A longer word is like none, and comparing it takes long.
    let rows = if word.len() > 64 { &[] } else { rows(context) };
    let near = rows
        .iter()
        .flat_map(|(_, words)| *words)
        .map(|known| (strsim::jaro_winkler(known, word), *known))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let help = match near {
        _ if context != Context::Root && known(Context::Root, word) => {
            "it stands at the top of the file: look for a `}` that is missing above".to_owned()
        }
        Some((_, near)) => format!(
            "did you mean `{near}`? keepalived ignores the line and goes on with its default"
        ),
        None => "keepalived ignores the line; remove it".to_owned(),
    };
    let message = format!("`{}` is no word of keepalived's here", masked(word));
    ledger.wrong(statement.id, statement.column(0), message, help);
    inside(statement, ledger);
}

/// Whether a word stands as often as there are such things, each with a block of its own.
fn is_thing(word: &str) -> bool {
    is_check_word(word) || word == "real_server"
}

/// Whether a word is a check.
pub(crate) fn is_check_word(word: &str) -> bool {
    word.ends_with("_CHECK") || word == "HTTP_GET" || word == "SSL_GET"
}

/// Whether the statement has the block that it needs; tells where it has none.
pub(crate) fn has_block(statement: &Statement, ledger: &mut Ledger) -> bool {
    if statement.block.is_none() {
        let word = statement.keyword();
        let message = format!("a `{word}` has a block, without which keepalived ignores it");
        let help = "write `{ }` behind it, with what belongs to it between";
        ledger.wrong(statement.id, statement.column(0), message, help);
    }
    statement.block.is_some()
}

/// Whether keepalived (2.2.7) goes on with the first of several such statements of a block, with a warning; of others it takes the last.
fn first_counts(block: &Statement, word: &str) -> bool {
    match word {
        "notify"
        | "notify_master"
        | "notify_backup"
        | "notify_fault"
        | "notify_stop"
        | "notify_deleted"
        | "notify_master_rx_lower_pri"
        | "notify_up"
        | "notify_down"
        | "quorum_up"
        | "quorum_down" => true,
        "state" | "version" | "use_vmac" | "lvs_sync_daemon_interface" => {
            block.keyword() == "vrrp_instance"
        }
        "name" => block.keyword() == "DNS_CHECK",
        "process" | "file" | "weight" => block.keyword().contains("track_"),
        _ => false,
    }
}

/// The statements of a block that count: of those without a block that are said twice, the last, or where keepalived has it so the first. A
/// server or a check is none of these.
pub(crate) fn effective<'a>(block: &'a Statement, ledger: &mut Ledger) -> Vec<&'a Statement> {
    let plain =
        |statement: &&Statement| statement.block.is_none() && !is_thing(statement.keyword());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for child in block.children().iter().filter(plain) {
        let word = child.keyword();
        let counting = counts.entry(word).or_insert(child.id);
        if !first_counts(block, word) {
            *counting = child.id;
        }
    }
    let mut counting = Vec::new();
    for child in block.children() {
        let word = child.keyword();
        if plain(&child) && counts.get(word) != Some(&child.id) {
            let why = if first_counts(block, word) {
                "said already above: the first counts"
            } else {
                "said again below: the last counts"
            };
            ledger.left(child.id, why);
        } else {
            counting.push(child);
        }
    }
    counting
}

/// Looks for what no rule has looked at: statements where keepalived has none, such as in the block of a word that has no block.
pub(crate) fn sweep(statements: &[Statement], ledger: &mut Ledger) {
    for statement in statements {
        if !ledger.is_known(statement.id) {
            let message = format!("`{}` can't stand here", masked(statement.keyword()));
            let help = "look for a brace that is missing or too many above";
            ledger.wrong(statement.id, statement.column(0), message, help);
        }
        sweep(statement.children(), ledger);
    }
}

/// Accounts for everything in the block of a statement that was not converted.
pub(crate) fn inside(statement: &Statement, ledger: &mut Ledger) {
    for child in statement.children() {
        ledger.left(child.id, format!("with `{}`", statement.keyword()));
        inside(child, ledger);
    }
}
