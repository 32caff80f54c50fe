//! Switches for what is not known about Shopify's behaviour.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One field per unknown. The defaults are what was measured at a live shop
/// or, failing that, what the documentation suggests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "each is independent of the others")]
pub struct Switches {
    /// The answer to a wrong client secret in a client-credentials grant.
    pub cc_wrong_secret: WrongSecret,
    /// The answer to a client-credentials grant for a shop the app isn't installed on.
    pub cc_not_installed: NotInstalled,
    /// Whether a new client-credentials token ends the earlier ones of that app and shop.
    pub cc_invalidates_previous: bool,
    /// How long after its grant the Admin API refuses a client-credentials token with 401, in virtual time.
    #[serde(with = "crate::duration")]
    pub cc_accepted_after: Duration,
    /// Of which admin tokens delegates can be made.
    pub delegate_parents: DelegateParents,
    /// The answer to a delegate with a scope that the app hasn't been granted.
    pub delegate_ungranted_scope: UngrantedScope,
    /// With which tokens a delegate is destroyed.
    pub delegate_destroyed_by: DestroyedBy,
    /// Whether a parent that dies before its time ends its delegates at once.
    pub delegate_ends_with_parent: bool,
    /// The answer to a refresh token that is dead.
    pub refresh_dead: RefreshDead,
    /// The answer to the migration of a token that is dead, or isn't a non-expiring offline one.
    pub migrate_dead: MigrateDead,
    /// How long a refresh token that was used can be used again.
    pub refresh_grace: RefreshGrace,
    /// What that brings.
    pub refresh_replay: RefreshReplay,
    /// What happens to an expiring offline token when another one takes its place.
    pub retired_access_token: RetiredAccessToken,
    /// The client secret that signs the callback of an approval, while several are live.
    pub callback_secret: CallbackSecret,
    /// What a version later than the newest supported one is answered.
    pub future_version: FutureVersion,
    /// What a shop serves in place of its discovery documents.
    pub customer_discovery: CustomerDiscovery,
    /// What a customer's sign-in brings as ID token.
    pub customer_id_token: IdToken,
    /// The customer who signs in: `sub` of the ID token.
    pub customer_subject: String,
    /// Whether a customer's refresh brings a new refresh token, and ends the one that was used.
    pub customer_refresh_rotates: bool,
    /// How long a customer's refresh token that was used can be used again, in virtual time.
    #[serde(with = "crate::duration")]
    pub customer_refresh_grace: Duration,
    /// How the token endpoint words its errors.
    pub oauth_error_format: OauthErrorFormat,
    /// What happens to a title of more than 255 characters.
    pub sf_long_title: LongTitle,
    /// The text of the GraphQL user error at the limit of storefront tokens.
    pub sf_limit_message: LimitMessage,
    /// The answer to the deletion of a storefront token that isn't there.
    pub sf_delete_unknown: DeleteUnknown,
    /// How long after its creation the Storefront API refuses a token with 401, in virtual time.
    #[serde(with = "crate::duration")]
    pub sf_accepted_after: Duration,
    /// How long after its creation a storefront token is missing in lists, GraphQL's and REST's, in virtual time.
    #[serde(with = "crate::duration")]
    pub sf_listed_after: Duration,
    /// The answer to the deletion of a storefront token that isn't listed yet.
    pub sf_delete_unlisted: DeleteUnlisted,
    /// Whether uninstalling an app ends the storefront tokens it made.
    pub sf_uninstall_kills_tokens: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            cc_wrong_secret: WrongSecret::default(),
            cc_not_installed: NotInstalled::default(),
            cc_invalidates_previous: false,
            cc_accepted_after: Duration::ZERO,
            delegate_parents: DelegateParents::default(),
            delegate_ungranted_scope: UngrantedScope::default(),
            delegate_destroyed_by: DestroyedBy::default(),
            delegate_ends_with_parent: false,
            refresh_dead: RefreshDead::default(),
            migrate_dead: MigrateDead::default(),
            refresh_grace: RefreshGrace::default(),
            refresh_replay: RefreshReplay::default(),
            retired_access_token: RetiredAccessToken::default(),
            callback_secret: CallbackSecret::default(),
            future_version: FutureVersion::default(),
            customer_discovery: CustomerDiscovery::default(),
            customer_id_token: IdToken::default(),
            customer_subject: "6780000000001".to_owned(),
            customer_refresh_rotates: true,
            customer_refresh_grace: Duration::ZERO,
            oauth_error_format: OauthErrorFormat::default(),
            sf_long_title: LongTitle::default(),
            sf_limit_message: LimitMessage::default(),
            sf_delete_unknown: DeleteUnknown::default(),
            sf_accepted_after: Duration::ZERO,
            sf_listed_after: Duration::ZERO,
            sf_delete_unlisted: DeleteUnlisted::default(),
            sf_uninstall_kills_tokens: true,
        }
    }
}

/// See [`Switches::cc_wrong_secret`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrongSecret {
    /// 400 `invalid_request`, measured at a live shop.
    #[default]
    InvalidRequest,
    /// 400 `invalid_client`, expected by Shopify's PHP and Python libraries.
    #[serde(rename = "invalid_client_400")]
    InvalidClient400,
    /// 401 `invalid_client`, as in RFC 6749.
    #[serde(rename = "invalid_client_401")]
    InvalidClient401,
}

/// See [`Switches::cc_not_installed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotInstalled {
    /// 400 `app_not_installed`.
    #[default]
    AppNotInstalled,
    /// 400 `invalid_request`.
    InvalidRequest,
}

/// See [`Switches::delegate_parents`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DelegateParents {
    /// Of all: a live shop made one of an expiring token.
    #[default]
    Any,
    /// User error `REFRESH_TOKEN` for one that comes with a refresh token: the schema says that "the parent access
    /// token can't have a refresh token".
    WithoutRefreshToken,
}

/// See [`Switches::delegate_ungranted_scope`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UngrantedScope {
    /// The user error `UNKNOWN_SCOPES`, measured for a scope that doesn't exist.
    #[default]
    UnknownScopes,
    /// A top-level error `ACCESS_DENIED`, for one that doesn't exist, too.
    AccessDenied,
}

/// See [`Switches::delegate_destroyed_by`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestroyedBy {
    /// Any token of the app on that shop; the delegate itself, too.
    #[default]
    App,
    /// The token it was made with.
    Parent,
}

/// See [`Switches::refresh_dead`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshDead {
    /// 401 `invalid_request`, seen at live shops and documented.
    #[default]
    #[serde(rename = "invalid_request_401")]
    InvalidRequest401,
    /// 400 `invalid_grant`, as in RFC 6749; expected by Shopify's PHP, Python and JavaScript libraries.
    #[serde(rename = "invalid_grant_400")]
    InvalidGrant400,
}

/// See [`Switches::migrate_dead`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrateDead {
    /// 400 `invalid_request`, expected by Shopify's JavaScript library. The description is invented.
    #[default]
    InvalidRequest,
    /// 400 `invalid_subject_token`, as for session tokens.
    InvalidSubjectToken,
}

/// See [`Switches::refresh_grace`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshGrace {
    /// Until its replacement is used, for 30 days at most: since 2026-08-28.
    #[default]
    UntilReplacementUsed,
    /// The same, for an hour at most: before that.
    OneHour,
    /// Never.
    None,
}

/// See [`Switches::refresh_replay`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshReplay {
    /// The same pair, with what is left of its lifetimes.
    #[default]
    SamePair,
    /// The same pair, with the lifetimes that it had when it was new.
    SameAnswer,
    /// A new pair; the one answered before can't be refreshed.
    NewPair,
}

/// See [`Switches::retired_access_token`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetiredAccessToken {
    /// It lives until it expires, as documented since 2026.
    #[default]
    ValidUntilExpiry,
    /// It is revoked, as documented in December 2025.
    DiesAtOnce,
}

/// See [`Switches::callback_secret`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackSecret {
    /// The oldest live one, as is documented of webhooks.
    #[default]
    Oldest,
    /// The newest.
    Newest,
}

/// See [`Switches::oauth_error_format`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OauthErrorFormat {
    /// JSON if `Accept` asks for `application/json`, else an HTML page.
    #[default]
    ByAccept,
    /// Always JSON.
    Json,
    /// Always an HTML page.
    Html,
}

/// See [`Switches::future_version`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FutureVersion {
    /// 404 `{"errors":"Not Found"}`, as for any path that isn't there.
    #[default]
    NotFound,
    /// Served by the oldest supported version, as a retired one is.
    Oldest,
}

/// See [`Switches::customer_discovery`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomerDiscovery {
    /// Both documents as they should be.
    #[default]
    Good,
    /// The store's 404 page.
    NotFound,
    /// A page of the store, with 200.
    Page,
    /// A redirect to the page that asks for the store's password.
    Password,
    /// JSON without its first character.
    Malformed,
    /// JSON of 10 MB.
    Huge,
    /// Without the token endpoint, and without the API.
    MissingField,
    /// All URLs with the scheme `http`.
    HttpUrls,
    /// A redirect that leads to the next one.
    TwoRedirects,
    /// A redirect to a URL with the scheme `http`.
    RedirectToHttp,
    /// A redirect to port 8443.
    RedirectToPort,
    /// A redirect to 10.0.0.1.
    RedirectToAddress,
}

/// See [`Switches::customer_id_token`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdToken {
    /// As it should be.
    #[default]
    Good,
    /// None.
    Absent,
    /// Its `iss` is that of another shop.
    OtherIssuer,
    /// Its `aud` is another client.
    OtherAudience,
    /// Its `nonce` is that of another sign-in.
    OtherNonce,
    /// Its `exp` was an hour ago.
    Expired,
    /// Somebody else's key has signed it, under the issuer's key id.
    OtherKey,
}

/// See [`Switches::sf_long_title`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LongTitle {
    /// The first 255 characters are kept, and nobody is told.
    #[default]
    Cut,
    /// A user error, and REST's 422. The text is invented.
    Refused,
}

/// See [`Switches::sf_limit_message`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitMessage {
    /// The untranslated key.
    #[default]
    Key,
    /// The English text that the REST resource documents.
    English,
}

/// See [`Switches::sf_delete_unknown`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteUnknown {
    /// A user error and a null id. The text is invented.
    #[default]
    UserErrors,
    /// A top-level error `RESOURCE_NOT_FOUND`.
    TopLevelError,
}

/// See [`Switches::sf_delete_unlisted`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteUnlisted {
    /// It is deleted: ids hold at once.
    #[default]
    Deleted,
    /// As if it weren't there, until it is listed.
    NotFound,
}
