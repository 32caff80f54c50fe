//! The real binary as a process of its own, under its `ServiceAccount`: crashes, stops, leaders, scale, security.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that goes wrong should end there")]

mod admin_port;
mod audit;
#[allow(dead_code, reason = "shared with the stories")]
#[path = "../stories/browser.rs"]
mod browser;
mod canary;
mod collector;
mod crash;
mod dashboard;
mod install;
mod ipv6;
mod kubeconfig;
mod leaders;
mod operator;
mod prometheus;
mod proxy;
mod rbac;
mod resilience;
mod restart;
mod scale;
mod secret_rotation;
mod stop;
mod traces;
mod tunnel;
mod upgrade;
#[allow(dead_code, reason = "shared with the stories")]
#[path = "../stories/world.rs"]
mod world;
