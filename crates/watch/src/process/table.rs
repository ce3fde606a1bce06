//! Which processes have one of the names, as far as /proc tells.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

/// What the kernel appends to the path of a program whose file was removed, by an upgrade, say (fs/d_path.c).
const REMOVED: &[u8] = b" (deleted)";

/// So many bytes of a process's words are read: as much as a path may have (PATH_MAX).
const WORD_MAX: u64 = 4096;

/// The processes that have one of the names, by their numbers.
#[derive(Debug)]
pub(super) struct Table {
    names: Arc<[String]>,
    /// The places in `names` that each process is counted at; processes that match none are not here.
    matching: HashMap<i32, Vec<usize>>,
}

impl Table {
    /// A table of nothing yet.
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().collect(), matching: HashMap::new() }
    }

    /// The names, in their order.
    pub(super) fn names(&self) -> Arc<[String]> {
        Arc::clone(&self.names)
    }

    /// How many processes have each name, in the order of the names.
    pub(super) fn counts(&self) -> Vec<u32> {
        let mut counts = vec![0_u32; self.names.len()];
        for place in self.matching.values().flatten() {
            if let Some(count) = counts.get_mut(*place) {
                *count = count.saturating_add(1);
            }
        }
        counts
    }

    /// Everything is as `found` by [`scan`].
    pub(super) fn replace(&mut self, found: HashMap<i32, Vec<usize>>) {
        self.matching = found;
    }

    /// A process began as the image of another.
    pub(super) fn forked(&mut self, parent: i32, child: i32) {
        if let Some(places) = self.matching.get(&parent).cloned() {
            self.matching.insert(child, places);
        }
    }

    /// A process runs another program now, or has another name.
    pub(super) fn renamed(&mut self, process: i32) {
        let places = places(Path::new("/proc"), process, &self.names);
        if places.is_empty() {
            self.matching.remove(&process);
        } else {
            self.matching.insert(process, places);
        }
    }

    /// A process is over.
    pub(super) fn ended(&mut self, process: i32) {
        self.matching.remove(&process);
    }
}

/// The processes that have one of `names` now. Blocks, for some milliseconds where there are thousands.
///
/// # Errors
/// The list of processes can't be read. A process that ends meanwhile is no error.
pub(super) fn scan(proc: &Path, names: &[String]) -> io::Result<HashMap<i32, Vec<usize>>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir(proc)? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let places = places(proc, process, names);
        if !places.is_empty() {
            found.insert(process, places);
        }
    }
    Ok(found)
}

/// The places in `names` of the names that a process has.
fn places(proc: &Path, process: i32, names: &[String]) -> Vec<usize> {
    let folder = proc.join(process.to_string());
    // A process of the kernel has no program. That of a process with rights that this one has not is hidden: then the word counts by which
    // it was called.
    let program = match fs::read_link(folder.join("exe")) {
        Ok(program) => program_name(&program),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => called(&folder),
        Err(_) => None,
    };
    let comm = fs::read(folder.join("comm")).unwrap_or_default();
    let comm = comm.strip_suffix(b"\n").unwrap_or(&comm);
    let has = |name: &String| {
        let name = name.as_bytes();
        program.as_deref() == Some(name) || comm == name
    };
    let places: Vec<usize> =
        names.iter().enumerate().filter(|(_, name)| has(name)).map(|(place, _)| place).collect();
    // Looked at last and for few: one that has ended and that nobody has waited for keeps its `comm`.
    if places.is_empty() || is_over(&folder) { Vec::new() } else { places }
}

/// The last part of the word by which a process was called (`argv[0]`); none of one that has changed it to nothing.
fn called(folder: &Path) -> Option<Vec<u8>> {
    let mut words = Vec::new();
    fs::File::open(folder.join("cmdline")).ok()?.take(WORD_MAX).read_to_end(&mut words).ok()?;
    let word = words.split(|byte| *byte == 0).next().filter(|word| !word.is_empty())?;
    program_name(Path::new(OsStr::from_bytes(word)))
}

/// The last part of a program's path.
fn program_name(path: &Path) -> Option<Vec<u8>> {
    let name = path.file_name().map(OsStr::as_bytes)?;
    Some(name.strip_suffix(REMOVED).unwrap_or(name).to_vec())
}

/// Whether a process is dead or a zombie (proc_pid_stat(5)); one that can't be read has gone.
fn is_over(folder: &Path) -> bool {
    let stat = fs::read(folder.join("stat")).unwrap_or_default();
    // The state stands behind the name, which is in brackets and may hold any byte.
    let behind = stat.iter().rposition(|byte| *byte == b')').and_then(|at| stat.get(at + 2));
    behind.is_none_or(|state| b"ZXx".contains(state))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A /proc of our own with processes of (number, program, comm, state).
    fn proc(processes: &[(i32, &str, &str, char)]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir(proc.path().join("sys")).unwrap();
        for (number, program, comm, state) in processes {
            let folder = proc.path().join(number.to_string());
            fs::create_dir(&folder).unwrap();
            if !program.is_empty() {
                std::os::unix::fs::symlink(program, folder.join("exe")).unwrap();
            }
            fs::write(folder.join("comm"), format!("{comm}\n")).unwrap();
            fs::write(folder.join("stat"), format!("{number} ({comm}) {state} 1 1")).unwrap();
        }
        proc
    }

    fn counts(proc: &tempfile::TempDir, names: &[&str]) -> Vec<u32> {
        let mut table = Table::new(names.iter().map(|name| (*name).to_owned()));
        table.replace(scan(proc.path(), &table.names()).unwrap());
        table.counts()
    }

    #[test]
    fn a_process_has_the_name_of_its_program_and_of_its_comm() {
        let proc = proc(&[
            (10, "/usr/sbin/haproxy", "haproxy", 'S'),
            (11, "/usr/bin/python3.11", "watchdog.py", 'S'),
            (12, "/usr/sbin/nginx (deleted)", "nginx: master", 'S'),
            (13, "", "kworker/0:1", 'I'),
            (14, "/opt/haproxy/bin/other", "other", 'S'),
        ]);
        let names = ["haproxy", "watchdog.py", "python3.11", "nginx", "kworker/0:1", "none"];
        assert_eq!(counts(&proc, &names), [1, 1, 1, 1, 1, 0]);
    }

    #[test]
    fn a_name_is_compared_as_a_whole() {
        let proc = proc(&[(10, "/usr/sbin/haproxy", "haproxy", 'S')]);
        assert_eq!(counts(&proc, &["hap", "haproxy2", "HAProxy", "/usr/sbin/haproxy"]), [0; 4]);
    }

    #[test]
    fn one_that_nobody_has_waited_for_is_over_and_a_name_with_brackets_fools_nobody() {
        let proc = proc(&[(10, "", "haproxy", 'Z'), (11, "/bin/x", "a) Z 1", 'S')]);
        assert_eq!(counts(&proc, &["haproxy", "a) Z 1"]), [0, 1]);
    }

    #[test]
    fn a_fork_has_its_parents_names_until_it_runs_something_else_or_ends() {
        let mut table = Table::new(["haproxy".to_owned()]);
        table.replace(HashMap::from([(10, vec![0])]));
        table.forked(10, 11);
        table.forked(99, 100);
        assert_eq!(table.counts(), [2]);
        table.ended(10);
        assert_eq!(table.counts(), [1]);
        // No process has this number.
        table.forked(11, i32::MAX);
        table.renamed(i32::MAX);
        assert_eq!(table.counts(), [1]);
    }
}
