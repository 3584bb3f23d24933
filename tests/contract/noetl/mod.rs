//! A NoETL that nobody changed: its workers and servers are scraped, and their registrations
//! understood.

mod hostile;
mod registered;
mod scraped;
mod shapes;
