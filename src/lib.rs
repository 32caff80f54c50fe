//! cert-manager for Shopify tokens: the operator, as a library that its binary and its tests share.

pub mod api;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod core;
pub mod install;
pub mod kubernetes;
pub mod lease;
pub mod metrics;
pub mod proxy;
pub mod queue;
pub mod rbac;
pub mod run;
pub mod selector;
pub mod server;
pub mod shared;
pub mod shopify;
pub mod slots;
pub mod sources;
pub mod spans;
pub mod telemetry;
pub mod time;
pub mod traces;
pub mod workers;
