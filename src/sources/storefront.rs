//! storefront: list first, adopt what is ours, create only what isn't there.
//!
//! A create's answer may be lost, and a crash may come right after it. So the title carries UID and
//! revision, and before anything is created the list is searched for it.

use chrono::TimeDelta;
use secrecy::ExposeSecret;

use super::{Issued, Origin, Refused, Seen, Turn, UnlessWritten, blame};
use crate::{
    api::SourceRef,
    core::{
        credential::{self, Credential},
        failure::Failure,
        marker::Marker,
        observed::{Doubt, Observed},
        ours::{Current, LISTED_WITHIN, Ours, StorefrontToken},
        plan::{REFUSALS_APART, Why},
        previous::PreviousValues,
        record::Previous,
        secret::Whole,
        source::{AdminToken, different_issuers},
        vocabulary::Reason,
    },
    shopify::{AdminAccess, ApiError, ListedTokens},
};

/// By then a create was sent or given up: the longest a reconcile takes.
const SENT_WITHIN: TimeDelta = TimeDelta::minutes(1);
/// A token just created may take a moment to be known everywhere.
const PROPAGATION: TimeDelta = TimeDelta::minutes(1);

/// Adopts or creates a storefront token.
pub(super) async fn issue(turn: &Turn<'_>, admin: &AdminToken, why: Why) -> Result<Issued, Refused> {
    let observed = turn.observed;
    let Some(token) = &admin.token else { return Err(no_token(admin).into()) };
    let access = turn.access(admin, token);
    let listed = turn.shopify.list_storefront_tokens(&access).await.map_err(|error| blame(admin, error))?;
    let inherited = inherited_scopes(turn, &access, &listed).await.map_err(|error| blame(admin, error))?;
    if let Some(failure) = inherited.and_then(|scopes| observed.lacks_scopes(&scopes)) {
        return Err(failure.into());
    }
    let ours = Ours::among(&listed.tokens, observed);
    let (revision, token, origin) = if let Some((revision, token)) = ours.candidate(why) {
        check(token, turn)?;
        (revision, token.clone(), Origin::Adopted)
    } else {
        let revision = ours.next_revision();
        (revision, create(turn, admin, &access, revision, &listed).await?, Origin::New)
    };
    let now = turn.now();
    let made = usize::from(origin == Origin::New);
    turn.memory.listed(&observed.identity.uid, listed.tokens.len() + made);
    let issuer = issuer(admin, &listed);
    let moved = observed.latest().is_some_and(|r| {
        r.admin.as_ref() != Some(&admin.name) || different_issuers(r.issuer.as_deref(), issuer.as_deref())
    });
    let previous = ours.previous(Current { id: &token.id, revision, moved }, now);
    let usable = |older: &&StorefrontToken| check(older, turn).is_ok();
    let value_of =
        |older: &Previous| listed.tokens.iter().find(|t| t.id == older.id).filter(usable).map(|t| t.value.clone());
    Ok(Issued {
        revision,
        origin,
        admin: Some(admin.name.clone()),
        parent: None,
        minted_by: None,
        issuer,
        served: turn.served(&access, listed.served),
        discovery: None,
        session: None,
        previous_values: PreviousValues { newest: previous.last().and_then(value_of), kept: Vec::new() },
        previous,
        renewed: None,
        unless_written: match origin {
            Origin::New => UnlessWritten::DoubtStray,
            Origin::Adopted | Origin::Migrated | Origin::Same | Origin::Recorded => UnlessWritten::Nothing,
        },
        credential: Credential {
            issued_at: token.created_at.filter(|_| origin == Origin::Adopted).unwrap_or(now),
            value: token.value,
            token_id: Some(token.id),
            scopes: token.scopes,
            expires_at: None,
            warning: None,
        },
    })
}

/// A list tells the value again: whether it can be one is asked where it is taken up.
fn check(token: &StorefrontToken, turn: &Turn<'_>) -> Result<(), Failure> {
    let checked = credential::check(token.value.expose_secret().as_bytes(), "the list");
    checked.map(drop).map_err(|_| {
        let message = format!(
            "{} lists {} with a value that can't be one; delete it in Shopify's admin, and another one is made",
            turn.shop, token.id
        );
        Failure::new(Reason::UnexpectedAnswer, message)
    })
}

/// Creates a token, unless one may be there that isn't listed yet.
async fn create(
    turn: &Turn<'_>,
    admin: &AdminToken,
    access: &AdminAccess,
    revision: i64,
    listed: &ListedTokens,
) -> Result<StorefrontToken, Refused> {
    let now = turn.now();
    if let Some(at) = turn.observed.settles_at.filter(|at| *at > now) {
        let message = "a storefront token may have been created a moment ago, and its answer was lost: none is created before Shopify's list can be trusted";
        return Err(Failure { retry_after: Some(at - now), ..Failure::new(Reason::BackingOff, message) }.into());
    }
    let uid = &turn.observed.identity.uid;
    // Noted before it is sent: whoever waits for the answer may be stopped.
    turn.memory.unsettled(uid, now + SENT_WITHIN + LISTED_WITHIN);
    let created = turn.shopify.create_storefront_token(access, &title(turn.observed, revision)).await;
    match &created {
        // It may have been made all the same.
        Err(error) if error.failure().unsure => {
            turn.memory.unsettled(uid, turn.now() + LISTED_WITHIN);
        }
        Ok(_) | Err(_) => turn.memory.settled(uid),
    }
    created.map_err(|error| blame(admin, explain_limit(error, listed, turn)))
}

/// What issues its tokens: the app's client id, or its installation where only that is known.
fn issuer(admin: &AdminToken, listed: &ListedTokens) -> Option<String> {
    admin.issuer.clone().or_else(|| listed.installation.clone())
}

/// The scopes that a token created now would have: the app's `unauthenticated_*` ones
/// (<https://shopify.dev/docs/api/admin-rest/latest/resources/storefrontaccesstoken>). Only asked for where scopes
/// are required; GraphQL tells them with the list.
async fn inherited_scopes(
    turn: &Turn<'_>,
    access: &AdminAccess,
    listed: &ListedTokens,
) -> Result<Option<Vec<String>>, ApiError> {
    if turn.observed.token.spec.required_scopes.is_empty() {
        return Ok(None);
    }
    let mut scopes = match &listed.granted_scopes {
        Some(granted) => granted.clone(),
        None => turn.shopify.installation_scopes(access).await?.scopes,
    };
    scopes.retain(|scope| scope.starts_with("unauthenticated_"));
    Ok(Some(scopes))
}

/// What the user wants to read, then the marker.
fn title(observed: &Observed, revision: i64) -> String {
    let readable = match observed.token.spec.source() {
        Some(SourceRef::Storefront(source)) => source.title.as_deref(),
        Some(
            SourceRef::ClientCredentials(_)
            | SourceRef::Offline(_)
            | SourceRef::Delegate(_)
            | SourceRef::Custom(_)
            | SourceRef::CustomerAccount(_),
        )
        | None => None,
    };
    let marker = Marker { uid: observed.identity.uid.clone(), revision };
    marker.title(readable.unwrap_or(&observed.identity.name))
}

/// At the limit a person wants to know how many of the tokens are the operator's.
fn explain_limit(error: ApiError, listed: &ListedTokens, turn: &Turn<'_>) -> ApiError {
    if error.failure().reason != Reason::LimitReached {
        return error;
    }
    let all = listed.tokens.len();
    let operators = listed.tokens.iter().filter(|t| Marker::parse(&t.title).is_some()).count();
    ApiError::Failed(Failure::new(
        Reason::LimitReached,
        format!(
            "the app has {all} storefront tokens on {}, Shopify's limit; {operators} carry this operator's marker; delete unused ones at Shopify or their ShopifyTokens, and it goes on",
            turn.shop
        ),
    ))
}

fn no_token(admin: &AdminToken) -> Failure {
    let message = format!("ShopifyToken {:?} (adminTokenRef) has no token to use", admin.name);
    Failure::new(Reason::AdminTokenNotReady, message)
}

/// The admin's list knows the token, its scopes and strays; the Storefront API says whether it works.
pub(super) async fn verify(turn: &Turn<'_>, admin: &AdminToken, whole: &Whole<'_>) -> Result<Seen, Refused> {
    let record = whole.record;
    let Some(token) = &admin.token else { return Err(no_token(admin).into()) };
    let access = turn.access(admin, token);
    let listed = turn.shopify.list_storefront_tokens(&access).await.map_err(|error| blame(admin, error))?;
    if different_issuers(record.issuer.as_deref(), issuer(admin, &listed).as_deref()) {
        return Ok(Seen::Doubtful(Doubt::Moved));
    }
    turn.memory.listed(&turn.observed.identity.uid, listed.tokens.len());
    let now = turn.now();
    let young = record.issued_at + PROPAGATION > now;
    let again = Ok(Seen::Doubtful(Doubt::RefusedOnce(now)));
    let Some(current) = listed.tokens.iter().find(|t| Some(&t.id) == record.token_id.as_ref()) else {
        let gone = Refused::Dead("has the storefront token no more: it was deleted there");
        return if young { again } else { Err(gone) };
    };
    if !turn.shopify.probe_storefront_token(turn.shop, &access.version, &current.value).await? {
        return match turn.observed.suspect {
            _ if young => again,
            Some(Doubt::RefusedOnce(at)) if at + REFUSALS_APART <= now => {
                Err(Refused::Dead("lists the storefront token, and its Storefront API has refused it twice"))
            }
            Some(doubt @ Doubt::RefusedOnce(_)) => Ok(Seen::Doubtful(doubt)),
            None | Some(Doubt::Refused | Doubt::Stray | Doubt::Moved) => again,
        };
    }
    let strays = Ours::among(&listed.tokens, turn.observed).strays(record, turn.now());
    Ok(Seen::Working { scopes: current.scopes.clone(), strays, served: turn.served(&access, listed.served.clone()) })
}
