//! Text that was UTF-8 once and was read as Windows-1252 (`CafÃ©` for `Café`). It is kept as it is: only a person knows what was
//! meant.

/// Does a text hold a run that, taken as Windows-1252 bytes, is UTF-8?
#[must_use]
pub fn is_in(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    let mut bytes = Vec::new();
    for character in text.chars().chain(['\n']) {
        match byte_of(character).filter(|_| !character.is_ascii()) {
            Some(byte) => bytes.push(byte),
            None => {
                if bytes.len() > 1 && std::str::from_utf8(&bytes).is_ok() {
                    return true;
                }
                bytes.clear();
            }
        }
    }
    false
}

/// The byte that Windows-1252 shows as this character.
fn byte_of(character: char) -> Option<u8> {
    /// What it shows for the bytes from 0x80 to 0x9f, where that is not the control character of the same number.
    const SHOWN: [(char, u8); 27] = [
        ('€', 0x80),
        ('‚', 0x82),
        ('ƒ', 0x83),
        ('„', 0x84),
        ('…', 0x85),
        ('†', 0x86),
        ('‡', 0x87),
        ('ˆ', 0x88),
        ('‰', 0x89),
        ('Š', 0x8a),
        ('‹', 0x8b),
        ('Œ', 0x8c),
        ('Ž', 0x8e),
        ('‘', 0x91),
        ('’', 0x92),
        ('“', 0x93),
        ('”', 0x94),
        ('•', 0x95),
        ('–', 0x96),
        ('—', 0x97),
        ('˜', 0x98),
        ('™', 0x99),
        ('š', 0x9a),
        ('›', 0x9b),
        ('œ', 0x9c),
        ('ž', 0x9e),
        ('Ÿ', 0x9f),
    ];
    u8::try_from(u32::from(character))
        .ok()
        .or_else(|| SHOWN.iter().find(|(shown, _)| *shown == character).map(|(_, byte)| *byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_8_read_as_windows_1252_is_seen_and_good_text_is_not() {
        for text in ["CafÃ© hour", "â‚¹30 off", "ðŸ˜€"] {
            assert!(is_in(text), "{text}");
        }
        for text in ["Café", "₹60 off", "naïve “quotes”", "😀", "Ã", "Ünder"] {
            assert!(!is_in(text), "{text}");
        }
    }
}
