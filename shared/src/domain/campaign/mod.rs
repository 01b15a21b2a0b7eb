//! Which campaigns an event sets off: the one engine that ingest asks for its reply and the worker for the record.
//!
//! A campaign document ([`definition`]) is compiled once ([`compile`]) into a [`Catalog`]; an event then meets only the
//! campaigns that listen to its name. A campaign matches when its status is `active` and all its rules hold; no rules hold
//! always. A rule is `{type, field, operator, value}`: type exactly `attribute` looks in the user's traits, any other (or none)
//! in the event's properties. Nothing here fails on stored data: a malformed campaign is [`Inert`], says why, and harms no other.
//!
//! # What the operators mean
//!
//! The old server compared as JavaScript does. Its truths are kept except where they surprised. Each row is a test in
//! `tests/semantics.rs`, by its number. "Was" is the old answer, where it differs.
//!
//! | # | Case | Now | Was |
//! |---|---|---|---|
//! | 1 | The field is missing | false for every operator, `!=` too | |
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
//! | 18 | Lookup | flat, case-sensitive: `a.b` is one key; of a key given twice the last | |
//! | 19 | Text that cannot be decoded (half a surrogate pair, a number beyond a double) | as if the field were missing | |
//!
//! Also decided:
//! - An unknown operator, an empty field name, a value that is an array or object, a rule that is no object: malformed. Refused
//!   at the door; in a stored campaign they make it inert (the old server answered false, or failed for everyone).
//! - The rule `{field: "unknown", operator: "==", value: ""}` is left behind by an editor and never meant: dropped.
//! - Triggers are exact and case-sensitive. A campaign listens to `trigger` and to each of `triggers`.

pub mod assignment;
pub mod caps;
mod catalog;
mod client_object;
mod comparison;
mod compiled;
pub mod definition;
pub mod delivery;
mod fault;
mod fields;
pub mod goal;
mod number;
mod option;
mod rule;
pub mod schedule;
#[cfg(test)]
mod tests;

pub use catalog::Catalog;
pub use client_object::client_object;
pub use compiled::{Compiled, Facts, Inert, compile};
pub use definition::{Status, Valid, validate};
pub use fault::Fault;
pub use fields::{Fields, JsonFields};
pub use rule::{MAX_FIELD_BYTES, MAX_RULES, MAX_VALUE_BYTES};
