//! The fault sweep: every call of a scenario is failed or cut once, on either side, before and after
//! it took effect, with and without the process dying at that moment; the invariants hold all the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a sweep that goes wrong should end there")]
#![allow(clippy::print_stdout, reason = "a sweep says how much it has tried")]
#![allow(dead_code, reason = "the world has more than a sweep needs")]

#[path = "../stories/browser.rs"]
mod browser;
mod cut;
mod driver;
mod sweep;
#[path = "../stories/world.rs"]
mod world;
