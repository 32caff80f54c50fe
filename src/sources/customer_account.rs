//! customerAccount: a client that a person has made in the Headless or Hydrogen channel, published with where it is used.
//!
//! Shopify can be asked where, and not whether it takes the client
//! (<https://shopify.dev/docs/storefronts/headless/building-with-the-customer-account-api/getting-started>).

use secrecy::SecretString;

use super::{Issued, Origin, Refused, Renewed, Seen, Turn, UnlessWritten};
use crate::{
    core::{
        approval::Proof,
        approvals::Code,
        credential::{Credential, RefreshToken, same},
        customer::{CustomerClient, Discovery, Session, customer_of},
        failure::Failure,
        keeper,
        observed::Observed,
        older_client,
        pair::{Access, Pair},
        plan::Why,
        public_url::PublicUrl,
        secret::Whole,
        session::{Next, remedy},
        vocabulary::Reason,
    },
    shopify::{self, CustomerSession, Expected, OidcClient},
    time::Timestamp,
};

/// Publishes the client. Another pair needs no answer of the shop, whose endpoints are those in the record.
pub(super) async fn issue(turn: &Turn<'_>, client: &CustomerClient, why: Why) -> Result<Issued, Refused> {
    let discovery = match at_hand(turn.observed, why) {
        Some(discovery) => discovery.clone(),
        None => turn.shopify.discover(turn.shop).await?,
    };
    let beside = match &client.session {
        Some(session) => session_of(turn, client, session, &discovery, why).await?,
        None => Beside::default(),
    };
    Ok(issued(turn.observed, client, discovery, beside, turn.now()))
}

/// What stands beside a client: nothing, or the session of a customer.
#[derive(Default)]
struct Beside {
    session: Option<Published>,
    renewed: Option<Renewed>,
    warning: Option<String>,
}

/// The part of a session that is published.
#[derive(Clone)]
struct Published {
    value: SecretString,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

/// Whether a customer's session has to be asked for.
pub(super) fn asks(observed: &Observed, client: &CustomerClient, why: Why, now: Timestamp) -> bool {
    let next = client.session.as_ref().map(|session| session.next(observed, why, now));
    matches!(next, Some(Next::Exchange(..) | Next::Refresh(..)))
}

async fn session_of(
    turn: &Turn<'_>,
    client: &CustomerClient,
    session: &Session,
    discovery: &Discovery,
    why: Why,
) -> Result<Beside, Refused> {
    match session.next(turn.observed, why, turn.now()) {
        Next::Exchange(code, public) => exchanged(turn, client, session, discovery, (code, public)).await,
        Next::Refresh(refresh, public) => refreshed(turn, client, session, discovery, (refresh, public)).await,
        Next::Publish(access) => Ok(Beside { session: published(access, turn.now()), ..Beside::default() }),
        // Without its record it lives on until its end.
        Next::Wait => Ok(Beside { session: kept(turn.observed, turn.now()), ..Beside::default() }),
    }
}

/// The session that applications have, as long as it lives.
fn kept(observed: &Observed, now: Timestamp) -> Option<Published> {
    let whole = observed.whole().filter(|_| !observed.restored())?;
    let expires_at = whole.record.expires_at.filter(|at| *at > now)?;
    Some(Published { value: whole.session?.clone(), issued_at: whole.record.issued_at, expires_at })
}

fn published(access: &Access, now: Timestamp) -> Option<Published> {
    Some(Published { value: access.value.clone(), issued_at: access.since(now), expires_at: access.expires_at? })
}

/// The code of a sign-in, exchanged for a new beginning. The issuer's keys are asked for before, so that the code isn't
/// used up for an ID token that can't be checked. An answer that is lost can't be had again: the next attempt hears that
/// the code was used.
async fn exchanged(
    turn: &Turn<'_>,
    client: &CustomerClient,
    session: &Session,
    discovery: &Discovery,
    (code, public): (&Code, &PublicUrl),
) -> Result<Beside, Refused> {
    let proof = client.client_secret.as_ref().and_then(|secret| Proof::of(secret, &code.state));
    let Some(proof) = proof else {
        let message = "a session takes a Confidential client, whose secret proves who began the sign-in";
        return Err(Refused::CodeDead(Failure::new(Reason::ConsentRequired, message)));
    };
    let keys = turn.shopify.issuer_keys(turn.shop, discovery).await?;
    let back = public.callback();
    let presented = shopify::Code { value: &code.value, redirect_uri: &back, verifier: &proof.verifier };
    let asked = turn.shopify.begin_session(&oidc(turn, client, public), discovery, &presented, turn.now()).await;
    let granted = asked.map_err(|failure| match failure.reason {
        Reason::ConsentRequired => {
            let message = format!(
                "{}; if an exchange before this one was answered and the answer was lost, what it brought can't be had again",
                failure.message
            );
            Refused::CodeDead(Failure { message, ..failure })
        }
        _ => Refused::Failure(failure),
    })?;
    let Some(id_token) = &granted.id_token else {
        let message = format!("the customer's sign-in at {} brought no ID token: its session isn't used", turn.shop);
        return Err(Refused::CodeDead(Failure::new(Reason::ConsentRequired, message)));
    };
    let expected = Expected { client_id: &client.client_id, nonce: &proof.nonce };
    let subject = keys.signed_in(turn.shop, discovery, id_token, expected, turn.now()).map_err(Refused::CodeDead)?;
    let customer = customer_of(&turn.observed.identity, discovery.issuer.as_str(), &subject);
    let known = session.recorded.as_ref().and_then(|recorded| recorded.customer.as_ref());
    if known.is_some_and(|known| *known != customer) {
        let record = turn.observed.token.record_secret().unwrap_or_default();
        let message = format!(
            "another customer of {} signed in than the one whose session it was: that session isn't used; sign in as the same one, or delete Secret {record:?} first",
            turn.shop
        );
        return Err(Refused::CodeDead(Failure::new(Reason::ConsentRequired, message)));
    }
    let Beside { session, renewed, warning } = renewed(session, granted, None, Some(code.state.clone()));
    let renewed = renewed.map(|renewed| Renewed { customer: Some(customer), ..renewed });
    Ok(Beside { session, renewed, warning })
}

/// The next session. The refresh token before the current one is tried once where that is dead: then it was never used.
async fn refreshed(
    turn: &Turn<'_>,
    client: &CustomerClient,
    session: &Session,
    discovery: &Discovery,
    (refresh, public): (&RefreshToken, &PublicUrl),
) -> Result<Beside, Refused> {
    let oidc = oidc(turn, client, public);
    let ask = async |token| turn.shopify.refresh_session(&oidc, discovery, token, turn.now()).await;
    let is_dead = |failure: &Failure| failure.reason == Reason::RefreshTokenDead;
    let previous = session.pair().and_then(|pair| pair.previous_refresh.as_ref());
    let (granted, used) = match ask(&refresh.value).await {
        Ok(granted) => (granted, &refresh.value),
        Err(failure) if is_dead(&failure) => {
            let Some(previous) = previous else { return Err(dead(turn, &failure).into()) };
            let granted = ask(previous).await;
            (granted.map_err(|f| if is_dead(&f) { dead(turn, &f) } else { f })?, previous)
        }
        Err(failure) => return Err(failure.into()),
    };
    Ok(renewed(session, granted, Some(used), None))
}

fn dead(turn: &Turn<'_>, failure: &Failure) -> Failure {
    let message = format!(
        "{} refuses the refresh token of the customer's session, and the one before it: the customer has signed out, or its client was replaced; {}",
        turn.shop,
        remedy(turn.observed.install_url.as_deref())
    );
    Failure { message, ..failure.clone() }
}

fn oidc(turn: &Turn<'_>, client: &CustomerClient, public: &PublicUrl) -> OidcClient {
    OidcClient {
        shop: turn.shop.clone(),
        client_id: client.client_id.clone(),
        client_secret: client.client_secret.clone(),
        origin: public.origin(),
    }
}

/// A session that came. `used` is the refresh token it came for, which stays beside the new one until that was used.
fn renewed(session: &Session, granted: CustomerSession, used: Option<&SecretString>, spent: Option<String>) -> Beside {
    let CustomerSession { credential, refresh_token, id_token: _ } = granted;
    let access = Access {
        value: credential.value.clone(),
        issued_at: Some(credential.issued_at),
        expires_at: credential.expires_at,
        scopes: None,
        minted_by: None,
    };
    let before = session.pair().and_then(|pair| pair.previous_refresh.as_ref());
    // Nobody says when a customer's refresh token ends.
    let endless = |value| RefreshToken { value, expires_at: None };
    let came = refresh_token.map(endless);
    let (refresh, previous) = match used {
        Some(used) => {
            let (refresh, previous) = keeper::kept(came, &endless(used.clone()), before);
            (Some(refresh), previous)
        }
        None => (came, None),
    };
    let pair = Pair { access: Some(access), refresh, previous_refresh: previous };
    let replaces = session.pair().and_then(Pair::secret).cloned();
    let expires_at = credential.expires_at;
    Beside {
        session: expires_at.map(|expires_at| Published {
            value: credential.value,
            issued_at: credential.issued_at,
            expires_at,
        }),
        renewed: Some(Renewed { pair, replaces, begun: None, spent, customer: None }),
        warning: credential.warning,
    }
}

/// The endpoints, unless the shop has to be asked: nobody has, or that is what is wanted.
pub(super) fn at_hand(observed: &Observed, why: Why) -> Option<&Discovery> {
    let known = observed.latest().filter(|_| !observed.restored())?.discovery.as_ref()?;
    match why {
        Why::Requested => None,
        Why::First
        | Why::Lost
        | Why::Renamed
        | Why::Rejected
        | Why::InputsChanged
        | Why::ParentChanged
        | Why::ScopesMissing
        | Why::SecretChanged
        | Why::Expiring
        | Why::Interval
        | Why::Approved
        | Why::Replaced => Some(known),
    }
}

/// Asks where the client is used. What is new is published as another revision; what can't be used replaces nothing.
pub(super) async fn verify(turn: &Turn<'_>, client: &CustomerClient, whole: &Whole<'_>) -> Result<Seen, Refused> {
    let discovery = turn.shopify.discover(turn.shop).await?;
    if whole.record.discovery.as_ref() == Some(&discovery) {
        return Ok(Seen::Working { scopes: whole.record.scopes.clone(), strays: Vec::new(), served: None });
    }
    let beside = Beside { session: kept(turn.observed, turn.now()), ..Beside::default() };
    Ok(Seen::Moved(Box::new(issued(turn.observed, client, discovery, beside, turn.now()))))
}

fn issued(
    observed: &Observed,
    client: &CustomerClient,
    discovery: Discovery,
    beside: Beside,
    now: Timestamp,
) -> Issued {
    let Beside { session, renewed, warning } = beside;
    let id = client.id.clone();
    let unchanged = |whole: &Whole<'_>| {
        let held = (whole.session, whole.record.expires_at);
        let session = match (&session, held) {
            (None, (None, _)) => true,
            (Some(session), (Some(held), Some(at))) => session.expires_at == at && same(&session.value, held),
            (None, (Some(_), _)) | (Some(_), (None, _) | (Some(_), None)) => false,
        };
        session && whole.record.token_id.as_ref() == Some(&id) && whole.record.discovery.as_ref() == Some(&discovery)
    };
    let held = observed.whole().filter(|whole| unchanged(whole) && !observed.outdated());
    let (revision, issued_at, origin) = match held {
        Some(whole) => (whole.record.revision, whole.record.issued_at, Origin::Same),
        None => (observed.next_revision(), session.as_ref().map_or(now, |session| session.issued_at), Origin::New),
    };
    let (previous, previous_values) = older_client::beside(observed, client, now);
    Issued {
        credential: Credential {
            value: client.value(),
            token_id: Some(id),
            scopes: Vec::new(),
            issued_at,
            expires_at: session.as_ref().map(|session| session.expires_at),
            warning,
        },
        revision,
        origin,
        admin: None,
        parent: None,
        minted_by: None,
        issuer: Some(client.client_id.clone()),
        served: None,
        discovery: Some(discovery),
        session: session.map(|session| session.value),
        previous,
        previous_values,
        renewed,
        unless_written: UnlessWritten::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        core::scene::{client, discovery, healthy, now},
    };

    fn published() -> Observed {
        healthy(SourceKind::CustomerAccount, json!({}))
    }

    #[test]
    fn a_shop_is_asked_only_for_what_nobody_knows() {
        for why in [Why::Lost, Why::Renamed, Why::Replaced, Why::InputsChanged] {
            assert_eq!(at_hand(&published(), why), Some(&discovery()), "{why:?}");
        }
        assert_eq!(at_hand(&published(), Why::Requested), None);
        assert_eq!(at_hand(&published().without_secret(), Why::Lost), None);
        let restored = published().recorded(|r| r.token.uid = "another".into());
        assert_eq!(at_hand(&restored, Why::Replaced), None);
    }

    #[test]
    fn the_same_pair_at_the_same_place_is_no_news() {
        let o = published();
        let again = issued(&o, &client("canary"), discovery(), Beside::default(), now());
        assert_eq!((again.origin, again.revision, again.issued_at()), (Origin::Same, 3, o.record().unwrap().issued_at));
        let other = issued(&o, &client("new"), discovery(), Beside::default(), now());
        assert_eq!((other.origin, other.revision, other.previous.len()), (Origin::New, 4, 1));
        let moved = Discovery { issuer: "https://account.acme.example".parse().unwrap(), ..discovery() };
        let moved = issued(&o, &client("canary"), moved, Beside::default(), now());
        assert_eq!((moved.origin, moved.revision, moved.previous.len()), (Origin::New, 4, 0));
        assert_eq!(moved.credential.token_id, Some(client("canary").id));
    }

    impl Issued {
        fn issued_at(&self) -> Timestamp {
            self.credential.issued_at
        }
    }
}
