//! [`Schemas`].

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Makes the schemas of types, and collects those that have names.
#[derive(Debug)]
pub(super) struct Schemas {
    answers: SchemaGenerator,
    requests: SchemaGenerator,
    named: Map<String, Value>,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let answers = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
        });
        // A type may take another form than it gives, and one name can stand for one of them only:
        // in what is sent, every type is written out.
        let requests = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
            settings.inline_subschemas = true;
        });
        Self {
            answers: answers.into_generator(),
            requests: requests.into_generator(),
            named: Map::new(),
        }
    }

    /// A `T` as it is given.
    pub(super) fn answer<T: JsonSchema>(&mut self) -> Value {
        self.answers.subschema_for::<T>().to_value()
    }

    /// A `T` as it is taken, under the name `name`, where the fields `required` must be there.
    pub(super) fn request<T: JsonSchema>(&mut self, name: &str, required: &[&str]) -> Value {
        let mut schema = self.requests.subschema_for::<T>().to_value();
        for field in required {
            // For an optional field `null` is the same as nothing, and nothing is too little here.
            if let Some(Value::Array(types)) =
                schema.pointer_mut(&format!("/properties/{field}/type"))
            {
                types.retain(|kind| *kind != "null");
            }
        }
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        self.name(name, schema)
    }

    /// Gives `schema` the name `name`.
    pub(super) fn name(&mut self, name: &str, schema: Value) -> Value {
        self.named.insert(name.to_owned(), schema);
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// Every schema that has a name.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let mut all = self.answers.take_definitions(false);
        all.append(&mut self.named);
        all.values_mut().for_each(tidy);
        all
    }
}

/// Takes out what is for the readers of the code only.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            // Leaving a field out is not the same as clearing it.
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = first_paragraph(text);
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// What follows it are examples in Rust. Its links lead nowhere here.
fn first_paragraph(text: &str) -> String {
    let first = text.split("\n\n").next().unwrap_or_default();
    first.replace('\n', " ").replace("[`", "`").replace("`]", "`")
}

#[cfg(test)]
mod tests {
    use sidecar_core::provider::ProviderPatch;

    use super::*;

    #[test]
    fn a_required_field_is_no_null_and_others_have_no_default() {
        let mut schemas = Schemas::new();
        let reference = schemas.request::<ProviderPatch>("New", &["name"]);
        assert_eq!(reference, json!({"$ref": "#/components/schemas/New"}));
        let all = schemas.finish();
        let fields = &all["New"]["properties"];
        assert_eq!(all["New"]["required"], json!(["name"]));
        assert_eq!(all["New"]["additionalProperties"], false);
        assert_eq!(fields["name"]["type"], json!(["string"]));
        assert_eq!(fields["label"]["type"], json!(["string", "null"]));
        assert_eq!(fields["rpm_limit"]["minimum"], 1);
        assert_eq!(fields["label"].get("default"), None);
    }

    #[test]
    fn a_description_is_one_paragraph_without_links() {
        let text = "See\n[`Class::kind`].\n\n```\nuse x;\n```";
        assert_eq!(first_paragraph(text), "See `Class::kind`.");
    }
}
