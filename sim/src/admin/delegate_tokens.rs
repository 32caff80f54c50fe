//! The two mutations that create and destroy delegate access tokens
//! (<https://shopify.dev/docs/api/admin-graphql/latest/mutations/delegateAccessTokenCreate>).

use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject};
use chrono::SubsecRound;

use super::graphql_error::access_denied;
use super::shop::Shop;
use super::types::{Request, Timestamp};
use crate::state::{DelegateToken, DelegationRefused, DestructionRefused};

#[derive(InputObject)]
struct DelegateAccessTokenInput {
    delegate_access_scope: Vec<String>,
    /// In seconds.
    expires_in: Option<i32>,
}

/// A token that delegates a set of scopes.
#[derive(SimpleObject)]
struct DelegateAccessToken {
    #[graphql(complexity = 0)]
    access_token: String,
    #[graphql(complexity = 0)]
    access_scopes: Vec<String>,
    #[graphql(complexity = 0)]
    created_at: Timestamp,
    /// Since 2026-04.
    #[graphql(complexity = 0)]
    expires_in: Option<i64>,
}

#[derive(SimpleObject)]
struct DelegateAccessTokenCreatePayload {
    /// Free: a live shop counted 10 in all.
    #[graphql(complexity = 0)]
    delegate_access_token: Option<DelegateAccessToken>,
    #[graphql(complexity = "child_complexity")]
    shop: Shop,
    #[graphql(complexity = 0)]
    user_errors: Vec<DelegateAccessTokenCreateUserError>,
}

#[derive(SimpleObject)]
struct DelegateAccessTokenDestroyPayload {
    #[graphql(complexity = "child_complexity")]
    shop: Shop,
    #[graphql(complexity = 0)]
    status: Option<bool>,
    #[graphql(complexity = 0)]
    user_errors: Vec<DelegateAccessTokenDestroyUserError>,
}

/// `PERSISTENCE_FAILED` is a matter of faults.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
enum DelegateAccessTokenCreateUserErrorCode {
    DelegateAccessToken,
    EmptyAccessScope,
    ExpiresAfterParent,
    NegativeExpiresIn,
    RefreshToken,
    UnknownScopes,
}

/// A mistake of the caller. At a live shop `field` was null.
#[derive(SimpleObject)]
struct DelegateAccessTokenCreateUserError {
    #[graphql(complexity = 0)]
    code: Option<DelegateAccessTokenCreateUserErrorCode>,
    #[graphql(complexity = 0)]
    field: Option<Vec<String>>,
    #[graphql(complexity = 0)]
    message: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Enum)]
enum DelegateAccessTokenDestroyUserErrorCode {
    AccessDenied,
    AccessTokenNotFound,
    CanOnlyDeleteDelegateTokens,
}

/// A mistake of the caller. At a live shop `field` was null.
#[derive(SimpleObject)]
struct DelegateAccessTokenDestroyUserError {
    #[graphql(complexity = 0)]
    code: Option<DelegateAccessTokenDestroyUserErrorCode>,
    #[graphql(complexity = 0)]
    field: Option<Vec<String>>,
    #[graphql(complexity = 0)]
    message: String,
}

/// What the root of mutations has of these.
#[derive(Default)]
pub(super) struct DelegateTokens;

#[allow(clippy::unused_async, reason = "resolvers are async")]
#[Object]
impl DelegateTokens {
    #[graphql(complexity = "10 + child_complexity")]
    async fn delegate_access_token_create(
        &self,
        ctx: &Context<'_>,
        input: DelegateAccessTokenInput,
    ) -> Option<Result<DelegateAccessTokenCreatePayload>> {
        Some(Request::of(ctx).and_then(|request| create(&request, &input)))
    }

    #[graphql(complexity = "10 + child_complexity")]
    async fn delegate_access_token_destroy(
        &self,
        ctx: &Context<'_>,
        access_token: String,
    ) -> Option<Result<DelegateAccessTokenDestroyPayload>> {
        Some(Request::of(ctx).map(|request| destroy(&request, &access_token)))
    }
}

fn create(request: &Request<'_>, input: &DelegateAccessTokenInput) -> Result<DelegateAccessTokenCreatePayload> {
    let DelegateAccessTokenInput { delegate_access_scope, expires_in } = input;
    let now = request.shopify.now();
    let mut state = request.shopify.state();
    let created = state.create_delegate(request.owner, request.token, delegate_access_scope, *expires_in, now)?;
    let (delegate_access_token, user_errors) = match created {
        Ok(token) => (Some(shown(token, delegate_access_scope)), Vec::new()),
        Err(refused) => (None, vec![not_created(&refused)?]),
    };
    Ok(DelegateAccessTokenCreatePayload { delegate_access_token, shop: Shop, user_errors })
}

fn shown(token: DelegateToken, scopes: &[String]) -> DelegateAccessToken {
    DelegateAccessToken {
        expires_in: token.seconds_left(),
        access_token: token.value,
        access_scopes: scopes.to_vec(),
        created_at: Timestamp(token.created_at.trunc_subsecs(0)),
    }
}

fn destroy(request: &Request<'_>, value: &str) -> DelegateAccessTokenDestroyPayload {
    let now = request.shopify.now();
    let destroyed = request.shopify.state().destroy_own_delegate(request.owner, request.token, value, now);
    let user_errors = destroyed.err().map(not_destroyed).into_iter().collect();
    DelegateAccessTokenDestroyPayload { shop: Shop, status: Some(destroyed.is_ok()), user_errors }
}

/// The texts were measured, or are the schema's of that code.
fn not_created(refused: &DelegationRefused) -> Result<DelegateAccessTokenCreateUserError> {
    use DelegateAccessTokenCreateUserErrorCode as Code;
    let (code, message) = match refused {
        DelegationRefused::AccessDenied => return Err(access_denied("delegateAccessTokenCreate")),
        DelegationRefused::ByDelegate => {
            (Code::DelegateAccessToken, "The parent access token can't be a delegate token.".to_owned())
        }
        DelegationRefused::ParentWithRefreshToken => {
            (Code::RefreshToken, "The parent access token can't have a refresh token.".to_owned())
        }
        DelegationRefused::NoScopes => (Code::EmptyAccessScope, "The access scope can't be empty.".to_owned()),
        DelegationRefused::NoLifetime => {
            (Code::NegativeExpiresIn, "The expires_in value must be greater than 0.".to_owned())
        }
        DelegationRefused::UnknownScopes(scopes) => {
            (Code::UnknownScopes, format!("The access scope is invalid: {}", scopes.join(", ")))
        }
        DelegationRefused::ExpiresAfterParent => {
            (Code::ExpiresAfterParent, "The delegate token can't expire after the parent token.".to_owned())
        }
    };
    Ok(DelegateAccessTokenCreateUserError { code: Some(code), field: None, message })
}

fn not_destroyed(refused: DestructionRefused) -> DelegateAccessTokenDestroyUserError {
    use DelegateAccessTokenDestroyUserErrorCode as Code;
    let (code, message) = match refused {
        DestructionRefused::Unknown => (Code::AccessTokenNotFound, "Access token does not exist."),
        DestructionRefused::AdminToken => (Code::CanOnlyDeleteDelegateTokens, "Can only delete delegate tokens."),
        DestructionRefused::Foreign => (Code::AccessDenied, "Access denied."),
    };
    DelegateAccessTokenDestroyUserError { code: Some(code), field: None, message: message.to_owned() }
}
