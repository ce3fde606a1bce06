//! What `holdfast ipvs` understands beyond ipvsadm's command line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use ipvs_ctl::rules::{self, Command};

use super::stream::lossy;
use crate::args::Output;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// A command line of ipvsadm's.
    Ipvsadm,
    /// `save --full`.
    Save,
    /// `restore`.
    Restore(Restore),
    /// `-R`.
    File {
        /// `--continue`: bad lines are left out.
        go_on: bool,
    },
}

/// The options of `restore`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Restore {
    /// Only says what it would do.
    pub(super) dry_run: bool,
    /// Bad lines are left out.
    pub(super) go_on: bool,
    /// The file; standard input where there is none.
    pub(super) file: Option<PathBuf>,
}

/// A command line, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extra<'a> {
    pub(super) request: Request,
    /// What is left for ipvsadm's language.
    pub(super) words: Vec<&'a [u8]>,
    pub(super) output: Output,
}

/// Takes what is ours out of `words`.
///
/// # Errors
/// The command line makes no sense: a sentence.
pub(super) fn read<'a>(words: &[&'a [u8]], output: Output) -> Result<Extra<'a>, String> {
    let (words, output) = without_output(words, output)?;
    match words.split_first() {
        Some((&b"save", rest)) => {
            let (full, numeric) = save(rest)?;
            return Ok(if full {
                for_listings(output)?;
                Extra { request: Request::Save, words: Vec::new(), output }
            } else {
                let words: Vec<&[u8]> = if numeric { vec![b"-S", b"-n"] } else { vec![b"-S"] };
                Extra { request: Request::Ipvsadm, words, output }
            });
        }
        Some((&b"restore", rest)) => {
            for_listings(output)?;
            let request = Request::Restore(restore(rest)?);
            return Ok(Extra { request, words: Vec::new(), output });
        }
        _other => {}
    }
    let all = words.len();
    let words: Vec<&[u8]> = words.into_iter().filter(|word| *word != b"--continue").collect();
    let go_on = words.len() < all;
    let parsed = rules::parse(&words, false, &mut rules::Numbers).map(|parsed| parsed.command);
    match parsed {
        Ok(Command::Restore) => {
            for_listings(output)?;
            Ok(Extra { request: Request::File { go_on }, words, output })
        }
        _other if go_on => Err("--continue goes with -R and with restore".to_owned()),
        _other => Ok(Extra { request: Request::Ipvsadm, words, output }),
    }
}

/// `-o json` and its like, wherever they stand. ipvsadm's `-o` is never followed by these words.
fn without_output<'a>(
    words: &[&'a [u8]],
    mut output: Output,
) -> Result<(Vec<&'a [u8]>, Output), String> {
    let mut left = Vec::with_capacity(words.len());
    let mut words = words.iter().copied().peekable();
    while let Some(word) = words.next() {
        let form = match word {
            b"--output" => {
                Some(words.next().ok_or_else(|| "--output needs table or json".to_owned())?)
            }
            b"-o" => words.next_if(|next| form(next).is_some()),
            other => other.strip_prefix(b"--output="),
        };
        match form {
            None => left.push(word),
            Some(name) => {
                output = self::form(name)
                    .ok_or_else(|| format!("--output {}: table or json", lossy(name)))?;
            }
        }
    }
    Ok((left, output))
}

/// Refuses JSON for a command that has no listing.
///
/// # Errors
/// JSON was asked for.
pub(super) fn for_listings(output: Output) -> Result<(), String> {
    match output {
        Output::Table => Ok(()),
        Output::Json => Err("-o json goes with -L: only listings have it".to_owned()),
    }
}

const fn form(name: &[u8]) -> Option<Output> {
    match name {
        b"json" => Some(Output::Json),
        b"table" => Some(Output::Table),
        _other => None,
    }
}

fn save(words: &[&[u8]]) -> Result<(bool, bool), String> {
    let (mut full, mut numeric) = (false, false);
    for word in words {
        match *word {
            b"--full" => full = true,
            b"-n" | b"--numeric" => numeric = true,
            other => return Err(format!("save: unexpected {:?}", lossy(other))),
        }
    }
    Ok((full, numeric))
}

fn restore(words: &[&[u8]]) -> Result<Restore, String> {
    let mut options = Restore::default();
    for word in words {
        match *word {
            b"--dry-run" => options.dry_run = true,
            b"--continue" => options.go_on = true,
            [b'-', _, ..] => return Err(format!("restore: unexpected {:?}", lossy(word))),
            file if options.file.is_none() => {
                options.file = Some(PathBuf::from(OsStr::from_bytes(file)));
            }
            _second => return Err("restore: one file at a time".to_owned()),
        }
    }
    options.file = options.file.filter(|file| file.as_os_str() != "-");
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &str) -> Result<(Request, String, Output), String> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let extra = read(&words, Output::Table)?;
        let left: Vec<_> = extra.words.iter().map(|word| lossy(word)).collect();
        Ok((extra.request, left.join(" "), extra.output))
    }

    #[test]
    fn ipvsadms_own_words_are_left_alone() {
        let line = "-A -u 10.0.0.1:53 -o -s rr";
        assert_eq!(parts(line), Ok((Request::Ipvsadm, line.to_owned(), Output::Table)));
    }

    #[test]
    fn the_output_may_stand_anywhere() {
        for line in ["-L -n -o json", "-o json -L -n", "-L --output=json -n", "-L -n --output json"]
        {
            assert_eq!(
                parts(line),
                Ok((Request::Ipvsadm, "-L -n".to_owned(), Output::Json)),
                "{line}"
            );
        }
        assert!(parts("-L --output xml").is_err());
    }

    #[test]
    fn save_and_restore() {
        assert_eq!(parts("save -n").unwrap().1, "-S -n");
        assert_eq!(parts("save --full -n").unwrap().0, Request::Save);
        let options = Restore { dry_run: true, go_on: true, file: Some("rules".into()) };
        assert_eq!(
            parts("restore --dry-run --continue rules").unwrap().0,
            Request::Restore(options)
        );
        assert_eq!(parts("restore -").unwrap().0, Request::Restore(Restore::default()));
        assert!(parts("restore --full").is_err());
        assert!(parts("restore rules -o json").is_err());
        assert!(parts("save --full -o json").is_err());
        assert!(parts("-R -o json").is_err());
        assert!(parts("restore a b").is_err());
    }

    #[test]
    fn a_file_keeps_its_name_whatever_its_bytes() {
        let words: [&[u8]; 2] = [b"restore", b"rules-\xff"];
        let Request::Restore(options) = read(&words, Output::Table).unwrap().request else {
            panic!("a restore")
        };
        assert_eq!(options.file.unwrap().as_os_str().as_bytes(), b"rules-\xff");
    }

    #[test]
    fn a_rule_file_may_go_on_behind_bad_lines() {
        assert_eq!(parts("-R").unwrap().0, Request::File { go_on: false });
        assert_eq!(parts("--restore --continue").unwrap().0, Request::File { go_on: true });
        assert!(parts("-L --continue").is_err());
    }
}
