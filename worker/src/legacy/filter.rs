//! A set in bounded memory that may rarely say yes for no: of each element it keeps some bits (a Bloom filter).

/// Bytes of the file per byte of filter: events take some two hundred bytes, so each has about thirty bits.
const FILE_BYTES_PER_BYTE: u64 = 56;
/// Largest filter, in bytes: enough for a file of 3.5 GB; a longer one has more false yeses.
pub const MOST_BYTES: u64 = 64 << 20;
const LEAST_BYTES: u64 = 64 << 10;
/// Bits per element; with thirty bits of room for each, one in a hundred thousand is a false yes.
const PROBES: u64 = 8;

/// The set.
#[derive(Debug)]
pub struct Filter {
    words: Vec<u64>,
}

impl Filter {
    /// For the elements of a file of this size.
    #[must_use]
    pub fn for_file(bytes: u64) -> Self {
        let size = (bytes / FILE_BYTES_PER_BYTE).clamp(LEAST_BYTES, MOST_BYTES);
        Self { words: vec![0; usize::try_from(size / 8).unwrap_or(0).max(1)] }
    }

    /// Adds a hash; true when it was there (or seems so).
    pub fn insert(&mut self, hash: u64) -> bool {
        let mut there = true;
        for (word, bit) in places(hash, self.words.len()) {
            there &= self.words[word] & bit != 0;
            self.words[word] |= bit;
        }
        there
    }

    /// Is it there (or seems so)?
    #[must_use]
    pub fn contains(&self, hash: u64) -> bool {
        places(hash, self.words.len()).all(|(word, bit)| self.words[word] & bit != 0)
    }
}

fn places(hash: u64, words: usize) -> impl Iterator<Item = (usize, u64)> {
    let step = hash.rotate_left(32) | 1;
    let bits = words as u64 * 64;
    (0..PROBES).map(move |probe| {
        let bit = hash.wrapping_add(probe.wrapping_mul(step)) % bits;
        (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{DefaultHasher, Hash, Hasher};

    fn hash(n: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        n.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn what_was_added_is_there_and_hardly_anything_else() {
        // As many events as a file has room for.
        let file_bytes = 20_000_000;
        let mut filter = Filter::for_file(file_bytes);
        let events = file_bytes / 200;
        let false_yes = (0..events).filter(|n| filter.insert(hash(*n))).count();
        assert!(false_yes < 5, "{false_yes}");
        assert!((0..events).all(|n| filter.contains(hash(n))));
        let false_yes = (events..2 * events).filter(|n| filter.contains(hash(*n))).count();
        assert!(false_yes < 20, "{false_yes}");
    }
}
