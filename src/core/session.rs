//! A customer's session: whether the one at hand will do, Shopify is asked for the next one, or its customer has to sign in.

use super::{
    approvals::{Approvals, Code},
    credential::RefreshToken,
    customer::Session,
    failure::Failure,
    observed::Observed,
    pair::{Access, Pair},
    plan::Why,
    public_url::PublicUrl,
    record::Record,
    source::Issuer,
    vocabulary::Reason,
};
use crate::time::Timestamp;

/// What is to be done for a session.
#[derive(Clone, Copy, Debug)]
pub enum Next<'a> {
    /// Exchange this code for a new beginning.
    Exchange(&'a Code, &'a PublicUrl),
    /// Ask for the next one.
    Refresh(&'a RefreshToken, &'a PublicUrl),
    /// Publish this one.
    Publish(&'a Access),
    /// There is nothing that could be published: the customer has to sign in.
    Wait,
}

impl Session {
    /// What is at hand.
    #[must_use]
    pub fn pair(&self) -> Option<&Pair> {
        self.recorded.as_ref()?.pair.as_ref()
    }

    /// The code of a sign-in that waits for its exchange.
    #[must_use]
    pub fn code(&self) -> Option<&Code> {
        self.recorded.as_ref()?.code.as_ref()
    }

    /// What the next session is had with.
    #[must_use]
    pub fn refresh(&self) -> Option<&RefreshToken> {
        self.pair()?.refresh.as_ref()
    }

    /// The access token at hand, as long as it lives. One whose end nobody knows counts as over: each has one.
    #[must_use]
    pub fn access(&self, now: Timestamp) -> Option<&Access> {
        self.pair()?.access.as_ref().filter(|access| access.expires_at.is_some_and(|at| at > now))
    }

    /// Whether there is nothing that a session could come of.
    #[must_use]
    pub fn waits(&self, now: Timestamp) -> bool {
        let can_ask = self.public.is_some() && (self.code().is_some() || self.refresh().is_some());
        !can_ask && !self.in_hand && self.access(now).is_none()
    }

    /// What is to be done for it. What concerns the client alone doesn't wait for an answer to the session.
    #[must_use]
    pub fn next(&self, o: &Observed, why: Why, now: Timestamp) -> Next<'_> {
        let at_hand = self.access(now).map_or(Next::Wait, Next::Publish);
        let Some(public) = &self.public else { return at_hand };
        let due = self.access(now).is_none_or(|access| access.is_due(o, now));
        match (why, self.code(), self.refresh()) {
            (Why::Replaced, _, _) => at_hand,
            (_, Some(code), _) => Next::Exchange(code, public),
            (Why::First | Why::Lost | Why::Renamed | Why::InputsChanged, None, _) => at_hand,
            (Why::Requested, None, Some(refresh)) => Next::Refresh(refresh, public),
            (_, None, Some(refresh)) if due => Next::Refresh(refresh, public),
            (_, None, Some(_) | None) => at_hand,
        }
    }

    /// Why there is none, or none after what is `published`.
    #[must_use]
    pub fn consent_required(&self, published: bool, install_url: Option<&str>) -> Failure {
        let approvals = self.recorded.as_ref().map(|recorded| &recorded.approvals);
        let complaint = approvals.and_then(Approvals::complaint).map(|complaint| format!(" ({complaint})"));
        let what = if published {
            "the session ends with what is published of it, and nothing is there to go on with"
        } else {
            "the client is published, and no customer has signed in for its session"
        };
        let message = format!("{what}{}: {}", complaint.unwrap_or_default(), remedy(install_url));
        Failure::new(Reason::ConsentRequired, message)
    }
}

/// What a person can do where the session is missing or dead.
#[must_use]
pub fn remedy(install_url: Option<&str>) -> String {
    match install_url {
        Some(url) => format!("have the customer whose session it is to be sign in at {url}"),
        None => "run the operator with --public-url, and the customer can sign in at its install pages".to_owned(),
    }
}

impl Observed {
    /// The session that is to stand beside the client.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.issuer.as_ref().ok().and_then(Issuer::client)?.session.as_ref()
    }

    /// Why nothing can be done for the session, if nothing can.
    #[must_use]
    pub fn session_waits(&self, now: Timestamp) -> Option<Failure> {
        let session = self.session().filter(|session| session.waits(now))?;
        // What is published lives on without its record, or with another client: a customer has until then.
        let published = self.record().and_then(|record| record.expires_at).is_some_and(|at| at > now);
        Some(session.consent_required(published, self.install_url.as_deref()))
    }

    /// Whether another session is at hand than the one that is published.
    #[must_use]
    pub fn session_replaced(&self, now: Timestamp) -> bool {
        let access = self.session().and_then(|session| session.access(now));
        let held = self.whole().and_then(|whole| whole.session);
        access.is_some_and(|access| held.is_none_or(|held| !super::credential::same(held, &access.value)))
    }

    /// Whether a session could be had where none is published.
    #[must_use]
    pub fn session_missing(&self, record: &Record) -> bool {
        record.expires_at.is_none()
            && self.session().is_some_and(|session| session.public.is_some() && session.refresh().is_some())
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        core::{
            pair::Recorded,
            scene::{healthy, minutes, now, secret_string},
        },
    };

    fn session(left: Option<TimeDelta>, refresh: bool, code: bool) -> Session {
        let access = left.map(|left| Access {
            value: secret_string("a"),
            issued_at: Some(now() - minutes(59)),
            expires_at: Some(now() + left),
            scopes: None,
            minted_by: None,
        });
        let refresh = refresh.then(|| RefreshToken { value: secret_string("r"), expires_at: None });
        let recorded = Recorded {
            live: Secret::default(),
            pair: Some(Pair { access, refresh, previous_refresh: None }),
            bootstrap: None,
            code: code.then(|| Code { value: secret_string("canary"), state: "s".into() }),
            approvals: Approvals::default(),
            customer: None,
        };
        let public = Some("https://tokens.example.com".parse().unwrap());
        Session { recorded: Some(Box::new(recorded)), in_hand: false, public }
    }

    #[test]
    fn what_is_at_hand_is_used_first_and_the_client_waits_for_nothing() {
        let o = healthy(SourceKind::CustomerAccount, json!({}));
        let fresh = || session(Some(minutes(59)), true, false);
        for (about, session, why, wanted, waits) in [
            ("fresh", fresh(), Why::Lost, "publish", false),
            ("fresh, and its Secret has another name", fresh(), Why::Renamed, "publish", false),
            ("on request", fresh(), Why::Requested, "refresh", false),
            ("near its end", session(Some(minutes(1)), true, false), Why::Expiring, "refresh", false),
            ("over", session(Some(minutes(-1)), true, false), Why::Expiring, "refresh", false),
            ("over, and its Secret is lost", session(Some(minutes(-1)), true, false), Why::Lost, "wait", false),
            (
                "over, and its Secret has another name",
                session(Some(minutes(-1)), true, false),
                Why::Renamed,
                "wait",
                false,
            ),
            ("only a refresh token", session(None, true, false), Why::First, "wait", false),
            ("a sign-in came", session(Some(minutes(59)), true, true), Why::Approved, "exchange", false),
            ("a sign-in came, and there was none", session(None, false, true), Why::First, "exchange", false),
            ("another client", session(Some(minutes(1)), true, true), Why::Replaced, "publish", false),
            ("another client, and it is over", session(Some(minutes(-1)), true, true), Why::Replaced, "wait", false),
            ("no refresh token", session(Some(minutes(1)), false, false), Why::Expiring, "publish", false),
            ("no refresh token, and over", session(Some(minutes(-1)), false, false), Why::Expiring, "wait", true),
            ("nothing", session(None, false, false), Why::First, "wait", true),
            (
                "no pages",
                Session { public: None, ..session(Some(minutes(1)), true, true) },
                Why::Expiring,
                "publish",
                false,
            ),
            ("no pages, and over", Session { public: None, ..session(None, true, true) }, Why::Expiring, "wait", true),
        ] {
            let next = match session.next(&o, why, now()) {
                Next::Exchange(..) => "exchange",
                Next::Refresh(..) => "refresh",
                Next::Publish(_) => "publish",
                Next::Wait => "wait",
            };
            assert_eq!((next, session.waits(now())), (wanted, waits), "{about}");
        }
    }

    #[test]
    fn who_must_sign_in_is_told_where() {
        let session = session(None, false, false);
        let message =
            session.consent_required(false, Some("https://tokens.example.com/oauth/install/shop/web")).message;
        assert!(message.contains("sign in at https://tokens.example.com/oauth/install/shop/web"), "{message}");
        assert!(session.consent_required(true, None).message.contains("--public-url"));
    }
}
