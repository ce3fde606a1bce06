//! The files of a configuration: the first, and those that it includes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use holdfast_config::{FilePattern, MAX_BYTES, includes};

use crate::ReadError;

/// So many files may be included; more are a mistake in a pattern.
const FILES_MAX: usize = 256;

/// The files of a configuration with their texts, each with the name that diagnostics show.
pub type Files = Vec<(String, Vec<u8>)>;

/// The configuration in `path`, with what it includes; `-` is standard input, which includes from the working directory.
///
/// # Errors
/// A file can't be read, or there are too many.
pub fn read(path: &Path) -> Result<Files, ReadError> {
    let text = read_one(path)?;
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    with_includes(&path.display().to_string(), text, &folder)
}

/// The configuration in `text`, with what it includes relative to `folder`.
///
/// # Errors
/// As [`read`].
pub fn with_includes(name: &str, text: Vec<u8>, folder: &Path) -> Result<Files, ReadError> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for pattern in includes(&text) {
        for path in resolve(&pattern, folder)? {
            // What two patterns name is one file.
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        if paths.len() > FILES_MAX {
            return Err(ReadError::TooManyFiles(FILES_MAX));
        }
    }
    let mut files = vec![(name.to_owned(), text)];
    let mut left = MAX_BYTES.saturating_add(1);
    for path in paths {
        let text = read_one(&path)?;
        left = left.saturating_sub(text.len());
        files.push((path.display().to_string(), text));
        if left == 0 {
            // Enough for the parser to say that it is too much.
            break;
        }
    }
    Ok(files)
}

/// The files that a pattern stands for, in the order of their names.
fn resolve(pattern: &FilePattern, folder: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let folder = folder.join(&pattern.folder);
    if !pattern.is_open() {
        return Ok(vec![folder.join(&pattern.name)]);
    }
    let failed = |source| ReadError::File { path: folder.clone(), source };
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
    let entries = match fs::read_dir(here) {
        Ok(entries) => entries,
        // A pattern may stand for nothing, and so may a folder for it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        if name.to_str().is_some_and(|name| pattern.matches(name)) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| folder.join(name)).filter(|path| !path.is_dir()).collect())
}

/// A file's bytes, one more at most than a configuration may have: the parser says what is wrong with that.
fn read_one(path: &Path) -> Result<Vec<u8>, ReadError> {
    let failed = |source| ReadError::File { path: path.to_owned(), source };
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    if path == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut text).map_err(failed)?;
    } else {
        let file = File::open(path).map_err(failed)?;
        // What is no file has no length; a file's may change yet.
        let length = file.metadata().map_err(failed)?.len().min(limit);
        text.reserve(usize::try_from(length).unwrap_or_default().saturating_add(1));
        file.take(limit).read_to_end(&mut text).map_err(failed)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_patterns_name_is_read_in_order_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("conf.d/sub.yaml")).unwrap();
        for name in ["conf.d/b.yaml", "conf.d/a.yaml", "conf.d/.hidden.yaml", "conf.d/c.yaml~", "x"]
        {
            fs::write(at(name), name).unwrap();
        }
        fs::write(at("main"), "include: [x, conf.d/*.yaml, conf.d/a.*, none/*.yaml]\n").unwrap();
        let names = |files: Files| -> Vec<String> {
            let relative = |name: &str| {
                let path = Path::new(name).strip_prefix(folder.path()).unwrap();
                path.display().to_string()
            };
            files.iter().map(|(name, _)| relative(name)).collect()
        };
        let expected = ["main", "x", "conf.d/a.yaml", "conf.d/b.yaml"];
        assert_eq!(names(read(&at("main")).unwrap()), expected);
        // A file that is named must be there.
        fs::write(at("main"), "include: y\n").unwrap();
        let error = read(&at("main")).unwrap_err().to_string();
        assert!(error.ends_with("/y"), "{error}");
    }

    #[test]
    fn there_is_a_limit_to_files() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..=FILES_MAX {
            fs::write(folder.path().join(number.to_string()), "").unwrap();
        }
        let text = b"include: '*'\n".to_vec();
        let error = with_includes("main", text, folder.path()).unwrap_err();
        assert!(matches!(error, ReadError::TooManyFiles(FILES_MAX)), "{error}");
    }
}
