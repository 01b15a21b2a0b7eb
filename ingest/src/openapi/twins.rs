//! Descriptions of types of `shared`, which knows nothing of HTTP.

use utoipa::ToSchema;

/// One thing that is wrong with an event.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "a description")]
pub struct Violation {
    /// The field as it was spelt.
    field: String,
    /// Stable, for programs.
    code: String,
    /// For people.
    message: String,
}

/// A profile. The traits stand once more beside these five, as the old server had them.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "a description")]
pub struct User {
    id: String,
    /// `user` or `anonymous`.
    kind: String,
    #[schema(value_type = Object)]
    traits: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}
