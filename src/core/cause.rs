//! What stands behind `BackingOff`: which words of its message tell whoever reads a status.

/// What the operator waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// Nobody answers in Shopify's place, or not as Shopify does.
    Silence,
    /// A redirect came, from a shop that is closed or moved, or from somebody who stands between.
    Redirected,
    /// Another object asks a shop that doesn't answer, for all that wait for it.
    Turn,
    /// Shopify limits the rate of calls.
    RateLimit,
    /// Shopify answers with a fault of its own.
    Fault,
    /// Anything else: an answer that is no verdict, or nothing of Shopify's.
    Other,
}

/// Said where there is no connection.
pub const NO_CONNECTION: &str = "no connection to";
/// Said where none can be made.
pub const CANT_CONNECT: &str = "can't connect to";
/// Said where one breaks, before who it was to.
pub const CONNECTION: &str = "the connection to";
/// Said where an answer doesn't come, or doesn't end.
pub const NO_WHOLE_ANSWER: &str = "no whole answer from";
/// Said of an answer that can't be read.
pub const UNREADABLE: &str = "if this lasts, look for a proxy in between";
/// Said of an answer in none of Shopify's forms.
pub const FOREIGN: &str = "which isn't how Shopify answers";
/// Said of a redirect that is no verdict.
pub const REDIRECT: &str = "answers with a redirect, which is never followed";
/// Said to those that wait for another's turn.
pub const TURN: &str = "doesn't answer; it is asked every 10 s";
/// Said of a limit.
pub const RATE_LIMIT: &str = "limits the rate of this app's calls";
/// Said of a fault.
pub const FAULT: &str = "a fault on Shopify's side";

impl Cause {
    /// What the message of a `BackingOff` says.
    #[must_use]
    pub fn of(message: &str) -> Self {
        let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
        if says(&[TURN]) {
            Self::Turn
        } else if says(&[RATE_LIMIT]) {
            Self::RateLimit
        } else if says(&[FAULT]) {
            Self::Fault
        } else if says(&[REDIRECT]) {
            Self::Redirected
        } else if says(&[NO_CONNECTION, CANT_CONNECT, CONNECTION, NO_WHOLE_ANSWER, UNREADABLE, FOREIGN]) {
            Self::Silence
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_it_is_about() {
        for (message, cause) in [
            (format!("the token endpoint of acme {TURN}, and everything goes on"), Cause::Turn),
            (format!("a delegate with read_products can't be made: acme {RATE_LIMIT}"), Cause::RateLimit),
            (format!("acme answers 503: {FAULT}"), Cause::Fault),
            (format!("acme {REDIRECT}: open the shop's admin"), Cause::Redirected),
            (format!("the answer of acme isn't what Shopify documents: {UNREADABLE}"), Cause::Silence),
            ("acme refuses the call in a way this release doesn't know".to_owned(), Cause::Other),
            ("Secret web is emptied again and again".to_owned(), Cause::Other),
        ] {
            assert_eq!(Cause::of(&message), cause, "{message}");
        }
    }
}
