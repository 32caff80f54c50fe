//! What a callback is worth: the checks, in their order. Pure.

use secrecy::SecretString;

use crate::{
    core::{
        approval::{Browser, Claimed, InvalidState, LIFETIME},
        approvals::Approvals,
    },
    shopify::{Callback, InvalidCallback, Shop},
    time::Timestamp,
};

/// What a callback is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// The shop that a merchant's callback is of, and signed for; a customer's is signed by nobody: what came with it is
    /// believed by its ID token, at the exchange.
    pub(super) signed_for: Option<&'a Shop>,
    /// The app's client secrets.
    pub(super) client_secrets: &'a [&'a SecretString],
    /// The browser's cookie.
    pub(super) browser: Option<&'a Browser>,
    /// The approvals that came back before, to whatever replica.
    pub(super) approvals: &'a Approvals,
    pub(super) now: Timestamp,
}

/// What a callback says, once it is believed.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Somebody has approved the app: the code.
    Approved(SecretString),
    /// Somebody has declined.
    Declined,
}

/// Why a callback changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    State(#[from] InvalidState),
    #[error("the state was used before")]
    Used,
    #[error("another one came back a moment ago, and this one is signed by nobody")]
    Crowded,
    #[error("it is of another shop")]
    OtherShop,
    #[error("it isn't signed with the app's client secret")]
    Unsigned,
    #[error("it was signed more than 90 seconds ago")]
    Stale,
    #[error(transparent)]
    Malformed(#[from] InvalidCallback),
    #[error("it says neither that the app was approved nor that it was declined")]
    Neither,
}

/// What a callback says. Of two parameters of one name nothing is believed; that was asked when it was read.
///
/// # Errors
/// [`Refusal`], the first that applies.
pub(super) fn check(callback: &Callback, claimed: &Claimed, facts: Facts<'_>) -> Result<Answer, Refusal> {
    let Facts { signed_for, client_secrets, browser, approvals, now } = facts;
    claimed.check(client_secrets, browser, LIFETIME, now)?;
    if approvals.outcome(&claimed.fingerprint()).is_some() {
        return Err(Refusal::Used);
    }
    let unsigned = signed_for.is_none() || callback.is_denied() && !callback.has_signature();
    if unsigned && approvals.crowded(now) {
        return Err(Refusal::Crowded);
    }
    let Some(shop) = signed_for else {
        return match callback.code() {
            _ if callback.is_denied() => Ok(Answer::Declined),
            Some(code) => Ok(Answer::Approved(code)),
            None => Err(Refusal::Neither),
        };
    };
    // RFC 6749 signs nothing. Who declines in the merchant's own browser gains nothing by it.
    if unsigned {
        return Ok(Answer::Declined);
    }
    if !callback.is_of(shop) {
        return Err(Refusal::OtherShop);
    }
    if !client_secrets.iter().any(|secret| callback.is_signed_with(secret)) {
        return Err(Refusal::Unsigned);
    }
    if !callback.is_fresh(now) {
        return Err(Refusal::Stale);
    }
    if callback.is_denied() {
        return Ok(Answer::Declined);
    }
    callback.code().map(Answer::Approved).ok_or(Refusal::Neither)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;
    use k8s_openapi::api::core::v1::Secret;
    use kube::ResourceExt;
    use secrecy::ExposeSecret;

    use super::*;
    use crate::core::{
        approval::State,
        approvals::decline,
        scene::{identity, minutes, now, secret_string},
    };

    const SHOP: &str = "acme.myshopify.com";

    struct Scene {
        query: String,
        secrets: Vec<&'static str>,
        cookie: Option<u8>,
        used: bool,
        crowded: bool,
        customer: bool,
        after: chrono::TimeDelta,
    }

    fn begun(secret: &str) -> String {
        let state = State::begin(identity(), &Browser::new([1; 32]), [7; 16], now());
        state.sign(&secret_string(secret)).unwrap()
    }

    /// A query signed as Shopify signs: all that is in it, in the order of the alphabet.
    fn signed(parameters: &[(&str, &str)], secret: &str) -> String {
        let mut parameters = parameters.to_vec();
        parameters.sort_unstable();
        let pairs = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        format!("{pairs}&hmac={}", hex::encode(hmac::sign(&key, pairs.as_bytes())))
    }

    fn approval(secret: &str, more: &[(&str, &str)]) -> String {
        let (state, at) = (begun("current"), now().timestamp().to_string());
        let mut parameters = vec![("code", "canary"), ("shop", SHOP), ("state", &state), ("timestamp", &at)];
        parameters.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        parameters.extend(more.iter().filter(|(_, value)| !value.is_empty()));
        signed(&parameters, secret)
    }

    fn scene(query: String) -> Scene {
        let (secrets, after) = (vec!["current"], minutes(0));
        Scene { query, secrets, cookie: Some(1), used: false, crowded: false, customer: false, after }
    }

    fn outcome(scene: &Scene) -> String {
        let callback = match Callback::parse(&scene.query) {
            Ok(callback) => callback,
            Err(error) => return format!("{error:?}"),
        };
        let Some(claimed) = callback.state().and_then(Claimed::read) else { return "no state".into() };
        let mut record = Secret::default();
        if scene.used {
            decline(&mut record, &claimed.fingerprint(), now(), now());
        }
        if scene.crowded {
            decline(&mut record, "another", now(), now() + scene.after);
        }
        let secrets: Vec<SecretString> = scene.secrets.iter().map(|text| secret_string(text)).collect();
        let shop = SHOP.parse().unwrap();
        let browser = scene.cookie.map(|n| Browser::new([n; 32]));
        let facts = Facts {
            signed_for: (!scene.customer).then_some(&shop),
            client_secrets: &secrets.iter().collect::<Vec<_>>(),
            browser: browser.as_ref(),
            approvals: &Approvals::parse(record.annotations()),
            now: now() + scene.after,
        };
        match check(&callback, &claimed, facts) {
            Ok(Answer::Approved(code)) => code.expose_secret().to_owned(),
            Ok(Answer::Declined) => "declined".into(),
            Err(Refusal::State(error)) => format!("{error:?}"),
            Err(refusal) => format!("{refusal:?}"),
        }
    }

    #[test]
    fn what_counts_and_what_changes_nothing() {
        let good = || scene(approval("current", &[]));
        let state = begun("current");
        let customer = |says: &str| Scene { customer: true, ..scene(format!("{says}&state={state}")) };
        let denied = |secret| approval(secret, &[("code", ""), ("error", "access_denied")]);
        for (about, scene, wanted) in [
            ("approved", good(), "canary"),
            ("signed with the secret before", Scene { secrets: vec!["new", "current"], ..good() }, "canary"),
            (
                "of both secrets: state by one, callback by the other",
                Scene { secrets: vec!["new", "current"], ..scene(approval("new", &[])) },
                "canary",
            ),
            ("declined", scene(denied("current")), "declined"),
            ("declined, without a signature", scene(format!("error=access_denied&state={state}")), "declined"),
            ("declined, with a forged one", scene(denied("forged")), "Unsigned"),
            ("declined, without this browser", Scene { cookie: None, ..scene(denied("current")) }, "OtherBrowser"),
            ("declined, again", Scene { used: true, ..scene(denied("current")) }, "Used"),
            ("forged", scene(approval("forged", &[])), "Unsigned"),
            ("no signature", scene(approval("current", &[]).split("&hmac").next().unwrap().to_owned()), "Unsigned"),
            ("a state of nobody", scene(approval("current", &[("state", "0.67")])), "no state"),
            ("no state", scene(approval("current", &[("state", "")])), "no state"),
            ("a forged state", scene(approval("current", &[("state", &begun("forged"))])), "Forged"),
            ("both secrets are gone", Scene { secrets: vec!["new", "newer"], ..good() }, "Forged"),
            ("begun long ago", Scene { after: minutes(11), ..good() }, "Expired"),
            ("another browser", Scene { cookie: Some(2), ..good() }, "OtherBrowser"),
            ("no cookie", Scene { cookie: None, ..good() }, "OtherBrowser"),
            ("replayed", Scene { used: true, ..good() }, "Used"),
            ("another shop", scene(approval("current", &[("shop", "other.myshopify.com")])), "OtherShop"),
            (
                "a shop that only looks like it",
                scene(approval("current", &[("shop", "acme.myshopify.com.evil.com")])),
                "OtherShop",
            ),
            ("no shop", scene(approval("current", &[("shop", "")])), "OtherShop"),
            ("signed long ago", Scene { after: minutes(2), ..good() }, "Stale"),
            ("no time", scene(approval("current", &[("timestamp", "")])), "Stale"),
            ("repeated", scene(format!("{}&shop={SHOP}", approval("current", &[]))), "Repeated"),
            ("no code", scene(approval("current", &[("code", "")])), "Neither"),
            ("another error", scene(approval("current", &[("code", ""), ("error", "server_error")])), "Neither"),
            ("a customer's", customer("code=canary"), "canary"),
            ("a customer's, declined", customer("error=access_denied"), "declined"),
            ("a customer's, failed", customer("error=login_required"), "Neither"),
            ("a customer's, in another browser", Scene { cookie: Some(2), ..customer("code=canary") }, "OtherBrowser"),
            ("a customer's, replayed", Scene { used: true, ..customer("code=canary") }, "Used"),
            ("a customer's, late", Scene { after: minutes(11), ..customer("code=canary") }, "Expired"),
            ("a customer's, of another client", Scene { secrets: vec!["new"], ..customer("code=canary") }, "Forged"),
            ("a customer's, after another", Scene { crowded: true, ..customer("code=canary") }, "Crowded"),
            ("a merchant's, after another", Scene { crowded: true, ..good() }, "canary"),
            (
                "declined, without a signature, after another",
                Scene { crowded: true, ..scene(format!("error=access_denied&state={state}")) },
                "Crowded",
            ),
            ("declined, after another", Scene { crowded: true, ..scene(denied("current")) }, "declined"),
            // The first that applies is told.
            (
                "replayed, of another shop, forged",
                Scene { used: true, ..scene(approval("forged", &[("shop", "x")])) },
                "Used",
            ),
            ("of another shop, forged", scene(approval("forged", &[("shop", "x")])), "OtherShop"),
            ("forged and stale", Scene { after: minutes(2), ..scene(approval("forged", &[])) }, "Unsigned"),
        ] {
            assert_eq!(outcome(&scene), wanted, "{about}");
        }
    }
}
