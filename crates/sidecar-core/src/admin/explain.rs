//! Why a request would go where it would go.

use super::Admin;
use crate::ingest::Family;
use crate::pool::Explanation;

impl Admin {
    /// See [`crate::pool::Pools::explain`].
    pub fn explain(&self, model: &str, caller: Option<&str>, family: Family) -> Explanation {
        self.state.pools.explain(model, caller, family)
    }
}
