//! [`Operation`].

use serde_json::{Map, Value, json};

use crate::auth::Credential;

/// What is said of one route.
#[derive(Debug)]
pub(super) struct Operation {
    tag: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Map<String, Value>,
}

impl Operation {
    pub(super) fn new(tag: &'static str, summary: &'static str) -> Self {
        Self { tag, summary, parameters: Vec::new(), body: None, answers: Map::new() }
    }

    /// What stands for `{id}` in its path.
    pub(super) fn id(mut self, description: &str, schema: Value) -> Self {
        self.parameters.push(json!({
            "name": "id",
            "in": "path",
            "required": true,
            "description": description,
            "schema": schema,
        }));
        self
    }

    /// A parameter of its query that may be left out. An empty one is as good as none.
    pub(super) fn query(mut self, name: &str, description: &str, schema: Value) -> Self {
        self.parameters.push(json!({
            "name": name,
            "in": "query",
            "description": description,
            "schema": {"anyOf": [schema, {"const": ""}]},
        }));
        self.refuses(&[400])
    }

    /// A parameter of its query that must be there.
    pub(super) fn required_query(mut self, name: &str, description: &str) -> Self {
        self.parameters.push(json!({
            "name": name,
            "in": "query",
            "required": true,
            "description": description,
            "schema": {"type": "string", "minLength": 1},
        }));
        self.refuses(&[400])
    }

    /// The list that it gives may be asked for in pages.
    pub(super) fn pages(self) -> Self {
        let limit = json!({"type": "integer", "minimum": 1, "maximum": 1_000});
        self.query("limit", "The most rows of a page; all of the rows without it.", limit).query(
            "after",
            "The `next` of the page before.",
            json!({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}),
        )
    }

    /// It changes only what is still as it was read.
    pub(super) fn if_match(self) -> Self {
        let text = "The `ETag` that it was read with, or several; `*` is any.";
        self.condition("If-Match", text).refuses(&[412])
    }

    /// It sends only what has changed since it was read.
    pub(super) fn if_none_match(self) -> Self {
        let text = "The `ETag` that it was read with, or several; `*` is any.";
        self.condition("If-None-Match", text).gives_with(
            304,
            "It is still the same.",
            None,
            &["ETag"],
        )
    }

    fn condition(mut self, header: &str, description: &str) -> Self {
        self.parameters.push(json!({
            "name": header,
            "in": "header",
            "description": description,
            "schema": {"type": "string", "pattern": CONDITION},
        }));
        self.refuses(&[400])
    }

    /// It takes a JSON body.
    pub(super) fn takes(self, schema: &Value) -> Self {
        self.body(schema, true)
    }

    /// It takes a JSON body that may be left out.
    pub(super) fn may_take(self, schema: &Value) -> Self {
        self.body(schema, false)
    }

    fn body(mut self, schema: &Value, is_required: bool) -> Self {
        let content = json!({"application/json": {"schema": schema}});
        self.body = Some(json!({"required": is_required, "content": content}));
        self.refuses(&[400, 408, 413])
    }

    /// It gives a JSON body.
    pub(super) fn gives(self, status: u16, description: &str, schema: Value) -> Self {
        self.gives_with(status, description, Some(schema), &[])
    }

    /// The same with an `ETag`.
    pub(super) fn gives_tagged(self, status: u16, description: &str, schema: Value) -> Self {
        self.gives_with(status, description, Some(schema), &["ETag"])
    }

    /// It gives `headers`, see [`headers`], and a JSON body if there is a schema of it.
    pub(super) fn gives_with(
        mut self,
        status: u16,
        description: &str,
        schema: Option<Value>,
        headers: &[&str],
    ) -> Self {
        self.answers.insert(status.to_string(), answer(description, schema, headers));
        self
    }

    /// It may be refused with each of `statuses`, see [`refusals`].
    pub(super) fn refuses(mut self, statuses: &[u16]) -> Self {
        for status in statuses {
            let reference = json!({"$ref": format!("#/components/responses/Refused{status}")});
            self.answers.entry(status.to_string()).or_insert(reference);
        }
        self
    }

    /// As it stands in the document.
    pub(super) fn into_json(self, id: &str, credential: Credential) -> Value {
        let (security, all) = match credential {
            Credential::None => (json!([]), self),
            Credential::Caller => (json!([{"callerKey": []}, {}]), self),
            Credential::Admin => {
                let security = json!([{"adminToken": []}, {"session": []}]);
                (security, self.refuses(&[401, 403, 421, 429]))
            }
        };
        let mut operation = json!({
            "operationId": id,
            "summary": all.summary,
            "tags": [all.tag],
            "security": security,
            "parameters": all.parameters,
            "responses": all.answers,
        });
        if let Some(body) = all.body {
            operation["requestBody"] = body;
        }
        operation
    }
}

/// The headers that operations name.
pub(super) fn headers() -> Value {
    let text = || json!({"type": "string"});
    json!({
        "ETag": header("Stands for how it is configured.", json!({
            "type": "string", "pattern": "^\"[0-9a-f]+\"$",
        })),
        "Retry-After": header("Seconds to wait.", json!({"type": "integer", "minimum": 0})),
        "Set-Cookie": header("The session, or its end.", text()),
        "WWW-Authenticate": header("The scheme to use.", json!({"const": "Bearer"})),
        "x-request-id": header("Names the request in the log.", text()),
        "x-sidecar-rev": header("How often the configuration has changed in this run.", json!({
            "type": "integer", "minimum": 0,
        })),
    })
}

/// The answers that refuse a request, each of the same form wherever it is given.
pub(super) fn refusals() -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "detail": {"type": "string", "description": "What is wrong, and what to do."},
            "field": {"type": ["string", "null"], "description": "The field at fault."},
        },
        "required": ["detail", "field"],
        "additionalProperties": false,
    });
    let refusal = |status: u16, description: &str, headers: &[&str]| {
        (format!("Refused{status}"), answer(description, Some(schema.clone()), headers))
    };
    let refusals = [
        refusal(400, "Something is wrong with a field, a parameter, a header or the body.", &[]),
        refusal(401, "The admin token is missing or wrong.", &["WWW-Authenticate"]),
        refusal(403, "A session counts only for what the dashboard itself sends.", &[]),
        refusal(404, "There is none of this id, name or key.", &[]),
        refusal(408, "The body did not arrive in time.", &[]),
        refusal(409, "It clashes with what is there.", &[]),
        refusal(412, "It is no longer what `If-Match` says; read it again.", &[]),
        refusal(413, "The body is too large.", &[]),
        refusal(421, "This server has another name than the one in `Host`.", &[]),
        refusal(429, "Too many wrong tokens; the right one works at once.", &["Retry-After"]),
        refusal(500, "The key could not be sealed.", &[]),
        refusal(503, "The store cannot be used at the moment.", &[]),
    ];
    refusals.into_iter().collect::<Map<_, _>>().into()
}

fn header(description: &str, schema: Value) -> Value {
    json!({"required": true, "description": description, "schema": schema})
}

fn answer(description: &str, schema: Option<Value>, headers: &[&str]) -> Value {
    // Every answer has the id of its request.
    let mut named = Map::new();
    for name in ["x-request-id"].iter().chain(headers) {
        let reference = json!({"$ref": format!("#/components/headers/{name}")});
        named.insert((*name).to_owned(), reference);
    }
    let mut answer = json!({"description": description, "headers": named});
    if let Some(schema) = schema {
        answer["content"] = json!({"application/json": {"schema": schema}});
    }
    answer
}

/// `*`, or tags in double quotes.
const CONDITION: &str =
    r#"^(\*|[ \t,]*((W/)?"[\t !#-~]*"([ \t]*,[ \t,]*(W/)?"[\t !#-~]*")*[ \t,]*)?)$"#;
