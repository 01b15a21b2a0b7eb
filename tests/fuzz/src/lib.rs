//! What must hold for any bytes, one function per fuzz target. A target is a name for the engine; all thinking is here.
//!
//! | target | reads | must hold |
//! |---|---|---|
//! | [`body`] | a request's body, up to the line of each accepted event | no panic; a line is one line, reads back as itself, keeps every limit and holds nothing that PostgreSQL refuses; what was not repaired is what was sent |
//! | [`compressed_body`] | a compressed body | no panic; never more than the limit, in output or in the budget; what we compress comes back |
//! | [`stream_message`] | a message of the stream, and the lines in it | no panic; what is read can be written and read again; what is written is read back in order |
//!
//! A broken promise panics: that is how the engine learns of it.

pub mod body;
pub mod compressed_body;
pub mod stream_message;
