//! Every limit on what a client may send, in one place, with the reason for each number.
//!
//! The parser ([`crate::domain::intake`]) enforces them at the door, so that PostgreSQL never has a reason to refuse a row.

/// Longest user, anonymous, group or previous id, in bytes (the old server's limit; an index row holds 2,704 bytes).
pub const ID_BYTES: usize = 255;
/// Longest event, page or screen name, in characters. Real SDKs send route names far beyond the old 100.
pub const EVENT_NAME_CHARS: usize = 200;
/// Longest message id or `event_id`, in bytes. The Flutter SDK joins user id, event name and time, without a limit.
pub const MESSAGE_ID_BYTES: usize = 1_024;
/// Longest key of a JSON object, at any depth, in bytes.
pub const KEY_BYTES: usize = 255;
/// Most keys at the top of `properties`, `traits` or `context`.
pub const TOP_LEVEL_KEYS: usize = 2_000;
/// Deepest nesting of one stored JSON value. The decoders behind us give up at 128.
pub const DEPTH: usize = 64;
/// Longest number token, in characters: enough for any 64-bit value, and no read bomb.
pub const NUMBER_CHARS: usize = 128;
/// Largest exponent of a number, either way: any 64-bit value written with any mantissa has a smaller one, and PostgreSQL's numeric
/// gives up at 16,383, for a zero too.
pub const NUMBER_EXPONENT: i32 = 999;
/// Largest single event, in bytes as sent.
pub const EVENT_BYTES: usize = 1 << 20;
/// Most events in one batch; one more is 413.
pub const BATCH_EVENTS: usize = 10_000;
/// Longest client time that is kept as sent, in bytes; a longer one is cut in the record and treated as unreadable.
pub const TIME_BYTES: usize = 64;
