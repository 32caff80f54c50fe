//! A real Kubernetes control plane on loopback, for tests, demo and benchmark: etcd, kube-apiserver and
//! kube-controller-manager as plain processes, without root and without containers.
//!
//! [`LocalCluster::start`] starts one, [`shared_cluster`] is the one that all tests of a run use.

mod access;
mod apiserver;
pub mod bench;
mod binaries;
pub mod book;
mod cache;
mod certificates;
mod checkov;
mod cluster;
mod data_dir;
pub mod demo;
mod etcd;
mod gitops;
mod go_build;
mod judges;
mod kubeconfig;
mod local_cluster;
mod manifests;
mod operator;
mod process;
mod progress;
mod shared;
mod wait;

pub use binaries::{ASSETS_VARIABLE, Binaries};
pub use checkov::Checkov;
pub use cluster::Cluster;
pub use gitops::{GitOps, Offer, Verdict};
pub use judges::Judges;
pub use local_cluster::{LocalCluster, Options};
pub use manifests::Manifests;
pub use operator::repository;
pub use shared::{DIR_VARIABLE, NO_SKIPS_VARIABLE, shared_cluster, skipped, skips};
