//! offline: where it begins, and whether the pair at hand will do or Shopify is asked for another one.

use chrono::TimeDelta;
use secrecy::SecretString;

use super::{
    approvals::{Approvals, Code},
    credential::RefreshToken,
    failure::Failure,
    observed::Observed,
    pair::{Access, Pair},
    plan::Why,
    renewal::renewal_time,
    source::{Bootstrap, Issuer, Offline},
    vocabulary::Reason,
};
use crate::time::Timestamp;

/// A refresh token that ends sooner than this is used, so that it never ends unused.
const KEPT_WARM: TimeDelta = TimeDelta::days(30);
/// The documented lifetime of an offline access token.
const LIFETIME: TimeDelta = TimeDelta::hours(1);

/// What is to be done for a credential.
#[derive(Clone, Copy, Debug)]
pub enum Next<'a> {
    /// Exchange this code for a new beginning.
    Exchange(&'a Code),
    /// Publish this one, which is at hand.
    Publish(&'a Access),
    /// Refresh.
    Refresh(&'a RefreshToken),
    /// Exchange this token, which never expires, for a pair.
    Migrate(&'a SecretString),
}

impl Offline {
    /// What is at hand.
    #[must_use]
    pub fn pair(&self) -> Option<&Pair> {
        self.recorded.as_ref()?.pair.as_ref()
    }

    /// The code of an approval that waits for its exchange.
    #[must_use]
    pub fn code(&self) -> Option<&Code> {
        self.recorded.as_ref()?.code.as_ref()
    }

    /// What the record Secret is to begin with, if it is to: there is no pair in it, or the person has put in another one.
    /// An approval goes first.
    #[must_use]
    pub fn beginning(&self) -> Option<&Bootstrap> {
        let bootstrap = self.bootstrap.as_ref().filter(|_| self.code().is_none())?;
        let known = self.recorded.as_ref().and_then(|r| r.bootstrap.as_ref()) == Some(&bootstrap.fingerprint);
        (self.pair().is_none() || !known).then_some(bootstrap)
    }

    /// The access token that the applications' Secret is to hold.
    #[must_use]
    pub fn access_token(&self) -> Option<&SecretString> {
        Some(&self.pair()?.access.as_ref()?.value)
    }

    /// Whether the refresh token has to be used, so that it doesn't end unused.
    #[must_use]
    pub fn cools(&self, now: Timestamp) -> bool {
        self.pair().is_some_and(|pair| cools(pair, now))
    }

    /// Whether a token that never expires waits for its migration.
    #[must_use]
    pub fn migrates(&self) -> bool {
        let lone = |pair: &Pair| pair.refresh.is_none() && pair.access.as_ref().is_some_and(|a| a.expires_at.is_none());
        self.migrate && self.pair().is_some_and(lone)
    }

    /// What is to be done for a credential.
    ///
    /// # Errors
    /// `ConsentRequired`: only the merchant, or a person with a bootstrap Secret, can help.
    pub fn next(&self, o: &Observed, why: Why, now: Timestamp) -> Result<Next<'_>, Failure> {
        if let Some(code) = self.code() {
            return Ok(Next::Exchange(code));
        }
        let pair = self.pair().ok_or_else(|| self.consent_required(o.install_url.as_deref()))?;
        match (&pair.access, &pair.refresh) {
            (Some(access), None) if access.expires_at.is_some_and(|at| at <= now) => {
                Err(self.consent_required(o.install_url.as_deref()))
            }
            (Some(access), None) if self.migrates() => Ok(Next::Migrate(&access.value)),
            (Some(access), None) => Ok(Next::Publish(access)),
            (Some(access), Some(refresh)) => {
                let at_hand = match why {
                    Why::First | Why::Lost | Why::Renamed | Why::Replaced => {
                        !cools(pair, now)
                            && access.renewal_time(o).is_none_or(|at| at > now)
                            // Another refresh may bring what was granted meanwhile.
                            && access.scopes.as_ref().is_none_or(|scopes| o.lacks_scopes(scopes).is_none())
                    }
                    Why::Rejected
                    | Why::InputsChanged
                    | Why::ParentChanged
                    | Why::Approved
                    | Why::ScopesMissing
                    | Why::Expiring
                    | Why::Requested
                    | Why::Interval => false,
                    // Only what applications hold, or what is known of it, is behind.
                    Why::SecretChanged => {
                        access.minted_by == Some(self.app.mints(&o.identity))
                            && access.renewal_time(o).is_none_or(|at| at > now)
                    }
                };
                Ok(if at_hand { Next::Publish(access) } else { Next::Refresh(refresh) })
            }
            (None, Some(refresh)) => Ok(Next::Refresh(refresh)),
            (None, None) => Err(self.consent_required(o.install_url.as_deref())),
        }
    }
}

impl Access {
    /// When it was issued; of the documented lifetime where only its end is known.
    #[must_use]
    pub fn since(&self, now: Timestamp) -> Timestamp {
        self.issued_at.or_else(|| self.expires_at.map(|at| at - LIFETIME)).unwrap_or(now).min(now)
    }

    /// Its scopes, where Shopify needn't be asked for them: of a token that never expires nobody knows whether it works.
    #[must_use]
    pub fn known_scopes(&self) -> Option<&Vec<String>> {
        self.scopes.as_ref().filter(|_| self.expires_at.is_some())
    }

    fn renewal_time(&self, o: &Observed) -> Option<Timestamp> {
        let expires_at = self.expires_at?;
        Some(renewal_time(&o.token.spec, &o.identity.uid, self.since(expires_at), expires_at))
    }
}

fn cools(pair: &Pair, now: Timestamp) -> bool {
    pair.refresh.as_ref().and_then(|refresh| refresh.expires_at).is_some_and(|at| at - now <= KEPT_WARM)
}

impl Offline {
    /// Nothing is at hand, or nothing that works any more.
    #[must_use]
    pub fn consent_required(&self, install_url: Option<&str>) -> Failure {
        let approvals = self.recorded.as_ref().map(|recorded| &recorded.approvals);
        consent_required(install_url, approvals)
    }
}

/// Nothing is at hand.
#[must_use]
pub fn consent_required(install_url: Option<&str>, approvals: Option<&Approvals>) -> Failure {
    let complaint = approvals.and_then(Approvals::complaint).map(|complaint| format!(" ({complaint})"));
    let message = format!("there is no refresh token{}: {}", complaint.unwrap_or_default(), remedy(install_url));
    Failure::new(Reason::ConsentRequired, message)
}

/// What a person can do where the refresh token is missing or dead.
#[must_use]
pub fn remedy(install_url: Option<&str>) -> String {
    const BOOTSTRAP: &str =
        "a refresh token or an access token into a Secret and name it in source.offline.bootstrapRef";
    match install_url {
        Some(url) => format!("have somebody who may install apps on the shop approve it at {url}, or put {BOOTSTRAP}"),
        None => format!(
            "put {BOOTSTRAP}, or run the operator with --public-url, and the app can be approved at its install pages"
        ),
    }
}

impl Observed {
    /// What an offline token is issued with.
    #[must_use]
    pub fn offline(&self) -> Option<&Offline> {
        self.issuer.as_ref().ok().and_then(Issuer::offline)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::ResourceExt;
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        core::approvals::{Outcome, decline, end},
        core::scene::{healthy, hours, issuer, minutes, now, secret_string},
    };

    fn access(expires_in: Option<TimeDelta>) -> Access {
        let expires_at = expires_in.map(|left| now() + left);
        Access { value: secret_string("a"), issued_at: None, expires_at, scopes: None, minted_by: None }
    }

    fn refresh(days: Option<i64>) -> RefreshToken {
        let expires_at = days.map(|days| now() + TimeDelta::days(days));
        RefreshToken { value: secret_string("r"), expires_at }
    }

    #[test]
    fn what_is_at_hand_is_used_first() {
        let o = healthy(SourceKind::Offline, json!({"requiredScopes": ["read_products"]}));
        let scoped = |scope: &str| Access { scopes: Some(vec![scope.into()]), ..access(Some(minutes(50))) };
        let Issuer::Offline(base) = issuer(SourceKind::Offline) else { unreachable!() };
        for (about, access, refresh, migrate, why, wanted) in [
            ("fresh", Some(access(Some(minutes(50)))), Some(refresh(Some(89))), false, Why::First, "publish"),
            (
                "its end isn't known to be near",
                Some(access(Some(minutes(50)))),
                Some(refresh(None)),
                false,
                Why::Lost,
                "publish",
            ),
            ("old", Some(access(Some(minutes(10)))), Some(refresh(Some(89))), false, Why::First, "refresh"),
            ("dead", Some(access(Some(minutes(-10)))), Some(refresh(Some(89))), false, Why::First, "refresh"),
            ("to be kept warm", Some(access(Some(minutes(50)))), Some(refresh(Some(29))), false, Why::First, "refresh"),
            ("on request", Some(access(Some(minutes(50)))), Some(refresh(Some(89))), false, Why::Requested, "refresh"),
            ("refused", Some(access(Some(minutes(50)))), Some(refresh(Some(89))), false, Why::Rejected, "refresh"),
            ("no access token", None, Some(refresh(Some(89))), false, Why::First, "refresh"),
            ("without a scope", Some(scoped("read_orders")), Some(refresh(Some(89))), false, Why::First, "refresh"),
            ("with every scope", Some(scoped("write_products")), Some(refresh(Some(89))), false, Why::First, "publish"),
            ("lone", Some(access(None)), None, false, Why::First, "publish"),
            ("lone, on request", Some(access(None)), None, false, Why::Requested, "publish"),
            ("lone, to be migrated", Some(access(None)), None, true, Why::First, "migrate"),
            ("lone, and at its end", Some(access(Some(minutes(-1)))), None, true, Why::First, "ConsentRequired"),
            ("lone, and it will end", Some(access(Some(hours(1)))), None, true, Why::First, "publish"),
            ("migrated", Some(access(Some(minutes(50)))), Some(refresh(Some(89))), true, Why::First, "publish"),
            ("nothing", None, None, false, Why::First, "ConsentRequired"),
        ] {
            let mut offline = Offline { migrate, ..base.clone() };
            let recorded = offline.recorded.as_mut().unwrap();
            recorded.pair = Some(Pair { access, refresh, previous_refresh: None });
            let next = match offline.next(&o, why, now()) {
                Ok(Next::Exchange(_)) => "exchange".to_owned(),
                Ok(Next::Publish(_)) => "publish".to_owned(),
                Ok(Next::Refresh(_)) => "refresh".to_owned(),
                Ok(Next::Migrate(_)) => "migrate".to_owned(),
                Err(failure) => failure.reason.to_string(),
            };
            assert_eq!(next, wanted, "{about}");
        }
    }

    #[test]
    fn an_approval_goes_before_all_that_is_at_hand() {
        let o = healthy(SourceKind::Offline, json!({}));
        let Issuer::Offline(mut offline) = issuer(SourceKind::Offline) else { unreachable!() };
        let pair = offline.pair().unwrap().clone();
        offline.bootstrap = Some(Bootstrap { pair, fingerprint: "another".into() });
        assert!(offline.beginning().is_some());
        let code = Code { value: secret_string("canary"), state: "s".into() };
        offline.recorded.as_mut().unwrap().code = Some(code);
        for why in [Why::Approved, Why::First, Why::Lost, Why::Expiring, Why::Requested] {
            assert!(matches!(offline.next(&o, why, now()), Ok(Next::Exchange(_))), "{why:?}");
        }
        assert!(offline.beginning().is_none(), "the approval is the newer word");
        offline.recorded.as_mut().unwrap().pair = None;
        assert!(matches!(offline.next(&o, Why::First, now()), Ok(Next::Exchange(_))));
    }

    #[test]
    fn who_must_approve_is_told_where_and_what_became_of_the_last_time() {
        let told = |url: Option<&str>, outcome: Option<Outcome>| {
            let mut secret = Secret::default();
            if let Some(outcome) = outcome {
                decline(&mut secret, "s", now(), now());
                end(&mut secret, "s", &outcome);
            }
            consent_required(url, Some(&Approvals::parse(secret.annotations()))).message
        };
        let url = Some("https://tokens.example.com/oauth/install/shop/web");
        assert!(told(url, None).contains("approve it at https://tokens.example.com/oauth/install/shop/web, or put"));
        let without = told(None, None);
        assert!(without.contains("--public-url") && without.contains("bootstrapRef"), "{without}");
        assert!(told(url, Some(Outcome::Declined)).contains("was declined"));
        assert!(told(url, Some(Outcome::Refused("it was used".into()))).contains("brought nothing: it was used"));
        assert!(!told(url, Some(Outcome::Exchanged)).contains("last"));
    }

    #[test]
    fn a_changed_bootstrap_is_a_new_beginning_and_the_same_one_never_is() {
        let Issuer::Offline(base) = issuer(SourceKind::Offline) else { unreachable!() };
        let boot = |hash: &str| Bootstrap { pair: base.pair().unwrap().clone(), fingerprint: hash.into() };
        let begins = |recorded: Option<&str>, pair: bool, bootstrap: Option<Bootstrap>| {
            let mut offline = Offline { bootstrap, ..base.clone() };
            let record = offline.recorded.as_mut().unwrap();
            record.bootstrap = recorded.map(str::to_owned);
            record.pair = record.pair.take().filter(|_| pair);
            offline.beginning().is_some()
        };
        assert!(!begins(Some("a"), true, None));
        assert!(!begins(Some("a"), true, Some(boot("a"))));
        assert!(begins(Some("a"), true, Some(boot("b"))));
        assert!(begins(None, true, Some(boot("b"))), "it was named after the fact");
        assert!(begins(Some("a"), false, Some(boot("a"))), "the pair was lost");
        assert!(Offline { recorded: None, bootstrap: Some(boot("a")), ..base.clone() }.beginning().is_some());
    }
}
