//! The files of the disk, and the patterns that an `include` of keepalived's names them by.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use holdfast_import::{Library, MAX_BYTES};

/// The most files that one pattern may stand for, and the most patterns that its braces may make.
const MOST: usize = 4096;

/// The disk. Relative names of an include are relative to the file that has it, as keepalived has it.
pub(super) struct Disk;

impl Library for Disk {
    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let mut text = Vec::new();
        // A file that never ends is not the right one.
        let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        match name {
            "-" => std::io::stdin().lock().take(most).read_to_end(&mut text),
            name => File::open(name).and_then(|file| file.take(most).read_to_end(&mut text)),
        }
        .map_err(|error| error.to_string())?;
        Ok(text)
    }

    fn matching(&self, from: &str, pattern: &str) -> Result<Vec<String>, String> {
        let folder = Path::new(from).parent().unwrap_or_else(|| Path::new(""));
        let mut files = Vec::new();
        for pattern in braces(pattern)? {
            let whole = folder.join(&pattern);
            let mut found = vec![PathBuf::new()];
            for part in whole.components() {
                let part = part.as_os_str().to_string_lossy();
                found = step(&found, &part)?;
            }
            let names = found.into_iter().filter(|path| path.is_file());
            let mut names: Vec<_> = names.map(|path| path.to_string_lossy().into_owned()).collect();
            names.sort();
            files.extend(names);
        }
        if files.len() > MOST { Err(format!("more than {MOST} files")) } else { Ok(files) }
    }
}

/// The paths that `part` leads to from each of `found`.
fn step(found: &[PathBuf], part: &str) -> Result<Vec<PathBuf>, String> {
    if !part.contains(['*', '?', '[']) {
        return Ok(found.iter().map(|path| path.join(part)).collect());
    }
    let letters: Vec<char> = part.chars().collect();
    let mut next = Vec::new();
    for path in found {
        let folder = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        // What is no folder has no files.
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && !part.starts_with('.');
            if !hidden && fits(&letters, &name.chars().collect::<Vec<_>>()) {
                next.push(path.join(name));
            }
            if next.len() > MOST {
                return Err(format!("more than {MOST} files"));
            }
        }
    }
    Ok(next)
}

/// Whether a name fits a pattern of `*`, `?` and `[…]`. It takes time in proportion to both lengths.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let one = one(pattern.get(p..).unwrap_or_default(), name.get(n).copied());
        match (pattern.get(p), name.get(n)) {
            (None, None) => return true,
            (Some('*'), _) => {
                star = Some((p + 1, n));
                p += 1;
            }
            (Some(_), Some(_)) if one > 0 => {
                p += one;
                n += 1;
            }
            _ => match star {
                Some((after, from)) if from < name.len() => {
                    star = Some((after, from + 1));
                    (p, n) = (after, from + 1);
                }
                _ => return false,
            },
        }
    }
}

/// How many letters of the pattern take the letter of a name; 0 where it does not fit.
fn one(pattern: &[char], letter: Option<char>) -> usize {
    let Some(letter) = letter else { return 0 };
    match pattern.first() {
        Some('?') => 1,
        Some('[') => {
            let Some(end) = pattern.iter().skip(2).position(|l| *l == ']').map(|at| at + 2) else {
                return usize::from(letter == '[');
            };
            let inner = pattern.get(1..end).unwrap_or_default();
            let (not, set) = match inner.split_first() {
                Some(('!' | '^', rest)) => (true, rest),
                _ => (false, inner),
            };
            let ranged =
                set.windows(3).any(|w| matches!(w, [a, '-', b] if (a..=b).contains(&&letter)));
            if (ranged || set.contains(&letter)) == not { 0 } else { end + 1 }
        }
        Some(own) => usize::from(*own == letter),
        None => 0,
    }
}

/// The patterns that braces make: `{foo/{,cat,dog},bar}` is four.
fn braces(pattern: &str) -> Result<Vec<String>, String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(pattern) = open.pop() {
        if done.len() + open.len() > MOST {
            return Err(format!("braces for more than {MOST} patterns"));
        }
        match first_brace(&pattern) {
            None => done.push(pattern),
            Some((before, choices, after)) => {
                let all = choices.into_iter().rev();
                open.extend(all.map(|choice| format!("{before}{choice}{after}")));
            }
        }
    }
    Ok(done)
}

/// What stands before the first pair of braces, its choices, and what stands behind it.
fn first_brace(pattern: &str) -> Option<(&str, Vec<&str>, &str)> {
    let start = pattern.find('{')?;
    let (mut depth, mut from, mut choices) = (0, start + 1, Vec::new());
    for (at, letter) in pattern.char_indices().skip_while(|(at, _)| *at < start) {
        match letter {
            '{' => depth += 1,
            '}' if depth == 1 => {
                choices.push(pattern.get(from..at)?);
                return Some((pattern.get(..start)?, choices, pattern.get(at + 1..)?));
            }
            '}' => depth -= 1,
            ',' if depth == 1 => {
                choices.push(pattern.get(from..at)?);
                from = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_glob() {
        let fits = |pattern: &str, name: &str| {
            fits(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
        };
        assert!(fits("*.conf", "a.conf") && fits("*", "") && fits("a*b*c", "aXbYbZc"));
        assert!(fits("?[0-9].conf", "x7.conf") && fits("[!a]", "b"));
        assert!(
            !fits("*.conf", "a.con") && !fits("[!a]", "a") && !fits("?", "") && !fits("[a", "b")
        );
        assert_eq!(braces("{foo/{,cat,dog},bar}").unwrap(), ["foo/", "foo/cat", "foo/dog", "bar"]);
        assert_eq!(braces("a{b").unwrap(), ["a{b"]);
    }

    #[test]
    fn an_include_is_relative_to_the_file_that_has_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("conf.d")).unwrap();
        for name in ["b.conf", "a.conf", ".hidden.conf", "c.txt"] {
            std::fs::write(folder.path().join("conf.d").join(name), "").unwrap();
        }
        let from = folder.path().join("keepalived.conf");
        let found = Disk.matching(&from.to_string_lossy(), "conf.d/*.conf").unwrap();
        let names: Vec<_> = found.iter().map(|name| name.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["a.conf", "b.conf"]);
        assert!(Disk.matching(&from.to_string_lossy(), "missing.conf").unwrap().is_empty());
    }
}
