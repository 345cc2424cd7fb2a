//! ● Who sends to whom.
//!
//! ```text
//! pairs     p0 ─▶ r0     fan-in    p0 ─┐        fan-out       ┌─▶ r0
//!           p1 ─▶ r1               p1 ─┼─▶ r0            p0 ──┼─▶ r1
//!           p2 ─▶ r2               p2 ─┘                      └─▶ r2
//! ```

/// Publishers and receivers, and what is between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each publisher has a receiver of its own.
    Pairs(u32),
    /// So many publishers have one receiver.
    FanIn(u32),
    /// One publisher has so many receivers.
    FanOut(u32),
}

impl Shape {
    /// How many publish.
    pub fn publishers(self) -> u32 {
        match self {
            Shape::Pairs(count) | Shape::FanIn(count) => count,
            Shape::FanOut(_) => 1,
        }
    }

    /// How many receive.
    pub fn receivers(self) -> u32 {
        match self {
            Shape::Pairs(count) | Shape::FanOut(count) => count,
            Shape::FanIn(_) => 1,
        }
    }

    /// How many receive each message.
    pub fn receivers_per_message(self) -> u32 {
        match self {
            Shape::Pairs(_) | Shape::FanIn(_) => 1,
            Shape::FanOut(count) => count,
        }
    }

    /// How many publishers a receiver hears.
    pub fn publishers_per_receiver(self) -> u32 {
        match self {
            Shape::Pairs(_) | Shape::FanOut(_) => 1,
            Shape::FanIn(count) => count,
        }
    }

    /// The receiver whose topic a publisher publishes to; that of the first stands for all in a fan-out.
    pub fn topic_of(self, publisher: u32) -> u32 {
        match self {
            Shape::Pairs(_) => publisher,
            Shape::FanIn(_) | Shape::FanOut(_) => 0,
        }
    }

    /// The receiver whose topic a receiver subscribes to.
    pub fn subscription_of(self, receiver: u32) -> u32 {
        match self {
            Shape::Pairs(_) | Shape::FanIn(_) => receiver,
            Shape::FanOut(_) => 0,
        }
    }

    /// Which of the publishers that a receiver hears this is; `None` when it should not hear it.
    pub fn slot(self, receiver: u32, publisher: u32) -> Option<u32> {
        match self {
            Shape::Pairs(_) => (publisher == receiver).then_some(0),
            Shape::FanIn(count) => (publisher < count).then_some(publisher),
            Shape::FanOut(_) => (publisher == 0).then_some(0),
        }
    }

    /// The publisher in a slot.
    pub fn publisher_in(self, receiver: u32, slot: u32) -> u32 {
        match self {
            Shape::Pairs(_) => receiver,
            Shape::FanIn(_) => slot,
            Shape::FanOut(_) => 0,
        }
    }

    /// Which of the receivers of its messages this is.
    pub fn party(self, receiver: u32) -> u32 {
        match self {
            Shape::Pairs(_) | Shape::FanIn(_) => 0,
            Shape::FanOut(_) => receiver,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shapes() -> impl Strategy<Value = Shape> {
        (0_u8..3, 1_u32..30).prop_map(|(kind, count)| match kind {
            0 => Shape::Pairs(count),
            1 => Shape::FanIn(count),
            _ => Shape::FanOut(count),
        })
    }

    proptest! {
        #[test]
        fn a_receiver_hears_whoever_publishes_to_what_it_subscribed_to(shape in shapes()) {
            for receiver in 0..shape.receivers() {
                let heard: Vec<u32> = (0..shape.publishers())
                    .filter(|publisher| shape.topic_of(*publisher) == shape.subscription_of(receiver))
                    .collect();
                prop_assert_eq!(heard.len(), shape.publishers_per_receiver() as usize);
                for publisher in 0..shape.publishers() {
                    let slot = shape.slot(receiver, publisher);
                    prop_assert_eq!(slot.is_some(), heard.contains(&publisher));
                    if let Some(slot) = slot {
                        prop_assert!(slot < shape.publishers_per_receiver());
                        prop_assert_eq!(shape.publisher_in(receiver, slot), publisher);
                    }
                }
                prop_assert!(shape.party(receiver) < shape.receivers_per_message());
            }
        }
    }
}
