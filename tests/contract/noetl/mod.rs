//! A NoETL that nobody changed: its registrations are understood.

mod registered;
