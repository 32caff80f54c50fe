//! What goes wrong in an election.

use std::{fmt, time::Duration};

/// Why a call of the election failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused it or can't be reached.
    #[error(transparent)]
    Kubernetes(#[from] Box<kube::Error>),
    /// The API server didn't answer in time.
    #[error("no answer within {0:?}")]
    Silence(Duration),
    /// The holder shares this host's name, and so may be the process whose container this one runs in.
    #[error("the operator that holds the lease ({0}) runs on this very host, and would end this command with itself")]
    SameHost(String),
}

impl Error {
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Kubernetes(e) if matches!(&**e, kube::Error::Api(s) if s.code == 409))
    }
}

/// Why the lease isn't held any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lost {
    /// Another instance holds it.
    Taken,
    /// It couldn't be renewed in time.
    NotRenewed,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "another instance has taken the lease",
            Self::NotRenewed => "the lease couldn't be renewed in time",
        })
    }
}

impl std::error::Error for Lost {}
