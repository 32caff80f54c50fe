//! Switches for what is not known about Shopify's behaviour.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One field per unknown. The defaults are what was measured at a live shop
/// or, failing that, what the documentation suggests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    /// What a version later than the newest supported one is answered.
    pub future_version: FutureVersion,
    /// What a shop serves in place of its discovery documents.
    pub customer_discovery: CustomerDiscovery,
    /// What a customer's sign-in brings as ID token.
    pub customer_id_token: IdToken,
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
            future_version: FutureVersion::default(),
            customer_discovery: CustomerDiscovery::default(),
            customer_id_token: IdToken::default(),
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
