//! `{"leads": […]}`, a call of the Flutter SDK, read as the batch that it amounts to: a track named [`EVENT`] per lead, with the lead
//! as its properties.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::envelope::Unreadable;

/// Name of the event that a lead becomes.
pub const EVENT: &str = "lead_added";

/// Rewrites the body as a batch. A lead belongs to the `user_id` in it, else to that of the request, else to a stranger; one that is
/// no object becomes the property `lead`.
pub fn as_batch(text: &str) -> Result<String, Unreadable> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        leads: Vec<&'a RawValue>,
        #[serde(borrow, alias = "userId")]
        user_id: Option<&'a RawValue>,
        #[serde(borrow, alias = "writeKey")]
        write_key: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Lead<'a> {
        #[serde(borrow, alias = "userId")]
        user_id: Option<&'a RawValue>,
    }
    let body: Body<'_> = serde_json::from_str(text)
        .map_err(|error| Unreadable(format!("the body is not {{\"leads\": […]}}: {error}")))?;
    let mut batch = String::with_capacity(text.len() + body.leads.len() * 80);
    batch.push_str("{\"batch\":[");
    for (index, lead) in body.leads.iter().enumerate() {
        let own = serde_json::from_str::<Lead<'_>>(lead.get()).ok().and_then(|lead| lead.user_id);
        let user_id = own.or(body.user_id).map_or("\"anonymous\"", RawValue::get);
        let (before, after) = if lead.get().starts_with('{') { ("", "") } else { ("{\"lead\":", "}") };
        let comma = if index == 0 { "" } else { "," };
        batch.push_str(&format!(
            r#"{comma}{{"type":"track","event":"{EVENT}","userId":{user_id},"properties":{before}{lead}{after}}}"#
        ));
    }
    batch.push(']');
    if let Some(key) = body.write_key {
        batch.push_str(&format!(r#","writeKey":{key}"#));
    }
    batch.push('}');
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lead_is_a_track_of_its_user() {
        let text = r#"{"leads":[{"user_id":"u1","n":1.50},{"e":2},"a@b.c"],"userId":"u2","write_key":"k"}"#;
        assert_eq!(
            as_batch(text).unwrap(),
            concat!(
                r#"{"batch":[{"type":"track","event":"lead_added","userId":"u1","properties":{"user_id":"u1","n":1.50}},"#,
                r#"{"type":"track","event":"lead_added","userId":"u2","properties":{"e":2}},"#,
                r#"{"type":"track","event":"lead_added","userId":"u2","properties":{"lead":"a@b.c"}}],"writeKey":"k"}"#
            )
        );
        assert!(as_batch(r#"{"leads":[1]}"#).unwrap().contains(r#""userId":"anonymous""#));
    }

    #[test]
    fn another_shape_is_named() {
        assert!(as_batch("[]").unwrap_err().0.contains("leads"));
        assert!(as_batch(r#"{"leads":{}}"#).unwrap_err().0.contains("leads"));
    }
}
