//! A page: what happened, and what to do next. One template makes all of them, and escapes whatever stands in it.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use minijinja::{Environment, Value, context};
use sha2::{Digest, Sha256};

use crate::core::vocabulary::labels::Told;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// How a page looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tone {
    Good,
    Bad,
    Wait,
    Plain,
}

/// What a page says.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// What it is counted as.
    pub(super) told: Told,
    pub(super) status: StatusCode,
    pub(super) tone: Tone,
    pub(super) title: &'static str,
    pub(super) paragraphs: Vec<String>,
    /// Names and values.
    pub(super) facts: Vec<(&'static str, String)>,
    /// Where to go next, and what that is called.
    pub(super) link: Option<(String, &'static str)>,
    /// Seconds after which it is worth asking again.
    pub(super) retry_after: Option<u16>,
}

impl Page {
    pub(super) fn new(told: Told, status: StatusCode, tone: Tone, title: &'static str, paragraphs: &[&str]) -> Self {
        let paragraphs = paragraphs.iter().map(|text| (*text).to_owned()).collect();
        Self { told, status, tone, title, paragraphs, facts: Vec::new(), link: None, retry_after: None }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.facts.push((name, value.into()));
        self
    }

    pub(super) fn to(mut self, address: impl Into<String>, label: &'static str) -> Self {
        self.link = Some((address.into(), label));
        self
    }

    pub(super) fn after(mut self, seconds: u16) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    fn html(&self) -> Result<String, minijinja::Error> {
        let (tone, mark) = match self.tone {
            Tone::Good => ("good", "\u{2713}"),
            Tone::Bad => ("bad", "\u{2717}"),
            Tone::Wait => ("wait", "\u{2026}"),
            Tone::Plain => ("plain", "\u{2022}"),
        };
        let facts = self.facts.iter().map(|(name, value)| Value::from(vec![(*name).to_owned(), value.clone()]));
        let link = self.link.as_ref().map(|(address, label)| Value::from(vec![address.clone(), (*label).to_owned()]));
        let mut environment = Environment::new();
        // By its name it is HTML, and everything that goes into it is escaped.
        environment.add_template("page.html", TEMPLATE)?;
        environment.get_template("page.html")?.render(context! {
            title => self.title,
            style => Value::from_safe_string(STYLE.to_owned()),
            tone => tone,
            mark => mark,
            paragraphs => self.paragraphs.clone(),
            facts => facts.collect::<Vec<_>>(),
            link => link,
        })
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = match self.html() {
            Ok(html) => (self.status, Html(html)).into_response(),
            Err(error) => {
                tracing::error!(%error, "a page can't be made");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        };
        response.extensions_mut().insert(self.told);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// What every answer says beside its content: nothing is loaded, framed, kept, guessed or told to others.
pub(super) async fn guarded(mut response: Response) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        BASE64_STANDARD.encode(Sha256::digest(STYLE))
    );
    let headers = response.headers_mut();
    headers.extend(HeaderValue::from_str(&policy).ok().map(|policy| (header::CONTENT_SECURITY_POLICY, policy)));
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_in_a_page_is_text() {
        let hostile = "\"'><script>alert(1)</script>{{ 7 * 7 }}{% raw %}&amp;";
        let page = Page::new(Told::Done, StatusCode::OK, Tone::Good, "Title", &[hostile])
            .with("Shop", hostile)
            .to(hostile, "Again");
        let html = page.html().unwrap();
        assert!(!html.contains("<script") && !html.contains("49"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(1)") && html.contains("{{ 7 * 7 }}") && html.contains("&amp;amp;"));
        assert_eq!(html.matches("<a ").count(), 1);
        assert!(html.contains("href=\"&quot;&#x27;&gt;"), "{html}");
        assert!(html.contains(STYLE), "the style is what its hash is of");
    }

    #[test]
    fn a_page_needs_nothing_but_itself() {
        let html = Page::new(Told::Done, StatusCode::OK, Tone::Plain, "Title", &[]).html().unwrap();
        assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">") && html.contains("name=\"viewport\""));
        for outside in ["src=", "<link", "url(", "@import", "http:", "https:", "<script", "style=\""] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(!html.contains("<dl>") && !html.contains("<a "));
    }
}
