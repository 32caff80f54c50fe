//! What an expression of a template can be: text, a list of texts, a whole number, or true and false.

use std::{cmp::Ordering, rc::Rc};

use super::bounds::Bounds;

/// Memory of one item of a list, in bytes, besides its text.
const ITEM: usize = 48;

/// Value of an expression. Cheap to clone. Has no `Debug`: it may hold a credential.
#[derive(Clone, Eq, PartialEq)]
pub(super) enum Value {
    Text(Rc<str>),
    List(Rc<[Rc<str>]>),
    Number(i64),
    Flag(bool),
}

impl Value {
    /// A text.
    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// A list of texts, which are counted here.
    pub(super) fn list<'a>(
        bounds: &mut Bounds,
        items: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Self, &'static str> {
        for item in items.clone() {
            bounds.spend(item.len() + ITEM)?;
        }
        Ok(Self::List(items.map(Rc::from).collect()))
    }

    /// Jinja's truth: neither empty nor zero.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Number(number) => *number != 0,
            Self::Flag(flag) => *flag,
        }
    }

    /// Which of two texts or numbers is first.
    pub(super) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            (Self::Number(one), Self::Number(other)) => Some(one.cmp(other)),
            (Self::Text(_) | Self::Number(_) | Self::List(_) | Self::Flag(_), _) => None,
        }
    }

    /// Bytes that comparing or copying it takes.
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::List(items) => items.iter().map(|item| item.len() + ITEM).sum(),
            Self::Number(_) | Self::Flag(_) => ITEM,
        }
    }

    /// As it is written into the Secret.
    pub(super) fn written(&self) -> Result<Rc<str>, &'static str> {
        match self {
            Self::Text(text) => Ok(Rc::clone(text)),
            Self::Number(number) => Ok(number.to_string().into()),
            Self::Flag(flag) => Ok(flag.to_string().into()),
            Self::List(_) => Err("a list can't be written as it is: use join or tojson"),
        }
    }
}
