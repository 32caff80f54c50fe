//! What each token did lately, by its UID: of tens of thousands the UIDs themselves aren't kept.

use std::hash::{BuildHasher, RandomState};

use crate::{core::pace::Pace, shared::Shared};

/// The pace of each token that has taken a step. Two whose UIDs shared a hash, of 64 bits, would share it.
#[derive(Default)]
pub struct Paces {
    by_hash: Shared<u64, Pace>,
    hasher: RandomState,
}

impl Paces {
    fn key(&self, uid: &str) -> u64 {
        self.hasher.hash_one(uid)
    }

    /// The pace of a token, if it has taken a step.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<Pace> {
        self.by_hash.get(&self.key(uid))
    }

    /// Changes it.
    pub fn change<T>(&self, uid: &str, change: impl FnOnce(&mut Pace) -> T) -> T {
        self.by_hash.change(self.key(uid), change)
    }

    /// The token is gone.
    pub fn forget(&self, uid: &str) {
        self.by_hash.remove(&self.key(uid));
    }
}
