//! No report and no problem shows a password, however its line is written.

mod text;

use text::converted;

/// Everything that is told of a text, but for the configuration itself.
fn told(text: &str) -> String {
    let found = converted(text);
    assert!(!found.report.is_empty(), "{text}");
    format!("{:?} {:?}", found.report, found.problems)
}

fn hides(lines: &[&str]) {
    for line in lines {
        let text = format!("{line}\n");
        let told = told(&text);
        assert!(!told.contains("hunter2"), "{line}: {told}");
        assert!(told.contains('…'), "{line}: {told}");
    }
}

#[test]
fn a_password_for_another_node_is_not_shown() {
    hides(&["@lb2 auth_pass hunter2", "@^lb1 auth_pass hunter2", "@lb2 \"auth_\\pass\" hunter2"]);
}

#[test]
fn a_password_with_a_quote_that_is_not_closed_is_not_shown() {
    hides(&["auth_pass \"hunter2", "auth_pass hunter2 \"", "\"auth_pass hunter2"]);
}

#[test]
fn the_value_of_a_definition_is_not_shown() {
    hides(&["$PW=hunter2", "$AUTH=hunter2", "$PW = hunter2", "$P-W=hunter2", "@lb2 $PW=hunter2"]);
    hides(&["@lb2 ~LST(PW, hunter2) auth_pass ${PW}", "$A=\\\nauth_pass \\\nhunter2"]);
    assert!(told("$PW=hunter2\n").contains("$PW=…"));
}

#[test]
fn a_password_behind_other_words_of_its_line_is_not_shown() {
    hides(&[
        "auth_type PASS auth_pass hunter2",
        "vrrp_instance a { authentication { auth_type PASS auth_pass hunter2 } }",
        "authentication {auth_pass hunter2}",
        "SSL { password hunter2 }",
    ]);
    assert!(told("auth_type PASS auth_pass hunter2\n").contains("auth_type PASS auth_pass …"));
}

#[test]
fn a_password_behind_a_misspelt_word_is_not_shown() {
    hides(&["auth_pas hunter2", "AUTH_PASS hunter2", "auth-pass hunter2", "passwd hunter2"]);
}

#[test]
fn what_is_no_password_is_shown() {
    let told = told("auth_type PASS\nkeyboard 7\nscript \"/bin/a b\"\n");
    for shown in ["auth_type PASS", "keyboard 7", r#"script \"/bin/a b\""#] {
        assert!(told.contains(shown), "{told}");
    }
}
