//! What is shown, of what was read: pure, `now` is an argument.

pub mod checklist;
pub mod deletion;
pub mod detail;
pub mod lifeline;
pub mod remedy;
pub mod secret;
pub mod span;
pub mod state;
pub mod table;

#[cfg(test)]
mod tests;
