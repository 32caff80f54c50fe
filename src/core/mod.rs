//! The decisions, all of them pure: no async, no client, no clock. `now` is an argument.

pub mod backoff;
pub mod bounded;
pub mod condition;
pub mod credential;
pub mod failure;
pub mod finalizer;
pub mod grace;
pub mod grant;
pub mod hold;
pub mod identity;
pub mod leave;
pub mod marker;
pub mod minted;
pub mod observed;
pub mod offline;
pub mod old_secret;
pub mod older;
pub mod ours;
pub mod pace;
pub mod pair;
pub mod plan;
pub mod previous;
pub mod record;
pub mod renamed;
pub mod render;
pub mod renewal;
pub mod rollouts;
#[cfg(test)]
pub(crate) mod scene;
pub mod scopes;
pub mod secret;
pub mod secret_rotation;
pub mod source;
pub mod status;
pub mod vocabulary;
