//! Why a request would go where it would go.

use http::Method;

use super::Admin;
use crate::call::{Caller, Head};
use crate::ingest::Family;
use crate::pool::Explanation;

impl Admin {
    /// What would become of a request of `caller` for `model`, made now by the protocol of
    /// `family`: every candidate, every filter, the numbers. Nothing is sent or reserved.
    pub fn explain(&self, model: &str, caller: Option<&str>, family: Family) -> Explanation {
        let pools = &self.state.pools;
        let now = pools.clock().now();
        let head = Head {
            model: Some(model.into()),
            caller: caller.map_or_else(Caller::anonymous, |name| Caller(name.into())),
            queue_until: now + pools.settings().queue_timeout,
            ..Head::of_our_own("explain", Method::POST, family, String::new(), now)
        };
        pools.explain(&head)
    }
}
