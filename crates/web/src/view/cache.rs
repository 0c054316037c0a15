//! What was read or computed lately, as many of it as fit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Values by key; the ones used longest ago go first.
pub(super) struct Cache<K, V> {
    most: usize,
    entries: Mutex<VecDeque<(K, Arc<V>)>>,
}

impl<K: PartialEq + Clone, V> Cache<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, entries: Mutex::default() }
    }

    /// The value of `key`, found or made. Two threads may make it at once; one is kept.
    pub(super) fn get<E>(&self, key: &K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        if let Some(found) = self.find(key) {
            return Ok(found);
        }
        let made = Arc::new(make()?);
        self.put(key.clone(), Arc::clone(&made));
        Ok(made)
    }

    pub(super) fn find(&self, key: &K) -> Option<Arc<V>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries.iter().position(|(known, _)| known == key)?;
        let entry = entries.remove(at)?;
        let found = Arc::clone(&entry.1);
        entries.push_back(entry);
        Some(found)
    }

    pub(super) fn put(&self, key: K, value: Arc<V>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(known, _)| *known != key);
        entries.push_back((key, value));
        while entries.len() > self.most {
            entries.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_used_longest_ago_goes() {
        let cache: Cache<u8, u8> = Cache::new(2);
        let get = |key| *cache.get(&key, || Ok::<u8, ()>(key * 10)).unwrap();
        assert_eq!((get(1), get(2), get(1), get(3)), (10, 20, 10, 30));
        assert!(cache.find(&2).is_none() && cache.find(&1).is_some());
    }
}
