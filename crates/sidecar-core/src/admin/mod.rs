//! Managing providers and settings while requests are served.
//!
//! Every change is validated whole, made durable, and then takes effect at once; a refused one
//! changes nothing.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sidecar_core::error::BoxError> {
//! use sidecar_core::Sidecar;
//! use sidecar_core::admin::Precondition;
//! use sidecar_core::provider::ProviderPatch;
//!
//! let admin = Sidecar::builder().open().await?.admin();
//! let patch = r#"{"name": "nim", "api_key": "nvapi-0123456789",
//!                 "api_base_url": "https://integrate.api.nvidia.com/v1"}"#;
//! admin.add_provider(serde_json::from_str(patch)?).await?;
//!
//! let slower: ProviderPatch = serde_json::from_str(r#"{"rpm_limit": 30}"#)?;
//! let nim = admin.change_provider("nim", slower, &Precondition::Any).await?;
//! assert_eq!((nim.rpm_limit, nim.api_key.as_str()), (Some(30), "nvapi-****6789"));
//! # Ok(()) }
//! ```

mod audit;
mod backup;
mod callers;
mod error;
mod etag;
mod explain;
mod keys;
mod live;
mod providers;
mod settings;
mod stats;
mod status;
mod test_call;
mod view;

use std::ops::RangeInclusive;
use std::sync::Arc;

pub use self::audit::{AuditEvent, AuditRow};
pub(crate) use self::audit::{AuditLog, Taken};
pub use self::backup::BackupList;
pub use self::callers::{CallerKeyView, CallerStatus, CallerView};
pub use self::error::AdminError;
pub use self::etag::{EntityTag, Precondition};
pub use self::keys::{NeedingBackup, Rotation, StillNeeded};
pub use self::live::LiveView;
pub use self::settings::{SettingSource, SettingView};
pub use self::stats::{
    CooldownEvent, CostNumber, DailyRow, HourlyFilter, HourlyRow, HourlyStats, MOST_DAYS,
    MOST_HOURS, TotalStats,
};
pub use self::status::{PoolCounts, Status};
pub use self::test_call::TestReport;
pub use self::view::{HealthView, LimiterView, ProviderView};

use crate::sidecar::State;
use crate::store::StoreError;
use crate::usage::{UsageCounts, UsageKey};

/// A handle for managing a [`crate::Sidecar`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin {
    state: Arc<State>,
}

impl Admin {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// What was used in `hours` (see [`crate::clock::Timestamp::hour`]), up to this moment.
    pub async fn usage(
        &self,
        hours: RangeInclusive<i64>,
    ) -> Result<Vec<(UsageKey, UsageCounts)>, StoreError> {
        self.state.flusher.usage(hours).await
    }
}
