//! Truth where something may not be known: Kleene's three values, ordered so that "all" is the least and "any" the greatest.

/// Does a condition hold?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It does not, whatever the unknown may be.
    False,
    /// It depends on what is not known.
    Unknown,
    /// It does, whatever the unknown may be.
    True,
}

impl Truth {
    /// Certainly so.
    #[must_use]
    pub fn is_true(self) -> bool {
        self == Self::True
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::True => Self::False,
        }
    }
}
