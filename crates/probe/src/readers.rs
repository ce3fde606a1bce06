//! Files of a check's own that may lie on a dead file server: one thread reads for all runs that want the same, and only so many read at
//! once. What they find is there for who waits for it yet, and for the next, whatever has become of the run that asked first.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

/// Readers of what has a key.
pub(crate) struct Readers<K: Ord, V> {
    places: Semaphore,
    /// What is being read or waits for a place: an entry for each key, of which a configuration has so many.
    under_way: Mutex<BTreeMap<K, watch::Receiver<Option<V>>>>,
}

impl<K, V> Readers<K, V>
where
    K: Ord + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// So many read at once, those included that are stuck.
    pub(crate) const fn new(places: usize) -> Self {
        Self { places: Semaphore::const_new(places), under_way: Mutex::new(BTreeMap::new()) }
    }

    /// Whether `key` is being read, or waits for a place.
    pub(crate) fn is_reading(&self, key: &K) -> bool {
        self.lock().contains_key(key)
    }

    /// What `read`, which may block, gives; where `key` is being read already, what that gives. None when the daemon is stopping. Who
    /// waits no longer ends nothing.
    pub(crate) async fn read(
        &'static self,
        key: &K,
        read: impl FnOnce() -> V + Send + 'static,
    ) -> Option<V> {
        let mut reader = self.begin(key, read);
        reader.wait_for(Option::is_some).await.ok()?.clone()
    }

    fn begin(
        &'static self,
        key: &K,
        read: impl FnOnce() -> V + Send + 'static,
    ) -> watch::Receiver<Option<V>> {
        let (sender, receiver) = watch::channel(None);
        let mut under_way = self.lock();
        if let Some(other) = under_way.get(key) {
            return other.clone();
        }
        under_way.insert(key.clone(), receiver.clone());
        drop(under_way);
        let end = End { readers: self, key: key.clone() };
        tokio::spawn(async move {
            // The semaphore is never closed. The place goes along: a thread that is stuck keeps it.
            let place = self.places.acquire().await.ok();
            let _thread = tokio::task::spawn_blocking(move || {
                let _place = place;
                // Where it panics the key is free before the place is.
                let end = end;
                let value = read();
                // Who comes from now on wants it read anew.
                drop(end);
                sender.send_replace(Some(value));
            });
        });
        receiver
    }
}

impl<K: Ord, V> Readers<K, V> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, watch::Receiver<Option<V>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a reader, however it comes: by a panic and with the runtime, too.
struct End<K: Ord + 'static, V: 'static> {
    readers: &'static Readers<K, V>,
    key: K,
}

impl<K: Ord + 'static, V: 'static> Drop for End<K, V> {
    fn drop(&mut self) {
        self.readers.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_key_that_is_stuck_has_one_place_and_its_late_result_is_taken() {
        static READERS: Readers<u8, u8> = Readers::new(2);
        let (free, stuck) = mpsc::sync_channel::<()>(0);
        let first = READERS.read(&1, move || {
            let _freed = stuck.recv();
            7
        });
        assert_eq!(timeout(SHORT, first).await.ok(), None);
        for _ in 0..5 {
            assert!(READERS.is_reading(&1));
            assert_eq!(timeout(SHORT, READERS.read(&1, || 8)).await.ok(), None);
        }
        // Another has the other place.
        assert_eq!(timeout(PATIENCE, READERS.read(&2, || 9)).await, Ok(Some(9)));
        let late = tokio::spawn(READERS.read(&1, || 8));
        tokio::task::yield_now().await;
        drop(free);
        assert_eq!(timeout(PATIENCE, late).await.unwrap().unwrap(), Some(7));
        assert!(!READERS.is_reading(&1));
        assert_eq!(timeout(PATIENCE, READERS.read(&1, || 8)).await, Ok(Some(8)));
    }

    #[tokio::test]
    async fn who_finds_no_place_waits_for_one_and_a_panic_leaves_none_taken() {
        static READERS: Readers<u8, u8> = Readers::new(1);
        let (free, stuck) = mpsc::sync_channel::<()>(0);
        let first = READERS.read(&1, move || {
            let _freed = stuck.recv();
            panic!("of the test's own");
        });
        assert_eq!(timeout(SHORT, first).await.ok(), None);
        assert_eq!(timeout(SHORT, READERS.read(&2, || 9)).await.ok(), None);
        drop(free);
        assert_eq!(timeout(PATIENCE, READERS.read(&2, || 9)).await, Ok(Some(9)));
        assert_eq!(timeout(PATIENCE, READERS.read(&1, || 8)).await, Ok(Some(8)));
    }
}
