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

/// What ends each annotation.
const END: char = '\0';

/// So many texts are kept though nobody has a share of them.
const FEW: usize = 64;

/// The annotations of a record, or what is left of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packed {
    own: Box<str>,
    common: Arc<str>,
}

/// What records have in common, each text once.
#[derive(Debug, Default)]
pub struct Texts {
    known: HashSet<Arc<str>>,
    /// How many there were when those that nobody has were last let go.
    kept: usize,
}

impl Texts {
    /// A text, as others have it.
    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.known.get(text) {
            return Arc::clone(known);
        }
        if self.known.len() > self.kept * 2 + FEW {
            self.known.retain(|text| Arc::strong_count(text) > 1);
            self.kept = self.known.len();
        }
        let text: Arc<str> = text.into();
        self.known.insert(Arc::clone(&text));
        text
    }
}

impl Packed {
    /// The record in the annotations of a Secret, if they say of which token. `None` also if one of them has NUL in it,
    /// which none has that we write.
    #[must_use]
    pub fn of(annotations: &BTreeMap<String, String>, texts: &mut Texts) -> Option<Self> {
        holder(annotations)?;
        let (mut own, mut common) = (String::new(), String::new());
        for (mark, name) in marks().zip(NAMES) {
            let Some(value) = annotations.get(name) else { continue };
            if value.contains(END) {
                return None;
            }
            let text = if COMMON.contains(&name) { &mut common } else { &mut own };
            text.push(mark);
            text.push_str(value);
            text.push(END);
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

/// Names and values in a text, which are in the order of the names.
fn named(text: &str) -> impl Iterator<Item = (&'static str, &str)> {
    let mut named = marks().zip(NAMES);
    text.split_terminator(END).filter_map(move |annotation| {
        let (mark, name) = named.find(|(mark, _)| annotation.starts_with(*mark))?;
        Some((name, &annotation[mark.len_utf8()..]))
    })
}

/// What stands for each name, in their order.
fn marks() -> impl Iterator<Item = char> + Clone {
    (1..=u8::MAX).map(char::from)
}

#[cfg(test)]
mod tests {
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
        let bytes: usize = annotations.values().map(|value| value.len() + 2).sum();
        assert_eq!((packed.own.len() + packed.common.len(), size_of::<Packed>()), (bytes, 32));

        annotations.insert("example.com/of-another".into(), "x".into());
        assert_eq!(Packed::of(&annotations, &mut texts), Some(packed), "others' aren't kept");
        annotations.retain(|name, _| !is_ours(name) || name.as_str() == TOKEN);
        let damaged = Packed::of(&annotations, &mut texts).unwrap();
        assert!(damaged.record().is_none());
        assert_eq!(damaged.place(), Some(("shop", "web")));
    }

    #[test]
    fn what_records_have_in_common_is_kept_once_and_not_for_ever() {
        let mut texts = Texts::default();
        let mut of = |scopes: &str, revision: i64| {
            let token = Identity { name: format!("web-{revision}"), ..record().token };
            let client_secret = Some(minted::by("shop", &token.name, &"s".into()));
            let content = format!("{revision:032x}");
            let record =
                Record { token, scopes: vec![scopes.to_owned()], revision, client_secret, content, ..record() };
            Packed::of(&record.annotations(), &mut texts).unwrap()
        };
        let all: Vec<_> = (1..=100).map(|revision| of("read_products", revision)).collect();
        assert!(all.iter().all(|one| Arc::ptr_eq(&one.common, &all[0].common)));
        assert!(all.iter().zip(1..).all(|(one, revision)| one.record().unwrap().revision == revision));
        (0..1_000).for_each(|n| drop(of(&format!("read_{n}"), 1)));
        assert!(Arc::ptr_eq(&of("read_products", 1).common, &all[0].common));
        assert!(texts.known.len() < FEW * 3, "{}", texts.known.len());
    }

    #[test]
    fn what_cannot_be_kept_apart_is_no_record() {
        let mut texts = Texts::default();
        let mut annotations = record().annotations();
        annotations.insert(TOKEN.into(), "shop/web".into());
        assert_eq!(Packed::of(&annotations, &mut texts), None);
        let mut annotations = record().annotations();
        annotations.values_mut().last().unwrap().push(END);
        assert_eq!(Packed::of(&annotations, &mut texts), None);
    }
}
