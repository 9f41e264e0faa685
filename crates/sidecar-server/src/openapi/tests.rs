use std::collections::BTreeSet;

use super::*;
use crate::routes::Action;

fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, what)| (method.to_uppercase(), path.clone(), what))
    });
    all.collect()
}

/// Calls `look` with every object in `value`.
fn objects<'a>(value: &'a Value, look: &mut impl FnMut(&'a Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            look(object);
            object.values().for_each(|value| objects(value, look));
        }
        Value::Array(items) => items.iter().for_each(|item| objects(item, look)),
        _ => {}
    }
}

#[test]
fn every_route_is_described_but_those_that_are_no_part_of_the_api() {
    let document = document();
    let described: BTreeSet<_> =
        operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
    let is_described = |action: Action| {
        !matches!(action, Action::Proxy) && !format!("{action:?}").starts_with("Dashboard")
    };
    let routes: BTreeSet<_> = ROUTES
        .iter()
        .filter(|route| is_described(route.action))
        .filter_map(|route| Some((route.method?.to_owned(), route.path.replace("{id*}", "{id}"))))
        .collect();
    assert_eq!(described, routes);
}

#[test]
fn an_operation_has_an_id_of_its_own_and_names_what_stands_in_its_path() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
        let parameters = operation["parameters"].as_array().unwrap();
        let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
        assert_eq!(in_path, path.matches('{').count(), "{method} {path}");
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{method} {path}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut count = 0;
    objects(&document, &mut |object| {
        if let Some(Value::String(reference)) = object.get("$ref") {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
            count += 1;
        }
    });
    assert!(count > 100, "{count}");
}

#[test]
fn what_asks_for_the_admin_says_so() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let is_admin = path.starts_with("/api/admin/");
        let is_open = operation["security"] == json!([]);
        let is_log_in = operation["operationId"] == "login";
        assert_eq!(is_admin && !is_log_in, operation["security"][0]["adminToken"] == json!([]));
        assert!(!is_open || !is_admin || is_log_in, "{method} {path}");
    }
}

#[test]
fn what_is_taken_and_what_is_given_are_told_apart() {
    let schemas = &document()["components"]["schemas"];
    let taken = &schemas["ProviderPatch"]["properties"];
    assert!(taken["api_key"]["writeOnly"] == true && taken.get("status").is_none());
    let given = &schemas["ProviderView"];
    let required = given["required"].as_array().unwrap();
    assert!(required.contains(&json!("status_reason")) && required.contains(&json!("health")));
    assert!(given["properties"].get("etag").is_none());
    let required = schemas["Mapping"]["required"].as_array().unwrap();
    assert!(required.contains(&json!("reasoning")) && !required.contains(&json!("native_id")));
    assert!(schemas["Mapping"]["properties"].get("cost_per_mtok").is_none());
    assert_eq!(schemas["LiveNumbers"]["properties"]["reserved_usd"]["type"], "string");
}
