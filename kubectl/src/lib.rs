//! `kubectl shopify-token`: where every credential stands, and the actions a person takes.
//!
//! It writes what a person would write with kubectl, and reads what everybody with that right can read. Of the operator
//! it shares the API's types and vocabulary, and how a kubeconfig is read.

pub mod call;
pub mod cli;
pub mod cluster;
pub mod command;
pub mod failure;
pub mod objects;
pub mod screen;
pub mod view;
