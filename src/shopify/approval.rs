//! A merchant's approval of an app: where a browser is sent, and what it comes back with. Nothing here is sent.
//!
//! <https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/authorization-code-grant>

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::hmac;
use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use url::{
    Url,
    form_urlencoded::{byte_serialize, parse},
};

use super::Shop;
use crate::{core::credential, time::Timestamp};

/// Most bytes of a callback's query.
const LONGEST: usize = 4096;
/// Most parameters of one.
const MOST: usize = 32;
/// How far the time of a callback may be off, as Shopify's own library has it
/// (<https://github.com/Shopify/shopify-app-js>, `HMAC_TIMESTAMP_PERMITTED_CLOCK_TOLERANCE_SEC`).
const TOLERANCE: TimeDelta = TimeDelta::seconds(90);

/// What a merchant is asked to approve.
#[derive(Clone, Copy, Debug)]
pub struct Approval<'a> {
    /// The app.
    pub client_id: &'a str,
    /// The scopes asked for; of none the app's own configuration decides.
    pub scopes: &'a [String],
    /// Where the browser comes back to: one that the app lists.
    pub redirect_uri: &'a str,
    /// Comes back with the browser.
    pub state: &'a str,
}

impl Approval<'_> {
    /// Where a browser goes for it. Without `grant_options[]` the token is an offline one.
    #[must_use]
    pub fn url(&self, shop: &Shop) -> Url {
        let mut url = shop.url(&["admin", "oauth", "authorize"]);
        url.query_pairs_mut().append_pair("client_id", self.client_id);
        if !self.scopes.is_empty() {
            url.query_pairs_mut().append_pair("scope", &self.scopes.join(","));
        }
        url.query_pairs_mut().append_pair("redirect_uri", self.redirect_uri).append_pair("state", self.state);
        url
    }
}

/// What a browser comes back with. Every parameter is there once; nobody has said yet that Shopify wrote them.
#[derive(Clone)]
pub struct Callback(BTreeMap<String, String>);

/// A callback that isn't looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidCallback {
    /// Longer, or of more parameters, than any of Shopify's.
    #[error("it is too long")]
    TooLong,
    /// A parameter is there twice: who reads the first and who reads the last would see different callbacks.
    #[error("a parameter is repeated")]
    Repeated,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Callback {
    /// Reads a query.
    ///
    /// # Errors
    /// [`InvalidCallback`].
    pub fn parse(query: &str) -> Result<Self, InvalidCallback> {
        if query.len() > LONGEST {
            return Err(InvalidCallback::TooLong);
        }
        let mut parameters = BTreeMap::new();
        for (name, value) in parse(query.as_bytes()) {
            if parameters.len() == MOST {
                return Err(InvalidCallback::TooLong);
            }
            if parameters.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(InvalidCallback::Repeated);
            }
        }
        Ok(Self(parameters))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// What the browser was sent with.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.get("state")
    }

    /// Whether it names this shop, letter by letter.
    #[must_use]
    pub fn is_of(&self, shop: &Shop) -> bool {
        self.get("shop") == Some(shop.as_str())
    }

    /// The authorization code; `None` also for what can't be one.
    #[must_use]
    pub fn code(&self) -> Option<SecretString> {
        self.get("code").and_then(|code| credential::check(code.as_bytes(), "code").ok())
    }

    /// Whether somebody has declined (RFC 6749, section 4.1.2.1).
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.get("error") == Some("access_denied")
    }

    /// Whether there is a signature, true or false.
    #[must_use]
    pub fn has_signature(&self) -> bool {
        self.0.contains_key("hmac")
    }

    /// Whether the holder of this client secret signed all of it: the parameters but `hmac` and `signature`, sorted,
    /// encoded as a form is and joined. The comparison takes the same time wherever they differ.
    #[must_use]
    pub fn is_signed_with(&self, client_secret: &SecretString) -> bool {
        let Some(claimed) = self.get("hmac") else { return false };
        // Written in lower case, by Shopify.
        if claimed.bytes().any(|c| c.is_ascii_uppercase()) {
            return false;
        }
        let Ok(claimed) = hex::decode(claimed) else { return false };
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let signed = self.0.iter().filter(|(name, _)| !matches!(name.as_str(), "hmac" | "signature"));
        let pairs: Vec<String> = signed.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let key = hmac::Key::new(hmac::HMAC_SHA256, client_secret.expose_secret().as_bytes());
        hmac::verify(&key, pairs.join("&").as_bytes(), &claimed).is_ok()
    }

    /// Whether it was signed within 90 seconds of `now`.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        let seconds = self.get("timestamp").filter(|text| text.bytes().all(|c| c.is_ascii_digit()));
        let at = seconds.and_then(|text| text.parse().ok()).and_then(|at| Timestamp::from_timestamp(at, 0));
        at.is_some_and(|at| (now - at).abs() <= TOLERANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shopify::stub::shop;

    /// The example of Shopify's documentation.
    const DOCUMENTED: &str = "code=0907a61c0c8d55e99db179b68161bc00&hmac=700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf&shop=some-shop.myshopify.com&state=0.6784241404160823&timestamp=1337178173";

    fn signed(query: &str, secret: &str) -> bool {
        Callback::parse(query).is_ok_and(|callback| callback.is_signed_with(&SecretString::from(secret)))
    }

    #[test]
    fn the_documented_signature_counts() {
        let callback = Callback::parse(DOCUMENTED).unwrap();
        assert!(callback.is_signed_with(&SecretString::from("hush")));
        assert_eq!(callback.state(), Some("0.6784241404160823"));
        assert_eq!(callback.code().unwrap().expose_secret(), "0907a61c0c8d55e99db179b68161bc00");
        assert!(callback.is_of(&"some-shop.myshopify.com".parse().unwrap()) && !callback.is_of(&shop()));
        let at = |seconds: i64| callback.is_fresh(Timestamp::from_timestamp(1_337_178_173 + seconds, 0).unwrap());
        assert!(at(0) && at(90) && at(-90) && !at(91) && !at(-91));
        assert!(!format!("{callback:?}").contains("0907a61c"), "{callback:?}");
    }

    /// What Shopify's own library for Node.js says: `tests/callbacks/judge.mjs` asked it.
    #[test]
    fn shopifys_own_library_believes_the_same() {
        #[derive(serde::Deserialize)]
        struct Judged {
            judge: String,
            secret: SecretString,
            now: i64,
            verdicts: Vec<Verdict>,
        }
        #[derive(serde::Deserialize)]
        struct Verdict {
            about: String,
            query: String,
            believed: bool,
        }
        let judged: Judged = serde_json::from_str(include_str!("../../tests/callbacks/callbacks.json")).unwrap();
        let now = Timestamp::from_timestamp(judged.now, 0).unwrap();
        assert!(judged.verdicts.len() > 20 && judged.judge.starts_with("@shopify/shopify-api"));
        for Verdict { about, query, believed } in judged.verdicts {
            let callback = Callback::parse(&query).unwrap();
            let ours = callback.is_signed_with(&judged.secret) && callback.is_fresh(now);
            assert_eq!(ours, believed, "{about}");
        }
    }

    #[test]
    fn the_order_of_parameters_does_not_count_and_neither_does_the_old_signature() {
        let mut parts: Vec<&str> = DOCUMENTED.split('&').collect();
        parts.reverse();
        assert!(signed(&parts.join("&"), "hush"));
        assert!(signed(&format!("{DOCUMENTED}&signature=31b9fcfbd98a3650b8523bcc92f8c5d2"), "hush"));
    }

    #[test]
    fn nothing_else_is_signed() {
        let changed = |from: &str, to: &str| {
            assert!(DOCUMENTED.contains(from), "{from}");
            DOCUMENTED.replace(from, to)
        };
        let hmac = "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf";
        for (about, query) in [
            ("another code", changed("0907a61c", "0907a61d")),
            ("another shop", changed("some-shop", "any-shop")),
            ("another state", changed("0.678", "0.679")),
            ("another time", changed("1337178173", "1337178174")),
            ("one parameter more", format!("{DOCUMENTED}&x=1")),
            ("one with an empty value", format!("{DOCUMENTED}&x=")),
            ("one parameter less", changed("&timestamp=1337178173", "")),
            ("no signature", changed(&format!("hmac={hmac}&"), "")),
            ("an empty one", changed(hmac, "")),
            ("a shorter one", changed(hmac, &hmac[..62])),
            ("a longer one", changed(hmac, &format!("{hmac}00"))),
            ("upper case", changed(hmac, &hmac.to_uppercase())),
            ("no hexadecimal", changed("700e", "70ze")),
            ("white space before it", changed("hmac=", "hmac=%20")),
            ("a name in upper case", changed("hmac=", "HMAC=")),
            ("a joined value", changed("&shop=", "%26shop%3D")),
            ("a repeated parameter", format!("{DOCUMENTED}&shop=some-shop.myshopify.com")),
            ("nothing", String::new()),
        ] {
            assert!(!signed(&query, "hush"), "{about}");
        }
        for secret in ["", "Hush", "hush ", "hush\n"] {
            assert!(!signed(DOCUMENTED, secret), "{secret:?}");
        }
    }

    #[test]
    fn what_is_repeated_or_endless_is_not_looked_at() {
        for query in [
            "code=1&code=1",
            "code=1&c%6Fde=2",
            "state=&state",
            "shop=acme.myshopify.com&a=1&shop=other.myshopify.com",
            &format!("{DOCUMENTED}&hmac="),
        ] {
            assert_eq!(Callback::parse(query).unwrap_err(), InvalidCallback::Repeated, "{query}");
        }
        let many: Vec<String> = (0..=MOST).map(|n| format!("a{n}=1")).collect();
        for query in [many.join("&"), format!("code={}", "1".repeat(LONGEST))] {
            assert_eq!(Callback::parse(&query).unwrap_err(), InvalidCallback::TooLong);
        }
        assert!(Callback::parse(&many[1..].join("&")).is_ok());
    }

    #[test]
    fn a_time_is_seconds_and_nothing_else() {
        for text in ["", "+1337178173", "-1", "1337178173.0", "0x4fb3b87d", "1337178173000", "99999999999999999999"] {
            let callback = Callback::parse(&format!("timestamp={}", text.replace('+', "%2B"))).unwrap();
            assert!(!callback.is_fresh(Timestamp::from_timestamp(1_337_178_173, 0).unwrap()), "{text}");
        }
    }

    #[test]
    fn a_shop_is_named_letter_by_letter() {
        for text in
            ["ACME.myshopify.com", "acme.myshopify.com.", "acme.myshopify.com/", "acme", "acme.myshopify.com:443"]
        {
            let callback = Callback::parse(&format!("shop={text}")).unwrap();
            assert!(!callback.is_of(&shop()), "{text}");
        }
        assert!(Callback::parse(&format!("shop={}", shop())).unwrap().is_of(&shop()));
    }

    #[test]
    fn a_browser_is_sent_to_the_shop_with_what_is_asked_for() {
        let scopes = ["read_products".to_owned(), "write_orders".to_owned()];
        let approval = Approval {
            client_id: "id&1",
            scopes: &scopes,
            redirect_uri: "https://tokens.example.com/oauth/callback",
            state: "s.1",
        };
        let domain = shop();
        assert_eq!(
            approval.url(&domain).as_str(),
            format!(
                "https://{domain}/admin/oauth/authorize?client_id=id%261&scope=read_products%2Cwrite_orders\
                 &redirect_uri=https%3A%2F%2Ftokens.example.com%2Foauth%2Fcallback&state=s.1"
            )
        );
        let without = Approval { scopes: &[], ..approval };
        assert!(!without.url(&domain).as_str().contains("scope"));
    }
}
