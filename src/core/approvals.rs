//! What the record Secret keeps of approvals: the code that waits for its exchange, and which states were used.

use std::{collections::BTreeMap, fmt};

use chrono::TimeDelta;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{
    approval::{LIFETIME, SKEW},
    bounded, credential,
    vocabulary::PREFIX,
};
use crate::time::Timestamp;

const CODE: &str = "authorization_code";
const STATE: &str = "authorization_state";
/// Most approvals that are kept: those of ten minutes, unless somebody plays.
const MOST: usize = 16;
/// Between two that nobody has signed: time for the code of the first to be exchanged.
const APART: TimeDelta = TimeDelta::seconds(10);

/// An authorization code that waits for its exchange. `Debug` prints `[REDACTED]`.
#[derive(Clone, Debug)]
pub struct Code {
    /// Its value.
    pub value: SecretString,
    /// Fingerprint of the state it came with.
    pub state: String,
}

/// An approval that came back, by the fingerprint of its state: it doesn't count a second time.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Approval {
    /// Fingerprint of the state.
    pub state: String,
    /// Until when the state could be used, in seconds since 1970.
    until: i64,
    /// When it came back, in seconds since 1970. Those that were written before it was kept came long ago.
    #[serde(default)]
    at: i64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an approval.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Outcome {
    /// Its code waits to be exchanged.
    Waiting,
    /// Its code brought the token.
    Exchanged,
    /// Somebody declined.
    Declined,
    /// Its code was refused, for this reason.
    Refused(String),
    /// Another one came before its code was exchanged.
    Overtaken,
}

/// The approvals that came back, the newest last.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Approvals(Vec<Approval>);

impl fmt::Display for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).map_err(|_| fmt::Error)?)
    }
}

impl Approvals {
    /// Reads the annotations of a record Secret.
    #[must_use]
    pub fn parse(annotations: &BTreeMap<String, String>) -> Self {
        let text = annotations.get(&annotation());
        Self(text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
    }

    /// What became of the approval with this state, if it came back before.
    #[must_use]
    pub fn outcome(&self, state: &str) -> Option<&Outcome> {
        self.0.iter().rev().find(|approval| approval.state == state).map(|approval| &approval.outcome)
    }

    /// Whether one came back a moment ago: one that nobody has signed has to wait, whoever brings it. Anybody can begin, and
    /// what comes back costs a write and a call.
    #[must_use]
    pub fn crowded(&self, now: Timestamp) -> bool {
        self.0.last().is_some_and(|newest| (now.timestamp() - newest.at).abs() < APART.num_seconds())
    }

    /// What became of the newest one, where it brought nothing: to be said until another one comes.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        match &self.0.last()?.outcome {
            Outcome::Refused(why) => Some(format!("the last approval brought nothing: {why}")),
            Outcome::Declined => {
                Some("the last time it was asked for, the approval was declined at Shopify".to_owned())
            }
            Outcome::Waiting | Outcome::Exchanged | Outcome::Overtaken => None,
        }
    }

    /// One more, begun at a time. Those whose states have expired are forgotten, and where there are too many the oldest,
    /// declined ones first: of a merchant's approval nothing else can be added without a signature of Shopify's. Nobody signs
    /// a customer's; a state that is forgotten here brings a code that was used, which Shopify refuses.
    fn add(&mut self, state: &str, begun_at: Timestamp, outcome: Outcome, now: Timestamp) {
        let until = (begun_at + LIFETIME + SKEW).timestamp();
        self.0.retain(|approval| approval.until >= now.timestamp() && approval.state != state);
        if outcome == Outcome::Waiting {
            for approval in self.0.iter_mut().filter(|approval| approval.outcome == Outcome::Waiting) {
                approval.outcome = Outcome::Overtaken;
            }
        }
        self.0.push(Approval { state: state.to_owned(), until, at: now.timestamp(), outcome });
        while self.0.len() > MOST {
            let declined = self.0.iter().position(|approval| approval.outcome == Outcome::Declined);
            self.0.remove(declined.unwrap_or_default());
        }
    }

    fn end(&mut self, state: &str, outcome: &Outcome) {
        for approval in self.0.iter_mut().filter(|approval| approval.state == state) {
            approval.outcome = outcome.clone();
        }
    }
}

/// The code that waits in a record Secret, if one does.
#[must_use]
pub fn waiting(live: &Secret) -> Option<Code> {
    let data = live.data.as_ref()?;
    let value = credential::check(&data.get(CODE)?.0, CODE).ok()?;
    let state = String::from_utf8(data.get(STATE)?.0.clone()).ok()?;
    Some(Code { value, state })
}

/// Puts a code into a record Secret, with the state it came with.
pub fn approve(secret: &mut Secret, code: &Code, begun_at: Timestamp, now: Timestamp) {
    let data = secret.data.get_or_insert_default();
    data.insert(CODE.to_owned(), ByteString(code.value.expose_secret().as_bytes().to_vec()));
    data.insert(STATE.to_owned(), ByteString(code.state.clone().into_bytes()));
    change(secret, |approvals| approvals.add(&code.state, begun_at, Outcome::Waiting, now));
}

/// Notes in a record Secret that an approval was declined. A code that waits there goes on waiting.
pub fn decline(secret: &mut Secret, state: &str, begun_at: Timestamp, now: Timestamp) {
    change(secret, |approvals| approvals.add(state, begun_at, Outcome::Declined, now));
}

/// Takes a code out of a record Secret that was exchanged, or refused. One that has come since stays.
pub fn end(secret: &mut Secret, state: &str, outcome: &Outcome) {
    if waiting(secret).is_none_or(|code| code.state == state) {
        void(secret);
    }
    let outcome = match outcome {
        Outcome::Refused(why) => &Outcome::Refused(bounded::text(why, bounded::NOTE).into_owned()),
        outcome => outcome,
    };
    change(secret, |approvals| approvals.end(state, outcome));
}

/// Takes the code out of a record Secret, whatever becomes of it.
pub fn void(secret: &mut Secret) {
    if let Some(data) = &mut secret.data {
        data.remove(CODE);
        data.remove(STATE);
    }
}

fn change(secret: &mut Secret, change: impl FnOnce(&mut Approvals)) {
    let mut approvals = Approvals::parse(secret.annotations());
    change(&mut approvals);
    secret.annotations_mut().insert(annotation(), approvals.to_string());
}

fn annotation() -> String {
    format!("{PREFIX}approvals")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::scene::{minutes, now, secret_string};

    fn code(state: &str) -> Code {
        Code { value: secret_string(&format!("canary-{state}")), state: state.into() }
    }

    fn outcome(secret: &Secret, state: &str) -> Option<Outcome> {
        Approvals::parse(secret.annotations()).outcome(state).cloned()
    }

    #[test]
    fn a_code_waits_until_it_was_exchanged_or_refused() {
        let mut secret = Secret::default();
        assert!(waiting(&secret).is_none());
        approve(&mut secret, &code("a"), now(), now());
        assert_eq!(waiting(&secret).unwrap().value.expose_secret(), "canary-a");
        assert!(!format!("{:?}", waiting(&secret)).contains("canary"));
        assert!(!secret.annotations().values().any(|value| value.contains("canary")));
        let mut refused = secret.clone();
        end(&mut secret, "a", &Outcome::Exchanged);
        assert!(waiting(&secret).is_none() && secret.data.as_ref().unwrap().is_empty());
        assert_eq!(outcome(&secret, "a"), Some(Outcome::Exchanged));
        assert_eq!(Approvals::parse(secret.annotations()).complaint(), None);
        end(&mut refused, "a", &Outcome::Refused("it was used".repeat(1000)));
        let complaint = Approvals::parse(refused.annotations()).complaint().unwrap();
        assert!(complaint.contains("it was used") && complaint.len() < 1200, "{complaint}");
    }

    #[test]
    fn a_later_code_overtakes_and_is_not_taken_for_the_earlier_one() {
        let mut secret = Secret::default();
        approve(&mut secret, &code("a"), now(), now());
        approve(&mut secret, &code("b"), now(), now());
        assert_eq!((outcome(&secret, "a"), outcome(&secret, "b")), (Some(Outcome::Overtaken), Some(Outcome::Waiting)));
        end(&mut secret, "a", &Outcome::Exchanged);
        assert_eq!(waiting(&secret).unwrap().state, "b");
        decline(&mut secret, "c", now(), now());
        assert_eq!(waiting(&secret).unwrap().state, "b", "who declines stops nobody else");
        assert_eq!(outcome(&secret, "c"), Some(Outcome::Declined));
    }

    #[test]
    fn a_used_state_is_kept_for_as_long_as_it_could_come_back() {
        let mut secret = Secret::default();
        decline(&mut secret, "a", now(), now());
        decline(&mut secret, "b", now() + minutes(9), now() + minutes(10));
        assert!(outcome(&secret, "a").is_some());
        decline(&mut secret, "c", now() + minutes(12), now() + minutes(12));
        assert!(outcome(&secret, "a").is_none() && outcome(&secret, "b").is_some());
    }

    #[test]
    fn a_flood_of_refusals_neither_grows_nor_forgets_an_approval() {
        let mut secret = Secret::default();
        approve(&mut secret, &code("a"), now(), now());
        for n in 0..1000 {
            decline(&mut secret, &format!("{n:032}"), now(), now());
        }
        assert_eq!(outcome(&secret, "a"), Some(Outcome::Waiting));
        let approvals = Approvals::parse(secret.annotations());
        assert!(approvals.0.len() == MOST && approvals.to_string().len() < 2048, "{}", approvals.to_string().len());
    }

    #[test]
    fn what_nobody_signs_comes_one_at_a_time() {
        let crowded = |secret: &Secret, after| Approvals::parse(secret.annotations()).crowded(now() + after);
        let mut secret = Secret::default();
        assert!(!crowded(&secret, minutes(0)));
        decline(&mut secret, "a", now() - minutes(9), now());
        let seconds = TimeDelta::seconds;
        assert!(crowded(&secret, seconds(0)) && crowded(&secret, seconds(9)) && crowded(&secret, seconds(-9)));
        // A replica whose clock was ahead holds nobody up for long.
        assert!(!crowded(&secret, seconds(10)) && !crowded(&secret, seconds(-10)));
        let older = r#"[{"state":"a","until":32503680000,"outcome":"Exchanged"}]"#;
        let older = Approvals::parse(&BTreeMap::from([(annotation(), older.to_owned())]));
        assert!(older.outcome("a").is_some() && !older.crowded(now()), "of a version before");
    }

    #[test]
    fn what_was_edited_beyond_recognition_counts_for_nothing() {
        for text in ["", "[]", "{}", "[{\"state\":1}]"] {
            let annotations = BTreeMap::from([(annotation(), text.to_owned())]);
            assert_eq!(Approvals::parse(&annotations), Approvals::default(), "{text}");
        }
        let mut secret = Secret::default();
        secret.data.get_or_insert_default().insert(CODE.into(), ByteString(b"x\n".to_vec()));
        assert!(waiting(&secret).is_none());
    }
}
