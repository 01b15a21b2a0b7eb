//! Finds a file in a ZIP archive, as it is there: compressed with deflate, which is also what gzip holds. So a file can be answered
//! with `Content-Encoding: gzip` without ever being unpacked.

/// Signature of an entry of the archive's directory, and how long its fixed part is.
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
/// The fixed part of what stands before a file's bytes.
const LOCAL_BYTES: usize = 30;
const DEFLATE: u16 = 8;

/// The first file whose path ends so, as a gzip stream; `None` when there is none, or it is not compressed with deflate.
pub fn gzip_of(archive: &[u8], path_ends: &str) -> Option<Vec<u8>> {
    let mut rest = archive.get(first_entry(archive)?..)?;
    while rest.starts_with(&ENTRY) {
        let (name_bytes, extra_bytes, comment_bytes) = (u16_at(rest, 28)?, u16_at(rest, 30)?, u16_at(rest, 32)?);
        let name = rest.get(ENTRY_BYTES..ENTRY_BYTES + usize::from(name_bytes))?;
        if name.ends_with(path_ends.as_bytes()) {
            return (u16_at(rest, 10)? == DEFLATE).then(|| gzip(archive, rest))?;
        }
        rest =
            rest.get(ENTRY_BYTES + usize::from(name_bytes) + usize::from(extra_bytes) + usize::from(comment_bytes)..)?;
    }
    None
}

/// Where the directory begins; its end record stands at the end of the archive, before a comment of any length.
fn first_entry(archive: &[u8]) -> Option<usize> {
    let end = archive.windows(4).rposition(|bytes| bytes == b"PK\x05\x06")?;
    u32_at(archive, end + 16).map(to_usize)
}

fn gzip(archive: &[u8], entry: &[u8]) -> Option<Vec<u8>> {
    let (checksum, packed, unpacked) = (u32_at(entry, 16)?, u32_at(entry, 20)?, u32_at(entry, 24)?);
    let local = to_usize(u32_at(entry, 42)?);
    let names = usize::from(u16_at(archive, local + 26)?) + usize::from(u16_at(archive, local + 28)?);
    let start = local + LOCAL_BYTES + names;
    // Deflate, no name, no time, an unknown system.
    let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    stream.extend_from_slice(archive.get(start..start + to_usize(packed))?);
    stream.extend_from_slice(&checksum.to_le_bytes());
    stream.extend_from_slice(&unpacked.to_le_bytes());
    Some(stream)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
