//! Waits until every token is Ready, and shows each change on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{Demo, WITHIN};

impl Demo {
    /// Waits until every token is Ready; each change on the way is shown.
    pub(super) async fn until_ready(&mut self) -> Result<()> {
        let since = Instant::now();
        let mut shown = BTreeMap::new();
        loop {
            self.stage.operator.process.ensure_running()?;
            let list = self.get(&["get", "shopifytokens", "--output=json"]).await?;
            let tokens: Vec<DynamicObject> = serde_json::from_value(list["items"].clone())?;
            let mut waiting = Vec::new();
            for token in &tokens {
                let (name, state) = (token.name_any(), State::of(token));
                if !state.ready {
                    waiting.push(format!("{name} is {}: {}", state.reason, state.message));
                }
                if shown.insert(name.clone(), state.reason.clone()).as_ref() != Some(&state.reason) {
                    let line = format!("{name:<10} {:<20} after {:.1} s", state.reason, since.elapsed().as_secs_f32());
                    if state.ready { self.screen.done(&line)? } else { self.screen.say(&format!("… {line}"))? }
                }
            }
            if waiting.is_empty() {
                return Ok(());
            }
            ensure!(since.elapsed() < WITHIN, "not Ready after {WITHIN:?}: {}", waiting.join("; "));
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The Ready condition of a token.
struct State {
    ready: bool,
    reason: String,
    message: String,
}

impl State {
    fn of(token: &DynamicObject) -> Self {
        let conditions = token.data.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
        let text = |field: &str| ready.and_then(|r| r[field].as_str()).unwrap_or_default().to_owned();
        let reason = if ready.is_some() { text("reason") } else { "not seen yet".to_owned() };
        Self { ready: text("status") == "True", reason, message: text("message") }
    }
}
