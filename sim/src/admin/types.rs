//! What resolvers work with, and the small types that answers share.

use std::sync::Arc;

use async_graphql::{Context, InputValueError, InputValueResult, Result, Scalar, ScalarType, SimpleObject, Value};
use chrono::{DateTime, SecondsFormat, Utc};

use super::Caller;
use super::cost::Meter;
use crate::shopify::Shopify;
use crate::state::Owner;

/// What resolvers work with.
pub(super) struct Request<'a> {
    pub(super) shopify: &'a Shopify,
    pub(super) owner: &'a Owner,
    /// The value of the token that calls.
    pub(super) token: &'a str,
    pub(super) meter: &'a Meter,
}

impl<'a> Request<'a> {
    pub(super) fn of(ctx: &Context<'a>) -> Result<Self> {
        let Caller { owner, token } = ctx.data()?;
        Ok(Self { shopify: ctx.data::<Shopify>()?, owner, token, meter: ctx.data::<Arc<Meter>>()? })
    }
}

/// `DateTime`, as in `2025-07-02T16:39:14Z`.
#[derive(Clone, Copy)]
pub(super) struct Timestamp(pub(super) DateTime<Utc>);

#[Scalar(name = "DateTime")]
impl ScalarType for Timestamp {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => Ok(Self(text.parse()?)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

/// A scope by its handle.
#[derive(Clone, SimpleObject)]
pub(super) struct AccessScope {
    #[graphql(complexity = 0)]
    handle: String,
    #[graphql(complexity = 0)]
    description: String,
}

impl AccessScope {
    pub(super) fn all<S: Into<String>>(handles: impl IntoIterator<Item = S>) -> Vec<Self> {
        handles
            .into_iter()
            .map(|handle| {
                let handle = handle.into();
                let description = handle.replace('_', " ");
                Self { handle, description }
            })
            .collect()
    }
}

/// A mistake of the caller. There is no `code`.
#[derive(SimpleObject)]
pub(super) struct UserError {
    #[graphql(complexity = 0)]
    pub(super) field: Option<Vec<String>>,
    #[graphql(complexity = 0)]
    pub(super) message: String,
}

impl UserError {
    pub(super) fn new(field: &[&str], message: impl Into<String>) -> Vec<Self> {
        let field = field.iter().map(|&name| name.to_owned()).collect();
        vec![Self { field: Some(field), message: message.into() }]
    }
}
