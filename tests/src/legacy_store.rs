//! Stores of the old server, made up: as many events as one likes, with the oddities of real ones sprinkled in.
//!
//! The same [`Shape`] is the same file, byte for byte. Events come in order of time, the last one now or so many days ago.

use std::io::{self, Write};

use serde_json::{Value, json};

const DAY_MILLISECONDS: i64 = 86_400_000;

/// What a store holds.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Events.
    pub events: u64,
    /// Users with a row.
    pub users: u64,
    /// Campaigns; every third is active and listens to `screen_viewed`.
    pub campaigns: u64,
    /// Over how many days the events are spread.
    pub days: i64,
    /// The time of the last event, in milliseconds since 1970.
    pub ends_at: i64,
    /// Of the random choices.
    pub seed: u64,
    /// One event in so many is odd; 0 for none.
    pub odd_every: u64,
    /// Bytes of text that each event carries besides.
    pub filler_bytes: usize,
}

/// What was written, as an importer should find it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Events in the file.
    pub events: u64,
    /// Events that nobody can import.
    pub rejected: u64,
    /// Events that stand there once more, id and content.
    pub copies: u64,
}

impl Shape {
    /// So many events of the last ten days.
    #[must_use]
    pub fn recent(events: u64) -> Self {
        let ends_at = chrono::Utc::now().timestamp_millis() - DAY_MILLISECONDS / 24;
        Self {
            events,
            users: events / 20 + 1,
            campaigns: 6,
            days: 10,
            ends_at,
            seed: 1,
            odd_every: 50,
            filler_bytes: 0,
        }
    }

    /// Writes the store.
    pub fn write(&self, out: &mut impl Write) -> io::Result<Written> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut written = Written::default();
        out.write_all(b"{\"campaigns\":[")?;
        for number in 0..self.campaigns {
            element(out, number, &campaign(number, self.ends_at).to_string())?;
        }
        out.write_all(b"],\n\"users\":{")?;
        for number in 0..self.users {
            element(out, number, &format!("\"user_{number}\":{}", traits(number, self.ends_at)))?;
        }
        out.write_all(b"},\n\"events\":[")?;
        let (mut before, mut place) = (None, 0);
        for number in 0..self.events {
            let ts = self.ends_at - self.days * DAY_MILLISECONDS
                + i64::try_from(
                    u128::from(number) * (self.days * DAY_MILLISECONDS).unsigned_abs() as u128
                        / u128::from(self.events),
                )
                .unwrap_or(0);
            let mut event = plain(&mut random, ts, self.users);
            if self.filler_bytes > 0 {
                event["properties"]["filler"] = json!("x".repeat(self.filler_bytes));
            }
            if self.odd_every > 0 && number % self.odd_every == self.odd_every - 1 {
                match random.u8(0..9) {
                    0 => event["user_id"] = json!(["a", "b"]),
                    1 => drop(event.as_object_mut().and_then(|event| event.remove("id"))),
                    2 => {
                        event["ts"] =
                            json!(chrono::DateTime::from_timestamp_millis(ts).unwrap_or_default().to_rfc3339())
                    }
                    3 => event["user_id"] = json!(number),
                    4 => event["user_id"] = json!("anonymous"),
                    5 => event["id"] = json!(format!("old-{number}")),
                    6 => {
                        event["properties"] = json!({"note": "CafÃ© â‚¹30", "timestamp": "2025-11-15T15:36:21.267949"})
                    }
                    7 => event = before.take().unwrap_or(event),
                    _ => drop(event.as_object_mut().and_then(|event| event.remove("properties"))),
                }
                written.rejected += u64::from(event["user_id"].is_array());
            }
            let text = event.to_string();
            element(out, place, &text)?;
            place += 1;
            // Now and then one stands there once more, some events later or at once.
            if self.odd_every > 0 && number % (self.odd_every * 7) == 3 && event["id"].is_string() {
                element(out, place, &text)?;
                place += 1;
                written.copies += 1;
            }
        }
        written.events = place;
        out.write_all(b"],\n\"featureFlags\":{\"new_home\":{\"enabled\":true,\"value\":{\"columns\":2}},\"old_cart\":{\"enabled\":false}},\n")?;
        out.write_all(b"\"segments\":[{\"id\":\"s-1\",\"name\":\"Silver\",\"rules\":[{\"type\":\"attribute\",\"field\":\"tier\",\"operator\":\"==\",\"value\":\"silver\"}],\"createdAt\":\"2025-11-13T10:00:00.000Z\"}]}\n")?;
        Ok(written)
    }
}

fn element(out: &mut impl Write, place: u64, text: &str) -> io::Result<()> {
    out.write_all(if place == 0 { b"\n" } else { b",\n" })?;
    out.write_all(text.as_bytes())
}

fn campaign(number: u64, ends_at: i64) -> Value {
    let created =
        chrono::DateTime::from_timestamp_millis(ends_at - i64::try_from(number).unwrap_or(0) * DAY_MILLISECONDS);
    let created = created.unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let unknown = json!({"id": 1, "type": "event", "field": "unknown", "operator": "==", "value": ""});
    json!({
        "id": format!("campaign-{number}"), "name": format!("Campaign {number}"), "type": "bottomsheet",
        "status": if number.is_multiple_of(3) { "active" } else { "draft" }, "trigger": "screen_viewed",
        "rules": vec![unknown; usize::try_from(number % 4).unwrap_or(0)],
        "config": {"text": format!("Offer {number}"), "maxWidth": null}, "createdAt": created, "updatedAt": created
    })
}

fn traits(number: u64, ends_at: i64) -> String {
    match number % 10 {
        0 => json!({"user_id": format!("user_{number}"), "name": format!("Ira {number}"), "tier": "silver", "verified": false}).to_string(),
        _ => json!({"last_seen": ends_at}).to_string(),
    }
}

fn plain(random: &mut fastrand::Rng, ts: i64, users: u64) -> Value {
    let (name, properties) = match random.u8(0..10) {
        0 => ("/_Viewed", json!({"screen_name": "/", "auto_tracked": true})),
        1 => (
            "cart_viewed",
            json!({"cart_id": format!("k-{}", random.u16(..)), "cart_total": random.u16(..500), "products": ["p1", "p2"]}),
        ),
        2 => ("screen_viewed", json!({"screen_name": "home", "screen_class": "ShopHome"})),
        _ => ("Simulated_Event", json!({"campaign": format!("{}", 1_762_690_000_000_u64 + u64::from(random.u8(..)))})),
    };
    let id = uuid::Builder::from_random_bytes(random.u128(..).to_be_bytes()).into_uuid();
    // A few users have no row.
    let user = random.u64(0..users + users / 10 + 1);
    json!({"id": id, "user_id": format!("user_{user}"), "event": name, "properties": properties, "ts": ts})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_json_of_the_shape_that_was_asked_for() {
        let (mut text, shape) = (Vec::new(), Shape::recent(1_000));
        let written = shape.write(&mut text).unwrap();
        let store: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(store["events"].as_array().unwrap().len() as u64, written.events);
        assert_eq!(store["users"].as_object().unwrap().len() as u64, shape.users);
        let arrays = store["events"].as_array().unwrap().iter().filter(|event| event["user_id"].is_array()).count();
        assert!(written.copies > 0 && written.rejected > 0 && arrays as u64 >= written.rejected);
        let mut again = Vec::new();
        shape.write(&mut again).unwrap();
        assert_eq!(text, again);
    }
}
