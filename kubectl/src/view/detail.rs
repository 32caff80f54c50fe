//! A single token: its conditions, its life on a time scale, and what to do.

use shopify_token_operator::{
    api::{ShopifyToken, ShopifyTokenStatus},
    core::vocabulary::conditions,
    time::Timestamp,
};

use super::{
    lifeline::{Moment, draw},
    remedy,
    span::relative,
    state::{State, at, awaits_approval, holds},
};
use crate::{
    objects::Object,
    screen::{Tone, bold, harmless},
};

/// Columns of the time scale; the texts beside it fit into 120.
const SCALE: usize = 56;
/// Columns of other text.
const TEXT: usize = 100;

/// Everything that is to be known of a token without reading its Secret.
#[must_use]
pub fn token(object: &Object, now: Timestamp) -> String {
    let Some(token) = &object.token else {
        return format!("{}: it can't be read by this release of the plugin\n", bold(object.place()));
    };
    let state = State::of(token);
    let kind = token.spec.source().map_or("unknown source", |source| source.kind().as_str());
    let mut text = format!("{}  {kind} of {}\n\n", bold(object.place()), token.spec.shop);
    let empty = ShopifyTokenStatus::default();
    let status = token.status.as_ref().unwrap_or(&empty);
    text.push_str(&standing(&state, status));
    text.push('\n');
    text.push_str(&facts(token, status));
    let life = life(status, now);
    if !life.is_empty() {
        text.push('\n');
        for line in life {
            text.extend(["  ", &line, "\n"]);
        }
    }
    if let Some(advice) = advice(&state, token, status, now) {
        text.extend(["\n", &bold("What to do"), "\n", &remedy::wrapped(&advice, TEXT, "  ")]);
    }
    text
}

/// The conditions, the one that matters most first.
fn standing(state: &State, status: &ShopifyTokenStatus) -> String {
    let mut lines = vec![(state.reason.clone(), state.message.clone(), state.tone)];
    for condition in &status.conditions {
        let message = harmless(&condition.message);
        let is_known = condition.reason == state.reason && message == state.message;
        let tells = condition.type_ == conditions::READY || condition.type_ == conditions::TOKEN_VALID;
        if (tells || condition.status == "True") && !is_known {
            let head = format!("{} is {}", condition.type_, condition.status);
            lines.push((head, message, Tone::Plain));
        }
    }
    let broadest = lines.iter().map(|(head, ..)| head.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for (head, message, tone) in lines {
        let message = remedy::wrapped(&message, TEXT.saturating_sub(broadest + 4), &" ".repeat(broadest + 4));
        text.extend(["  ", &tone.paint(format!("{head:broadest$}")), "  ", message.trim(), "\n"]);
    }
    text
}

fn facts(token: &ShopifyToken, status: &ShopifyTokenStatus) -> String {
    let mut facts = vec![(
        "Secret",
        match status.revision {
            Some(revision) => format!("{}, revision {revision}", token.secret_name()),
            None => format!("{}, not written yet", token.secret_name()),
        },
    )];
    let issuer = token.admin_token().map(|name| format!("admin token {name}"));
    let app = token.app().map(|(namespace, name)| format!("app {namespace}/{name}"));
    facts.extend(issuer.or(app).map(|issuer| ("Issued with", issuer)));
    facts.extend(status.token_id.clone().map(|id| ("Token id", id)));
    if !status.scopes.is_empty() {
        facts.push(("Scopes", status.scopes.join(", ")));
    }
    if let Some(url) = &status.install_url {
        facts.push(("Approve at", url.to_string()));
    }
    if let Some(attempts) = status.failed_attempts.filter(|attempts| *attempts > 0) {
        facts.push(("Attempts", format!("{attempts} failed in a row")));
    }
    facts.into_iter().map(|(name, value)| format!("  {name:11}  {}\n", harmless(&value))).collect::<Vec<_>>().concat()
}

/// What happened to the credential, and will. Without an approval no renewal comes: then it matters how long this one lasts.
fn life(status: &ShopifyTokenStatus, now: Timestamp) -> Vec<String> {
    let mut moments = Vec::new();
    let mut add = |time, what: &str, sign| {
        moments.extend(at(time).map(|at| Moment { at, what: what.to_owned(), sign }));
    };
    let renewed = !awaits_approval(status);
    let end = match at(status.expires_at.as_ref()) {
        Some(at) if at <= now => "expired",
        _ if renewed || holds(status, conditions::READY).is_none() => "expires",
        _ => "works until",
    };
    add(status.issued_at.as_ref(), "issued", '●');
    add(status.last_verified_time.as_ref(), "verified", '○');
    if renewed {
        add(status.renewal_time.as_ref(), if status.expires_at.is_some() { "renewal" } else { "rotation" }, '◆');
        add(status.refresh_token_expires_at.as_ref(), "refresh token ends", '✕');
    }
    add(status.expires_at.as_ref(), end, '✕');
    add(status.next_attempt_time.as_ref(), "next attempt", '↻');
    for previous in &status.previous {
        add(Some(&previous.revoke_at), "overlap ends", '◌');
    }
    let endless = status.issued_at.is_some() && status.expires_at.is_none();
    draw(&moments, endless, SCALE, now)
}

fn advice(state: &State, token: &ShopifyToken, status: &ShopifyTokenStatus, now: Timestamp) -> Option<String> {
    if token.metadata.deletion_timestamp.is_some() {
        return remedy::of("Revoking").filter(|_| holds(status, conditions::RECONCILING).is_some());
    }
    match state.tone {
        Tone::Bad => remedy::of(&state.reason),
        Tone::Waits => {
            let next = at(status.next_attempt_time.as_ref()).filter(|at| *at > now);
            let next = next.map(|at| {
                format!(
                    "The next attempt is {}; `kubectl shopify-token reconcile {}` makes one now.",
                    relative(at, now),
                    token.metadata.name.as_deref().unwrap_or("NAME")
                )
            });
            let texts: Vec<_> = remedy::of(&state.reason).into_iter().chain(next).collect();
            (!texts.is_empty()).then(|| texts.join("\n\n"))
        }
        Tone::Quiet => Some(format!(
            "`kubectl shopify-token resume {}` lets the operator go on.",
            token.metadata.name.as_deref().unwrap_or("NAME")
        )),
        Tone::Good | Tone::Plain => None,
    }
}
