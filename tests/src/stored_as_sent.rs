//! Compares every row of `events` with what an SDK was given to send, field by field.
//!
//! PostgreSQL compares: what is wanted goes into a table beside `events`, and a query names every field that differs. JSON is
//! compared as `jsonb`, which keeps all digits and does not care for the order of keys. What the SDK adds by itself is named by the
//! caller and taken away first, so nothing else may have been added, and nothing may be missing.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use shared::domain::event::EventType;
use std::collections::HashMap;

use crate::database::TestDatabase;
use crate::known_set::KnownEvent;

/// Half a surrogate pair or a zero character was replaced.
const TEXT_REPAIRED: i16 = 16;
/// Client clocks are cut to milliseconds, ours is not.
const CLOCK_SLACK_MILLISECONDS: i64 = 2;

/// What an SDK adds to what it is given.
#[derive(Debug, Clone, Copy)]
pub struct Additions {
    /// `context.library`.
    pub library: (&'static str, &'static str),
    /// Keys of the context beside `library`.
    pub context: &'static [&'static str],
    /// Keys of the properties of a page.
    pub page: &'static [&'static str],
    /// Fields of the event that have no column, with values that differ from run to run.
    pub metadata: &'static [&'static str],
    /// The others, each with its value.
    pub fields: fn() -> Value,
    /// A page's category and name go into its properties too, as far as they are here.
    pub page_copies: &'static [&'static str],
    /// The same for a screen.
    pub screen_copies: &'static [&'static str],
    /// Traits go (also) into the context of an identify.
    pub traits_in_context: bool,
    /// A given time is the `timestamp`, beside the SDK's own clock in `originalTimestamp`.
    pub own_clock_too: bool,
}

/// What one run of an SDK came to.
#[derive(Debug, Clone, Copy)]
pub struct Compared {
    /// Rows that equal what was sent.
    pub rows: usize,
}

/// Compares. `message_ids` are those that the SDK says it used, by number.
///
/// # Panics
/// When a row is missing, is there twice, or differs in any field.
pub async fn compare(
    database: &TestDatabase,
    set: &[KnownEvent],
    additions: &Additions,
    message_ids: &HashMap<usize, String>,
    started: DateTime<Utc>,
) -> Compared {
    for event in set {
        let said = message_ids.get(&event.n);
        assert!(said.is_some(), "the driver did not report event {}", event.n);
        assert!(event.message_id.is_none() || event.message_id.as_ref() == said, "event {}: {said:?}", event.n);
    }
    fill(database, set, additions, message_ids).await;
    let differences: Vec<(i32, String, Option<String>, Option<String>)> = sqlx::query_as(DIFFERENCES)
        .bind(additions.context)
        .bind(additions.page)
        .bind(additions.metadata)
        .bind(started - chrono::TimeDelta::milliseconds(CLOCK_SLACK_MILLISECONDS))
        .fetch_all(&database.pool)
        .await
        .expect("rows can be compared");
    let shown: Vec<String> = differences
        .iter()
        .take(12)
        .map(|(n, field, got, want)| format!("event {n} {field}: {}\n    wanted {}", cut(got), cut(want)))
        .collect();
    assert!(differences.is_empty(), "{} differences, such as\n{}", differences.len(), shown.join("\n"));
    // Each has a row; and there are no others.
    assert_eq!(usize::try_from(database.number("SELECT count(*) FROM events").await), Ok(set.len()), "rows");
    Compared { rows: set.len() }
}

fn cut(value: &Option<String>) -> String {
    value.as_deref().map_or("nothing".to_owned(), |text| text.chars().take(600).collect())
}

/// Field by field; `$1` to `$3` are what the SDK adds, `$4` when the run began. An event without a row differs in everything.
const DIFFERENCES: &str = r#"
    SELECT w.n, f.field, f.got, f.want
      FROM wanted w
      LEFT JOIN events e ON (e.context ->> 'n')::int = w.n
     CROSS JOIN LATERAL (VALUES
        ('type', e.type IS NOT DISTINCT FROM w.type, e.type, w.type),
        ('user_id', e.user_id IS NOT DISTINCT FROM w.user_id, e.user_id, w.user_id),
        ('anonymous_id', e.anonymous_id IS NOT DISTINCT FROM w.anonymous_id, e.anonymous_id, w.anonymous_id),
        ('event', e.event IS NOT DISTINCT FROM w.event, e.event, w.event),
        ('message_id', e.message_id IS NOT DISTINCT FROM w.message_id, e.message_id, w.message_id),
        ('event_id', e.event_id IS NULL, e.event_id, NULL),
        ('group_id', e.group_id IS NOT DISTINCT FROM w.group_id, e.group_id, w.group_id),
        ('previous_id', e.previous_id IS NOT DISTINCT FROM w.previous_id, e.previous_id, w.previous_id),
        ('flags', e.flags IS NOT DISTINCT FROM w.flags, e.flags::text, w.flags::text),
        ('source', e.source IS NOT DISTINCT FROM 'client-1', e.source, 'client-1'),
        ('timestamp', coalesce(e."timestamp" = w.at, e."timestamp" BETWEEN $4 AND e.received_at + interval '2 ms'),
            e."timestamp"::text, w.at::text),
        ('original_timestamp', coalesce(e.original_timestamp::timestamptz = w.original,
            e.original_timestamp::timestamptz BETWEEN $4 AND e.received_at + interval '2 ms'),
            e.original_timestamp, w.original::text),
        ('day', e.day = (CASE WHEN w.original IS NULL THEN e.original_timestamp::timestamptz ELSE w.original END
            AT TIME ZONE 'UTC')::date, e.day::text, w.original::text),
        ('sent_at', e.sent_at BETWEEN $4 AND e.received_at + interval '2 ms', e.sent_at::text, 'just before it was received'),
        ('received_at', e.received_at BETWEEN $4 AND now(), e.received_at::text, 'within the run'),
        ('properties', (e.properties - (CASE WHEN w.type = 'page' THEN $2 ELSE '{}' END)) IS NOT DISTINCT FROM w.properties,
            e.properties::text, w.properties::text),
        ('traits', e.traits IS NOT DISTINCT FROM w.traits, e.traits::text, w.traits::text),
        ('context', (e.context - $1) IS NOT DISTINCT FROM w.context, e.context::text, w.context::text),
        ('other fields', coalesce(e.extra, '{}') - $3 = w.extra, e.extra::text, w.extra::text)
     ) f (field, same, got, want)
     WHERE f.same IS NOT TRUE ORDER BY w.n"#;

async fn fill(
    database: &TestDatabase,
    set: &[KnownEvent],
    additions: &Additions,
    message_ids: &HashMap<usize, String>,
) {
    let table = "CREATE TABLE wanted (n int PRIMARY KEY, type text, user_id text, anonymous_id text, event text, message_id text,
        group_id text, previous_id text, at timestamptz, original timestamptz, flags smallint, properties jsonb, traits jsonb,
        context jsonb, extra jsonb)";
    sqlx::query(table).execute(&database.pool).await.expect("a table beside events");
    let insert = "INSERT INTO wanted SELECT n, type, user_id, anonymous_id, event, message_id, group_id, previous_id, at, original,
        flags, properties::jsonb, traits::jsonb, context::jsonb, extra::jsonb
        FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::timestamptz[], $10::timestamptz[], $11::smallint[], $12::text[], $13::text[], $14::text[], $15::text[])
          AS t (n, type, user_id, anonymous_id, event, message_id, group_id, previous_id, at, original, flags, properties, traits,
            context, extra)";
    let each = |field: fn(&KnownEvent) -> Option<String>| set.iter().map(field).collect::<Vec<_>>();
    let original = |event: &KnownEvent| event.given_time().filter(|_| !additions.own_clock_too);
    sqlx::query(insert)
        .bind(set.iter().map(|event| i32::try_from(event.n).unwrap_or(i32::MAX)).collect::<Vec<_>>())
        .bind(each(|event| Some(event.kind.as_str().to_owned())))
        .bind(each(|event| event.user_id.clone()))
        .bind(each(|event| event.anonymous_id.clone()))
        .bind(each(|event| event.name.clone()))
        .bind(set.iter().map(|event| message_ids.get(&event.n).cloned()).collect::<Vec<_>>())
        .bind(each(|event| event.group_id.clone()))
        .bind(each(|event| event.previous_id.clone()))
        .bind(set.iter().map(KnownEvent::given_time).collect::<Vec<_>>())
        .bind(set.iter().map(original).collect::<Vec<_>>())
        .bind(set.iter().map(|event| if event.repaired.is_some() { TEXT_REPAIRED } else { 0 }).collect::<Vec<_>>())
        .bind(set.iter().map(|event| properties(event, additions)).collect::<Vec<_>>())
        .bind(set.iter().map(|event| traits(event).map(str::to_owned)).collect::<Vec<_>>())
        .bind(set.iter().map(|event| context(event, additions)).collect::<Vec<_>>())
        .bind(set.iter().map(|event| extra(event, additions)).collect::<Vec<_>>())
        .execute(&database.pool)
        .await
        .expect("what is wanted can be written down");
}

/// The text of an object with further fields, given as JSON text.
fn with(object: &str, fields: &[(&str, String)]) -> String {
    let inner =
        object.strip_prefix('{').and_then(|text| text.strip_suffix('}')).expect("an object without spaces around");
    let mut entries: Vec<String> = fields.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    if !inner.trim().is_empty() {
        entries.insert(0, inner.to_owned());
    }
    format!("{{{}}}", entries.join(","))
}

fn properties(event: &KnownEvent, additions: &Additions) -> Option<String> {
    let copies = match event.kind {
        EventType::Track => &[][..],
        EventType::Page => additions.page_copies,
        EventType::Screen => additions.screen_copies,
        EventType::Identify | EventType::Group | EventType::Alias => return None,
    };
    let copied: Vec<(&str, String)> = copies
        .iter()
        .filter_map(|copy| {
            let value = if *copy == "name" { &event.name } else { &event.category };
            value.as_ref().map(|value| (*copy, json!(value).to_string()))
        })
        .collect();
    Some(with(event.stored_values(), &copied))
}

fn traits(event: &KnownEvent) -> Option<&str> {
    matches!(event.kind, EventType::Identify | EventType::Group).then(|| event.stored_values())
}

fn context(event: &KnownEvent, additions: &Additions) -> String {
    let (name, version) = additions.library;
    let mut added = vec![("library", json!({"name": name, "version": version}).to_string())];
    if additions.traits_in_context && event.kind == EventType::Identify {
        added.push(("traits", event.stored_values().to_owned()));
    }
    with(&event.context(), &added)
}

fn extra(event: &KnownEvent, additions: &Additions) -> String {
    let mut fields: Map<String, Value> = (additions.fields)().as_object().cloned().unwrap_or_default();
    if let Some(category) = &event.category {
        fields.insert("category".to_owned(), json!(category));
    }
    if let (true, Some(time)) = (additions.own_clock_too, event.given_time()) {
        let sent = time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        fields.insert("timestamp".to_owned(), json!(sent));
    }
    Value::Object(fields).to_string()
}
