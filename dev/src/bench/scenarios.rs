//! The scenarios, and how many tokens each has.

mod burst;
mod deletion;
mod failover;
mod fairness;
mod idle;
mod shards;
mod start;
mod steady;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use self::steady::Applied;
use super::figures::Figures;

/// Longest that anything is waited for.
const WITHIN: Duration = Duration::from_mins(15);

/// One thing that is measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scenario {
    /// There are none.
    Start,
    /// So many tokens are applied at once, over so many shops.
    Burst { tokens: usize, shops: usize },
    /// So many are applied at once, to one instance and to two that share them.
    Shards { tokens: usize },
    /// With so many Ready tokens: nothing for a while, new ones one at a time, a restart.
    Idle { tokens: usize, seconds: u64, added: usize },
    /// So many tokens of short lives, for so long, the renewals spread over time.
    Steady { tokens: usize, seconds: u64 },
    /// The same, all due at the same time.
    Wave { tokens: usize, seconds: u64 },
    /// A namespace with so many storefront tokens is deleted.
    Deletion { tokens: usize },
    /// So many credentials fell due, so many shops hang, one is throttled, and one answers late: new tokens elsewhere.
    Fairness { hanging: usize, late: usize, due: usize },
    /// The leader is killed.
    Failover { tokens: usize },
}

impl Scenario {
    /// All of them, in their order; quickly, those that tell most within three minutes.
    pub(super) fn all(quick: bool) -> Vec<Self> {
        if quick {
            return vec![
                Self::Start,
                Self::Burst { tokens: 100, shops: 100 },
                Self::Burst { tokens: 1_000, shops: 100 },
                Self::Idle { tokens: 500, seconds: 5, added: 10 },
                Self::Wave { tokens: 100, seconds: 5 },
                Self::Deletion { tokens: 100 },
                Self::Fairness { hanging: 10, late: 50, due: 0 },
            ];
        }
        vec![
            Self::Start,
            Self::Burst { tokens: 100, shops: 100 },
            Self::Burst { tokens: 1_000, shops: 100 },
            Self::Burst { tokens: 10_000, shops: 100 },
            Self::Burst { tokens: 3_000, shops: 3_000 },
            Self::Burst { tokens: 100, shops: 1 },
            Self::Burst { tokens: 1_000, shops: 1 },
            Self::Burst { tokens: 10_000, shops: 1 },
            Self::Shards { tokens: 1_000 },
            Self::Idle { tokens: 10_000, seconds: 60, added: 100 },
            Self::Steady { tokens: 1_000, seconds: 120 },
            Self::Wave { tokens: 1_000, seconds: 60 },
            Self::Deletion { tokens: 1_500 },
            Self::Fairness { hanging: 40, late: 300, due: 10_000 },
            Self::Failover { tokens: 100 },
        ]
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::Start => "start".to_owned(),
            Self::Burst { tokens, shops: 1 } => format!("burst {tokens}, one shop"),
            Self::Burst { tokens, shops } => format!("burst {tokens}, {shops} shops"),
            Self::Shards { tokens } => format!("shards {tokens}"),
            Self::Idle { tokens, .. } => format!("idle {tokens}"),
            Self::Steady { tokens, .. } => format!("steady {tokens}"),
            Self::Wave { tokens, .. } => format!("wave {tokens}"),
            Self::Deletion { tokens } => format!("deletion {tokens}"),
            Self::Fairness { hanging, .. } => format!("fairness, {hanging} hanging shops"),
            Self::Failover { tokens } => format!("fail-over {tokens}"),
        }
    }

    pub(super) async fn run(self, operator: &Path) -> Result<Vec<Figures>> {
        let name = self.name();
        match self {
            Self::Start => start::run(name, operator).await,
            Self::Burst { tokens, shops } => burst::run(name, operator, tokens, shops).await,
            Self::Shards { tokens } => shards::run(operator, tokens).await,
            Self::Idle { tokens, seconds, added } => idle::run(operator, tokens, seconds, added).await,
            Self::Steady { tokens, seconds } => steady::run(name, operator, tokens, seconds, Applied::Evenly).await,
            Self::Wave { tokens, seconds } => steady::run(name, operator, tokens, seconds, Applied::AtOnce).await,
            Self::Deletion { tokens } => deletion::run(name, operator, tokens).await,
            Self::Fairness { hanging, late, due } => fairness::run(name, operator, hanging, late, due).await,
            Self::Failover { tokens } => failover::run(name, operator, tokens).await,
        }
    }
}
