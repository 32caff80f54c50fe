//! customerAccount: a client that a person has made in the Headless or Hydrogen channel, published with where it is used.
//!
//! Shopify can be asked where, and not whether it takes the client
//! (<https://shopify.dev/docs/storefronts/headless/building-with-the-customer-account-api/getting-started>).

use super::{Issued, Origin, Refused, Seen, Turn, UnlessWritten};
use crate::{
    core::{
        credential::Credential,
        customer::{CustomerClient, Discovery},
        observed::Observed,
        older_client,
        plan::Why,
        secret::Whole,
    },
    time::Timestamp,
};

/// Publishes the client. Another pair needs no answer of the shop, whose endpoints are those in the record.
pub(super) async fn issue(turn: &Turn<'_>, client: &CustomerClient, why: Why) -> Result<Issued, Refused> {
    let discovery = match at_hand(turn.observed, why) {
        Some(discovery) => discovery.clone(),
        None => turn.shopify.discover(turn.shop).await?,
    };
    Ok(issued(turn.observed, client, discovery, turn.now()))
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
    Ok(Seen::Moved(Box::new(issued(turn.observed, client, discovery, turn.now()))))
}

fn issued(observed: &Observed, client: &CustomerClient, discovery: Discovery, now: Timestamp) -> Issued {
    let id = client.id(&observed.identity);
    let same = |whole: &Whole<'_>| {
        whole.record.token_id.as_ref() == Some(&id) && whole.record.discovery.as_ref() == Some(&discovery)
    };
    let held = observed.whole().filter(|whole| same(whole) && !observed.outdated());
    let (revision, issued_at, origin) = match held {
        Some(whole) => (whole.record.revision, whole.record.issued_at, Origin::Same),
        None => (observed.next_revision(), now, Origin::New),
    };
    let (previous, previous_values) = older_client::beside(observed, client, now);
    Issued {
        credential: Credential {
            value: client.value(),
            token_id: Some(id),
            scopes: Vec::new(),
            issued_at,
            expires_at: None,
            warning: None,
        },
        revision,
        origin,
        admin: None,
        parent: None,
        minted_by: None,
        issuer: Some(client.client_id.clone()),
        served: None,
        discovery: Some(discovery),
        previous,
        previous_values,
        renewed: None,
        unless_written: UnlessWritten::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        core::scene::{client, discovery, healthy, identity, now},
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
        let again = issued(&o, &client("canary"), discovery(), now());
        assert_eq!((again.origin, again.revision, again.issued_at()), (Origin::Same, 3, o.record().unwrap().issued_at));
        let other = issued(&o, &client("new"), discovery(), now());
        assert_eq!((other.origin, other.revision, other.previous.len()), (Origin::New, 4, 1));
        let moved = Discovery { issuer: "https://account.acme.example".parse().unwrap(), ..discovery() };
        let moved = issued(&o, &client("canary"), moved, now());
        assert_eq!((moved.origin, moved.revision, moved.previous.len()), (Origin::New, 4, 0));
        assert_eq!(moved.credential.token_id, Some(client("canary").id(&identity())));
    }

    impl Issued {
        fn issued_at(&self) -> Timestamp {
            self.credential.issued_at
        }
    }
}
