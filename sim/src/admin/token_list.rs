//! Storefront access tokens as GraphQL shows them: one, and a connection of them
//! (<https://shopify.dev/docs/api/admin-graphql/latest/objects/storefrontaccesstoken>).

use async_graphql::{ID, Result, SimpleObject};

use super::cost;
use super::graphql_error::bad_request;
use super::types::{AccessScope, Request, Timestamp};
use crate::state::StorefrontToken;

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
    pub(super) fn new(token: &StorefrontToken, scopes: &[String]) -> Self {
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
        let now = request.shopify.now();
        let state = request.shopify.state();
        let scopes = state.installation(request.owner)?.unauthenticated_scopes();
        let mut all: Vec<&StorefrontToken> = state.listed_storefront_tokens(request.owner, now).collect();
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
