//! A record in little memory, for there may be very many: its annotations one after the other, without their names, and those
//! that many have in common once.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{
    identity::{Identity, parts},
    record::{COMMON, NAMES, Record, TOKEN, holder},
};

/// What ends the length of a value, which stands before it: a value may hold whatever its writer has put there.
const LENGTH_END: char = ':';

/// The annotations of a record, or what is left of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packed {
    own: Box<str>,
    common: Arc<str>,
}

/// What records have in common, each text once, and as long as a record has it.
#[derive(Debug, Default)]
pub struct Texts(HashSet<Arc<str>>);

impl Texts {
    /// A text, as others have it.
    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.0.insert(Arc::clone(&text));
        text
    }

    /// A record is gone.
    pub fn forget(&mut self, Packed { common, .. }: Packed) {
        // This one's and the one here.
        if Arc::strong_count(&common) == 2 {
            self.0.remove(&common);
        }
    }

    /// Whether there is none.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Packed {
    /// The record in the annotations of a Secret, if they say of which token.
    #[must_use]
    pub fn of(annotations: &BTreeMap<String, String>, texts: &mut Texts) -> Option<Self> {
        holder(annotations)?;
        let (mut own, mut common) = (String::new(), String::new());
        for (mark, name) in marks().zip(NAMES) {
            let Some(value) = annotations.get(name) else { continue };
            let text = if COMMON.contains(&name) { &mut common } else { &mut own };
            text.push(mark);
            text.push_str(&value.len().to_string());
            text.push(LENGTH_END);
            text.push_str(value);
        }
        Some(Self { own: own.into(), common: texts.share(&common) })
    }

    /// The token that it says it is of.
    #[must_use]
    pub fn holder(&self) -> Option<Identity> {
        self.token()?.parse().ok()
    }

    /// Namespace and name of that token.
    #[must_use]
    pub fn place(&self) -> Option<(&str, &str)> {
        self.token().and_then(parts).map(|[namespace, name, _]| (namespace, name))
    }

    /// The record; `None` if a part of it is missing or was edited beyond recognition.
    #[must_use]
    pub fn record(&self) -> Option<Record> {
        let annotations: Vec<(&str, &str)> = self.annotations().collect();
        Record::read(|name| annotations.iter().find_map(|(its, value)| (*its == name).then_some(*value)))
    }

    /// Names and values, its own first.
    fn annotations(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [&*self.own, &*self.common].into_iter().flat_map(named)
    }

    /// The text of the token's identity, which is the first.
    fn token(&self) -> Option<&str> {
        self.annotations().find_map(|(name, value)| (name == TOKEN).then_some(value))
    }
}

/// Names and values in a text.
fn named(mut text: &str) -> impl Iterator<Item = (&'static str, &str)> {
    std::iter::from_fn(move || {
        let mut rest = text.chars();
        let name = *NAMES.get((rest.next()? as usize).checked_sub(1)?)?;
        let (length, rest) = rest.as_str().split_once(LENGTH_END)?;
        let (value, rest) = rest.split_at_checked(length.parse().ok()?)?;
        text = rest;
        Some((name, value))
    })
}

/// What stands for each name: its number, from 1 on.
fn marks() -> impl Iterator<Item = char> {
    (1..=u8::MAX).map(char::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::minted;
    use crate::core::record::{is_ours, tests::record};

    #[test]
    fn nothing_of_a_record_is_lost() {
        let (record, mut annotations) = (record(), record().annotations());
        assert_eq!(annotations.len(), NAMES.len(), "each is tried");
        let mut texts = Texts::default();
        let packed = Packed::of(&annotations, &mut texts).unwrap();
        assert_eq!(packed.record(), Some(record.clone()));
        assert_eq!(packed.holder(), Some(record.token));
        assert_eq!(packed.place(), Some(("shop", "web")));
        assert_eq!(size_of::<Packed>(), 32);

        annotations.insert("example.com/of-another".into(), "x".into());
        assert_eq!(Packed::of(&annotations, &mut texts), Some(packed), "others' aren't kept");
        annotations.retain(|name, _| !is_ours(name) || name.as_str() == TOKEN);
        let damaged = Packed::of(&annotations, &mut texts).unwrap();
        assert!(damaged.record().is_none());
        assert_eq!(damaged.place(), Some(("shop", "web")));
        annotations.insert(TOKEN.into(), "shop/web".into());
        assert_eq!(Packed::of(&annotations, &mut texts), None);
    }

    #[test]
    fn what_records_have_in_common_is_kept_once_and_no_longer_than_they_are() {
        let mut texts = Texts::default();
        let of = |texts: &mut Texts, scopes: &str, revision: i64| {
            let token = Identity { name: format!("web-{revision}"), ..record().token };
            let client_secret = Some(minted::by("shop", &token.name, &"s".into()));
            let (inputs, content) = (format!("{revision:032x}"), format!("{revision:032x}"));
            let place = Some(format!("web-{revision}"));
            let scopes = vec![scopes.to_owned()];
            let record = Record { token, revision, scopes, inputs, content, client_secret, place, ..record() };
            Packed::of(&record.annotations(), texts).unwrap()
        };
        let all: Vec<_> = (1..=100).map(|revision| of(&mut texts, "read_products", revision)).collect();
        assert!(all.iter().all(|one| Arc::ptr_eq(&one.common, &all[0].common)));
        assert!(all.iter().zip(1..).all(|(one, revision)| one.record().unwrap().revision == revision));
        for n in 0..100 {
            let other = of(&mut texts, &format!("read_{n}"), 1);
            texts.forget(other);
        }
        assert_eq!(texts.0.len(), 1);
        for one in all {
            texts.forget(one);
        }
        assert!(texts.is_empty());
    }

    proptest! {
        /// A person may write anything into what is copied from the spec.
        #[test]
        fn whatever_stands_in_an_annotation_is_read_as_it_is(values in proptest::collection::vec(".{0,300}|[\0:0-9\u{1}-\u{1f}]{0,9}", NAMES.len())) {
            let mut annotations: BTreeMap<String, String> = NAMES.iter().map(|&name| name.to_owned()).zip(values).collect();
            annotations.insert(TOKEN.into(), "shop/web/1".into());
            let packed = Packed::of(&annotations, &mut Texts::default()).unwrap();
            let read: BTreeMap<_, _> = packed.annotations().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            prop_assert_eq!(read, annotations);
        }
    }
}
