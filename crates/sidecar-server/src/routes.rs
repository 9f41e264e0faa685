//! The one list of what the server answers, and what credential each route asks for.
//!
//! Whatever is not in it is refused.

use http::Method;
use sidecar_core::ingest::Family;

use crate::auth::Credential;

/// One row of the list.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// `None` is any method.
    pub method: Option<&'static str>,
    /// Segments; `{id}` stands for any one, `{id*}` at the end for one or more.
    pub path: &'static str,
    /// What it asks for.
    pub credential: Credential,
    pub(crate) action: Action,
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Health,
    Ready,
    Models,
    Model,
    ListProviders,
    AddProvider,
    ShowProvider,
    ChangeProvider,
    RemoveProvider,
    TestProvider,
    ResetProvider,
    Pools,
    ListSettings,
    ShowSetting,
    ChangeSetting,
    RemoveSetting,
    ListCallers,
    AddCaller,
    ShowCaller,
    ChangeCaller,
    RemoveCaller,
    RollCaller,
    Explain,
    StatsTotal,
    StatsHourly,
    StatsDaily,
    StatsCooldown,
    Login,
    ShowSession,
    Logout,
    Audit,
    MakeBackup,
    ListBackups,
    RotateKeys,
    OpenApi,
    DashboardPage,
    DashboardAsset,
    DashboardFeed,
    Proxy,
}

impl Action {
    /// Its name in the audit log, such as `add_provider`.
    pub(crate) fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A route, and what stands for its `{id}`, percent-encoded as it came.
    Route(&'static str, Credential, Action, Option<&'a str>),
    /// The path is known, the method is not; with the methods that are.
    WrongMethod(Credential, Vec<&'static str>),
    /// Nothing is there. Under the admin prefix even that is only for the admin to know.
    Nothing(Credential),
}

/// Every route. The first that fits counts.
pub const ROUTES: &[Route] = &[
    route("GET", "/health", Credential::None, Action::Health),
    route("GET", "/ready", Credential::None, Action::Ready),
    route("GET", "/v1/models", Credential::Caller, Action::Models),
    route("GET", "/models", Credential::Caller, Action::Models),
    route("GET", "/v1/models/{id*}", Credential::Caller, Action::Model),
    route("GET", "/models/{id*}", Credential::Caller, Action::Model),
    route("GET", "/api/admin/backends", Credential::Admin, Action::ListProviders),
    route("POST", "/api/admin/backends", Credential::Admin, Action::AddProvider),
    route("GET", "/api/admin/backends/{id}", Credential::Admin, Action::ShowProvider),
    route("PUT", "/api/admin/backends/{id}", Credential::Admin, Action::ChangeProvider),
    route("DELETE", "/api/admin/backends/{id}", Credential::Admin, Action::RemoveProvider),
    route("POST", "/api/admin/backends/{id}/test", Credential::Admin, Action::TestProvider),
    route("POST", "/api/admin/backends/{id}/reset", Credential::Admin, Action::ResetProvider),
    route("GET", "/api/admin/pools", Credential::Admin, Action::Pools),
    route("GET", "/api/admin/config", Credential::Admin, Action::ListSettings),
    route("GET", "/api/admin/config/{id}", Credential::Admin, Action::ShowSetting),
    route("PUT", "/api/admin/config/{id}", Credential::Admin, Action::ChangeSetting),
    route("DELETE", "/api/admin/config/{id}", Credential::Admin, Action::RemoveSetting),
    route("GET", "/api/admin/callers", Credential::Admin, Action::ListCallers),
    route("POST", "/api/admin/callers", Credential::Admin, Action::AddCaller),
    route("GET", "/api/admin/callers/{id}", Credential::Admin, Action::ShowCaller),
    route("PUT", "/api/admin/callers/{id}", Credential::Admin, Action::ChangeCaller),
    route("DELETE", "/api/admin/callers/{id}", Credential::Admin, Action::RemoveCaller),
    route("POST", "/api/admin/callers/{id}/roll", Credential::Admin, Action::RollCaller),
    route("GET", "/api/admin/explain", Credential::Admin, Action::Explain),
    route("GET", "/api/admin/stats/total", Credential::Admin, Action::StatsTotal),
    route("GET", "/api/admin/stats/hourly", Credential::Admin, Action::StatsHourly),
    route("GET", "/api/admin/stats/daily", Credential::Admin, Action::StatsDaily),
    route("GET", "/api/admin/stats/cooldown", Credential::Admin, Action::StatsCooldown),
    route("POST", SESSION, Credential::None, Action::Login),
    route("GET", SESSION, Credential::Admin, Action::ShowSession),
    route("DELETE", SESSION, Credential::Admin, Action::Logout),
    route("GET", "/api/admin/audit", Credential::Admin, Action::Audit),
    route("POST", "/api/admin/backup", Credential::Admin, Action::MakeBackup),
    route("GET", "/api/admin/backup", Credential::Admin, Action::ListBackups),
    route("POST", "/api/admin/keys/rotate", Credential::Admin, Action::RotateKeys),
    route("GET", "/api/admin/openapi.json", Credential::Admin, Action::OpenApi),
    route("GET", "/dashboard", Credential::None, Action::DashboardPage),
    route("GET", "/dashboard/sse", Credential::Admin, Action::DashboardFeed),
    route("GET", "/dashboard/assets/{id*}", Credential::None, Action::DashboardAsset),
];

/// The route of `method` and `path`; the path is compared as it came, byte for byte.
pub(crate) fn find<'a>(method: &Method, path: &'a str) -> Found<'a> {
    // Most requests are of this kind, and nothing in the list fits them.
    if is_beside_the_list(path) && Family::of_path(path).is_some() {
        return Found::Route(PROXIED, Credential::Caller, Action::Proxy, None);
    }
    let mut allowed = Vec::new();
    for route in ROUTES {
        let Some(id) = matches(route.path, path) else { continue };
        match route.method {
            Some(wanted) if wanted != method.as_str() => allowed.push((route, wanted)),
            _ => return Found::Route(route.path, route.credential, route.action, id),
        }
    }
    if allowed.iter().any(|(route, _)| route.credential == Credential::Admin) {
        let methods = allowed.iter().map(|(_, method)| *method).collect();
        return Found::WrongMethod(Credential::Admin, methods);
    }
    // Whatever else a provider's API has is passed on.
    if Family::of_path(path).is_some() {
        return Found::Route(PROXIED, Credential::Caller, Action::Proxy, None);
    }
    if !allowed.is_empty() {
        let methods = allowed.iter().map(|(_, method)| *method).collect();
        return Found::WrongMethod(Credential::None, methods);
    }
    let is_admin = path.split('/').any(|segment| segment.eq_ignore_ascii_case("admin"));
    Found::Nothing(if is_admin { Credential::Admin } else { Credential::None })
}

/// Whether `path`, of a route that asks for `credential`, is of the operator's side, where a
/// browser may hold a session.
pub(crate) fn is_of_operator(path: &str, credential: Credential) -> bool {
    let of_dashboard = path.strip_prefix(DASHBOARD);
    credential == Credential::Admin
        || path == SESSION
        || of_dashboard.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

const fn route(
    method: &'static str,
    path: &'static str,
    credential: Credential,
    action: Action,
) -> Route {
    Route { method: Some(method), path, credential, action }
}

/// Whether no route of the list begins like `path`.
fn is_beside_the_list(path: &str) -> bool {
    path.starts_with("/v1") && !path.starts_with("/v1/models")
}

/// Whether `path` fits `pattern`: the inner option is what stands for `{id}`.
fn matches<'a>(pattern: &str, path: &'a str) -> Option<Option<&'a str>> {
    // `/providers` is V2's other name for `/backends`.
    let alias =
        path.strip_prefix(PROVIDERS).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some(rest) = alias {
        let pattern = pattern.strip_prefix(BACKENDS)?;
        return match_segments(pattern, rest);
    }
    match_segments(pattern, path)
}

fn match_segments<'a>(pattern: &str, path: &'a str) -> Option<Option<&'a str>> {
    if let Some(prefix) = pattern.strip_suffix("{id*}") {
        return path.strip_prefix(prefix).filter(|rest| !rest.is_empty()).map(Some);
    }
    let mut id = None;
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(id),
            (Some("{id}"), Some(segment)) if !segment.is_empty() => id = Some(segment),
            (Some(wanted), Some(segment)) if wanted == segment => {}
            _ => return None,
        }
    }
}

/// The pattern that stands for every proxied path.
pub(crate) const PROXIED: &str = "/v1/*";
const SESSION: &str = "/api/admin/session";
const DASHBOARD: &str = "/dashboard";
const BACKENDS: &str = "/api/admin/backends";
const PROVIDERS: &str = "/api/admin/providers";

#[cfg(test)]
mod tests {
    use super::*;

    fn action(method: &str, path: &str) -> Option<(Action, Option<String>)> {
        match find(&method.parse().unwrap(), path) {
            Found::Route(_, _, action, id) => Some((action, id.map(str::to_owned))),
            _ => None,
        }
    }

    #[test]
    fn both_names_of_providers_lead_to_the_same_routes() {
        for path in ["/api/admin/backends", "/api/admin/providers"] {
            assert_eq!(action("GET", path), Some((Action::ListProviders, None)));
            let one = format!("{path}/a%20b");
            assert_eq!(action("PUT", &one), Some((Action::ChangeProvider, Some("a%20b".into()))));
        }
        assert_eq!(action("GET", "/api/admin/providersx"), None);
    }

    #[test]
    fn what_is_passed_on_unlooked_at_is_nothing_of_the_list() {
        for route in ROUTES {
            assert!(!is_beside_the_list(route.path), "{}", route.path);
        }
        assert_eq!(action("POST", "/v1/chat/completions"), Some((Action::Proxy, None)));
    }

    #[test]
    fn a_model_may_have_slashes_in_its_name() {
        let model = action("GET", "/v1/models/meta/llama");
        assert_eq!(model, Some((Action::Model, Some("meta/llama".into()))));
        assert_eq!(action("GET", "/v1/models"), Some((Action::Models, None)));
    }

    #[test]
    fn what_looks_like_an_admin_path_is_for_the_admin_or_nothing() {
        for path in [
            "//api/admin/backends",
            "/api/admin/backends/",
            "/api//admin/backends",
            "/API/ADMIN/backends",
            "/api/admin",
            "/api/admin/backends/a/b/c",
        ] {
            assert_eq!(find(&Method::GET, path), Found::Nothing(Credential::Admin), "{path}");
        }
        assert_eq!(find(&Method::GET, "/elsewhere"), Found::Nothing(Credential::None));
    }

    #[test]
    fn logging_in_is_all_that_the_admin_paths_have_for_everybody() {
        for route in ROUTES.iter().filter(|route| route.path.contains("/admin")) {
            let is_open = route.credential != Credential::Admin;
            assert_eq!(is_open, route.action == Action::Login, "{route:?}");
        }
        let found = find(&Method::PUT, SESSION);
        assert_eq!(found, Found::WrongMethod(Credential::Admin, vec!["POST", "GET", "DELETE"]));
    }

    #[test]
    fn the_operators_side_is_the_admin_api_and_the_dashboard() {
        for path in [SESSION, "/dashboard", "/dashboard/sse", "/dashboard/assets/x.js"] {
            assert!(is_of_operator(path, Credential::None), "{path}");
        }
        assert!(is_of_operator("/api/admin/backends", Credential::Admin));
        for path in ["/health", "/ready", "/dashboards", "/v1/models"] {
            assert!(!is_of_operator(path, Credential::None), "{path}");
        }
    }

    #[test]
    fn an_action_has_a_name_in_small_letters() {
        assert_eq!(Action::Login.name(), "login");
        assert_eq!(Action::ChangeProvider.name(), "change_provider");
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let found = find(&Method::PATCH, "/api/admin/config/rate_rpm");
        assert_eq!(found, Found::WrongMethod(Credential::Admin, vec!["GET", "PUT", "DELETE"]));
    }
}
