//! The subset of Jinja that templates are: minijinja's syntax tree in, the operator's own out.
//!
//! What isn't in these types can't be said, so nothing else has to be bounded. All of a template is
//! looked at, also what no credential reaches.

use minijinja::machinery::ast::{self, BinOpKind, Expr as Jinja, Stmt, UnaryOpKind};

use super::{
    filters::{self, Filter},
    mistake::{Mistake, Place},
    value::Value,
};

/// A piece of a template.
pub(super) enum Node<'s> {
    Text(&'s str),
    Write(Expr<'s>),
    If { test: Expr<'s>, then: Vec<Node<'s>>, otherwise: Vec<Node<'s>> },
    For { name: &'s str, items: Expr<'s>, each: Vec<Node<'s>>, none: Vec<Node<'s>> },
    Set { name: &'s str, value: Expr<'s> },
}

/// An expression, and where it begins.
pub(super) struct Expr<'s> {
    pub place: Place,
    pub kind: Kind<'s>,
}

/// What an expression says.
pub(super) enum Kind<'s> {
    Value(Value),
    List(Vec<Expr<'s>>),
    Name(&'s str),
    Loop(Loop),
    Filter(&'static Filter, Box<Expr<'s>>, Vec<Expr<'s>>),
    /// `or` also where the value is there and not true, with `default(…, true)`.
    Default {
        of: Box<Expr<'s>>,
        or: Box<Expr<'s>>,
        empty_too: bool,
    },
    Defined(&'s str),
    Not(Box<Expr<'s>>),
    Two(Operator, Box<(Expr<'s>, Expr<'s>)>),
    Choice {
        test: Box<Expr<'s>>,
        then: Box<Expr<'s>>,
        otherwise: Option<Box<Expr<'s>>>,
    },
}

/// What is known of a loop's turn.
#[derive(Clone, Copy)]
pub(super) enum Loop {
    Index,
    Index0,
    First,
    Last,
    Length,
}

/// Operators between two values.
#[derive(Clone, Copy)]
pub(super) enum Operator {
    And,
    Or,
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
    In,
    Concatenate,
}

/// A whole template, which can name these values.
///
/// # Errors
/// What isn't part of the subset, and names that can't be there.
pub(super) fn template<'s>(tree: &Stmt<'s>, values: &'s [&'static str]) -> Result<Vec<Node<'s>>, Mistake> {
    let mut subset = Subset { values, names: Vec::new(), loops: 0 };
    match tree {
        Stmt::Template(template) => subset.nodes(&template.children),
        other => Ok(vec![subset.node(other)?]),
    }
}

/// What surrounds the piece that is looked at.
struct Subset<'s> {
    /// Names of values.
    values: &'s [&'static str],
    /// Names that `for` and `set` have made.
    names: Vec<&'s str>,
    /// How many loops are open.
    loops: usize,
}

impl<'s> Subset<'s> {
    fn nodes(&mut self, statements: &[Stmt<'s>]) -> Result<Vec<Node<'s>>, Mistake> {
        statements.iter().map(|statement| self.node(statement)).collect()
    }

    fn node(&mut self, statement: &Stmt<'s>) -> Result<Node<'s>, Mistake> {
        Ok(match statement {
            Stmt::EmitRaw(text) => Node::Text(text.raw),
            Stmt::EmitExpr(written) => Node::Write(self.expr(&written.expr)?),
            Stmt::IfCond(branch) => Node::If {
                test: self.expr(&branch.expr)?,
                then: self.nodes(&branch.true_body)?,
                otherwise: self.nodes(&branch.false_body)?,
            },
            Stmt::ForLoop(all) => {
                let place = Place::of(all.span());
                if all.recursive || all.filter_expr.is_some() {
                    return Err(place.mistake("for takes a name and a list: {% for scope in scopes|split(',') %}"));
                }
                let items = self.expr(&all.iter)?;
                let name = name(&all.target)?;
                let before = self.names.len();
                self.names.push(name);
                self.loops += 1;
                let each = self.nodes(&all.body)?;
                self.loops -= 1;
                self.names.truncate(before);
                Node::For { name, items, each, none: self.nodes(&all.else_body)? }
            }
            Stmt::Set(set) => {
                let (name, value) = (name(&set.target)?, self.expr(&set.expr)?);
                self.names.push(name);
                Node::Set { name, value }
            }
            // The gate lets no other statement in.
            _ => return Err(Mistake { place: None, what: "there is no such statement".into() }),
        })
    }

    fn boxed(&self, expression: &Jinja<'s>) -> Result<Box<Expr<'s>>, Mistake> {
        self.expr(expression).map(Box::new)
    }

    fn expr(&self, expression: &Jinja<'s>) -> Result<Expr<'s>, Mistake> {
        let place = Place::of(expression.span());
        let kind = match expression {
            Jinja::Var(var) if self.knows(var.id) => Kind::Name(var.id),
            Jinja::Var(_) => {
                return Err(place.mistake(format!("there is no such value; there are {}", self.values.join(", "))));
            }
            Jinja::Const(value) => Kind::Value(
                literal(&value.value)
                    .ok_or_else(|| place.mistake("values are texts, whole numbers, true and false"))?,
            ),
            Jinja::List(list) => Kind::List(list.items.iter().map(|item| self.expr(item)).collect::<Result<_, _>>()?),
            Jinja::GetAttr(field) => Kind::Loop(self.of_loop(&field.expr, field.name).ok_or_else(|| {
                place.mistake("only loop, within for, has fields: index, index0, first, last and length")
            })?),
            Jinja::Filter(filter) => self.filter(filter, place)?,
            Jinja::Test(test) => self.test(test, place)?,
            Jinja::UnaryOp(not) => match not.op {
                UnaryOpKind::Not => Kind::Not(self.boxed(&not.expr)?),
                UnaryOpKind::Neg => return Err(place.mistake(OPERATORS)),
            },
            Jinja::BinOp(two) => {
                let operator = operator(two.op).ok_or_else(|| place.mistake(OPERATORS))?;
                Kind::Two(operator, Box::new((self.expr(&two.left)?, self.expr(&two.right)?)))
            }
            Jinja::IfExpr(choice) => Kind::Choice {
                test: self.boxed(&choice.test_expr)?,
                then: self.boxed(&choice.true_expr)?,
                otherwise: choice.false_expr.as_ref().map(|otherwise| self.boxed(otherwise)).transpose()?,
            },
            Jinja::Compare(_) => return Err(place.mistake("compare two values at a time, with and in between")),
            Jinja::Call(_) => return Err(place.mistake("there are no functions")),
            Jinja::GetItem(_) | Jinja::Slice(_) => {
                return Err(place.mistake("there are no items and slices; take first or last of a list"));
            }
            Jinja::Tuple(_) | Jinja::Map(_) => return Err(place.mistake("lists are written [a, b]; there are no maps")),
        };
        Ok(Expr { place, kind })
    }

    fn knows(&self, name: &str) -> bool {
        self.values.contains(&name) || self.names.contains(&name)
    }

    fn of_loop(&self, of: &Jinja<'s>, field: &str) -> Option<Loop> {
        let Jinja::Var(var) = of else { return None };
        let field = match field {
            "index" => Loop::Index,
            "index0" => Loop::Index0,
            "first" => Loop::First,
            "last" => Loop::Last,
            "length" => Loop::Length,
            _ => return None,
        };
        (var.id == "loop" && self.loops > 0).then_some(field)
    }

    fn filter(&self, filter: &ast::Filter<'s>, place: Place) -> Result<Kind<'s>, Mistake> {
        let unknown = || place.mistake(format!("there is no such filter; there are {}", filters::names()));
        let of = self.boxed(filter.expr.as_ref().ok_or_else(unknown)?)?;
        let mut arguments = self.arguments(&filter.args, place)?;
        if filter.name == "default" {
            let empty_too = match arguments.get(1).map(|argument| &argument.kind) {
                None => false,
                Some(Kind::Value(value)) => value.is_true(),
                Some(_) => return Err(place.mistake("the second argument of default is true or false")),
            };
            return match arguments.len() {
                1 | 2 => Ok(Kind::Default { of, or: Box::new(arguments.swap_remove(0)), empty_too }),
                _ => Err(place.mistake("default takes another value, and true to replace empty ones too")),
            };
        }
        let known = filters::find(filter.name).ok_or_else(unknown)?;
        if !known.arguments.contains(&arguments.len()) {
            let number = match (known.arguments.start(), known.arguments.end()) {
                (0, 0) => "no arguments".to_owned(),
                (least, most) if least == most => format!("{most} in brackets"),
                (least, most) => format!("{least} to {most} in brackets"),
            };
            return Err(place.mistake(format!("{} takes {number}", known.name)));
        }
        Ok(Kind::Filter(known, of, arguments))
    }

    fn arguments(&self, arguments: &[ast::CallArg<'s>], place: Place) -> Result<Vec<Expr<'s>>, Mistake> {
        let of = |argument: &ast::CallArg<'s>| match argument {
            ast::CallArg::Pos(value) => self.expr(value),
            ast::CallArg::Kwarg(..) | ast::CallArg::PosSplat(_) | ast::CallArg::KwargSplat(_) => {
                Err(place.mistake("arguments have no names, and aren't spread"))
            }
        };
        arguments.iter().map(of).collect()
    }

    fn test(&self, test: &ast::Test<'s>, place: Place) -> Result<Kind<'s>, Mistake> {
        let name = match &test.expr {
            Jinja::Var(var) if self.knows(var.id) => var.id,
            _ => {
                return Err(
                    place.mistake(format!("only a value can be defined or not; there are {}", self.values.join(", ")))
                );
            }
        };
        let of_name = Kind::Defined(name);
        match (test.name, test.args.is_empty()) {
            ("defined", true) => Ok(of_name),
            ("undefined", true) => Ok(Kind::Not(Box::new(Expr { place, kind: of_name }))),
            _ => Err(place.mistake("there is no such test; there are defined and undefined")),
        }
    }
}

const OPERATORS: &str = "there is no such operator; there are and, or, not, in, ~ and comparisons";

fn name<'s>(target: &Jinja<'s>) -> Result<&'s str, Mistake> {
    match target {
        Jinja::Var(var) => Ok(var.id),
        other => Err(Place::of(other.span()).mistake("for and set make one name at a time")),
    }
}

fn literal(value: &minijinja::Value) -> Option<Value> {
    if let Some(text) = value.as_str() {
        return Some(Value::text(text));
    }
    match value.kind() {
        minijinja::value::ValueKind::Bool => Some(Value::Flag(value.is_true())),
        _ if value.is_integer() => value.as_i64().map(Value::Number),
        _ => None,
    }
}

fn operator(of: BinOpKind) -> Option<Operator> {
    match of {
        BinOpKind::ScAnd => Some(Operator::And),
        BinOpKind::ScOr => Some(Operator::Or),
        BinOpKind::Eq => Some(Operator::Equal),
        BinOpKind::Ne => Some(Operator::Unequal),
        BinOpKind::Lt => Some(Operator::Less),
        BinOpKind::Lte => Some(Operator::AtMost),
        BinOpKind::Gt => Some(Operator::More),
        BinOpKind::Gte => Some(Operator::AtLeast),
        BinOpKind::In => Some(Operator::In),
        BinOpKind::Concat => Some(Operator::Concatenate),
        BinOpKind::Add
        | BinOpKind::Sub
        | BinOpKind::Mul
        | BinOpKind::Div
        | BinOpKind::FloorDiv
        | BinOpKind::Rem
        | BinOpKind::Pow => None,
    }
}
