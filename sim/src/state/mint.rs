//! Values of new tokens.

use uuid::Uuid;

use super::State;

const DIGITS: usize = 32;

impl State {
    /// A prefix and 32 hexadecimal digits. A canary takes the place of the
    /// first digits, up to half of them, so that values stay unique.
    pub(super) fn mint(&self, prefix: &str) -> String {
        let canary = self.canary.as_deref().unwrap_or_default();
        let random = Uuid::new_v4().simple().to_string();
        let digits = DIGITS - canary.len().min(DIGITS / 2);
        format!("{prefix}{canary}{}", &random[DIGITS - digits..])
    }
}
