//! Calls that end without an answer, and connections that end with them.

/// The call ends without an answer. Hyper closes the connection (HTTP/1) or
/// resets the stream (HTTP/2), with the reason it finds in the source.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cut {
    #[error("cut off")]
    Off,
    #[error("refused")]
    Refused(#[source] h2::Error),
}

impl Cut {
    /// `REFUSED_STREAM`: the client may send the call again, for nothing happened.
    pub(crate) fn refused() -> Self {
        Self::Refused(h2::Reason::REFUSED_STREAM.into())
    }
}

/// How a call wants its connection to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// In good order, after the calls under way.
    GoAway,
    /// At once, by a TCP reset.
    Reset,
}
