//! The operators of a rule, and all their spellings.

use std::cmp::Ordering;

/// What a rule asks of its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `== != > >= < <=`
    Compare(Relation),
    /// `contains`
    Contains,
    /// `not_contains`
    NotContains,
    /// `in`
    In,
    /// `not_in`
    NotIn,
    /// `starts_with`
    StartsWith,
    /// `ends_with`
    EndsWith,
    /// `exists`
    Exists,
    /// `not_exists`
    NotExists,
    /// `is_true`
    IsTrue,
    /// `is_false`
    IsFalse,
    /// `matches`
    Matches,
    /// `before`
    Before,
    /// `after`
    After,
    /// `within_last`
    WithinLast,
}

/// How one value stands to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

/// Every operator with its spellings: ours first, then what other dashboards write, the second EmbeddedCraft one among them.
const SPELLINGS: [(Operator, &[&str]); 20] = [
    (Operator::Compare(Relation::Equal), &["==", "equals", "eq", "is"]),
    (Operator::Compare(Relation::NotEqual), &["!=", "not_equals", "neq", "is_not"]),
    (Operator::Compare(Relation::Greater), &[">", "greater_than", "gt"]),
    (Operator::Compare(Relation::GreaterOrEqual), &[">=", "greater_than_or_equal", "greater_than_or_equals", "gte"]),
    (Operator::Compare(Relation::Less), &["<", "less_than", "lt"]),
    (Operator::Compare(Relation::LessOrEqual), &["<=", "less_than_or_equal", "less_than_or_equals", "lte"]),
    (Operator::Contains, &["contains"]),
    (Operator::NotContains, &["not_contains", "does_not_contain"]),
    (Operator::In, &["in"]),
    (Operator::NotIn, &["not_in"]),
    (Operator::StartsWith, &["starts_with"]),
    (Operator::EndsWith, &["ends_with"]),
    (Operator::Exists, &["exists", "set", "is_set"]),
    (Operator::NotExists, &["not_exists", "not_set", "is_not_set"]),
    (Operator::IsTrue, &["is_true"]),
    (Operator::IsFalse, &["is_false"]),
    (Operator::Matches, &["matches", "regex"]),
    (Operator::Before, &["before"]),
    (Operator::After, &["after"]),
    (Operator::WithinLast, &["within_last"]),
];

impl Operator {
    /// Reads a spelling, exactly as listed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        SPELLINGS.iter().find(|(_, spellings)| spellings.contains(&text)).map(|(operator, _)| *operator)
    }

    /// Our spelling of every operator, in the order they are offered.
    pub fn offered() -> impl Iterator<Item = &'static str> {
        SPELLINGS.iter().filter_map(|(_, spellings)| spellings.first().copied())
    }
}

impl Relation {
    /// Our spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }

    /// Does it hold for two values in this order?
    #[must_use]
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
        }
    }
}
