//! What has a record Secret: an offline token, or a customer's session. Both keep a pair there by the same rules.

use secrecy::SecretString;

use super::{
    approvals::Code,
    credential::same,
    customer::{CustomerClient, Session},
    observed::Observed,
    pair::{Pair, Recorded},
    source::{Issuer, Offline},
};

/// What has a record Secret.
#[derive(Clone, Copy, Debug)]
pub enum Keeper<'a> {
    /// An offline token.
    Offline(&'a Offline),
    /// A session of this client's.
    Session(&'a CustomerClient, &'a Session),
}

impl<'a> Keeper<'a> {
    /// Whose the pair is: the client id of the app, or of the client.
    #[must_use]
    pub fn client_id(self) -> &'a str {
        match self {
            Self::Offline(offline) => &offline.app.client_id,
            Self::Session(client, _) => &client.client_id,
        }
    }

    /// The record Secret, if there is one.
    #[must_use]
    pub fn recorded(self) -> Option<&'a Recorded> {
        match self {
            Self::Offline(offline) => offline.recorded.as_deref(),
            Self::Session(_, session) => session.recorded.as_deref(),
        }
    }

    /// What is at hand.
    #[must_use]
    pub fn pair(self) -> Option<&'a Pair> {
        self.recorded()?.pair.as_ref()
    }

    /// The code that waits for its exchange.
    #[must_use]
    pub fn code(self) -> Option<&'a Code> {
        self.recorded()?.code.as_ref()
    }

    /// Whether a pair has come that isn't written down yet.
    #[must_use]
    pub fn in_hand(self) -> bool {
        match self {
            Self::Offline(offline) => offline.in_hand,
            Self::Session(_, session) => session.in_hand,
        }
    }

    /// Hash of the bootstrap Secret's credential that the pair goes back to: a session goes back to its customer.
    #[must_use]
    pub fn begun(self) -> Option<&'a str> {
        match self {
            Self::Offline(offline) => offline.begun(),
            Self::Session(..) => None,
        }
    }

    /// Whether a pair that came in the place of `replaced`, and goes back to `begun`, is newer than what is recorded.
    #[must_use]
    pub fn goes_on(self, pair: &Pair, replaced: Option<&SecretString>, begun: Option<&str>) -> bool {
        match self {
            Self::Offline(offline) => offline.goes_on(pair, replaced, begun),
            Self::Session(_, session) => follows(session.pair(), replaced),
        }
    }
}

/// Whether a pair that came in the place of `replaced` is newer than this one: not if somebody else has gone on from there.
#[must_use]
pub fn follows(recorded: Option<&Pair>, replaced: Option<&SecretString>) -> bool {
    match (recorded.and_then(Pair::secret), replaced) {
        (None, _) => true,
        (Some(recorded), Some(replaced)) => same(recorded, replaced),
        (Some(_), None) => false,
    }
}

impl Observed {
    /// What has a record Secret, if it has one.
    #[must_use]
    pub fn keeper(&self) -> Option<Keeper<'_>> {
        match self.issuer.as_ref().ok()? {
            Issuer::Offline(offline) => Some(Keeper::Offline(offline)),
            Issuer::CustomerAccount(client) => client.session.as_ref().map(|session| Keeper::Session(client, session)),
            Issuer::ClientCredentials(_) | Issuer::Storefront(_) | Issuer::Delegate(_) | Issuer::Custom(_) => None,
        }
    }
}
