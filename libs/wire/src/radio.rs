//! ● 802.15.4 frames and what tags and access points say in them.
//!
//! A tag sleeps. When it wakes it checks in, hears whether there is a new face, fetches it part by part, draws it,
//! and confirms version and hash. Between `ap-gateway` and the simulated tags each frame travels in one UDP
//! datagram, wrapped as in the ZigBee Encapsulation Protocol, so that a packet analyser reads it.
//!
//! ```text
//! datagram = ZEP header 32 | frame
//! frame    = MAC header 21 | security header 5 | encrypted payload | MIC 8 | FCS 2       at most 127 octets
//! payload  = one TagMessage or ApMessage                                                 at most 91 octets
//! ```

/// The MAC frame: addressing, authenticated encryption, checksum.
pub mod frame;
/// An operation on the air.
pub mod operate;
/// What is said inside: check-in, offer, parts, confirmation.
pub mod payload;
/// The datagram around a frame.
pub mod zep;
