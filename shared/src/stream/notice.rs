//! The notice that matches of some users were committed: which, as hashes. Plain NATS, no stream: it only wakes somebody up, who then
//! reads the database; one that is lost costs time, nothing else.

use bytes::{BufMut, Bytes, BytesMut};

/// Users of one notice: 64 KiB.
const MOST_USERS: usize = 8_192;

/// The subject of a pipeline's notices; no stream takes it.
#[must_use]
pub fn subject(stream_prefix: &str) -> String {
    format!("{stream_prefix}_MATCHES")
}

/// The payloads that name these users, each by its [`UserKey::word`](crate::domain::user_key::UserKey::word).
#[must_use]
pub fn payloads(mut hashes: Vec<u64>) -> Vec<Bytes> {
    hashes.sort_unstable();
    hashes.dedup();
    let payload = |some: &[u64]| {
        let mut bytes = BytesMut::with_capacity(size_of_val(some));
        some.iter().for_each(|hash| bytes.put_u64(*hash));
        bytes.freeze()
    };
    hashes.chunks(MOST_USERS).map(payload).collect()
}

/// The hashes that a payload holds.
pub fn users(payload: &[u8]) -> impl Iterator<Item = u64> {
    payload.as_chunks().0.iter().map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_names_each_user_once() {
        let payloads = payloads(vec![7, u64::MAX, 7]);
        assert_eq!(payloads.iter().flat_map(|payload| users(payload)).collect::<Vec<_>>(), [7, u64::MAX]);
        assert_eq!(super::payloads(Vec::new()), Vec::<Bytes>::new());
        assert_eq!(users(b"rubbish").count(), 0, "another program's message on our subject names nobody");
    }

    #[test]
    fn many_users_take_several_notices() {
        let payloads = payloads((0..=MOST_USERS as u64).collect());
        assert_eq!(payloads.iter().map(Bytes::len).collect::<Vec<_>>(), [MOST_USERS * 8, 8]);
    }
}
