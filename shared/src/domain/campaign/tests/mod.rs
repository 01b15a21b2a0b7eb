//! Behaviour of the engine as its callers see it.
