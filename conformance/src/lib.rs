//! The acceptance gate: cases, parties and reports that know only the wire.
