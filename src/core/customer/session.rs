//! What there is of a customer's session, as observed; what is to be done for it is decided in `src/core/session.rs`.

use crate::core::{pair::Recorded, public_url::PublicUrl};

/// The session that is to stand beside a client, as observed.
#[derive(Clone, Debug)]
pub struct Session {
    /// The record Secret, if there is one.
    pub recorded: Option<Box<Recorded>>,
    /// Whether a pair has come that isn't written down yet.
    pub in_hand: bool,
    /// Where the install pages are: without them nobody signs in, and there is no `Origin` to come from.
    pub public: Option<PublicUrl>,
}
