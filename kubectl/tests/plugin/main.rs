//! The plugin as a process, against a real API server and the running operator.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that goes wrong should end there")]

mod acting;
mod bad_input;
mod kubectl;
mod plugin;
mod reading;
mod setup;
#[allow(dead_code, reason = "shared with the stories")]
#[path = "../../../tests/stories/world.rs"]
mod world;
