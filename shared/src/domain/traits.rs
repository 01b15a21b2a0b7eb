//! What is known about one user, and how an `identify` changes it.
//!
//! The worker merges patches in arrival order into the stored row, ingest merges accepted but not yet stored ones over what it
//! read; both use [`RawObject::merge`], so both see the same traits.

use super::raw_object::RawObject;

/// Traits of one user: top-level key to the value last set, as text.
pub type Traits = RawObject;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_merge_shallowly_and_the_last_write_wins() {
        let mut traits = Traits::default();
        for patch in [
            r#"{"tier":"silver","address":{"city":"Pune","zip":411001},"age":31}"#,
            r#"{"tier":"gold","address":{"city":"Goa"},"age":null}"#,
            "{}",
            r#"{"id":"shadow"}"#,
        ] {
            traits.merge(Traits::parse(patch).unwrap());
        }
        assert_eq!(traits.to_json(), r#"{"address":{"city":"Goa"},"age":null,"id":"shadow","tier":"gold"}"#);
    }
}
