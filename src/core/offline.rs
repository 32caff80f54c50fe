//! offline: where it begins, and whether the pair at hand will do or Shopify is asked for another one.

use chrono::TimeDelta;
use secrecy::SecretString;

use super::{
    approvals::{Approvals, Code},
    credential::RefreshToken,
    failure::Failure,
    keeper::follows,
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
    fn beginning(&self) -> Option<&Bootstrap> {
        let bootstrap = self.bootstrap.as_ref().filter(|_| self.code().is_none())?;
        let known = self.recorded.as_ref().and_then(|r| r.bootstrap.as_ref()) == Some(&bootstrap.fingerprint);
        (self.pair().is_none() || !known).then_some(bootstrap)
    }

    /// Hash of the bootstrap Secret's credential that the pair at hand goes back to, or that it was put before.
    #[must_use]
    pub fn begun(&self) -> Option<&str> {
        let recorded = || self.recorded.as_ref()?.bootstrap.as_deref();
        self.bootstrap.as_ref().map(|bootstrap| bootstrap.fingerprint.as_str()).or_else(recorded)
    }

    /// Whether a pair that came in the place of `replaced`, and goes back to `begun`, is newer than what is recorded. Not
    /// if somebody else has gone on from there, or a person has begun anew: theirs is the newer.
    #[must_use]
    pub fn goes_on(&self, pair: &Pair, replaced: Option<&SecretString>, begun: Option<&str>) -> bool {
        let brought = self.bootstrap.as_ref().filter(|b| b.pair.refresh.is_some() || pair.refresh.is_none());
        follows(self.pair(), replaced) && brought.is_none_or(|brought| Some(brought.fingerprint.as_str()) == begun)
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

    /// When the refresh token has to be used at the latest, so that it doesn't end unused, if its end is known.
    #[must_use]
    pub fn warm_until(&self) -> Option<Timestamp> {
        self.pair().and_then(warm_until)
    }

    /// Whether nobody but a person can replace what is at hand: an access token without a refresh token.
    #[must_use]
    pub fn is_lone(&self) -> bool {
        self.pair().is_some_and(|pair| pair.refresh.is_none())
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
                            // What has a refresh token expires, even where nobody knows when.
                            && access.renewal_time(o).is_some_and(|at| at > now)
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
                            && access.renewal_time(o).is_some_and(|at| at > now)
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

    /// Whether it is renewed by now.
    #[must_use]
    pub fn is_due(&self, o: &Observed, now: Timestamp) -> bool {
        self.renewal_time(o).is_none_or(|at| at <= now)
    }

    fn renewal_time(&self, o: &Observed) -> Option<Timestamp> {
        let expires_at = self.expires_at?;
        Some(renewal_time(&o.token.spec, &o.identity.uid, self.since(expires_at), expires_at))
    }
}

fn cools(pair: &Pair, now: Timestamp) -> bool {
    warm_until(pair).is_some_and(|at| at <= now)
}

/// Of what Shopify granted a refresh can bring no more than it brought: what lives shorter is used at two thirds of its
/// life, and an end that was over before is believed by nobody.
fn warm_until(pair: &Pair) -> Option<Timestamp> {
    let end = pair.refresh.as_ref()?.expires_at?;
    // Whose scopes are known was granted to the operator; what a person has brought may have waited for long.
    let granted = pair.access.as_ref().filter(|access| access.scopes.is_some()).and_then(|access| access.issued_at);
    match granted {
        None => Some(end - KEPT_WARM),
        Some(granted) if end <= granted => None,
        Some(granted) => Some(end - KEPT_WARM.min((end - granted) / 3)),
    }
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

    /// What the record Secret is to begin with, if it is to. A lone access token takes the place of no refresh token that
    /// may still live: its person may just have taken a refresh token out that was used long ago.
    #[must_use]
    pub fn beginning(&self) -> Option<&Bootstrap> {
        let offline = self.offline().filter(|offline| !offline.in_hand)?;
        let loses = |begun: &Bootstrap| begun.pair.refresh.is_none() && offline.pair().is_some() && !offline.is_lone();
        let dead = self.last_failure() == Some(Reason::RefreshTokenDead);
        offline.beginning().filter(|begun| dead || !loses(begun))
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
        core::{
            approvals::{Outcome, decline, end},
            plan::{Call, Step, plan},
            scene::{healthy, hours, issuer, minutes, now, secret_string},
        },
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
            ("nobody knows its end", Some(access(None)), Some(refresh(Some(89))), false, Why::First, "refresh"),
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

    /// A healthy one with this pair.
    fn with_pair(access: Access, refresh: Option<RefreshToken>) -> Observed {
        healthy(SourceKind::Offline, json!({})).with(|o| {
            let Ok(Issuer::Offline(offline)) = &mut o.issuer else { unreachable!() };
            let pair = Pair { access: Some(access), refresh, previous_refresh: None };
            offline.recorded.as_mut().unwrap().pair = Some(pair);
        })
    }

    #[test]
    fn what_a_refresh_brought_is_not_refreshed_at_once_to_be_kept_warm() {
        let step = |granted: TimeDelta, ends: TimeDelta| {
            let granted = now() - granted;
            let access = Access {
                value: secret_string("canary"),
                issued_at: Some(granted),
                expires_at: Some(granted + hours(1)),
                scopes: Some(vec!["read_products".into()]),
                minted_by: None,
            };
            let refresh = RefreshToken { value: secret_string("r"), expires_at: Some(granted + ends) };
            let o = with_pair(access, Some(refresh));
            let o = o.recorded(|r| (r.issued_at, r.expires_at) = (granted, Some(granted + hours(1))));
            plan(&o, now()).step
        };
        let refreshes = Step::Call(Call::Issue(Why::Expiring));
        for (about, granted, ends, wanted) in [
            ("the answer had no refresh token, and the old one ends soon", minutes(1), hours(24), Step::Keep),
            ("its refresh tokens never live longer", minutes(10), TimeDelta::days(20), Step::Keep),
            ("it has ended by what was said of it", minutes(1), minutes(-1), Step::Keep),
            ("it ends before the access token is renewed", minutes(21), minutes(30), refreshes),
            ("it was not used for long", TimeDelta::days(61), TimeDelta::days(90), refreshes),
        ] {
            assert_eq!(step(granted, ends), wanted, "{about}");
        }
    }

    #[test]
    fn it_is_looked_at_when_it_has_to_be_kept_warm() {
        let access = Access { issued_at: Some(now()), scopes: Some(Vec::new()), ..access(Some(TimeDelta::days(300))) };
        let o = with_pair(Access { value: secret_string("canary"), ..access }, Some(refresh(Some(90))));
        let o = o.with(|o| o.token.spec.verify_interval = Some("0s".parse().unwrap()));
        let o = o.recorded(|r| (r.issued_at, r.expires_at) = (now(), Some(now() + TimeDelta::days(300))));
        assert_eq!(plan(&o, now()).wake_at, Some(now() + TimeDelta::days(60)));
    }

    #[test]
    fn one_that_nobody_can_renew_is_left_alone_until_it_ends() {
        let lone = |left: TimeDelta| {
            let o = with_pair(Access { value: secret_string("canary"), ..access(Some(left)) }, None);
            o.recorded(|r| (r.issued_at, r.expires_at) = (now() + left - hours(1), Some(now() + left)))
        };
        assert_eq!(plan(&lone(minutes(10)), now()).step, Step::Keep, "it would be published again and again");
        assert_eq!(plan(&lone(minutes(-1)), now()).step, Step::Call(Call::Issue(Why::Expiring)), "and said to be over");
    }

    #[test]
    fn a_lone_access_token_takes_the_place_of_no_refresh_token_that_may_live() {
        let lone = Pair { access: Some(access(None)), refresh: None, previous_refresh: None };
        let o = with_pair(access(Some(minutes(50))), Some(refresh(Some(89)))).with(|o| {
            let Ok(Issuer::Offline(offline)) = &mut o.issuer else { unreachable!() };
            offline.bootstrap = Some(Bootstrap { pair: lone, fingerprint: "of the access token alone".into() });
            offline.recorded.as_mut().unwrap().bootstrap = Some("of both".into());
        });
        assert!(o.beginning().is_none(), "the person has taken the key refresh_token out");
        let dead = o.clone().failed(Reason::RefreshTokenDead, 1, minutes(1), minutes(5));
        assert!(dead.beginning().is_some(), "there is nothing to lose");
        let none = o.with(|o| {
            let Ok(Issuer::Offline(offline)) = &mut o.issuer else { unreachable!() };
            offline.recorded.as_mut().unwrap().pair.as_mut().unwrap().refresh = None;
        });
        assert!(none.beginning().is_some(), "one lone token for another");
    }

    #[test]
    fn a_pair_in_hand_is_written_first_unless_a_newer_one_is_there() {
        let Issuer::Offline(base) = issuer(SourceKind::Offline) else { unreachable!() };
        let came =
            Pair { access: Some(access(Some(hours(1)))), refresh: Some(refresh(Some(90))), previous_refresh: None };
        let boot = |hash: &str, refresh: Option<RefreshToken>| Bootstrap {
            pair: Pair { refresh, access: Some(access(None)), previous_refresh: None },
            fingerprint: hash.into(),
        };
        let recorded = base.pair().unwrap().secret().unwrap().clone();
        let other = secret_string("another's");
        for (about, has_pair, replaced, bootstrap, wanted) in [
            ("it follows", true, Some(&recorded), None, true),
            ("somebody else has gone on", true, Some(&other), None, false),
            ("there was none before", true, None, None, false),
            ("the record is gone", false, Some(&other), None, true),
            (
                "the record is gone, and the beginning is there",
                false,
                Some(&other),
                Some(boot("a", Some(refresh(None)))),
                true,
            ),
            ("a person has begun anew", true, Some(&recorded), Some(boot("b", Some(refresh(None)))), false),
            ("and the record is gone, too", false, Some(&recorded), Some(boot("b", Some(refresh(None)))), false),
            ("a refresh token was taken out", true, Some(&recorded), Some(boot("b", None)), true),
        ] {
            let mut offline = Offline { bootstrap, ..base.clone() };
            let record = offline.recorded.as_mut().unwrap();
            record.pair = record.pair.take().filter(|_| has_pair);
            assert_eq!(offline.goes_on(&came, replaced, Some("a")), wanted, "{about}");
        }
        let o = healthy(SourceKind::Offline, json!({}));
        let in_hand = o.clone().with(|o| {
            let Ok(Issuer::Offline(offline)) = &mut o.issuer else { unreachable!() };
            offline.in_hand = true;
        });
        assert_eq!(
            [&o, &in_hand].map(|o| plan(o, now()).step),
            [Step::Keep, Step::Begin],
            "though nothing else is due"
        );
    }
}
