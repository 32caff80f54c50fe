//! The faults in force, and which call each strikes.

use serde::{Deserialize, Serialize};

use crate::fault::{CutMode, Fault, FaultKind};
use crate::operation::Call;

/// Names a fault, so that it can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(u64);

/// The faults in force, and the one cut of a sweep.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    last_id: u64,
    armed: Vec<(FaultId, Fault)>,
    cut: Option<(u64, CutMode)>,
    since_mark: u64,
}

impl Faults {
    pub(crate) fn arm(&mut self, fault: Fault) -> FaultId {
        self.last_id += 1;
        let id = FaultId(self.last_id);
        self.armed.push((id, fault));
        id
    }

    pub(crate) fn disarm(&mut self, id: FaultId) {
        self.armed.retain(|(armed, _)| *armed != id);
    }

    pub(crate) fn disarm_all(&mut self) {
        self.armed.clear();
        self.cut = None;
    }

    pub(crate) fn armed(&self) -> Vec<(FaultId, Fault)> {
        self.armed.clone()
    }

    /// Counts calls from zero again.
    pub(crate) fn mark(&mut self) {
        self.since_mark = 0;
        self.cut = None;
    }

    pub(crate) fn cut_nth(&mut self, n: u64, mode: CutMode) {
        self.mark();
        self.cut = Some((n, mode));
    }

    pub(crate) fn calls_since_mark(&self) -> u64 {
        self.since_mark
    }

    /// What goes wrong with this call, which is counted.
    pub(crate) fn strike(&mut self, call: &Call) -> Option<FaultKind> {
        let n = self.since_mark;
        self.since_mark += 1;
        if let Some((_, mode)) = self.cut.take_if(|(at, _)| *at == n) {
            return Some(mode.into());
        }
        for (_, fault) in &mut self.armed {
            if !fault.is_for(call) || fault.times == Some(0) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if let Some(times) = &mut fault.times {
                *times -= 1;
            }
            return Some(fault.kind.clone());
        }
        None
    }
}
