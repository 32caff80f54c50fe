//! The hash that tells an edit from our own write.

use sha2::{Digest, Sha256};

use super::Data;

/// Hash of the keys named in `keys`, salted with the object's UID.
#[must_use]
pub fn content_hash<'a>(uid: &str, data: &Data, keys: impl IntoIterator<Item = &'a String>) -> String {
    let mut hash = Sha256::new_with_prefix(uid);
    for key in keys {
        let value = data.get(key).map(|v| v.0.as_slice());
        hash.update((key.len() as u64).to_be_bytes());
        hash.update(key);
        hash.update(value.map_or(u64::MAX, |v| v.len() as u64).to_be_bytes());
        hash.update(value.unwrap_or_default());
    }
    hex::encode(&hash.finalize()[..16])
}
