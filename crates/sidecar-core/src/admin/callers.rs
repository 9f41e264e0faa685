//! Adding, changing and removing callers, and giving them new keys.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::{Admin, AdminError, EntityTag, Precondition};
use crate::callers::{CallerPatch, CallerRecord, Delivery, LiveCaller, LiveNumbers, Usd};
use crate::clock::Timestamp;
use crate::provider::FieldError;
use crate::secret::Secret;
use crate::sidecar::{Locked, State, Stored};
use crate::store::{Change, Table};

/// A caller as an operator sees it: its limits, and how it stands.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CallerView {
    /// Never changes.
    pub id: String,
    /// Unique. Never changes either: usage is booked under it.
    pub name: String,
    /// A free text.
    pub label: Option<String>,
    /// Whether it may call.
    pub status: CallerStatus,
    /// Whether the operator wants it to call.
    pub enabled: bool,
    /// What may be shown of its newest key.
    pub key_hint: String,
    /// Its keys that work, the newest last.
    pub keys: Vec<CallerKeyView>,
    /// Requests per minute.
    pub rpm: Option<u32>,
    /// Requests at a time.
    pub concurrency: Option<u32>,
    /// The models it may use; all if there are none.
    pub models: Vec<String>,
    /// When it may no longer call.
    pub expires_at: Option<Timestamp>,
    /// What it may spend a day, UTC.
    pub budget_daily_usd: Option<Usd>,
    /// What it may spend a month, UTC.
    pub budget_monthly_usd: Option<Usd>,
    /// Its share of the wait queue.
    pub weight: u32,
    /// Requests per task.
    pub max_rounds: Option<u32>,
    /// How it gets streams if it does not say.
    pub delivery: Delivery,
    /// How it stands at the moment.
    pub live: LiveNumbers,
    /// When it was entered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Stands for its configuration.
    #[serde(skip)]
    pub etag: EntityTag,
}

/// Whether a caller may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum CallerStatus {
    /// It may, within its limits.
    Active,
    /// Its time is over.
    Expired,
    /// The operator does not want it to.
    Disabled,
}

/// What may be shown of a key.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CallerKeyView {
    /// Its beginning and its end.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops to work, if another one has taken over.
    pub expires_at: Option<Timestamp>,
    /// When it was last used since the process began.
    pub last_used_at: Option<Timestamp>,
}

impl Admin {
    /// Every caller, by name.
    pub fn callers(&self) -> Vec<CallerView> {
        let callers = self.state.callers.all();
        let mut views: Vec<_> = callers.iter().map(|caller| self.caller_view(caller)).collect();
        views.sort_by(|one, other| one.name.cmp(&other.name));
        views
    }

    /// One caller, by id or name.
    pub fn caller(&self, id_or_name: &str) -> Result<CallerView, AdminError> {
        let caller = self.state.callers.find(id_or_name).ok_or(AdminError::NotFound)?;
        Ok(self.caller_view(&caller))
    }

    /// Adds a caller. Its key is given here and never again.
    ///
    /// # Errors
    ///
    /// A field that is missing or wrong, a name that is taken, a store that cannot be written.
    pub async fn add_caller(&self, patch: CallerPatch) -> Result<(CallerView, Secret), AdminError> {
        let stored = self.state.lock().await;
        let now = self.state.pools.clock().wall();
        let (caller, key) = patch.create(Uuid::now_v7().to_string(), now)?;
        if stored.callers.values().any(|other| other.name == caller.name) {
            return Err(FieldError::conflict("name", "is taken by another caller").into());
        }
        Ok((self.put_caller(stored, caller).await?, key))
    }

    /// Changes the fields of a caller that `patch` has. What it has used so far counts on.
    ///
    /// # Errors
    ///
    /// A field that is wrong, another name, a `precondition` that does not hold, a store that
    /// cannot be written.
    pub async fn change_caller(
        &self,
        id_or_name: &str,
        patch: CallerPatch,
        precondition: &Precondition,
    ) -> Result<CallerView, AdminError> {
        let stored = self.state.lock().await;
        let current = find(&stored, id_or_name)?;
        precondition.check("the caller", self.caller_tag(current))?;
        let caller = patch.apply(current, self.state.pools.clock().wall())?;
        self.put_caller(stored, caller).await
    }

    /// Removes a caller. Its keys are refused at once; what it has used stays on the books.
    ///
    /// # Errors
    ///
    /// An unknown caller, a `precondition` that does not hold, a store that cannot be written.
    pub async fn remove_caller(
        &self,
        id_or_name: &str,
        precondition: &Precondition,
    ) -> Result<(), AdminError> {
        let stored = self.state.lock().await;
        let current = find(&stored, id_or_name)?;
        precondition.check("the caller", self.caller_tag(current))?;
        let id = current.id.clone();
        let change = Change::delete(Table::Callers, id.as_str());
        let effect = move |state: &State, stored: &mut Stored| {
            stored.callers.remove(&id);
            state.callers.replace(stored.callers.values().cloned());
        };
        self.state.commit(stored, change, effect).await?;
        Ok(())
    }

    /// Gives a caller a new key, which is given here and never again. The key before it works on
    /// for `overlap`. If there are two before it, only the one that was used later does.
    ///
    /// # Errors
    ///
    /// An unknown caller, an overlap of more than 30 days, a store that cannot be written.
    pub async fn roll_caller_key(
        &self,
        id_or_name: &str,
        overlap: Duration,
    ) -> Result<(CallerView, Secret), AdminError> {
        if overlap > MOST_OVERLAP {
            let detail = "must be at most 2592000, which are 30 days";
            return Err(FieldError::invalid("overlap_seconds", detail).into());
        }
        let stored = self.state.lock().await;
        let now = self.state.pools.clock().wall();
        let callers = &self.state.callers;
        let current = find(&stored, id_or_name)?;
        let (caller, key) = current.with_new_key(overlap, now, |digest| callers.last_used(digest));
        Ok((self.put_caller(stored, caller).await?, key))
    }

    /// Makes `caller` durable, then effective.
    async fn put_caller(
        &self,
        stored: Locked,
        caller: CallerRecord,
    ) -> Result<CallerView, AdminError> {
        let id = caller.id.clone();
        let change = Change::put(Table::Callers, id.as_str(), caller.to_bytes());
        let effect = move |state: &State, stored: &mut Stored| {
            stored.callers.insert(caller.id.clone(), caller);
            state.callers.replace(stored.callers.values().cloned());
        };
        let _stored = self.state.commit(stored, change, effect).await?;
        self.caller(&id)
    }

    fn caller_view(&self, caller: &LiveCaller) -> CallerView {
        let clock = self.state.pools.clock();
        let wall = clock.wall();
        let record = caller.record();
        let status = if !record.enabled {
            CallerStatus::Disabled
        } else if record.is_expired(wall) {
            CallerStatus::Expired
        } else {
            CallerStatus::Active
        };
        let keys = record.keys.iter().filter(|key| key.is_live(wall)).map(|key| CallerKeyView {
            hint: key.hint.clone(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: self.state.callers.last_used(&key.digest),
        });
        CallerView {
            id: record.id.clone(),
            name: record.name.clone(),
            label: record.label.clone(),
            status,
            enabled: record.enabled,
            key_hint: record.key_hint().to_owned(),
            keys: keys.collect(),
            rpm: record.rpm.map(Into::into),
            concurrency: record.concurrency.map(Into::into),
            models: record.models.clone(),
            expires_at: record.expires_at,
            budget_daily_usd: record.budget_daily,
            budget_monthly_usd: record.budget_monthly,
            weight: record.weight.get(),
            max_rounds: record.max_rounds.map(Into::into),
            delivery: record.delivery,
            live: caller.numbers(clock.now(), wall),
            created_at: record.created_at,
            updated_at: record.updated_at,
            etag: self.caller_tag(record),
        }
    }
}

fn find<'a>(stored: &'a Stored, id_or_name: &str) -> Result<&'a CallerRecord, AdminError> {
    let by_name = || stored.callers.values().find(|caller| caller.name == id_or_name);
    stored.callers.get(id_or_name).or_else(by_name).ok_or(AdminError::NotFound)
}

/// How long the key before a new one may work on.
const MOST_OVERLAP: Duration = Duration::from_secs(30 * 86_400);

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::{Value, json};

    use super::*;
    use crate::Sidecar;
    use crate::callers::{CallerKey, DEFAULT_OVERLAP};
    use crate::clock::Clock;
    use crate::keys::{Kek, KeyRing};

    async fn admin() -> Admin {
        Sidecar::builder().clock(Clock::simulated()).open().await.unwrap().admin()
    }

    fn patch(json: Value) -> CallerPatch {
        serde_json::from_value(json).unwrap()
    }

    fn is_known(admin: &Admin, key: &Secret) -> bool {
        let now = admin.state.pools.clock().wall();
        admin.state.callers.authenticate(key.expose(), now).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_is_added_changed_and_removed() {
        let admin = admin().await;
        let (added, key) = admin.add_caller(patch(json!({"name": "agents"}))).await.unwrap();
        assert!(CallerKey::looks_valid(key.expose()) && is_known(&admin, &key));
        assert_eq!(added.status, CallerStatus::Active);

        let change = patch(json!({"rpm": 30, "budget_daily_usd": 1.25, "enabled": false}));
        let any = Precondition::Any;
        let changed = admin.change_caller("agents", change, &any).await.unwrap();
        assert_eq!((changed.id.as_str(), changed.rpm), (added.id.as_str(), Some(30)));
        assert_eq!(changed.status, CallerStatus::Disabled);
        let json = serde_json::to_value(&changed).unwrap();
        assert_eq!(json["budget_daily_usd"], "1.25");
        assert_eq!(json["live"]["spent_today_usd"], "0");
        assert_eq!(json["live"]["rpm_remaining"], 10);

        admin.remove_caller(&added.id, &any).await.unwrap();
        assert!(admin.callers().is_empty() && !is_known(&admin, &key));
        let error = admin.remove_caller("agents", &any).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_taken_once() {
        let admin = admin().await;
        for name in ["b", "a"] {
            admin.add_caller(patch(json!({"name": name}))).await.unwrap();
        }
        let error = admin.add_caller(patch(json!({"name": "a"}))).await.unwrap_err();
        assert_eq!((error.status(), error.field()), (StatusCode::CONFLICT, Some("name")));
        let names: Vec<_> = admin.callers().into_iter().map(|caller| caller.name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_key_takes_over_from_the_old_one() {
        let admin = admin().await;
        let (_, old) = admin.add_caller(patch(json!({"name": "agents"}))).await.unwrap();
        let (rolled, new) = admin.roll_caller_key("agents", DEFAULT_OVERLAP).await.unwrap();
        assert!(is_known(&admin, &old) && is_known(&admin, &new));
        let hints: Vec<_> = rolled.keys.iter().map(|key| key.hint.as_str()).collect();
        assert_eq!((hints.len(), hints[1]), (2, rolled.key_hint.as_str()));

        tokio::time::advance(DEFAULT_OVERLAP).await;
        assert!(!is_known(&admin, &old) && is_known(&admin, &new));
        assert_eq!(admin.caller("agents").unwrap().keys.len(), 1);

        let (_, newest) = admin.roll_caller_key("agents", Duration::ZERO).await.unwrap();
        assert!(!is_known(&admin, &new) && is_known(&admin, &newest));
        let too_long = MOST_OVERLAP + Duration::from_secs(1);
        let error = admin.roll_caller_key("agents", too_long).await.unwrap_err();
        assert_eq!(error.field(), Some("overlap_seconds"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_view_shows_no_key_and_no_digest() {
        let admin = admin().await;
        let (added, key) = admin.add_caller(patch(json!({"name": "agents"}))).await.unwrap();
        let stored = admin.state.stored.lock().await;
        let record = String::from_utf8(stored.callers[&added.id].to_bytes()).unwrap();
        let digest = serde_json::to_string(&stored.callers[&added.id].keys[0].digest).unwrap();
        let digest = digest.trim_matches('"');
        let view = serde_json::to_string(&added).unwrap();
        assert!(record.contains(digest));
        for shown in [view, format!("{added:?} {key:?}"), format!("{:?}", *stored)] {
            assert!(!shown.contains(digest) && !shown.contains(&key.expose()[8..38]), "{shown}");
        }
        assert!(!record.contains(&key.expose()[8..38]));
    }

    #[tokio::test]
    async fn a_caller_and_its_key_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sidecar.redb");
        let hex = Kek::generate().to_hex();
        let open = async || {
            let ring = KeyRing::new(Kek::parse(hex.expose()).unwrap());
            Sidecar::builder().store(&path, ring).open().await.unwrap()
        };
        let sidecar = open().await;
        let new = patch(json!({"name": "agents", "models": ["small"], "weight": 3}));
        let (added, key) = sidecar.admin().add_caller(new).await.unwrap();
        sidecar.close().await.unwrap();
        drop(sidecar);

        let admin = open().await.admin();
        let found = admin.caller("agents").unwrap();
        assert_eq!(serde_json::to_value(&found).unwrap(), serde_json::to_value(&added).unwrap());
        assert!(is_known(&admin, &key));
    }
}
