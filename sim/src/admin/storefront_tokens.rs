//! Storefront access tokens in GraphQL: two mutations and a connection
//! (<https://shopify.dev/docs/api/admin-graphql/latest/objects/storefrontaccesstoken>).

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::cost;
use super::graphql_error::{access_denied, bad_request, invalid_id};
use super::schema::{AccessScope, Request, Shop, Timestamp, UserError};
use crate::state::{CreateRefused, STOREFRONT_TOKEN_LIMIT, StorefrontToken};
use crate::switches::{DeleteUnknown, LimitMessage};

const MAX_PAGE: i32 = 250;

/// A public token of the Storefront API.
#[derive(Clone, SimpleObject)]
pub(super) struct StorefrontAccessToken {
    #[graphql(complexity = 0)]
    id: ID,
    #[graphql(complexity = 0)]
    access_token: String,
    #[graphql(complexity = 0)]
    access_scopes: Vec<AccessScope>,
    #[graphql(complexity = 0)]
    title: String,
    #[graphql(complexity = 0)]
    created_at: Timestamp,
    #[graphql(complexity = 0)]
    updated_at: Timestamp,
}

impl StorefrontAccessToken {
    fn new(token: &StorefrontToken, scopes: &[String]) -> Self {
        Self {
            id: token.gid().into(),
            access_token: token.value.clone(),
            access_scopes: AccessScope::all(scopes.to_vec()),
            title: token.title.clone(),
            created_at: Timestamp(token.created_at),
            updated_at: Timestamp(token.created_at),
        }
    }
}

/// Which part of a list is asked for.
pub(super) struct Page {
    first: Option<usize>,
    after: Option<u64>,
    last: Option<usize>,
    before: Option<u64>,
    reverse: bool,
}

impl Page {
    pub(super) fn new(
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
        reverse: bool,
    ) -> Result<Self> {
        if first.is_some() == last.is_some() {
            return Err(bad_request("you must provide one of first or last"));
        }
        Ok(Self { first: size(first)?, after: cursor(after)?, last: size(last)?, before: cursor(before)?, reverse })
    }
}

fn size(asked: Option<i32>) -> Result<Option<usize>> {
    let Some(asked) = asked else { return Ok(None) };
    if asked > MAX_PAGE {
        return Err(bad_request(&format!("cannot exceed {MAX_PAGE}")));
    }
    match usize::try_from(asked) {
        Ok(asked) => Ok(Some(asked)),
        Err(_) => Err(bad_request("cannot be negative")),
    }
}

/// Cursors are opaque: an id in hexadecimal digits, here.
fn cursor(asked: Option<String>) -> Result<Option<u64>> {
    asked.map(|text| u64::from_str_radix(&text, 16)).transpose().map_err(|_| bad_request("invalid cursor"))
}

/// A token and where it stands in the list.
#[derive(SimpleObject)]
pub(super) struct StorefrontAccessTokenEdge {
    #[graphql(complexity = 0)]
    cursor: String,
    #[graphql(complexity = 0)]
    node: StorefrontAccessToken,
}

/// What there is before and after a page.
#[derive(Clone, SimpleObject)]
pub(super) struct PageInfo {
    #[graphql(complexity = 0)]
    has_next_page: bool,
    #[graphql(complexity = 0)]
    has_previous_page: bool,
    #[graphql(complexity = 0)]
    start_cursor: Option<String>,
    #[graphql(complexity = 0)]
    end_cursor: Option<String>,
}

/// A page of tokens.
#[derive(SimpleObject)]
pub(super) struct StorefrontAccessTokenConnection {
    #[graphql(complexity = 0)]
    nodes: Vec<StorefrontAccessToken>,
    #[graphql(complexity = 0)]
    edges: Vec<StorefrontAccessTokenEdge>,
    #[graphql(complexity = 0)]
    page_info: PageInfo,
}

impl StorefrontAccessTokenConnection {
    /// One page of the calling app's tokens.
    pub(super) fn list(request: &Request<'_>, page: &Page, asked: Option<i32>) -> Result<Self> {
        let state = request.shopify.state();
        let scopes = state.installation(request.owner)?.unauthenticated_scopes();
        let mut all: Vec<&StorefrontToken> = state.storefront_tokens(request.owner).iter().collect();
        if page.reverse {
            all.reverse();
        }
        // Ids grow, so that a cursor holds even after its token is deleted.
        let is_after = |id: u64, cursor: u64| {
            if page.reverse { id < cursor } else { id > cursor }
        };
        let start = page.after.map_or(0, |cursor| all.partition_point(|token| !is_after(token.id, cursor)));
        let end = page.before.map_or(all.len(), |cursor| all.partition_point(|token| is_after(cursor, token.id)));
        let mut range = start..end.max(start);
        if let Some(first) = page.first {
            range.end = range.end.min(range.start.saturating_add(first));
        }
        if let Some(last) = page.last {
            range.start = range.start.max(range.end.saturating_sub(last));
        }
        let shown = &all[range.clone()];
        let unused = cost::connection_asked(asked, None).saturating_sub(cost::connection(shown.len()) as usize);
        request.meter.refund(u32::try_from(unused)?);

        let mark = |token: &&StorefrontToken| format!("{:x}", token.id);
        let nodes: Vec<_> = shown.iter().map(|token| StorefrontAccessToken::new(token, &scopes)).collect();
        let edges = shown
            .iter()
            .zip(&nodes)
            .map(|(token, node)| StorefrontAccessTokenEdge { cursor: mark(token), node: node.clone() })
            .collect();
        let page_info = PageInfo {
            has_next_page: range.end < all.len(),
            has_previous_page: range.start > 0,
            start_cursor: shown.first().map(mark),
            end_cursor: shown.last().map(mark),
        };
        Ok(Self { nodes, edges, page_info })
    }
}

#[derive(InputObject)]
struct StorefrontAccessTokenInput {
    title: String,
}

#[derive(InputObject)]
struct StorefrontAccessTokenDeleteInput {
    id: ID,
}

#[derive(SimpleObject)]
struct StorefrontAccessTokenCreatePayload {
    #[graphql(complexity = "child_complexity")]
    shop: Shop,
    storefront_access_token: Option<StorefrontAccessToken>,
    #[graphql(complexity = 0)]
    user_errors: Vec<UserError>,
}

#[derive(SimpleObject)]
struct StorefrontAccessTokenDeletePayload {
    #[graphql(complexity = 0)]
    deleted_storefront_access_token_id: Option<ID>,
    #[graphql(complexity = 0)]
    user_errors: Vec<UserError>,
}

/// The root of mutations. Its fields are nullable: an error of one leaves a
/// null there, not in place of all data.
pub(super) struct Mutation;

#[allow(clippy::unused_async, reason = "resolvers are async")]
#[Object]
impl Mutation {
    #[graphql(complexity = "10 + child_complexity")]
    async fn storefront_access_token_create(
        &self,
        ctx: &Context<'_>,
        input: StorefrontAccessTokenInput,
    ) -> Option<Result<StorefrontAccessTokenCreatePayload>> {
        Some(Request::of(ctx).and_then(|request| create(&request, &input)))
    }

    #[graphql(complexity = "10 + child_complexity")]
    async fn storefront_access_token_delete(
        &self,
        ctx: &Context<'_>,
        input: StorefrontAccessTokenDeleteInput,
    ) -> Option<Result<StorefrontAccessTokenDeletePayload>> {
        Some(Request::of(ctx).and_then(|request| delete(&request, input)))
    }
}

fn create(request: &Request<'_>, input: &StorefrontAccessTokenInput) -> Result<StorefrontAccessTokenCreatePayload> {
    let now = request.shopify.now();
    let mut state = request.shopify.state();
    let created = state.create_storefront_token(request.owner, &input.title, now)?;
    let (token, user_errors) = match created {
        Ok(token) => {
            let scopes = state.installation(request.owner)?.unauthenticated_scopes();
            (Some(StorefrontAccessToken::new(&token, &scopes)), Vec::new())
        }
        Err(refused) => {
            request.meter.refund(1);
            (None, refusal(refused, state.switches.sf_limit_message)?)
        }
    };
    Ok(StorefrontAccessTokenCreatePayload { shop: Shop, storefront_access_token: token, user_errors })
}

fn delete(
    request: &Request<'_>,
    input: StorefrontAccessTokenDeleteInput,
) -> Result<StorefrontAccessTokenDeletePayload> {
    let id = StorefrontToken::parse_gid(&input.id).ok_or_else(invalid_id)?;
    let mut state = request.shopify.state();
    let deleted = state.delete_storefront_token(request.owner, id);
    let user_errors = match (deleted, state.switches.sf_delete_unknown) {
        (true, _) => Vec::new(),
        (false, DeleteUnknown::TopLevelError) => return Err(invalid_id()),
        (false, DeleteUnknown::UserErrors) => {
            UserError::new(&["input", "id"], "Storefront access token does not exist")
        }
    };
    Ok(StorefrontAccessTokenDeletePayload {
        deleted_storefront_access_token_id: deleted.then_some(input.id),
        user_errors,
    })
}

fn refusal(refused: CreateRefused, limit: LimitMessage) -> Result<Vec<UserError>> {
    match refused {
        CreateRefused::NoUnauthenticatedScope => Err(access_denied("storefrontAccessTokenCreate")),
        CreateRefused::BlankTitle => Ok(UserError::new(&["input", "title"], "Title can't be blank")),
        CreateRefused::LimitReached => Ok(UserError::new(
            &["input"],
            match limit {
                LimitMessage::Key => "apps.admin.graph_api_errors.storefront_access_token_create\
                                      .reached_limit"
                    .to_owned(),
                LimitMessage::English => {
                    format!("Api permission exceeds public access token limit of: {STOREFRONT_TOKEN_LIMIT}")
                }
            },
        )),
    }
}
