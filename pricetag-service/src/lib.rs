//! What every price tag should show, and who decided it.

/// The names and texts of this service.
mod names;
/// No till charges more than any tag may be showing.
mod price_gate;
/// Everything that is decided.
mod shop;
/// A task: one tag must show one face.
mod task;
/// What a kilogram costs.
mod unit_price;
