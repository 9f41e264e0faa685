//! What each route takes and gives.

use serde_json::{Value, json};
use sidecar_core::admin::{
    AuditRow, BackupList, CallerView, CooldownEvent, DailyRow, HourlyStats, MOST_DAYS, MOST_HOURS,
    ProviderView, Rotation, SettingView, TestReport, TotalStats,
};
use sidecar_core::backup::Backup;
use sidecar_core::callers::CallerPatch;
use sidecar_core::pool::Explanation;
use sidecar_core::provider::{Api, ProviderPatch};

use super::bodies;
use super::operation::Operation;
use super::schemas::Schemas;
use crate::routes::Action;

/// What the route of `action` takes and gives; `None` if it is no part of the API.
pub(super) fn describe(action: Action, schemas: &mut Schemas) -> Option<Operation> {
    Some(match action {
        Action::Health => {
            let new = Operation::new(SERVER, "Whether the process lives");
            new.gives(200, "It does.", bodies::health())
        }
        Action::Ready => Operation::new(SERVER, "Whether any provider could serve")
            .gives(200, "One could.", bodies::ready())
            .gives(503, "None could.", bodies::ready()),
        Action::Models => {
            let new = Operation::new(SERVER, "The models that the caller may use");
            let model = schemas.name("Model", bodies::model());
            for_callers(new, schemas).gives(200, "All of them.", bodies::models(&model))
        }
        Action::Model => {
            let new = Operation::new(SERVER, "One model");
            let model = schemas.name("Model", bodies::model());
            let error = schemas.name("Error", bodies::openai_error());
            for_callers(new, schemas)
                .id("Its name, which may have slashes in it.", text())
                .gives(200, "The model.", model)
                .gives(404, "There is none of this name for this caller.", error)
        }
        Action::ListProviders => {
            let new = Operation::new(PROVIDERS, "Every provider, by name");
            let page = bodies::page("backends", &schemas.answer::<ProviderView>());
            new.pages().gives(200, "The providers.", page)
        }
        Action::AddProvider => {
            let required = ["name", "api_base_url", "api_key"];
            let provider = schemas.request::<ProviderPatch>("NewProvider", &required);
            Operation::new(PROVIDERS, "Adds a provider")
                .takes(&provider)
                .gives_tagged(201, "The provider.", schemas.answer::<ProviderView>())
                .refuses(&[409, 500, 503])
        }
        Action::ShowProvider => of_provider("One provider")
            .if_none_match()
            .refuses(&[404])
            .gives_tagged(200, "The provider.", schemas.answer::<ProviderView>()),
        Action::ChangeProvider => of_provider("Changes the fields of a provider that are given")
            .if_match()
            .takes(&schemas.request::<ProviderPatch>("ProviderPatch", &[]))
            .gives_tagged(200, "The provider.", schemas.answer::<ProviderView>())
            .refuses(&[404, 409, 500, 503]),
        Action::RemoveProvider => of_provider("Removes a provider; its usage stays on the books")
            .if_match()
            .gives_with(204, "It is gone.", None, &[])
            .refuses(&[404, 409, 503]),
        Action::TestProvider => of_provider("Sends a provider one cheap real request")
            .may_take(&schemas.name("Test", bodies::test()))
            .gives(200, "What it showed.", schemas.answer::<TestReport>())
            .refuses(&[404, 409]),
        Action::ResetProvider => of_provider("Ends every rest of a provider, and enables it")
            .gives(200, "The provider.", schemas.answer::<ProviderView>())
            .refuses(&[404, 409, 500, 503]),
        Action::Pools => Operation::new(PROVIDERS, "How many providers of each pool are how")
            .gives_with(200, "The counts.", Some(bodies::pools(schemas)), &["x-sidecar-rev"]),
        Action::ListSettings => {
            let page = bodies::page("settings", &schemas.answer::<SettingView>());
            Operation::new(SETTINGS, "Every setting").pages().gives(200, "The settings.", page)
        }
        Action::ShowSetting => of_setting("One setting")
            .if_none_match()
            .refuses(&[404])
            .gives_tagged(200, "The setting.", schemas.answer::<SettingView>()),
        Action::ChangeSetting => of_setting("Changes a setting, at once and durably")
            .if_match()
            .takes(&schemas.name("SettingChange", bodies::setting()))
            .gives_tagged(200, "The setting.", schemas.answer::<SettingView>())
            .refuses(&[404, 409, 503]),
        Action::RemoveSetting => of_setting("Takes a setting back to its default")
            .if_match()
            .gives_tagged(200, "The setting.", schemas.answer::<SettingView>())
            .refuses(&[404, 409, 503]),
        Action::ListCallers => {
            let page = bodies::page("callers", &schemas.answer::<CallerView>());
            Operation::new(CALLERS, "Every caller, by name").pages().gives(
                200,
                "The callers.",
                page,
            )
        }
        Action::AddCaller => {
            let with_key = caller_with_key(schemas);
            Operation::new(CALLERS, "Adds a caller")
                .takes(&schemas.request::<CallerPatch>("NewCaller", &["name"]))
                .gives_tagged(201, "The caller, with its key.", with_key)
                .refuses(&[409, 503])
        }
        Action::ShowCaller => of_caller("One caller").if_none_match().refuses(&[404]).gives_tagged(
            200,
            "The caller.",
            schemas.answer::<CallerView>(),
        ),
        Action::ChangeCaller => of_caller("Changes the fields of a caller that are given")
            .if_match()
            .takes(&schemas.request::<CallerPatch>("CallerPatch", &[]))
            .gives_tagged(200, "The caller.", schemas.answer::<CallerView>())
            .refuses(&[404, 409, 503]),
        Action::RemoveCaller => of_caller("Removes a caller; its usage stays on the books")
            .if_match()
            .gives_with(204, "It is gone.", None, &[])
            .refuses(&[404, 503]),
        Action::RollCaller => of_caller("Gives a caller a new key")
            .may_take(&schemas.name("Roll", bodies::roll()))
            .gives_tagged(200, "The caller, with its new key.", caller_with_key(schemas))
            .refuses(&[404, 503]),
        Action::Explain => Operation::new(PROVIDERS, "Why a request would go where it would go")
            .required_query("model", "The model that would be asked for.")
            .query("caller", "Who would ask.", text())
            .query("api", "The protocol it would be asked by.", schemas.answer::<Api>())
            .gives(200, "Every candidate and every filter.", schemas.answer::<Explanation>()),
        Action::StatsTotal => Operation::new(STATS, "The sums over everything on the books")
            .gives(200, "The sums.", schemas.answer::<TotalStats>())
            .refuses(&[400, 503]),
        Action::StatsHourly => Operation::new(STATS, "Usage by hour, provider, model and caller")
            .query("hours", "How many hours back, this one included.", up_to(MOST_HOURS))
            .query("backend_id", "Only of this provider, by id or name.", text())
            .query("model", "Only of this model.", text())
            .query("caller", "Only of this caller.", text())
            .gives(200, "The rows, the oldest first.", schemas.answer::<HourlyStats>())
            .refuses(&[503]),
        Action::StatsDaily => {
            let rows = bodies::list("daily", &schemas.answer::<DailyRow>());
            Operation::new(STATS, "Usage by day and pool")
                .query("days", "How many days back, this one included.", up_to(MOST_DAYS))
                .gives(200, "The rows, the oldest first.", rows)
                .refuses(&[503])
        }
        Action::StatsCooldown => {
            let rows = bodies::list("events", &schemas.answer::<CooldownEvent>());
            Operation::new(STATS, "The rests that began")
                .query("backend_id", "Only of this provider, by id or name.", text())
                .query("limit", "The most rows.", up_to(1_000))
                .gives(200, "The rows, the newest first.", rows)
                .refuses(&[503])
        }
        Action::Login => Operation::new(SESSION, "Begins a session of a browser")
            .takes(&schemas.name("LogIn", bodies::log_in()))
            .gives_with(204, "The session is in the cookie.", None, &["Set-Cookie"])
            .refuses(&[401, 403, 421, 429]),
        Action::ShowSession => Operation::new(SESSION, "What it is that lets you in").gives(
            200,
            "A token or a session.",
            bodies::session(),
        ),
        Action::Logout => Operation::new(SESSION, "Ends the session").gives_with(
            204,
            "It has ended.",
            None,
            &["Set-Cookie"],
        ),
        Action::Audit => {
            let rows = bodies::list("events", &schemas.answer::<AuditRow>());
            let id = json!({"type": "integer", "minimum": 0, "maximum": u64::MAX});
            Operation::new(SERVER, "Who changed what, and who failed to log in")
                .query("limit", "The most rows.", up_to(1_000))
                .query("before", "Only rows with a lower id.", id)
                .gives(200, "The rows, the newest first.", rows)
                .refuses(&[503])
        }
        Action::MakeBackup => Operation::new(SERVER, "Makes a backup of the store")
            .gives(201, "The backup.", schemas.answer::<Backup>())
            .refuses(&[409, 503]),
        Action::ListBackups => Operation::new(SERVER, "The backups")
            .gives(200, "The newest first.", schemas.answer::<BackupList>())
            .refuses(&[409, 503]),
        Action::RotateKeys => Operation::new(SERVER, "Wraps the data keys with another master key")
            .gives(200, "What was done.", schemas.answer::<Rotation>())
            .refuses(&[409, 500, 503]),
        Action::OpenApi => Operation::new(SERVER, "The description of all this").gives(
            200,
            "As OpenAPI 3.1.",
            json!({"type": "object"}),
        ),
        Action::DashboardPage | Action::DashboardAsset | Action::DashboardFeed | Action::Proxy => {
            return None;
        }
    })
}

/// The subjects that operations are sorted by.
pub(super) fn tags() -> Value {
    json!([
        {"name": PROVIDERS, "description": "Keys and where they lead."},
        {"name": CALLERS, "description": "Who may use the proxy, and how much."},
        {"name": SETTINGS, "description": "What may be changed while requests are served."},
        {"name": STATS, "description": "What was used, and who had to rest."},
        {"name": SESSION, "description": "Logging in and out."},
        {"name": SERVER, "description": "How the server itself is."},
    ])
}

fn of_provider(summary: &'static str) -> Operation {
    Operation::new(PROVIDERS, summary).id("The provider's id or name.", text()).refuses(&[400])
}

fn of_caller(summary: &'static str) -> Operation {
    Operation::new(CALLERS, summary).id("The caller's id or name.", text()).refuses(&[400])
}

fn of_setting(summary: &'static str) -> Operation {
    let keys = bodies::setting_keys();
    Operation::new(SETTINGS, summary).id("The setting's key.", keys).refuses(&[400])
}

/// What is refused to callers, in the form of OpenAI.
fn for_callers(operation: Operation, schemas: &mut Schemas) -> Operation {
    let error = schemas.name("Error", bodies::openai_error());
    operation
        .gives(400, "Two different caller keys are shown.", error.clone())
        .gives(401, "A caller key is needed, or the one shown is wrong.", error.clone())
        .gives_with(429, "Too many wrong caller keys.", Some(error), &["Retry-After"])
}

fn caller_with_key(schemas: &mut Schemas) -> Value {
    let caller = schemas.answer::<CallerView>();
    schemas.name("CallerWithKey", bodies::with_key(&caller))
}

fn text() -> Value {
    json!({"type": "string", "minLength": 1})
}

fn up_to(most: u32) -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": most})
}

const PROVIDERS: &str = "Providers";
const CALLERS: &str = "Callers";
const SETTINGS: &str = "Settings";
const STATS: &str = "Statistics";
const SESSION: &str = "Session";
const SERVER: &str = "Server";
