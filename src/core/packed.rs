//! A record in little memory, for there may be very many: its annotations one after the other, without their names.

use std::collections::BTreeMap;

use super::{
    identity::{Identity, parts},
    record::{NAMES, Record, TOKEN, holder},
};

/// What ends each annotation.
const END: char = '\0';

/// The annotations of a record, or what is left of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packed(Box<str>);

impl Packed {
    /// The record in the annotations of a Secret, if they say of which token. `None` also if one of them has NUL in it,
    /// which none has that we write.
    #[must_use]
    pub fn of(annotations: &BTreeMap<String, String>) -> Option<Self> {
        holder(annotations)?;
        let named = marks().zip(NAMES).filter_map(|(mark, name)| Some((mark, annotations.get(name)?)));
        let mut text =
            String::with_capacity(named.clone().map(|(mark, value)| mark.len_utf8() + value.len() + 1).sum());
        for (mark, value) in named {
            if value.contains(END) {
                return None;
            }
            text.push(mark);
            text.push_str(value);
            text.push(END);
        }
        Some(Self(text.into()))
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

    /// Names and values, in the order of the names.
    fn annotations(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let mut named = marks().zip(NAMES);
        self.0.split_terminator(END).filter_map(move |annotation| {
            let (mark, name) = named.find(|(mark, _)| annotation.starts_with(*mark))?;
            Some((name, &annotation[mark.len_utf8()..]))
        })
    }

    /// The text of the token's identity, which is the first.
    fn token(&self) -> Option<&str> {
        self.annotations().find_map(|(name, value)| (name == TOKEN).then_some(value))
    }
}

/// What stands for each name, in their order.
fn marks() -> impl Iterator<Item = char> + Clone {
    (1..=u8::MAX).map(char::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::{is_ours, tests::record};

    #[test]
    fn nothing_of_a_record_is_lost() {
        let (record, mut annotations) = (record(), record().annotations());
        assert_eq!(annotations.len(), NAMES.len(), "each is tried");
        let packed = Packed::of(&annotations).unwrap();
        assert_eq!(packed.record(), Some(record.clone()));
        assert_eq!(packed.holder(), Some(record.token));
        assert_eq!(packed.place(), Some(("shop", "web")));
        let bytes: usize = annotations.values().map(|value| value.len() + 2).sum();
        assert_eq!((packed.0.len(), size_of::<Packed>()), (bytes, 16));

        annotations.insert("example.com/of-another".into(), "x".into());
        assert_eq!(Packed::of(&annotations), Some(packed), "others' aren't kept");
        annotations.retain(|name, _| !is_ours(name) || name.as_str() == TOKEN);
        let damaged = Packed::of(&annotations).unwrap();
        assert!(damaged.record().is_none());
        assert_eq!(damaged.place(), Some(("shop", "web")));
    }

    #[test]
    fn what_cannot_be_kept_apart_is_no_record() {
        let mut annotations = record().annotations();
        annotations.insert(TOKEN.into(), "shop/web".into());
        assert_eq!(Packed::of(&annotations), None);
        let mut annotations = record().annotations();
        annotations.values_mut().last().unwrap().push(END);
        assert_eq!(Packed::of(&annotations), None);
    }
}
