//! The page for a callback that changes nothing, at an address of its own: a browser keeps no code in its history.
//!
//! All of it is in that address, which anybody can make: it says what anybody may know, and leads nowhere but to pages of ours.

use axum::http::StatusCode;
use url::form_urlencoded::{Serializer, parse};

use super::{
    check::Refusal,
    is_name, outcome,
    page::{Page, Tone},
    seen,
};
use crate::core::{approval::InvalidState, identity::Identity, public_url::PublicUrl, vocabulary::labels::Told};

/// Where it is looked at.
pub(super) const REFUSED: &str = "/oauth/refused";

/// Why a callback changes nothing, as far as whoever came with it is told: a forger learns no more than that something is
/// wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Why {
    Expired,
    Used,
    OtherBrowser,
    Unacceptable,
    NothingHere,
}

const ALL: [Why; 5] = [Why::Expired, Why::Used, Why::OtherBrowser, Why::Unacceptable, Why::NothingHere];

impl Why {
    pub(super) const fn of(refusal: Refusal) -> Self {
        match refusal {
            Refusal::State(InvalidState::Expired) => Self::Expired,
            Refusal::Used => Self::Used,
            Refusal::State(InvalidState::OtherBrowser) => Self::OtherBrowser,
            Refusal::State(InvalidState::Forged)
            | Refusal::OtherShop
            | Refusal::Unsigned
            | Refusal::Stale
            | Refusal::Crowded
            | Refusal::Malformed(_)
            | Refusal::Neither => Self::Unacceptable,
        }
    }

    /// As the address and the metric have it.
    pub(super) const fn told(self) -> Told {
        match self {
            Self::Expired => Told::Expired,
            Self::Used => Told::Used,
            Self::OtherBrowser => Told::OtherBrowser,
            Self::Unacceptable => Told::Unacceptable,
            Self::NothingHere => Told::NothingHere,
        }
    }
}

/// The address of the page. `object` is what the callback was of, and `state` its state, each where it is to be told: only
/// of a state that is ours.
pub(super) fn address(why: Why, object: Option<&Identity>, state: Option<&str>) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("why", why.told().as_str());
    match (why, object, state) {
        (Why::Used, _, Some(state)) => query.append_pair("state", state),
        (Why::Expired | Why::OtherBrowser, Some(Identity { namespace, name, .. }), _) => {
            query.append_pair("of", &format!("{namespace}/{name}"))
        }
        (Why::Used | Why::Expired | Why::OtherBrowser | Why::Unacceptable | Why::NothingHere, _, _) => &mut query,
    };
    format!("{REFUSED}?{}", query.finish())
}

/// The page of an address.
pub(super) fn page(query: &str, public: &PublicUrl) -> Page {
    let of =
        |wanted: &str| parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
    let why = of("why").and_then(|text| ALL.into_iter().find(|why| why.told().as_str() == text));
    let again = |page: Page| {
        let object = of("of");
        let place = object.as_deref().and_then(|text| text.split_once('/'));
        match place.filter(|(namespace, name)| is_name(namespace, 63) && is_name(name, 253)) {
            Some((namespace, name)) => page.to(public.install(namespace, name), "Begin again"),
            None => page,
        }
    };
    let Some(why) = why else { return outcome::nothing_here() };
    let told = why.told();
    match why {
        Why::Expired => {
            let text = "An approval or a sign-in has to be finished within ten minutes of its beginning, and this one took longer. Nothing was changed.";
            again(Page::new(told, StatusCode::GONE, Tone::Plain, "This link has expired", &[text]))
        }
        Why::Used => {
            let text = "This was finished before, and counts once. Nothing was changed.";
            let page = Page::new(told, StatusCode::GONE, Tone::Plain, "This link was used already", &[text]);
            match of("state") {
                Some(state) => page.to(seen(&state), "See what became of it"),
                None => page,
            }
        }
        Why::OtherBrowser => {
            let text = "An approval or a sign-in has to be finished in the browser in which it was begun, with cookies allowed. Nothing was changed.";
            again(Page::new(told, StatusCode::FORBIDDEN, Tone::Bad, "This was begun in another browser", &[text]))
        }
        Why::Unacceptable => {
            let text = "What came back from Shopify can't be accepted, and nothing was changed. Begin again at the address you were given.";
            Page::new(told, StatusCode::BAD_REQUEST, Tone::Bad, "This can't be accepted", &[text])
        }
        Why::NothingHere => outcome::nothing_here(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::scene::identity;

    fn shown(address: &str) -> Page {
        let public: PublicUrl = "https://tokens.example.com".parse().unwrap();
        page(address.strip_prefix(REFUSED).unwrap().trim_start_matches('?'), &public)
    }

    #[test]
    fn each_refusal_has_its_page() {
        let state = InvalidState::Expired;
        for (refusal, status, link) in [
            (Refusal::State(state), 410, Some("https://tokens.example.com/oauth/install/shop/web")),
            (Refusal::Used, 410, Some("/oauth/result?state=a.b%26c")),
            (
                Refusal::State(InvalidState::OtherBrowser),
                403,
                Some("https://tokens.example.com/oauth/install/shop/web"),
            ),
        ] {
            let page = shown(&address(Why::of(refusal), Some(&identity()), Some("a.b&c")));
            assert_eq!((page.status.as_u16(), page.link.map(|(to, _)| to).as_deref()), (status, link), "{refusal}");
            let bare = shown(&address(Why::of(refusal), None, None));
            assert_eq!((bare.status.as_u16(), bare.link), (status, None), "{refusal}");
        }
        let absent = shown(&address(Why::NothingHere, Some(&identity()), Some("s")));
        assert_eq!(format!("{absent:?}"), format!("{:?}", outcome::nothing_here()));
    }

    #[test]
    fn a_forger_learns_nothing_from_a_page() {
        let forged = address(Why::of(Refusal::State(InvalidState::Forged)), Some(&identity()), Some("s"));
        for refusal in [Refusal::OtherShop, Refusal::Unsigned, Refusal::Stale, Refusal::Neither] {
            assert_eq!(address(Why::of(refusal), Some(&identity()), Some("s")), forged, "{refusal}");
        }
        assert!(shown(&forged).link.is_none() && shown(&forged).status == StatusCode::BAD_REQUEST);
    }

    #[test]
    fn an_address_that_anybody_made_leads_nowhere_else() {
        for of in ["", "shop", "shop/", "/web", "shop/web/..", "..%2f..", "shop/w%20eb", "shop/%2f%2fevil.example"] {
            assert_eq!(shown(&format!("{REFUSED}?why=expired&of={of}")).link, None, "{of}");
        }
        let (to, _) = shown(&format!("{REFUSED}?why=used&state=%22//evil.example")).link.unwrap();
        assert_eq!(to, "/oauth/result?state=%22%2F%2Fevil.example");
        for other in ["", "?why=", "?why=done", "?why=<script>"] {
            assert_eq!(shown(&format!("{REFUSED}{other}")).status, StatusCode::NOT_FOUND, "{other}");
        }
    }
}
