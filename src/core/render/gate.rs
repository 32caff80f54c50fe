//! What of a template reaches the parser: it recurses, in places without a bound, so size and depth are looked at before.

use minijinja::{
    machinery::{Token, tokenize},
    syntax::SyntaxConfig,
};

use super::{
    bounds::Bounds,
    mistake::{Mistake, Place},
};

/// Most bytes of a template; the schema has the same number, of characters. minijinja counts columns in 16 bits.
const SOURCE: usize = 65_000;
/// Most tokens between `{{` and `}}`, or `{%` and `%}`.
const TAG: usize = 128;
/// Most brackets, or blocks, within each other; an `elif` counts as one within its `if`.
const DEPTH: usize = 16;
/// Memory that a token can take in both syntax trees, in bytes.
const TOKEN: usize = 128;

/// Looks through all tokens of a template.
///
/// # Errors
/// What isn't a template, is too large or too deep, or another statement than `if`, `for` and `set`.
pub(super) fn admit(source: &str, syntax: &SyntaxConfig, bounds: &mut Bounds) -> Result<(), Mistake> {
    if source.len() > SOURCE {
        return Err(Mistake { place: None, what: "a template can have 65,000 bytes".into() });
    }
    let mut tag = Tag::default();
    // For each open block, how many blocks it counts for.
    let mut open: Vec<usize> = Vec::new();
    for token in tokenize(source, false, syntax.clone()) {
        let (token, span) = token.map_err(|error| Mistake::of_syntax(&error))?;
        let place = Place::of(span);
        bounds.spend(TOKEN).map_err(|what| place.mistake(what))?;
        let statement = tag.begins;
        tag.take(&token).map_err(|what| place.mistake(what))?;
        if statement {
            match token {
                Token::Ident("if" | "for") => open.push(1),
                Token::Ident("elif") => open.last_mut().into_iter().for_each(|depth| *depth += 1),
                Token::Ident("endif" | "endfor") => drop(open.pop()),
                Token::Ident("else" | "set") => {}
                _ => return Err(place.mistake("there is no such statement; there are if, for and set")),
            }
            if open.iter().sum::<usize>() > DEPTH {
                return Err(place.mistake("blocks can be 16 deep, an elif counting as one within its if"));
            }
        }
    }
    Ok(())
}

/// What has been seen of a tag.
#[derive(Default)]
struct Tag {
    /// Whether its first word comes next, in a tag with a statement.
    begins: bool,
    /// How many tokens it has.
    tokens: usize,
    /// How many brackets are open.
    depth: usize,
    /// Whether it is a `set` that hasn't got its `=`: it would be a block.
    set: bool,
}

impl Tag {
    fn take(&mut self, token: &Token<'_>) -> Result<(), &'static str> {
        match token {
            Token::BlockStart => *self = Self { begins: true, ..Self::default() },
            Token::VariableStart | Token::TemplateData(_) => *self = Self::default(),
            Token::BlockEnd if self.set => return Err("set takes a value: {% set name = value %}"),
            Token::Assign if self.depth == 0 => self.set = false,
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => self.depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => self.depth = self.depth.saturating_sub(1),
            token => {
                self.set |= self.begins && matches!(token, Token::Ident("set"));
                self.begins = false;
            }
        }
        self.tokens += 1;
        match self {
            Self { tokens, .. } if *tokens > TAG => Err("a tag can have 128 words and signs; use set, or several tags"),
            Self { depth, .. } if *depth > DEPTH => Err("brackets can be 16 deep"),
            _ => Ok(()),
        }
    }
}
