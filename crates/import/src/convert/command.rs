//! Scripts to commands and hooks.

use crate::ledger::Ledger;
use crate::tree::Statement;
use crate::words::script_words;
use crate::yaml::{Map, Node, plain, texts};

/// The command of a statement `word "path arguments" [user [group]]`, where Holdfast could run it.
pub(crate) fn command(statement: &Statement, ledger: &mut Ledger) -> Option<Vec<String>> {
    let words = script_words(statement.word(1));
    let Some(program) = words.first().filter(|program| !program.is_empty()) else {
        let message = format!("`{}` names no script", statement.keyword());
        ledger.wrong(statement.id, statement.column(1), message, "name one, or remove the line");
        return None;
    };
    if let Some(path) = program.strip_prefix('<') {
        let note = format!(
            "whether {path} can be opened is no command: a tracker `file`, a check `tcp` or a script of your own does it"
        );
        ledger.left_decide(statement.id, note);
        return None;
    }
    if !program.starts_with('/') {
        let note = format!(
            "`{program}` is looked for in PATH by keepalived; Holdfast takes whole paths alone: write `/usr/bin/{program}` or where it is"
        );
        ledger.left_decide(statement.id, note);
        return None;
    }
    if let Some(shell) = words.iter().skip(1).find(|word| {
        matches!(word.as_str(), "|" | "||" | "&&" | ";" | "&") || word.starts_with(['>', '<'])
    }) {
        let note = format!(
            "`{shell}` is an argument like any other: nothing runs in a shell, in keepalived neither"
        );
        ledger.note(statement.id, note);
    }
    match statement.word(2) {
        "" => ledger.exact(statement.id),
        user => {
            let note =
                format!("it runs as `daemon.scripts.user`, as all commands do, not as `{user}`");
            ledger.differs_decide(statement.id, note);
        }
    }
    Some(words)
}

/// Adds the hook that a statement is to an instance, group or service.
pub(crate) fn hook(map: &mut Map, on: &[&str], statement: &Statement, ledger: &mut Ledger) {
    let Some(words) = command(statement, ledger) else { return };
    if statement.keyword() != "notify" {
        let note = "INSTANCE or GROUP (of a service SERVICE), the name, the state and the priority are appended to its arguments";
        ledger.differs(statement.id, note);
    }
    let origin = statement.span.clone();
    let mut hook = Map::default();
    hook.set("command", texts(words, &origin), origin.clone());
    match on {
        [] => {}
        [one] => hook.set("on", plain(one), origin.clone()),
        several => hook.set("on", plain(format!("[{}]", several.join(", "))), origin.clone()),
    }
    map.push("hooks", Node::Map(hook), origin);
}
