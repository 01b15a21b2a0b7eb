//! Operations that another handler's description fits as well.

use serde_json::{Value, json};

use crate::router::SPELLINGS;

/// The tag of paths that are another spelling of one.
pub const SPELLINGS_TAG: &str = "Other spellings";

/// Documents that are served as campaigns are.
struct Collection {
    /// In the place of [`CAMPAIGN_WORDS`].
    words: [&'static str; 3],
    tag: &'static str,
    /// How the id is called in paths, and one.
    id: &'static str,
    example: &'static str,
}

const CAMPAIGN_WORDS: [&str; 3] = ["campaigns", "campaign", "Campaign"];
const COLLECTIONS: [Collection; 2] = [
    Collection {
        words: ["segments", "segment", "Segment"],
        tag: "Segments",
        id: "id",
        example: "5f0c7d1e-3a54-4c1b-8a55-2f6a2c5c6f10",
    },
    Collection { words: ["features", "feature", "Feature"], tag: "Feature flags", id: "key", example: "new_checkout" },
];
const SHARED_ROUTES: [&str; 3] =
    ["/v1/admin/campaigns/{id}", "/v1/admin/campaigns/{id}/restore", "/v1/admin/campaigns/{id}/history"];

/// Adds them to the document.
pub fn add(document: &mut Value) {
    for collection in &COLLECTIONS {
        for path in SHARED_ROUTES {
            let item = collection.read(&document["paths"][path].to_string());
            let mut item: Value = serde_json::from_str(&item).unwrap_or_default();
            for (_, operation) in item.as_object_mut().into_iter().flatten() {
                collection.mend(operation);
            }
            document["paths"][collection.read(path).replace("{id}", &format!("{{{}}}", collection.id))] = item;
        }
    }
    for (spelling, path) in SPELLINGS {
        let mut item = document["paths"][path].clone();
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let name = operation["operationId"].as_str().unwrap_or_default();
            operation["operationId"] = json!(format!("{name}At{}", camel(spelling)));
            operation["description"] = json!(format!("The same as `{} {path}`.", method.to_ascii_uppercase()));
            operation["tags"] = json!([SPELLINGS_TAG]);
        }
        document["paths"][spelling] = item;
    }
}

impl Collection {
    /// A text about campaigns, made one about this collection.
    fn read(&self, text: &str) -> String {
        CAMPAIGN_WORDS
            .into_iter()
            .zip(self.words)
            .fold(text.to_owned(), |text, (word, other)| text.replace(word, other))
    }

    fn mend(&self, operation: &mut Value) {
        operation["tags"] = json!([self.tag]);
        for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
            if parameter["in"] == "path" {
                parameter["name"] = json!(self.id);
                parameter["example"] = json!(self.example);
            }
        }
    }
}

fn camel(path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}
