//! `pools`: how many providers of each pool are in which state.

use serde_json::Value;

use super::Session;
use crate::error::Error;
use crate::output::{field, table};

pub(super) async fn run(session: &mut Session<'_, '_>) -> Result<(), Error> {
    let pools = session.remote.get("/pools").await?;
    session.print(&pools, overview)
}

fn overview(pools: &Value) -> Result<String, Error> {
    let pools = pools.as_object().ok_or(Error::Incomplete("pools"))?;
    let mut pools: Vec<(&String, &Value)> = pools.iter().collect();
    pools.sort_by_key(|(name, _)| (*name != "primary", *name));
    let rows = pools.into_iter().map(|(name, counts)| {
        let [total, enabled, healthy, cooling, error, disabled] =
            COUNTS.map(|count| field(counts, count));
        [name.clone(), total, enabled, healthy, cooling, error, disabled]
    });
    Ok(table(["POOL", "TOTAL", "ENABLED", "HEALTHY", "COOLING", "ERROR", "DISABLED"], rows))
}

const COUNTS: [&str; 6] = ["total", "enabled", "healthy", "cooling", "error", "disabled"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_primary_pool_comes_first() {
        let counts = |total: u32| {
            json!({"total": total, "enabled": 1, "healthy": 1, "cooling": 0, "error": 0,
                   "disabled": 0})
        };
        let text = overview(&json!({"fallback": counts(1), "primary": counts(12)})).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "POOL      TOTAL  ENABLED  HEALTHY  COOLING  ERROR  DISABLED");
        assert_eq!(lines[1], "primary   12     1        1        0        0      0");
        assert!(lines[2].starts_with("fallback  1 "));
    }
}
