//! ● How long things took: percentiles within 1.6 %, in fixed memory.
//!
//! Values below 64 have a bucket each; above, every power of two is cut into 64.

use std::time::Duration;

use serde::Serialize;

const CUT_BITS: u32 = 6;
const CUTS: u64 = 1 << CUT_BITS;
const BUCKETS: usize = (64 - CUT_BITS as usize + 1) << CUT_BITS;

/// Durations, counted by their size in nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

/// What a histogram says, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Half are at most this.
    pub p50_us: f64,
    /// 99 of 100 are at most this.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }
}

fn bucket(value: u64) -> usize {
    let index = if value < CUTS {
        value
    } else {
        let shift = value.ilog2() - CUT_BITS;
        u64::from(shift + 1) * CUTS + ((value >> shift) - CUTS)
    };
    usize::try_from(index).unwrap_or(0)
}

/// The largest value of a bucket.
fn top(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < CUTS {
        return bucket;
    }
    let shift = bucket / CUTS - 1;
    let low = (bucket % CUTS + CUTS) << shift;
    low + ((1 << shift) - 1)
}

fn micros(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64() * 1e6
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&mut self, nanos: u64) {
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The smallest duration, in nanoseconds, that `percent` of a hundred do not exceed; 0 when nothing was counted.
    pub fn percentile(&self, percent: u64) -> u64 {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut below = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            below += count;
            if below >= rank {
                return top(index).min(self.max);
            }
        }
        0
    }

    /// Percentiles and maximum.
    pub fn spread(&self) -> Spread {
        Spread {
            p50_us: micros(self.percentile(50)),
            p99_us: micros(self.percentile(99)),
            max_us: micros(self.max),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_counted_is_zero() {
        assert_eq!(Histogram::default().spread(), Spread::default());
    }

    #[test]
    fn the_longest_value_has_a_bucket() {
        let mut histogram = Histogram::default();
        histogram.record(u64::MAX);
        assert_eq!(histogram.percentile(50), u64::MAX);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_values(
            mut values in proptest::collection::vec(0_u64..5_000_000_000, 1..300), percent in 1_u64..=100
        ) {
            let mut histogram = Histogram::default();
            for value in &values {
                histogram.record(*value);
            }
            values.sort_unstable();
            let rank = (values.len() * usize::try_from(percent).unwrap()).div_ceil(100);
            let exact = values[rank - 1];
            let found = histogram.percentile(percent);
            prop_assert!(found >= exact, "{found} is below {exact}");
            prop_assert!(found <= exact + exact / CUTS, "{found} is far above {exact}");
        }

        #[test]
        fn buckets_follow_each_other(value in 0_u64..u64::MAX) {
            prop_assert!(top(bucket(value)) >= value);
            prop_assert!(bucket(value + 1) == bucket(value) || bucket(value + 1) == bucket(value) + 1);
        }
    }
}
