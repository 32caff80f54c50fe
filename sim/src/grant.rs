//! Grant requests: form or JSON, told apart by `Content-Type`.

use std::collections::HashMap;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

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
            url::form_urlencoded::parse(body).into_owned().collect()
        };
        Self(parameters)
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
    RefreshToken,
    TokenExchange,
    AuthorizationCode,
    Unknown,
}

impl Grant {
    pub(crate) fn of(headers: &HeaderMap, body: &[u8]) -> Self {
        let parameters = Parameters::of(headers, body);
        match parameters.get("grant_type") {
            "client_credentials" => Self::ClientCredentials(parameters),
            "refresh_token" => Self::RefreshToken,
            "urn:ietf:params:oauth:grant-type:token-exchange" => Self::TokenExchange,
            // Shopify's code exchange has no grant_type.
            "" if !parameters.get("code").is_empty() => Self::AuthorizationCode,
            // That of customers has one.
            "authorization_code" => Self::AuthorizationCode,
            _ => Self::Unknown,
        }
    }

    /// The name in logs and faults.
    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::ClientCredentials(_) => "clientCredentials",
            Self::RefreshToken => "refreshToken",
            Self::TokenExchange => "tokenExchange",
            Self::AuthorizationCode => "authorizationCode",
            Self::Unknown => "unknown",
        }
    }
}
