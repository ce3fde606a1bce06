//! Where `holdfast` under the name `ipvsadm` deliberately differs. docs/ipvs.md has the reasons.

/// What a difference may touch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Touches {
    pub(crate) code: bool,
    pub(crate) out: bool,
    pub(crate) err: bool,
    pub(crate) table: bool,
}

const NOTHING: Touches = Touches { code: false, out: false, err: false, table: false };

/// The differences that the table of command lines shows.
const KNOWN: [(&str, Touches); 3] = [
    ("help", Touches { out: true, ..NOTHING }),
    ("flags-of-nothing", Touches { code: true, err: true, ..NOTHING }),
    ("unfinished-line", Touches { table: true, ..NOTHING }),
];

/// What the difference named `name` may touch.
pub(crate) fn touched(name: Option<&str>) -> Touches {
    let Some(name) = name else { return NOTHING };
    let found = KNOWN.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("{name} is no known difference")).1
}

#[test]
fn the_documentation_has_every_difference() {
    let docs = include_str!("../../../docs/ipvs.md");
    for (name, _) in KNOWN {
        assert!(docs.contains(&format!("| `{name}` |")), "docs/ipvs.md lacks {name}");
    }
}
