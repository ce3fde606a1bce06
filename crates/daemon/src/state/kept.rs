//! A file of the state directory that follows a value: whenever it is another, it is written; of what comes meanwhile, the last.

use std::fmt::Debug;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::file::StateFile;

/// When a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// The way to whoever writes.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    /// The value, and how many there have been.
    told: watch::Sender<(u64, T)>,
    /// How many of them have been dealt with.
    written: watch::Receiver<u64>,
}

impl<T: Clone + Debug + PartialEq + Send + Sync + 'static> Kept<T> {
    /// Begins to keep: `first` is what the file says already, `lines` makes of a value what is written, and `lost` says what a file that can't be
    /// written means. Needs a tokio runtime.
    pub(crate) fn begin<L: Serialize + Send + 'static>(
        file: StateFile,
        first: T,
        lines: impl Fn(&T) -> L + Send + 'static,
        lost: &'static str,
    ) -> Self {
        let (told, values) = watch::channel((0, first));
        let (done, written) = watch::channel(0);
        tokio::spawn(follow(file, values, lines, done, lost));
        Self { told, written }
    }

    /// Keeps `value`, if it is another.
    pub(crate) fn keep(&self, value: T) {
        self.told.send_if_modified(|(number, before)| {
            let other = *before != value;
            if other {
                *number += 1;
                *before = value;
            }
            other
        });
    }

    /// Comes when what was to be kept until now is on the disk, or can't be written.
    pub(crate) fn settled(&self) -> impl Future<Output = ()> + Send + use<T> {
        let number = self.told.borrow().0;
        let mut written = self.written.clone();
        async move {
            // Without a writer nothing is waited for.
            drop(written.wait_for(|done| *done >= number).await);
        }
    }
}

async fn follow<T: Send + Sync, L: Serialize + Send + 'static>(
    file: StateFile,
    mut values: watch::Receiver<(u64, T)>,
    lines: impl Fn(&T) -> L + Send,
    done: watch::Sender<u64>,
    lost: &'static str,
) {
    let mut failed = false;
    loop {
        tokio::select! {
            changed = values.changed() => if changed.is_err() { return },
            () = sleep(AGAIN), if failed => {}
        }
        let (number, lines) = {
            let value = values.borrow_and_update();
            (value.0, lines(&value.1))
        };
        let file = file.clone();
        let written = spawn_blocking(move || {
            file.write(&lines).map_err(|error| format!("write {}: {error}", file.path().display()))
        });
        let written = written.await.unwrap_or(Ok(()));
        if let Err(why) = &written
            && !failed
        {
            tracing::warn!(
                why,
                lost,
                "what the next daemon should find is not kept; it is tried again every ten seconds"
            );
        }
        failed = written.is_err();
        done.send_replace(number);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn file(folder: &Path) -> StateFile {
        StateFile::new(folder, "test", 1)
    }

    fn begin(folder: &Path) -> Kept<Vec<u32>> {
        Kept::begin(file(folder), vec![], Clone::clone, "nothing")
    }

    #[tokio::test]
    async fn what_is_waited_for_is_on_the_disk_and_what_does_not_differ_is_not_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = begin(folder.path());
        kept.keep(vec![]);
        kept.settled().await;
        assert!(!file(folder.path()).path().exists());
        for value in [vec![1], vec![1, 2], vec![]] {
            kept.keep(value.clone());
            kept.settled().await;
            assert_eq!(file(folder.path()).read::<Vec<u32>>().expect("whole"), Some(value));
        }
    }

    #[tokio::test]
    async fn a_disk_that_takes_nothing_holds_nobody_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let blocked = folder.path().join("file");
        std::fs::write(&blocked, "").expect("a file");
        let kept = begin(&blocked);
        kept.keep(vec![1]);
        kept.settled().await;
    }
}
