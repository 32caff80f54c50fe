//! The values of older credentials that still live: what applications may use, and what is only kept to be revoked by.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{record::Previous, source::nature};
use crate::api::SourceKind;

/// Values of older credentials, as the Secret holds them.
#[derive(Clone, Debug, Default)]
pub struct PreviousValues {
    /// The newest one's, during its overlap.
    pub newest: Option<SecretString>,
    /// Those of sources that are revoked by value, apart from `newest`; newest first.
    pub kept: Vec<SecretString>,
}

impl PreviousValues {
    /// All that is known, newest first.
    pub fn all(&self) -> impl Iterator<Item = &SecretString> {
        self.newest.iter().chain(&self.kept)
    }

    /// What is to stand beside this list of older credentials, where `self` stands beside `before`. What is being revoked
    /// applications see no more.
    #[must_use]
    pub fn beside(&self, kind: SourceKind, before: &[Previous], list: &[Previous]) -> Self {
        let usable = list.last().filter(|p| p.revoking.is_none());
        if !nature(kind).by_value {
            let same = usable.is_some_and(|p| before.last().is_some_and(|b| b.id == p.id));
            return Self { newest: self.newest.clone().filter(|_| same), kept: Vec::new() };
        }
        Self::arranged(list, self.all())
    }

    /// The known values of these credentials, of a source that is revoked by value.
    #[must_use]
    pub fn arranged<'a>(list: &[Previous], known: impl Iterator<Item = &'a SecretString>) -> Self {
        let known: Vec<(String, &SecretString)> = known.map(|value| (id_of(value), value)).collect();
        let mut values = Self::default();
        for (n, previous) in list.iter().rev().enumerate() {
            let Some((_, value)) = known.iter().find(|(id, _)| *id == previous.id) else { continue };
            if n == 0 && previous.revoking.is_none() {
                values.newest = Some((*value).clone());
            } else {
                values.kept.push((*value).clone());
            }
        }
        values
    }
}

/// An id for a credential that Shopify gives none. It tells nothing of the value, which is random.
#[must_use]
pub fn id_of(value: &SecretString) -> String {
    format!("sha256:{}", hex::encode(&Sha256::digest(value.expose_secret())[..12]))
}

#[cfg(test)]
mod tests {
    use super::{
        super::scene::{minutes, previous},
        *,
    };

    fn value(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    fn listed(text: &str, revoking: Option<i64>) -> Previous {
        Previous { id: id_of(&value(text)), revoking, ..previous(1, minutes(5)) }
    }

    fn texts(values: &PreviousValues) -> (Option<&str>, Vec<&str>) {
        let kept = values.kept.iter().map(ExposeSecret::expose_secret);
        (values.newest.as_ref().map(ExposeSecret::expose_secret), kept.collect())
    }

    #[test]
    fn what_is_revoked_by_value_is_kept_until_then() {
        let known = [value("a"), value("b"), value("c")];
        let of = |list: &[Previous]| PreviousValues::arranged(list, known.iter());
        let list = [listed("a", None), listed("b", None), listed("c", None)];
        let all = of(&list);
        assert_eq!(texts(&all), (Some("c"), vec!["b", "a"]));
        let ending = [listed("a", Some(4)), listed("c", Some(4))];
        assert_eq!(texts(&of(&ending)), (None, vec!["c", "a"]), "applications see neither");
        assert_eq!(texts(&all.beside(SourceKind::Delegate, &list, &ending)), (None, vec!["c", "a"]));
        assert_eq!(texts(&of(&[listed("gone", None), listed("b", None)])), (Some("b"), vec![]));
        assert_eq!(texts(&of(&[])), (None, vec![]));
    }

    #[test]
    fn of_the_others_only_the_newest_is_there() {
        let values = PreviousValues { newest: Some(value("x")), kept: Vec::new() };
        let (one, two) = (previous(1, minutes(5)), previous(2, minutes(5)));
        let beside = |list: &[Previous]| values.beside(SourceKind::Storefront, &[one.clone(), two.clone()], list);
        assert_eq!(texts(&beside(&[one.clone(), two.clone()])), (Some("x"), vec![]));
        assert_eq!(texts(&beside(std::slice::from_ref(&two))), (Some("x"), vec![]));
        assert_eq!(texts(&beside(std::slice::from_ref(&one))), (None, vec![]), "it is another one's");
        let ending = Previous { revoking: Some(3), ..two.clone() };
        assert_eq!(texts(&beside(&[one.clone(), ending])), (None, vec![]));
    }
}
