//! Which refusals are Shopify's own: nothing else decides anything.
//!
//! A status alone is no verdict. Bot walls, proxies and captive portals answer with the same ones.

use std::fmt::Display;

use serde_json::Value;

use super::{Shop, answer::Answer, failure};
use crate::core::{failure::Failure, vocabulary::Reason};

/// A refusal in one of Shopify's forms. Verdicts are made of these alone.
pub(super) struct Refusal<'a> {
    /// Where it comes from.
    pub(super) answer: &'a Answer,
    /// What it says.
    pub(super) said: Said,
}

/// What a refusal says, in lower case: to search, never to show.
pub(super) enum Said {
    /// All words of `{"errors": …}`, the form of every API
    /// (<https://shopify.dev/docs/api/usage/response-codes>).
    Errors(String),
    /// The token endpoint's `{"error": code, "error_description": words}` (RFC 6749, section 5.2), or its page titled
    /// `400 - Oauth error code`, of which all is taken for words.
    Code {
        /// The code.
        code: String,
        /// What describes it, if anything.
        words: String,
    },
    /// The page of a shop that is closed or was never there.
    NoShop,
}

impl<'a> Refusal<'a> {
    /// Reads an answer whose status isn't a success.
    ///
    /// # Errors
    /// What is no verdict, whoever says it: a limit (429), a fault (408, 5xx), and anything in another form.
    pub(super) fn read(answer: &'a Answer, whom: impl Display + Copy) -> Result<Self, Failure> {
        let fault = matches!(answer.status.as_u16(), 408 | 500..);
        match Said::read(answer) {
            _ if answer.status.as_u16() == 429 => Err(failure::throttled(whom, answer.retry_after)),
            Some(_) if fault => Err(failure::broken(answer, whom)),
            Some(said) => return Ok(Self { answer, said }),
            None => Err(failure::foreign(answer, whom)),
        }
        .map_err(|failure| failure::signed(failure, answer))
    }

    pub(super) fn status(&self) -> u16 {
        self.answer.status.as_u16()
    }

    /// What every endpoint of a shop says in the same way: that it isn't there, frozen or locked.
    pub(super) fn shop_state(&self, shop: &Shop) -> Option<Failure> {
        let unavailable = |what: &str| Failure::new(Reason::ShopUnavailable, format!("{shop} is unavailable: {what}"));
        Some(match self.status() {
            402 => unavailable("it is frozen; its owner must settle the bill in Shopify's admin (402)"),
            // 420 until August 2018.
            420 | 423 => unavailable(
                "it is locked, for exceeding rate limits or for a breach of terms; ask Shopify's support (423)",
            ),
            430 => unavailable("Shopify's security rejects our calls; ask Shopify's support (430)"),
            404 => failure::shop_not_found(shop),
            _ => return None,
        })
    }
}

impl Said {
    fn read(answer: &Answer) -> Option<Self> {
        match answer.json::<Value>() {
            Some(body) => Self::of_json(&body),
            None => Self::of_page(answer),
        }
    }

    fn of_json(body: &Value) -> Option<Self> {
        if let Some(errors) = body.get("errors").filter(|errors| !errors.is_null()) {
            return Some(Self::Errors(failure::words(errors)));
        }
        // Others' JSON has an "error" too: "Unauthorized", "Forbidden".
        let code = body.get("error")?.as_str()?;
        let words = body.get("error_description").map(failure::words).unwrap_or_default();
        is_code(code).then(|| Self::Code { code: code.to_owned(), words })
    }

    fn of_page(answer: &Answer) -> Option<Self> {
        let page = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
        if !page.trim_start().starts_with('<') {
            return None;
        }
        // Both texts have been seen; neither is documented.
        let no_shop = ["store unavailable", "this shop is currently unavailable"];
        if answer.status.as_u16() == 404 && no_shop.iter().any(|text| page.contains(text)) {
            return Some(Self::NoShop);
        }
        let (_, title) = page.split_once("<title>")?;
        let (title, _) = title.split_once("</title>")?;
        let (_, code) = title.split_once("oauth error ")?;
        let code = code.split(|c: char| !is_of_code(c)).next()?;
        is_code(code).then(|| Self::Code { code: code.to_owned(), words: page.clone() })
    }
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_of_code)
}

fn is_of_code(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::cause::Cause,
        shopify::{answer::tests::answer, stub::shop},
    };

    const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");

    #[test]
    fn shopify_s_forms() {
        let read = |status, body: &str| Refusal::read(&answer(status, &[], body), &shop()).ok().map(|read| read.said);
        let errors = read(403, r#"{"errors":{"base":["Unavailable Shop"]}}"#);
        assert!(matches!(errors, Some(Said::Errors(words)) if words == "unavailable shop\n"));
        assert!(matches!(read(401, r#"{"errors":[{"message":""}]}"#), Some(Said::Errors(_))));
        for (rest, said) in
            [(r#","error_description":"Was X""#, "was x\n"), ("", ""), (r#","error_description":1"#, "")]
        {
            let code = read(400, &format!(r#"{{"error":"invalid_request"{rest}}}"#));
            assert!(matches!(code, Some(Said::Code { code, words }) if code == "invalid_request" && words == said));
        }
        for title in ["400 - Oauth error app_not_installed", "unauthorized - Oauth error app_not_installed: more"] {
            let code = read(400, &format!("<!DOCTYPE html><html><HEAD><Title>{title}</title></HEAD></html>"));
            assert!(matches!(code, Some(Said::Code { code, .. }) if code == "app_not_installed"), "{title}");
        }
        for page in ["<title>Store unavailable</title>", "\n<html><h1>Sorry, this shop is currently unavailable.</h1>"]
        {
            assert!(matches!(read(404, page), Some(Said::NoShop)), "{page}");
            assert!(read(403, page).is_none(), "{page}");
        }
    }

    #[test]
    fn everything_else_is_no_verdict_whatever_its_status() {
        let pages = [
            "",
            "canary",
            "<html><title>Just a moment... canary</title></html>",
            "<title>Oauth error </title>",
            "Oauth error invalid_request",
            "null",
            "[]",
            r#""canary""#,
            "{}",
            r#"{"errors":null}"#,
            r#"{"message":"canary"}"#,
            r#"{"error":"Forbidden"}"#,
            r#"{"error":""}"#,
            r#"{"error":{"code":"invalid_client"}}"#,
            r#"{"errors":"canary""#,
        ];
        for status in [400, 401, 402, 403, 404, 407, 408, 420, 422, 423, 430, 451, 500, 502, 503, 520] {
            for page in pages {
                let answer = answer(status, &[HTML, ("x-request-id", "ab-1"), ("retry-after", "7")], page);
                let failure = Refusal::read(&answer, &shop()).err().unwrap();
                assert_eq!(failure.reason, Reason::BackingOff, "{status} {page}");
                assert!(failure.unreachable && !failure.may_settle, "{status} {page}");
                assert_eq!(failure.retry_after.map(|wait| wait.num_seconds()), Some(7));
                assert!(!failure.message.contains("canary"), "{}", failure.message);
                assert!(failure.message.contains(&status.to_string()), "{}", failure.message);
                assert!(failure.message.contains("proxy"), "{}", failure.message);
                assert_eq!(Cause::of(&failure.message), Cause::Silence, "{}", failure.message);
                assert!(failure.message.ends_with("(x-request-id ab-1)"), "{}", failure.message);
            }
        }
    }

    #[test]
    fn limits_and_faults_are_no_verdict_either() {
        for body in [r#"{"errors":"x"}"#, r#"{"error":"invalid_client"}"#, "", "<html>"] {
            let failure = Refusal::read(&answer(429, &[], body), &shop()).err().unwrap();
            assert_eq!((failure.reason, failure.unreachable), (Reason::BackingOff, false), "{body}");
            assert_eq!(Cause::of(&failure.message), Cause::RateLimit, "{}", failure.message);
        }
        for status in [408, 500, 503, 520] {
            let failure = Refusal::read(&answer(status, &[], r#"{"error":"invalid_client"}"#), &shop()).err().unwrap();
            assert_eq!((failure.reason, failure.unreachable), (Reason::BackingOff, true), "{status}");
            assert!(failure.message.contains("shopifystatus"), "{}", failure.message);
            assert_eq!(Cause::of(&failure.message), Cause::Fault, "{}", failure.message);
        }
    }

    #[test]
    fn the_message_says_what_it_looks_like() {
        let told =
            |status, headers: &[_], body| Refusal::read(&answer(status, headers, body), &shop()).err().unwrap().message;
        assert!(told(403, &[HTML], "<html>").contains("answered 403 with a page of text/html"));
        assert!(told(401, &[("content-type", "text/plain")], "no").contains("401 with a page of text/plain"));
        assert!(told(401, &[("content-type", "application/json")], "{}").contains("401 with JSON of another form"));
        assert!(told(404, &[HTML], " \n").contains("404 with an empty body"));
        assert!(told(502, &[], "no").contains("502 with something without a content type"));
        assert!(told(502, &[("content-type", "canary \"x\"/y")], "no").contains("something without a content type"));
        assert!(told(430, &[HTML], "<html>").contains("Shopify's security"));
    }
}
