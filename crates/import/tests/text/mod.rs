//! One text as a keepalived.conf, converted for the node `lb1`.

use holdfast_import::{Import, Library, Options, import};

struct Text<'a>(&'a str);

impl Library for Text<'_> {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Ok(self.0.as_bytes().to_vec())
    }

    fn matching(&self, _: &str, pattern: &str) -> Result<Vec<String>, String> {
        Ok(vec![pattern.to_owned()])
    }
}

/// What becomes of `text`. Every file that it includes is this text again.
pub(crate) fn converted(text: &str) -> Import {
    import("keepalived.conf", &Text(text), &Options { id: "lb1".to_owned() })
}
