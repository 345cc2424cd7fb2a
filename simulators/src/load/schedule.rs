//! ● When messages are due that are to be sent at a fixed rate, and by whom.

use std::time::Duration;

const NANOS: u128 = 1_000_000_000;

/// A fixed number of messages per second, by so many publishers in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    per_second: u32,
    publishers: u32,
}

impl Schedule {
    /// At least one message per second and one publisher.
    pub fn new(per_second: u32, publishers: u32) -> Self {
        Schedule { per_second: per_second.max(1), publishers: publishers.max(1) }
    }

    /// When message `number` is due, from the start; the first at once.
    pub fn due_at(self, number: u64) -> Duration {
        let nanos = u128::from(number) * NANOS / u128::from(self.per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Who sends message `number`.
    pub fn publisher(self, number: u64) -> u32 {
        u32::try_from(number % u64::from(self.publishers)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_publishers_take_turns() {
        let schedule = Schedule::new(1000, 3);
        let due: Vec<_> =
            (0..4).map(|number| (schedule.due_at(number), schedule.publisher(number))).collect();
        let ms = Duration::from_millis;
        assert_eq!(due, [(ms(0), 0), (ms(1), 1), (ms(2), 2), (ms(3), 0)]);
    }

    proptest! {
        #[test]
        fn a_second_has_as_many_messages_as_asked_for(per_second in 1_u32..2_000_000, second in 0_u64..600) {
            let schedule = Schedule::new(per_second, 7);
            let first = second * u64::from(per_second);
            prop_assert_eq!(schedule.due_at(first), Duration::from_secs(second));
            prop_assert!(schedule.due_at(first + u64::from(per_second) - 1) < Duration::from_secs(second + 1));
            prop_assert!(schedule.due_at(first) <= schedule.due_at(first + 1));
        }
    }
}
