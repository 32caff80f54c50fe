//! What has a record Secret: an offline token, or a customer's session. Both keep a pair there by the same rules.

use secrecy::SecretString;

use super::{
    approvals::Code,
    credential::{RefreshToken, same},
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

/// What is kept after a refresh: the refresh token for the next one, and the one before it until that has been used, should
/// the answer never have arrived. `came` is what the answer brought, `used` what it was asked with, and `before` what was
/// kept until then.
#[must_use]
pub fn kept(
    came: Option<RefreshToken>,
    used: &RefreshToken,
    before: Option<&SecretString>,
) -> (RefreshToken, Option<SecretString>) {
    match came {
        Some(new) if !same(&new.value, &used.value) => (new, Some(used.value.clone())),
        // The one that was used is still the one to use.
        came => (came.unwrap_or_else(|| used.clone()), before.filter(|before| !same(before, &used.value)).cloned()),
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

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::core::scene::secret_string;

    #[test]
    fn the_token_before_stays_until_the_new_one_was_used() {
        let token = |value: &str| RefreshToken { value: secret_string(value), expires_at: None };
        for (came, used, before, refresh, previous) in [
            (Some("r2"), "r1", Some("r0"), "r2", Some("r1")),
            (Some("r2"), "r1", None, "r2", Some("r1")),
            // None came, or the same one: it is used on.
            (None, "r1", Some("r0"), "r1", Some("r0")),
            (Some("r1"), "r1", Some("r0"), "r1", Some("r0")),
            // The one before was asked with, because the current one was dead.
            (Some("r2"), "r0", Some("r0"), "r2", Some("r0")),
            (None, "r0", Some("r0"), "r0", None),
        ] {
            let (now, then) = kept(came.map(token), &token(used), before.map(secret_string).as_ref());
            let then = then.as_ref().map(|then| then.expose_secret().to_owned());
            assert_eq!((now.value.expose_secret(), then.as_deref()), (refresh, previous), "{came:?} for {used}");
        }
    }
}
