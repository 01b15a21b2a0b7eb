//! Single values that clients write in more than one way: times and numbers that stand for ids.

use std::borrow::Cow;

use super::fields::Field;
use crate::domain::limits;
use crate::domain::timestamp::{ClientTime, parse_number, parse_text};

/// A client time: its text as sent (cut to a sane length) and what it means.
pub(super) fn read_time<'a>(field: &Field<'a>) -> (Cow<'a, str>, ClientTime) {
    let raw = field.raw.get();
    if raw.starts_with('"') {
        let text = match serde_json::from_str::<Cow<'a, str>>(raw) {
            Ok(text) if !text.contains('\0') => text,
            _ => return (cut(raw), ClientTime::Unreadable),
        };
        if text.len() > limits::TIME_BYTES {
            return (Cow::Owned(cut(&text).into_owned()), ClientTime::Unreadable);
        }
        let time = parse_text(&text);
        return (text, time);
    }
    let time = raw.parse().map_or(ClientTime::Unreadable, parse_number);
    (cut(raw), time)
}

fn cut(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(&text[..text.floor_char_boundary(limits::TIME_BYTES)])
}

/// `42` is "42", and so is `42.0`: what JavaScript's `String()` made of it on the old server.
pub(super) fn number_as_text(token: &str) -> Cow<'_, str> {
    if !token.contains(['.', 'e', 'E']) {
        return Cow::Borrowed(token);
    }
    match token.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "integral and below 1e15")]
        Ok(n) if n.fract() == 0.0 && n.abs() < 1e15 => Cow::Owned((n as i64).to_string()),
        _ => Cow::Borrowed(token),
    }
}
