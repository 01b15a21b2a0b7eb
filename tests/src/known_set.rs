//! What an SDK is given to send, and what must be stored of it.
//!
//! The same for every SDK, as far as its language can say it: every type of event, known users and anonymous ones, text of every
//! kind, deep and empty values, numbers to the edge, times of now and of long ago, ids given and ids left to the SDK. Each event
//! carries its number in its context, by which its row is found. Values are JSON text, not parsed values, because they hold
//! numbers that a parser here would round; PostgreSQL compares them.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use fastrand::Rng;
use serde_json::{Map, Value, json};
use shared::domain::event::EventType;

/// Text that has broken somebody's software before.
const TEXTS: [&str; 14] = [
    "plain",
    "\u{1f9f5}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}\u{1f1ee}\u{1f1f3}",
    "漢字かな交じり文 한국어 ภาษาไทย",
    "العربية \u{202b}עברית\u{202c} ltr",
    "e\u{301} \u{e9} Z\u{351}\u{36b}\u{343}a\u{363}lgo",
    "\u{feff}bom \u{fffd} \u{10ffff} \u{2028} \u{2029} \u{200b}",
    "\u{1}\u{8}\t\r\n\u{c}\u{1b}[31m\u{7f}\u{85}",
    "\"quotes\" 'and' \\back\\slashes\\ / </script><!-- ]]>",
    "'; DROP TABLE events; -- ${jndi:ldap://x} %s {{7*7}}",
    "İstanbul ß ﬀ Ǆ",
    "नमस्ते क्षत्रिय",
    "  spaces at both ends  ",
    "null",
    "9007199254740993",
];
/// Numbers that a double holds, in their shortest form. JavaScript writes those below 1e21 with all their digits.
const DOUBLES: &str = "[0, 1, -1, -0.0, 100000000000000000000, -123456789012345680000, 0.1, -0.5, 1e21, 1e-7, 123456789.12345679, 9007199254740991, -9007199254740991, 2147483648, \
                       4294967296, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 3.141592653589793]";
/// Numbers that no double holds. (Integers of more than 64 bits are refused in words.)
const INTEGERS: &str =
    "[9007199254740993, -9007199254740993, 9223372036854775807, -9223372036854775808, 18446744073709551615]";
/// Levels of the deepest value; 64 are allowed.
const DEPTH: usize = 60;

/// So many events in a row are of one user: a browser's visitor does not change at every click.
const VISITOR_EVENTS: usize = 40;

/// How an SDK writes what it is given, where that differs between SDKs.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// Integers beyond 2^53 are sent as they are.
    pub big_integers: bool,
    /// Times keep zones.
    pub zones: bool,
    /// Each event has an anonymous id, also that of a known user.
    pub always_anonymous: bool,
}

/// One call of the SDK.
#[derive(Debug, Clone)]
pub struct KnownEvent {
    /// Its number.
    pub n: usize,
    /// Which call.
    pub kind: EventType,
    /// As given.
    pub user_id: Option<String>,
    /// As given.
    pub anonymous_id: Option<String>,
    /// The event of a track, the name of a page or screen.
    pub name: Option<String>,
    /// Of a page or screen.
    pub category: Option<String>,
    /// Of a group.
    pub group_id: Option<String>,
    /// Of an alias.
    pub previous_id: Option<String>,
    /// Given, or else made by the SDK.
    pub message_id: Option<String>,
    /// Given, or else the time of the call.
    pub time: Option<String>,
    /// Properties or traits, a JSON object.
    pub values: String,
    /// [`Self::values`] as they must be stored, where that differs: what no database can hold is replaced.
    pub repaired: Option<String>,
}

impl KnownEvent {
    fn new(n: usize, kind: EventType, values: impl Into<String>) -> Self {
        let page = matches!(kind, EventType::Page | EventType::Screen);
        Self {
            n,
            kind,
            user_id: Some(format!("user-{}", n / VISITOR_EVENTS)),
            anonymous_id: None,
            name: (page || kind == EventType::Track).then(|| format!("name {n}")),
            category: page.then(|| "shop".to_owned()),
            group_id: (kind == EventType::Group).then(|| "group-1".to_owned()),
            previous_id: (kind == EventType::Alias).then(|| format!("before-{n}")),
            message_id: None,
            time: None,
            values: values.into(),
            repaired: None,
        }
    }

    /// What the call is given as context.
    #[must_use]
    pub fn context(&self) -> String {
        format!(r#"{{"n":{},"device":{{"model":"Ⅷ","ids":[1,null]}},"locale":"tr-TR"}}"#, self.n)
    }

    /// The time that was given.
    #[must_use]
    pub fn given_time(&self) -> Option<DateTime<Utc>> {
        self.time.as_deref().map(|text| text.parse().expect("a known time is RFC 3339"))
    }

    /// The values as they must be stored.
    #[must_use]
    pub fn stored_values(&self) -> &str {
        self.repaired.as_deref().unwrap_or(&self.values)
    }

    /// For the driver's file.
    fn line(&self) -> String {
        let mut fields = Map::new();
        fields.insert("n".to_owned(), json!(self.n));
        fields.insert("call".to_owned(), json!(self.kind.as_str()));
        let name = if self.kind == EventType::Track { "event" } else { "name" };
        for (field, value) in [
            ("userId", &self.user_id),
            ("anonymousId", &self.anonymous_id),
            (name, &self.name),
            ("category", &self.category),
            ("groupId", &self.group_id),
            ("previousId", &self.previous_id),
            ("messageId", &self.message_id),
            ("timestamp", &self.time),
        ] {
            if let Some(value) = value {
                fields.insert(field.to_owned(), json!(value));
            }
        }
        let mut line = Value::Object(fields).to_string();
        line.pop();
        let values = match self.kind {
            EventType::Identify | EventType::Group => format!(r#","traits":{}"#, self.values),
            EventType::Track | EventType::Page | EventType::Screen => format!(r#","properties":{}"#, self.values),
            EventType::Alias => String::new(),
        };
        format!("{line},\"context\":{}{values}}}", self.context())
    }
}

/// The file a driver is given.
#[must_use]
pub fn file(events: &[KnownEvent], url: &str, key: &str, options: &Value) -> String {
    let lines: Vec<String> = events.iter().map(KnownEvent::line).collect();
    let (options, url, key) = (options.to_string(), json!(url), json!(key));
    format!("{{\"options\":{options},\"url\":{url},\"key\":{key},\"events\":[{}]}}", lines.join(",\n"))
}

/// A set of `count` events (at least the hundred or so that are there on purpose), the rest of it random.
#[must_use]
pub fn make(dialect: Dialect, count: usize, random: &mut Rng) -> Vec<KnownEvent> {
    let mut set = Vec::with_capacity(count);
    every_type(&mut set);
    every_text(&mut set);
    every_value(dialect, &mut set);
    every_time(dialect, &mut set);
    while set.len() < count {
        let kind = EventType::ALL[random.usize(..EventType::ALL.len())];
        let values = json!({"random": random_value(random, dialect, 4)}).to_string();
        set.push(KnownEvent::new(set.len(), kind, values));
    }
    for event in &mut set {
        // Of an anonymous event that a browser resends, only the SDK's own id is the same event whoever the visitor is by then.
        if event.n % 2 == 0 && (event.user_id.is_some() || !dialect.always_anonymous) {
            event.message_id = Some(format!("given-{}-\u{2460}-{}", event.n, random.u32(..)));
        }
        if dialect.always_anonymous && event.anonymous_id.is_none() {
            event.anonymous_id = Some(format!("visitor-{}", event.n / VISITOR_EVENTS));
        }
    }
    set
}

fn every_type(set: &mut Vec<KnownEvent>) {
    for kind in EventType::ALL {
        let values = r#"{"plan":"pro","seats":3,"trial":false,"ends":null}"#;
        set.push(KnownEvent::new(set.len(), kind, values));
        let mut both = KnownEvent::new(set.len(), kind, "{}");
        both.anonymous_id = (kind != EventType::Alias).then(|| "device-1".to_owned());
        set.push(both);
    }
    for kind in EventType::ALL.into_iter().filter(|kind| *kind != EventType::Alias) {
        let mut anonymous = KnownEvent::new(set.len(), kind, r#"{"seen":[]}"#);
        anonymous.user_id = None;
        anonymous.anonymous_id = Some("device-2".to_owned());
        set.push(anonymous);
    }
}

fn every_text(set: &mut Vec<KnownEvent>) {
    for text in TEXTS {
        let values = json!({"text": text, text: {"as a key": [text]}}).to_string();
        let mut event = KnownEvent::new(set.len(), EventType::Track, values);
        event.name = Some(text.to_owned());
        set.push(event);
    }
    for text in TEXTS {
        for kind in [EventType::Group, EventType::Alias] {
            let mut event = KnownEvent::new(set.len(), kind, json!({"text": text}).to_string());
            event.user_id = Some(format!("{text}\u{1f9f5}"));
            event.group_id = event.group_id.map(|_| text.to_owned());
            event.previous_id = event.previous_id.map(|_| text.to_owned());
            set.push(event);
        }
    }
    // An emoji cut in half, and the one character that no database takes.
    let mut cut =
        KnownEvent::new(set.len(), EventType::Track, r#"{"cut":"\ud83d","zero":"a\u0000b","whole":"\ud83e\uddf5"}"#);
    cut.repaired = Some(r#"{"cut":"\ufffd","zero":"a\ufffdb","whole":"\ud83e\uddf5"}"#.to_owned());
    set.push(cut);
}

fn every_value(dialect: Dialect, set: &mut Vec<KnownEvent>) {
    let deep = format!("{}1{}", r#"{"a":["#.repeat(DEPTH / 2 - 1), "]}".repeat(DEPTH / 2 - 1));
    let keys: Map<String, Value> = (0..300).map(|n| (format!("key {n}"), json!(n))).collect();
    let integers = if dialect.big_integers { INTEGERS } else { "[]" };
    let values = [
        format!(r#"{{"doubles":{DOUBLES},"integers":{integers}}}"#),
        format!(r#"{{"deep":{deep}}}"#),
        r#"{"":"empty key","empty":{"object":{},"array":[],"text":"","in":[[],[[]],{}]},"null":null,"nulls":[null,null]}"#
            .to_owned(),
        r#"{"mixed":[1,"1",true,"true",null,"null",1.5,{"1":1},[1]],"length":0,"constructor":"c","toString":"t"}"#.to_owned(),
        json!({"long": "0123456789ß".repeat(1_500)}).to_string(),
        Value::Object(keys).to_string(),
        format!(r#"{{"{}":1}}"#, "k".repeat(255)),
    ];
    for kind in EventType::ALL.into_iter().filter(|kind| *kind != EventType::Alias) {
        for values in &values {
            set.push(KnownEvent::new(set.len(), kind, values.clone()));
        }
    }
}

fn every_time(dialect: Dialect, set: &mut Vec<KnownEvent>) {
    let now = Utc::now();
    for minutes in [1, 60, 24 * 60, 3 * 24 * 60, 8 * 24 * 60, 30 * 24 * 60, 80 * 24 * 60] {
        for kind in EventType::ALL {
            let mut event = KnownEvent::new(set.len(), kind, r#"{"when":"then"}"#);
            event.time = Some((now - TimeDelta::minutes(minutes)).to_rfc3339_opts(SecondsFormat::Millis, false));
            set.push(event);
        }
    }
    if dialect.zones {
        for (hours, minutes) in [(5, 30), (-11, 0), (14, 0)] {
            let zone = chrono::FixedOffset::east_opt(hours * 3600 + minutes * 60).expect("a zone that exists");
            let mut event = KnownEvent::new(set.len(), EventType::Track, "{}");
            let time = (now - TimeDelta::days(2)).with_timezone(&zone);
            event.time = Some(time.to_rfc3339_opts(SecondsFormat::Millis, false));
            set.push(event);
        }
    }
}

/// A value that every language writes back as the same number.
fn random_value(random: &mut Rng, dialect: Dialect, depth: usize) -> Value {
    let text = |random: &mut Rng| (0..random.usize(..12)).map(|_| random.char('\u{1}'..)).collect::<String>();
    match random.u8(..if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 if dialect.big_integers => json!(random.i64(..)),
        2 => json!(random.i64(-(1 << 53)..(1 << 53))),
        3 => json!(f64::from(random.i32(..)) / 8.0 + 0.125),
        4 => Value::String(text(random)),
        5 => (0..random.usize(..5)).map(|_| random_value(random, dialect, depth - 1)).collect(),
        _ => Value::Object(
            (0..random.usize(..5)).map(|_| (text(random), random_value(random, dialect, depth - 1))).collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_json_and_holds_every_event() {
        let dialect = Dialect { big_integers: true, zones: true, always_anonymous: true };
        let set = make(dialect, 300, &mut Rng::with_seed(1));
        assert_eq!(set.len(), 300);
        let text = file(&set, "http://127.0.0.1:1", "k", &json!({"a": {"b": {}}}));
        // The cut emoji is JSON, but no text of this language.
        let text = text.replace(r"\ud83d", "x");
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["events"].as_array().unwrap().len(), 300);
        assert_eq!(read["options"], json!({"a": {"b": {}}}));
    }
}
