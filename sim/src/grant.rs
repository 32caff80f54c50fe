//! Grant requests: form or JSON, told apart by `Content-Type`.

use std::collections::HashMap;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

/// The type of an offline token, as token exchanges name it.
pub(crate) const OFFLINE_TOKEN: &str = "urn:shopify:params:oauth:token-type:offline-access-token";

/// The parameters of a grant request.
#[derive(Debug, Default)]
pub(crate) struct Parameters(HashMap<String, String>);

impl Parameters {
    pub(crate) fn of(headers: &HeaderMap, body: &[u8]) -> Self {
        let is_json = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("application/json"));
        let parameters = if is_json {
            serde_json::from_slice::<HashMap<String, Value>>(body)
                .unwrap_or_default()
                .into_iter()
                .map(|(name, value)| match value {
                    Value::String(text) => (name, text),
                    other => (name, other.to_string()),
                })
                .collect()
        } else {
            return Self::of_form(body);
        };
        Self(parameters)
    }

    /// Those of a form, or of a query.
    pub(crate) fn of_form(form: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(form).into_owned().collect())
    }

    /// A parameter; empty if absent.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// A grant, with the parameters of those that are simulated.
#[derive(Debug)]
pub(crate) enum Grant {
    ClientCredentials(Parameters),
    Code(Parameters),
    Refresh(Parameters),
    /// The token exchange of a non-expiring offline token for a pair.
    Migrate(Parameters),
    /// Any other token exchange.
    TokenExchange,
    Unknown,
}

impl Grant {
    pub(crate) fn of(headers: &HeaderMap, body: &[u8]) -> Self {
        let parameters = Parameters::of(headers, body);
        match parameters.get("grant_type") {
            "client_credentials" => Self::ClientCredentials(parameters),
            "refresh_token" => Self::Refresh(parameters),
            "urn:ietf:params:oauth:grant-type:token-exchange" => match parameters.get("subject_token_type") {
                OFFLINE_TOKEN => Self::Migrate(parameters),
                _ => Self::TokenExchange,
            },
            // Shopify's code exchange has no grant_type.
            "" if !parameters.get("code").is_empty() => Self::Code(parameters),
            _ => Self::Unknown,
        }
    }

    /// The name in logs and faults.
    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::ClientCredentials(_) => "clientCredentials",
            Self::Code(_) => "code",
            Self::Refresh(_) => "refresh",
            Self::Migrate(_) => "migrate",
            Self::TokenExchange => "tokenExchange",
            Self::Unknown => "unknown",
        }
    }
}
