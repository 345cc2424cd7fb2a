//! Devices that are not there: tags, the air around them, tills, and the shop they stand in.
//!
//! They speak the same octets as real ones, so the programs cannot tell the difference.

/// ● The air between an access point and its tags.
pub mod air;
/// Everything at once, with a story.
pub mod demo;
/// Load on a broker, measured.
pub mod load;
/// ● A phone that follows a script.
pub mod phone;
/// Many phones on a real broker.
pub mod phone_fleet;
/// A shop to simulate, and how to set it up.
pub mod shop;
/// ● A sleeping e-paper tag.
pub mod tag;
/// Many tags on real sockets.
pub mod tag_fleet;
/// A till that charges what the price feed says.
pub mod till;
