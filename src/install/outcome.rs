//! The page for each outcome and each refusal.

use axum::http::StatusCode;

use super::page::{Page, Tone};
use crate::{
    api::ShopifyToken,
    core::{
        approvals::Outcome,
        condition::{is_ready, obstacle},
        pair::Recorded,
        scopes,
        vocabulary::{Reason, labels::Told},
    },
    time,
};

const DONE: Told = Told::Done;

/// What is known of an approval that came back.
pub(super) enum Progress {
    /// There is nothing more to come.
    Ended(Page),
    /// It isn't decided yet.
    UnderWay,
}

/// What became of an approval, as the record Secret and the status tell.
pub(super) fn progress(token: &ShopifyToken, recorded: Option<&Recorded>, state: &str, again: &str) -> Progress {
    let Some((recorded, outcome)) = recorded.and_then(|r| Some((r, r.approvals.outcome(state)?))) else {
        return Progress::Ended(forgotten());
    };
    match outcome {
        Outcome::Waiting => Progress::UnderWay,
        Outcome::Declined => Progress::Ended(declined(token, again)),
        Outcome::Refused(_) => Progress::Ended(refused(token, again)),
        Outcome::Overtaken => Progress::Ended(overtaken(token)),
        Outcome::Exchanged => published(token, recorded, again),
    }
}

/// The token is there; do applications have it?
fn published(token: &ShopifyToken, recorded: &Recorded, again: &str) -> Progress {
    let access = recorded.pair.as_ref().and_then(|pair| pair.access.as_ref());
    let granted = access.and_then(|access| access.scopes.as_ref());
    let missing = granted.map(|granted| scopes::missing(&token.spec.required_scopes, granted)).unwrap_or_default();
    if !missing.is_empty() {
        return Progress::Ended(without_scopes(token, &missing.join(", "), again));
    }
    let Some(status) = &token.status else { return Progress::UnderWay };
    let issued_at = status.issued_at.as_ref().map(time::from_kube);
    let issued = access.and_then(|access| access.issued_at).map(time::round_down);
    if issued_at >= issued && is_ready(status) {
        return Progress::Ended(done(token));
    }
    match obstacle(status) {
        // What it said before the approval.
        None | Some(Reason::ConsentRequired | Reason::RefreshTokenDead) => Progress::UnderWay,
        Some(reason) if reason.is_stalled() => Progress::Ended(unpublished(token, reason)),
        Some(_) => Progress::UnderWay,
    }
}

fn done(token: &ShopifyToken) -> Page {
    if token.wants_session() {
        let text = "You have signed in, and the session is where it is needed. You can close this page.";
        return about(token, DONE, StatusCode::OK, Tone::Good, "Signed in", &[text])
            .with("Secret", token.secret_name());
    }
    let scopes = token.status.as_ref().map(|status| status.scopes.join(", ")).unwrap_or_default();
    let text = "The app was approved, and its token is where it is needed. You can close this page.";
    about(token, DONE, StatusCode::OK, Tone::Good, "Approved", &[text])
        .with("Access", if scopes.is_empty() { "none".to_owned() } else { scopes })
        .with("Secret", token.secret_name())
}

fn declined(token: &ShopifyToken, again: &str) -> Page {
    let (title, text) = if token.wants_session() {
        ("Not signed in", "Nobody signed in at Shopify. Nothing was changed. If that was a mistake, begin again.")
    } else {
        (
            "Not approved",
            "The approval was declined at Shopify. Nothing was changed. If that was a mistake, begin again.",
        )
    };
    about(token, Told::Declined, StatusCode::OK, Tone::Plain, title, &[text]).to(again, "Begin again")
}

fn refused(token: &ShopifyToken, again: &str) -> Page {
    let (title, text) = if token.wants_session() {
        (
            "No session came of it",
            "You have signed in, but no session came of it: it was too late, the connection was lost at the wrong moment, or what Shopify said of it can't be believed. A sign-in counts once.",
        )
    } else {
        (
            "Shopify did not accept it",
            "You approved the app, but Shopify did not exchange the approval for a token: it was too late, or the connection was lost at the wrong moment. An approval counts once.",
        )
    };
    let then = "Begin again. If it fails again, tell whoever runs the operator: its log says why.";
    about(token, Told::Refused, StatusCode::OK, Tone::Bad, title, &[text, then]).to(again, "Begin again")
}

fn without_scopes(token: &ShopifyToken, missing: &str, again: &str) -> Page {
    let texts = [
        "The app was approved, but with less access than is needed, so the token isn't used.",
        "Whoever develops the app has to release a version that asks for the access below. Then approve it again.",
    ];
    about(token, Told::ScopesMissing, StatusCode::OK, Tone::Bad, "Approved, but access is missing", &texts)
        .with("Missing", missing)
        .to(again, "Begin again")
}

fn unpublished(token: &ShopifyToken, reason: Reason) -> Page {
    let (title, text) = if token.wants_session() {
        (
            "Signed in, but not in use yet",
            "You have signed in, and nothing more is needed of you: the session isn't lost. But it can't be put where it is needed.",
        )
    } else {
        (
            "Approved, but not in use yet",
            "The app was approved, and nothing more is needed of you: the approval isn't lost. But the token can't be put where it is needed.",
        )
    };
    let then = "Tell whoever runs the operator the reason below; the status of the ShopifyToken says what to do.";
    about(token, Told::Unpublished, StatusCode::OK, Tone::Bad, title, &[text, then]).with("Reason", reason.as_str())
}

fn overtaken(token: &ShopifyToken) -> Page {
    let (title, text) = if token.wants_session() {
        (
            "Another sign-in came after this one",
            "Somebody signed in once more before this sign-in was used, and that one counts. You can close this page.",
        )
    } else {
        (
            "Another approval came after this one",
            "The app was approved once more before this approval was used, and that approval counts. You can close this page.",
        )
    };
    Page::new(Told::Overtaken, StatusCode::OK, Tone::Plain, title, &[text])
}

/// The wait is over, and it isn't decided.
pub(super) fn still_working(token: &ShopifyToken, here: &str) -> Page {
    let text = if token.wants_session() {
        "Your sign-in has arrived and is kept. The operator hasn't got the session yet, for instance because Shopify doesn't answer at the moment."
    } else {
        "Your approval has arrived and is kept. The operator hasn't finished exchanging it for a token yet, for instance because Shopify doesn't answer at the moment."
    };
    let then = "Nothing more is needed of you. You can close this page, or look again in a while.";
    about(token, Told::StillWorking, StatusCode::ACCEPTED, Tone::Wait, "Still working", &[text, then])
        .to(here, "Look again")
        .after(10)
}

fn about(
    token: &ShopifyToken,
    told: Told,
    status: StatusCode,
    tone: Tone,
    title: &'static str,
    texts: &[&str],
) -> Page {
    let (namespace, name) = (&token.metadata.namespace, &token.metadata.name);
    let place = [namespace.as_deref(), name.as_deref()].map(Option::unwrap_or_default).join("/");
    Page::new(told, status, tone, title, texts).with("Shop", &token.spec.shop).with("ShopifyToken", place)
}

/// The same for whatever can't be approved: what is there is nobody's affair.
pub(super) fn nothing_here() -> Page {
    let text = "There is nothing to approve, and nobody to sign in, at this address. Check that it is the whole address you were given, or ask whoever gave it to you.";
    Page::new(Told::NothingHere, StatusCode::NOT_FOUND, Tone::Plain, "Nothing here", &[text])
}

fn forgotten() -> Page {
    let text = "What became of this isn't known here any more. Ask whoever runs the operator: the status of the ShopifyToken tells.";
    Page::new(Told::Forgotten, StatusCode::GONE, Tone::Plain, "This page has expired", &[text])
}

/// Too much is asked at once.
pub(super) fn busy() -> Page {
    let text = "Too many people are asking at the moment. Nothing was changed. Load this page again in a few seconds.";
    Page::new(Told::Busy, StatusCode::TOO_MANY_REQUESTS, Tone::Wait, "One moment, please", &[text]).after(5)
}

/// Kubernetes can't be asked, or refuses.
pub(super) fn unavailable() -> Page {
    let texts = [
        "This can't be done at the moment, and nothing was changed. Load this page again in a few seconds.",
        "If it stays so, tell whoever runs the operator: its log says why.",
    ];
    let told = Told::Unavailable;
    Page::new(told, StatusCode::SERVICE_UNAVAILABLE, Tone::Bad, "Not possible at the moment", &texts).after(5)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use k8s_openapi::api::core::v1::Secret;
    use kube::ResourceExt;
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        core::{
            approvals::{Approvals, Code, approve, end},
            failure::Failure,
            hold::Hold,
            observed::Observed,
            pair::{Access, Pair},
            scene::{healthy, now, secret_string, status},
            status::{Attempts, Validity},
        },
    };

    fn token(fields: serde_json::Value) -> Observed {
        healthy(SourceKind::Offline, fields)
    }

    /// A record Secret after an approval with this outcome, and a pair issued so long after the applications' one.
    fn recorded(outcome: Option<&Outcome>, later: TimeDelta, scope: &str) -> Recorded {
        let mut live = Secret::default();
        approve(&mut live, &Code { value: secret_string("canary"), state: "s".into() }, now(), now());
        if let Some(outcome) = outcome {
            end(&mut live, "s", outcome);
        }
        let issued_at = Some(now() - TimeDelta::hours(1) + later);
        let scopes = Some(vec![scope.to_owned()]);
        let access = Access { value: secret_string("canary"), issued_at, expires_at: None, scopes, minted_by: None };
        let approvals = Approvals::parse(live.annotations());
        let pair = Some(Pair { access: Some(access), refresh: None, previous_refresh: None });
        Recorded { live, pair, bootstrap: None, code: None, approvals, customer: None }
    }

    fn title(o: &Observed, recorded: Option<&Recorded>, state: &str) -> (u16, &'static str) {
        match progress(&o.token, recorded, state, "/again") {
            Progress::Ended(page) => {
                assert!(!format!("{page:?}").contains("canary"));
                (page.status.as_u16(), page.title)
            }
            Progress::UnderWay => (202, "under way"),
        }
    }

    #[test]
    fn each_outcome_has_its_page() {
        let (soon, none) = (TimeDelta::minutes(1), TimeDelta::zero());
        let blocked = |reason| {
            let o = token(json!({}));
            let hold = Hold::Blocked(Failure::new(reason, "it is so"));
            let told = status(&o, Some(&hold), Validity::NotAsked, Attempts::None);
            o.with(|o| o.token.status = Some(told))
        };
        let refused = Outcome::Refused("it was used".into());
        let exchanged = Some(&Outcome::Exchanged);
        for (about, o, recorded, wanted) in vec![
            ("it waits", token(json!({})), recorded(None, none, "read_products"), (202, "under way")),
            ("it was published", token(json!({})), recorded(exchanged, none, "read_products"), (200, "Approved")),
            (
                "it isn't published yet",
                token(json!({})),
                recorded(exchanged, soon, "read_products"),
                (202, "under way"),
            ),
            (
                "what was there before says nothing",
                blocked(Reason::RefreshTokenDead),
                recorded(exchanged, soon, "read_products"),
                (202, "under way"),
            ),
            (
                "it can't be published",
                blocked(Reason::SecretConflict),
                recorded(exchanged, soon, "read_products"),
                (200, "Approved, but not in use yet"),
            ),
            ("it heals", blocked(Reason::BackingOff), recorded(exchanged, soon, "read_products"), (202, "under way")),
            (
                "a scope is missing",
                token(json!({"requiredScopes": ["write_themes"]})),
                recorded(exchanged, soon, "read_products"),
                (200, "Approved, but access is missing"),
            ),
            ("declined", token(json!({})), recorded(Some(&Outcome::Declined), none, "a"), (200, "Not approved")),
            ("refused", token(json!({})), recorded(Some(&refused), none, "a"), (200, "Shopify did not accept it")),
            (
                "overtaken",
                token(json!({})),
                recorded(Some(&Outcome::Overtaken), none, "a"),
                (200, "Another approval came after this one"),
            ),
        ] {
            assert_eq!(title(&o, Some(&recorded), "s"), wanted, "{about}");
        }
        let known = recorded(None, none, "a");
        assert_eq!(title(&token(json!({})), Some(&known), "t"), (410, "This page has expired"));
        assert_eq!(title(&token(json!({})), None, "s"), (410, "This page has expired"));
    }
}
