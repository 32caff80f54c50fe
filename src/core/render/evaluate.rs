//! Computes a template, counting each step and each byte before it is made.

use std::{cmp::Ordering, collections::BTreeMap, rc::Rc};

use super::{
    bounds::Bounds,
    mistake::{Mistake, Place},
    subset::{Expr, Kind, Loop, Node, Operator},
    value::Value,
};

/// The text of a template.
///
/// # Errors
/// A value that isn't there, or isn't of the kind that is needed, or what is too much.
pub(super) fn evaluate(
    template: &[Node<'_>],
    values: &BTreeMap<&'static str, Value>,
    bounds: &mut Bounds,
) -> Result<String, Mistake> {
    let names = values.iter().map(|(name, value)| (*name, value.clone())).collect();
    let mut run = Run { bounds, names, turns: Vec::new(), text: String::new() };
    run.nodes(template)?;
    Ok(run.text)
}

/// A turn of a loop.
struct Turn {
    index: usize,
    length: usize,
}

struct Run<'b, 's> {
    bounds: &'b mut Bounds,
    /// The newest last: it hides those of the same name.
    names: Vec<(&'s str, Value)>,
    turns: Vec<Turn>,
    text: String,
}

impl<'s> Run<'_, 's> {
    fn nodes(&mut self, nodes: &[Node<'s>]) -> Result<(), Mistake> {
        nodes.iter().try_for_each(|node| self.node(node))
    }

    fn node(&mut self, node: &Node<'s>) -> Result<(), Mistake> {
        match node {
            Node::Text(text) => self.write(text).map_err(|what| Mistake { place: None, what: what.into() }),
            Node::Write(value) => {
                let written = self.value(value)?.written().map_err(|what| value.place.mistake(what))?;
                self.write(&written).map_err(|what| value.place.mistake(what))
            }
            Node::If { test, then, otherwise } => {
                let nodes = if self.value(test)?.is_true() { then } else { otherwise };
                self.nodes(nodes)
            }
            Node::For { name, items, each, none } => match self.value(items)? {
                Value::List(list) if list.is_empty() => self.nodes(none),
                Value::List(list) => self.turns(name, &list, each, items.place),
                Value::Text(_) | Value::Number(_) | Value::Flag(_) => {
                    Err(items.place.mistake("for goes through a list, such as split makes"))
                }
            },
            Node::Set { name, value } => {
                let value = self.value(value)?;
                self.names.push((name, value));
                Ok(())
            }
        }
    }

    fn turns(&mut self, name: &'s str, list: &[Rc<str>], each: &[Node<'s>], place: Place) -> Result<(), Mistake> {
        let before = self.names.len();
        for (index, item) in list.iter().enumerate() {
            self.spend(1, place)?;
            self.names.push((name, Value::Text(Rc::clone(item))));
            self.turns.push(Turn { index, length: list.len() });
            self.nodes(each)?;
            self.turns.pop();
            self.names.truncate(before);
        }
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<(), &'static str> {
        self.bounds.spend(1)?;
        self.bounds.keep(text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    fn spend(&mut self, bytes: usize, place: Place) -> Result<(), Mistake> {
        self.bounds.spend(bytes).map_err(|what| place.mistake(what))
    }

    fn value(&mut self, expression: &Expr<'s>) -> Result<Value, Mistake> {
        let place = expression.place;
        self.spend(1, place)?;
        match &expression.kind {
            Kind::Value(value) => Ok(value.clone()),
            Kind::List(items) => {
                let items = items.iter().map(|item| self.text(item)).collect::<Result<Vec<_>, _>>()?;
                Value::list(self.bounds, items.iter().map(|item| &**item)).map_err(|what| place.mistake(what))
            }
            Kind::Name(name) => self.named(name, place)?.ok_or_else(|| {
                place.mistake(
                    "this value isn't always there: ask for it, as {% if expires_at is defined %} does, or use default",
                )
            }),
            Kind::Loop(field) => self.of_turn(*field, place),
            Kind::Filter(filter, of, arguments) => {
                let of = self.value(of)?;
                let arguments = arguments.iter().map(|argument| self.value(argument)).collect::<Result<Vec<_>, _>>()?;
                (filter.apply)(self.bounds, &of, &arguments).map_err(|what| place.mistake(what))
            }
            Kind::Default { of, or, empty_too } => {
                let there =
                    if let Kind::Name(name) = of.kind { self.named(name, of.place)? } else { Some(self.value(of)?) };
                match there.filter(|value| !empty_too || value.is_true()) {
                    Some(value) => Ok(value),
                    None => self.value(or),
                }
            }
            Kind::Defined(name) => Ok(Value::Flag(self.named(name, place)?.is_some())),
            Kind::Not(value) => Ok(Value::Flag(!self.value(value)?.is_true())),
            Kind::Two(operator, two) => self.two(*operator, &two.0, &two.1, place),
            Kind::Choice { test, then, otherwise } => match (self.value(test)?.is_true(), otherwise) {
                (true, _) => self.value(then),
                (false, Some(otherwise)) => self.value(otherwise),
                (false, None) => Ok(Value::text("")),
            },
        }
    }

    fn named(&mut self, name: &str, place: Place) -> Result<Option<Value>, Mistake> {
        self.spend(self.names.len(), place)?;
        Ok(self.names.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.clone()))
    }

    fn text(&mut self, expression: &Expr<'s>) -> Result<Rc<str>, Mistake> {
        match self.value(expression)? {
            Value::Text(text) => Ok(text),
            Value::List(_) | Value::Number(_) | Value::Flag(_) => {
                Err(expression.place.mistake("a text is needed here"))
            }
        }
    }

    fn of_turn(&self, field: Loop, place: Place) -> Result<Value, Mistake> {
        let turn = self.turns.last().ok_or_else(|| place.mistake("loop is there within for"))?;
        let number =
            |number: usize| i64::try_from(number).map(Value::Number).map_err(|_| place.mistake("the list is too long"));
        match field {
            Loop::Index => number(turn.index + 1),
            Loop::Index0 => number(turn.index),
            Loop::Length => number(turn.length),
            Loop::First => Ok(Value::Flag(turn.index == 0)),
            Loop::Last => Ok(Value::Flag(turn.index + 1 == turn.length)),
        }
    }

    fn two(&mut self, operator: Operator, left: &Expr<'s>, right: &Expr<'s>, place: Place) -> Result<Value, Mistake> {
        let left = self.value(left)?;
        let decided = match operator {
            Operator::And => !left.is_true(),
            Operator::Or => left.is_true(),
            Operator::Equal
            | Operator::Unequal
            | Operator::Less
            | Operator::AtMost
            | Operator::More
            | Operator::AtLeast
            | Operator::In
            | Operator::Concatenate => false,
        };
        if decided {
            return Ok(left);
        }
        let right = self.value(right)?;
        self.spend(left.cost().saturating_add(right.cost()), place)?;
        let ordered = |is: fn(Ordering) -> bool| {
            let order = left.order(&right);
            let order = order.ok_or_else(|| place.mistake("<, <=, > and >= compare two texts or two numbers"))?;
            Ok(Value::Flag(is(order)))
        };
        match operator {
            Operator::And | Operator::Or => Ok(right),
            Operator::Equal => Ok(Value::Flag(left == right)),
            Operator::Unequal => Ok(Value::Flag(left != right)),
            Operator::Less => ordered(Ordering::is_lt),
            Operator::AtMost => ordered(Ordering::is_le),
            Operator::More => ordered(Ordering::is_gt),
            Operator::AtLeast => ordered(Ordering::is_ge),
            Operator::In => match (&left, &right) {
                (Value::Text(item), Value::List(items)) => Ok(Value::Flag(items.contains(item))),
                (Value::Text(part), Value::Text(whole)) => Ok(Value::Flag(whole.contains(&**part))),
                (Value::Text(_), Value::Number(_) | Value::Flag(_))
                | (Value::List(_) | Value::Number(_) | Value::Flag(_), _) => {
                    Err(place.mistake("in looks for a text in a text or a list"))
                }
            },
            Operator::Concatenate => {
                let of = |value: &Value| value.written().map_err(|what| place.mistake(what));
                Ok(Value::text([of(&left)?, of(&right)?].concat()))
            }
        }
    }
}
