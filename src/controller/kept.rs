//! What is kept of tokens, apps and Secrets in memory from one reconcile to the next.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    api::ShopifyTokenStatus,
    core::{minted::Rotation, old_secret::Judgement, secret_rotation::Schedule},
    sources::Issued,
    time::Timestamp,
};

/// An issued credential whose Secret write failed.
#[derive(Clone, Debug)]
pub struct Unpublished {
    /// Hash of the spec fields it was issued for.
    pub inputs: String,
    /// What was issued.
    pub issued: Issued,
}

/// The turns of an app's tokens, as they were computed a moment ago.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// When.
    pub at: Timestamp,
    /// Of which rotation.
    pub rotation: Rotation,
    /// The turns.
    pub schedule: Schedule,
}

/// What was judged of an app's client secret.
#[derive(Clone, Debug)]
pub struct Judged {
    /// When.
    pub at: Timestamp,
    /// Hash of the secret.
    pub hash: String,
    /// When it took the place of another one.
    pub since: Option<Timestamp>,
    /// The judgement.
    pub judgement: Judgement,
}

/// What was told of a Secret that is being deleted and waits for our finalizer.
#[derive(Clone, Debug, Default)]
pub struct Going {
    /// The last note of it.
    note: String,
    /// The tokens that need it and were told so.
    tokens: BTreeSet<String>,
}

impl Going {
    /// Which of the tokens that need it are to be told `note`, as the Secret is; `None` if it isn't news. Where thousands go
    /// together each one less is news of the Secret, and each token is told once.
    pub(super) fn news(&mut self, note: &str, needed_by: Vec<String>) -> Option<Vec<String>> {
        if self.note == note {
            return None;
        }
        note.clone_into(&mut self.note);
        Some(needed_by.into_iter().filter(|name| self.tokens.insert(name.clone())).collect())
    }
}

/// A status just written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The `metadata.resourceVersion` from which on the watch shows it.
    pub shown_by: u64,
    /// What was written.
    pub status: Arc<ShopifyTokenStatus>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_that_needs_a_secret_is_told_once() {
        let mut going = Going::default();
        let mut news = |note: &str, by: &[&str]| going.news(note, by.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(news("refused", &[]), Some(vec![]));
        assert_eq!(news("web, app", &["web", "app"]), Some(vec!["web".to_owned(), "app".to_owned()]));
        assert_eq!(news("web, app", &["web", "app"]), None);
        assert_eq!(news("web", &["web"]), Some(vec![]), "the Secret has news");
        assert_eq!(news("web, new", &["web", "new"]), Some(vec!["new".to_owned()]));
    }
}
