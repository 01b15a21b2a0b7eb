//! See `fuzz::stream_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::stream_message::check(data));
