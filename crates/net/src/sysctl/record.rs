//! The file that remembers what sysctls were. Its first line says of which boot and network namespace; each further one has a key, what
//! it was and what it was set to, apart by tabs.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Sysctl;
use crate::origin::Origin;

/// The file's form, and what else tells it from others.
const KIND: &str = "holdfast sysctls 1";
/// More than 1,000 instances need; what is longer is none of ours.
const LEN_MAX: u64 = 1 << 20;

/// What a sysctl was, and what it has been set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) before: String,
    pub(super) set: String,
}

/// The first line of a record that holds for `origin`.
fn head(origin: &Origin) -> String {
    format!("{KIND}\t{}\t{}", origin.boot, origin.namespace)
}

/// What `file` remembers for `origin`. No file, another one's or one that is damaged remembers nothing; a damaged line neither.
pub(super) fn load(file: &Path, origin: &Origin) -> io::Result<BTreeMap<Sysctl, Memory>> {
    let opened = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    opened.take(LEN_MAX).read_to_end(&mut bytes)?;
    Ok(parse(&String::from_utf8_lossy(&bytes), origin))
}

fn parse(text: &str, origin: &Origin) -> BTreeMap<Sysctl, Memory> {
    let mut lines = text.lines();
    if lines.next() != Some(head(origin).as_str()) {
        return BTreeMap::new();
    }
    let entry = |line: &str| {
        let mut fields = line.split('\t');
        let sysctl = Sysctl::parse(fields.next()?)?;
        let mut value = || fields.next().filter(|value| !value.is_empty()).map(str::to_owned);
        let memory = Memory { before: value()?, set: value()? };
        fields.next().is_none().then_some((sysctl, memory))
    };
    lines.filter_map(entry).collect()
}

/// Replaces `file` by one with `memory`, at once or not at all; without a memory it is removed.
pub(super) fn save(
    file: &Path,
    origin: &Origin,
    memory: &BTreeMap<Sysctl, Memory>,
) -> io::Result<()> {
    if memory.is_empty() {
        return match fs::remove_file(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
    }
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    let new = file.with_extension("new");
    let mut writer =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    writer.write_all(text(origin, memory).as_bytes())?;
    writer.sync_all()?;
    fs::rename(&new, file)
}

fn text(origin: &Origin, memory: &BTreeMap<Sysctl, Memory>) -> String {
    let lines = memory
        .iter()
        .map(|(sysctl, memory)| format!("{sysctl}\t{}\t{}\n", memory.before, memory.set));
    std::iter::once(format!("{}\n", head(origin))).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin() -> Origin {
        Origin { boot: "3f6e".to_owned(), namespace: 4_026_531_840 }
    }

    fn memory() -> BTreeMap<Sysctl, Memory> {
        [("eth0.7", "0", "1"), ("bond0", "-1", "3 50")]
            .map(|(name, before, set)| {
                let memory = Memory { before: before.to_owned(), set: set.to_owned() };
                (Sysctl::ipv4(name, "arp_ignore"), memory)
            })
            .into()
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        assert_eq!(parse(&text(&origin(), &memory()), &origin()), memory());
    }

    #[test]
    fn another_boots_or_namespaces_record_is_nobodys() {
        let text = text(&origin(), &memory());
        let other_boot = Origin { boot: "aaaa".to_owned(), ..origin() };
        let other_namespace = Origin { namespace: 1, ..origin() };
        for other in [other_boot, other_namespace] {
            assert_eq!(parse(&text, &other), BTreeMap::new());
        }
    }

    #[test]
    fn a_line_that_is_damaged_or_leads_elsewhere_is_left_out() {
        let mut text = text(&origin(), &memory());
        text.push_str("net/ipv4/tcp_rmem\t0\t1\n");
        text.push_str("net/ipv4/conf/eth9/arp_ignore\t0\n");
        text.push_str("net/ipv4/conf/eth9/arp_ignore\t0\t1\t2\n");
        text.push_str("net/ipv4/conf/eth9/arp_ign");
        assert_eq!(parse(&text, &origin()), memory());
    }

    #[test]
    fn a_record_is_replaced_and_without_a_memory_removed() {
        let directory =
            std::env::temp_dir().join(format!("holdfast-record-{}", std::process::id()));
        let file = directory.join("sysctls");
        save(&file, &origin(), &memory()).unwrap();
        assert_eq!(load(&file, &origin()).unwrap(), memory());
        save(&file, &origin(), &BTreeMap::new()).unwrap();
        save(&file, &origin(), &BTreeMap::new()).unwrap();
        assert_eq!(load(&file, &origin()).unwrap(), BTreeMap::new());
        fs::remove_dir_all(directory).unwrap();
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            let whole = format!("{}\n{text}", head(&origin()));
            drop(parse(&whole, &origin()));
        }
    }
}
