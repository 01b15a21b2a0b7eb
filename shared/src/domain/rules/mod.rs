//! The rule language: what campaigns, segments and features ask of a user, an event and the moment.
//!
//! [`read()`] turns the `rules` of a document into a [`Condition`]; [`Condition::holds`] evaluates it over [`Facts`], which the caller
//! has gathered ([`Needs`] says what); [`Condition::trace`] tells people how it came to that. `rules` is an array of which every element must hold (none: always). An element is a rule
//! `{type, field, operator, value}` or a group: `{all: […]}`, `{any: […]}`, `{not: …}`. `rules` may also be one group; it is kept
//! as an array of that one.
//!
//! | `type` | looks at |
//! |---|---|
//! | `attribute`, `trait` | the user's traits |
//! | `context` | the event's context |
//! | `segment` | `{type, segment: id, operator}`, operator `in` (default) or `not_in` |
//! | `event_count` | `{type, event, operator, value, within}`: how often the user did it; operator `>=` (default) or another comparison, `value` up to 1,000, `within` a length of time or absent for ever |
//! | any other, or none | the event's properties |
//!
//! Options of a rule on a field: `ignore_case` (true or false) and `compare` (`auto`, `text`, `number`, `version`, `time`).
//!
//! # What the operators mean
//!
//! The old server compared as JavaScript does. Its truths are kept except where they surprised. Each row is a test in
//! `tests/semantics.rs`, by its number. "Was" is the old answer, where it differs; rows without an old answer are new.
//!
//! | # | Case | Now | Was |
//! |---|---|---|---|
//! | 1 | The field is missing | false for every operator but `not_exists`; also `!=`, `not_in`, `not_contains`, `is_false`. For "missing or other" say `not` | |
//! | 2 | The field is there but null | equals only null; `!=` anything else; never ordered, contains nothing | null ordered as 0, contained `"nul"` |
//! | 3 | The rule has no `value` | null: `!=` then means "is there and not null" | |
//! | 4 | String with string, `== !=` | as strings, case-sensitive: `"5.0"` is not `"5"`, `"True"` not `"true"` | |
//! | 5 | Number with number | by value, whole numbers exactly, beyond 2^53 too | rounded |
//! | 6 | Number with string, `== !=` | by value if the string is a decimal number: `5` equals `"5"`, `"5.0"`, `" 5 "` | |
//! | 7 | Number or boolean with `""` or blank | never equal, no number | `0` and `false` equalled `""` |
//! | 8 | Boolean with `"true"`, `"false"` | equal when spelt exactly so | never equal |
//! | 9 | Boolean with number or numeric string | `true` is 1, `false` is 0 | |
//! | 10 | Decimal numbers in strings | sign, point, exponent, leading zeros; no hexadecimal, no `Infinity`, nothing beyond a double | `"0x10"` was 16 |
//! | 11 | `> >= < <=`, both sides numbers as in 6, 9 and 10 | by value, also between two numeric strings | |
//! | 12 | `> >= < <=`, any other two scalars | as text, by code point: `"b10"` is less than `"b9"`, ISO dates work | by UTF-16 unit |
//! | 13 | `> >= < <=` on an array or object | false | `[5]` was 5, `[]` was 0 |
//! | 14 | Array, `== !=` | one element stands for itself, `[5]` equals `"5"`; any other equals nothing | `["a","b"]` equalled `"a,b"` |
//! | 15 | Array, `contains` | an element equals the value as in 4 to 9 | part of the elements joined with commas: `["nonvip"]` contained `"vip"` |
//! | 16 | String, number or boolean, `contains` | the value's text is part of the field's text; numbers as plain digits | |
//! | 17 | Object | equals nothing, `!=` anything, never ordered, contains nothing | was `"[object Object]"` |
//! | 18 | Lookup | case-sensitive; the key `a.b` first, and only if there is none the `b` inside the object `a`, at each level; of a key given twice the last | flat |
//! | 19 | Text that cannot be decoded (half a surrogate pair, a number beyond a double) | as if the field were missing | |
//! | 20 | `exists`, `not_exists` | there and not null; the opposite. `""`, `[]` and `{}` exist. No value is looked at | |
//! | 21 | `is_true`, `is_false` | `== true`, `== false` (rows 8, 9, 14). No value is looked at | |
//! | 22 | `not_contains`, `not_in` | the opposite of `contains`, `in`, of a field that is there: true of null (unless listed) and of objects | |
//! | 23 | `in` | the field equals one of the listed scalars as `==`; of none: false. An array field: some element does | |
//! | 24 | `starts_with`, `ends_with` | as text, numbers as plain digits; of null and objects false. An array field: some element does | |
//! | 25 | `matches` | a regular expression found anywhere in the text, numbers as plain digits. An array field: some element does. Not found in text of more than 16 KiB. Look-around and back references do not exist | |
//! | 26 | `ignore_case` | the letters of both sides in lower case (`ß` is not `ss`), also of words as in row 8; not field names | |
//! | 27 | `compare`: which operators | `== != > >= < <= in not_in`; all others disregard it. What cannot be read in that way equals nothing and has no order: `!=` holds. The rule's own value must be readable | |
//! | 28 | `compare: "text"` | as text, numbers as plain digits: `"10"` comes before `"9"`, `5.0` equals `"5"`, `"05"` does not | |
//! | 29 | `compare: "number"` | by value as in rows 9 to 11: `"5.0"` equals `"5"` | |
//! | 30 | `compare: "version"` | numbers between dots one by one, missing ones 0, a leading `v` allowed, a pre-release before its release, `+build` ignored. A JSON number is its plain digits: `2.10` is 2.1, so send versions as strings | |
//! | 31 | `compare: "time"` | as points in time: ISO 8601, without a zone as UTC; numbers, also in text, as epoch seconds, from 100,000,000,000 on as milliseconds | |
//! | 32 | `before`, `after` | in time as in 31; the same instant is neither | |
//! | 33 | `within_last` | a time later than the given length of time ago, at most 5 minutes ahead of the moment of receipt: `90s 30m 24h 7d 2w`, or seconds | |
//! | 34 | `segment` | the user belongs to it, or not; of a segment that does not exist (or is malformed) neither | |
//! | 35 | `event_count` | the number of such events the user sent, compared as a number; of none 0 | |
//! | 36 | What is not known: the event where none is at hand, counts or traits that cannot be read | unknown, which `not` leaves unknown. It decides only where nothing else does: `any` needs one true, `all` one false. A condition must be true to match | any event rule excluded |
//! | 37 | `all`, `any`, `not` | as in logic: `all` of none is true. An `any` of none is refused | |
//! | 38 | Spellings | an operator's aliases (`equals`, `greater_than`, `set`, …) mean what it means; the document keeps its own. All are case-sensitive | |
//!
//! Also decided:
//! - An unknown operator, an empty field name, a value of the wrong kind, a rule that is no object, a type that the [`Scope`] does
//!   not know: malformed. Refused at the door, every fault named; what is stored so is inert (the old server answered false, or
//!   failed for everyone).
//! - The rule `{field: "unknown", operator: "==", value: ""}` is left behind by an editor and never meant: dropped at the top level.
//! - Limits: [`MAX_RULES`], [`MAX_GROUPS`], [`MAX_DEPTH`], [`MAX_FIELD_BYTES`], [`MAX_VALUE_BYTES`], [`MAX_LISTED`],
//!   [`MAX_PATTERN_BYTES`], [`MAX_COUNT`].

mod check;
mod condition;
mod duration;
mod entry;
mod facts;
mod fault;
mod fields;
mod keys;
mod leaf;
mod moment;
mod needs;
mod number;
mod observe;
mod operand;
mod operator;
mod path;
mod pattern;
mod read;
mod read_check;
mod rule;
mod scope;
#[cfg(test)]
mod tests;
mod trace;
mod truth;
mod unshown;
mod value;
mod version;
mod wording;

pub use condition::Condition;
pub use duration::MAX_DURATION_SECONDS;
pub use entry::MAX_VALUE_BYTES;
pub use facts::{CountWindow, Counts, Facts, NoCounts, Segments};
pub use fault::Fault;
pub use fields::{Fields, JsonFields, UnknownFields};
pub use keys::Keys;
pub use leaf::{MAX_COUNT, MAX_FIELD_BYTES};
pub use needs::Needs;
pub use number::Number;
pub use pattern::MAX_PATTERN_BYTES;
pub use read::{MAX_DEPTH, MAX_GROUPS, MAX_RULES, Read, read};
pub use read_check::MAX_LISTED;
pub use scope::Scope;
pub use trace::{Grouped, Leaf, Step};
pub use truth::Truth;
pub use unshown::keep_unshown;
