//! ● The prices a till charges.
//!
//! Entries are applied in order, each once. An answer may leave out an entry that a newer one of the same product has
//! replaced, so a gap is no loss; entries out of order and a feed that ends too early are, and then only a snapshot
//! helps.

use std::collections::BTreeMap;

use wire::till::{Price, ProductId, TillFeed};

/// What a till charges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceBook {
    prices: BTreeMap<ProductId, Price>,
    cursor: u64,
}

/// Why an answer of the feed cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Entries are not in order.
    #[error("entry {found} of the till feed came after entry {last}")]
    Disorder {
        /// The one before.
        last: u64,
        /// The one after it.
        found: u64,
    },
    /// The feed ends before what was applied: it is another feed.
    #[error("the till feed ends at {head}, entry {cursor} was applied already")]
    Behind {
        /// The last one applied.
        cursor: u64,
        /// The last one there is.
        head: u64,
    },
}

impl PriceBook {
    /// What products cost.
    pub fn prices(&self) -> &BTreeMap<ProductId, Price> {
        &self.prices
    }

    /// The last entry applied.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Forgets everything and begins with a snapshot.
    pub fn restart(&mut self, snapshot: &TillFeed) {
        let prices = snapshot.entries.iter().map(|entry| (entry.product.clone(), entry.price));
        *self = PriceBook { prices: prices.collect(), cursor: snapshot.head };
    }

    /// Applies all entries that are new, or none.
    pub fn apply(&mut self, feed: &TillFeed) -> Result<(), FeedError> {
        let cursor = self.cursor;
        if feed.head < cursor {
            return Err(FeedError::Behind { cursor, head: feed.head });
        }
        let seqs = || feed.entries.iter().map(|entry| entry.seq);
        if let Some((last, found)) = seqs().zip(seqs().skip(1)).find(|(last, found)| last >= found) {
            return Err(FeedError::Disorder { last, found });
        }
        for entry in feed.entries.iter().filter(|entry| entry.seq > cursor) {
            self.cursor = entry.seq;
            self.prices.insert(entry.product.clone(), entry.price);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::Timestamp;
    use wire::till::TillEntry;

    use super::*;

    fn entry(seq: u64, product: &str, minor: i64) -> TillEntry {
        let price = Price::from_minor(minor).unwrap();
        TillEntry { seq, product: product.parse().unwrap(), price, at: Timestamp::EPOCH }
    }

    fn feed(entries: Vec<TillEntry>, head: u64) -> TillFeed {
        TillFeed { entries, head }
    }

    #[test]
    fn a_feed_out_of_order_changes_nothing() {
        let mut book = PriceBook::default();
        book.apply(&feed(vec![entry(1, "milk", 129)], 1)).unwrap();
        let mixed = feed(vec![entry(3, "milk", 109), entry(2, "milk", 99)], 3);
        assert_eq!(book.apply(&mixed), Err(FeedError::Disorder { last: 3, found: 2 }));
        assert_eq!(book.apply(&feed(vec![], 0)), Err(FeedError::Behind { cursor: 1, head: 0 }));
        assert_eq!(book.cursor(), 1);
        assert_eq!(book.prices().values().map(|price| price.as_minor()).collect::<Vec<_>>(), [129]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn however_the_answers_overlap_every_entry_counts_once_and_in_order(prices in prop::collection::vec((0_u8..4, 1_i64..999), 1..40), cuts in prop::collection::vec((0_usize..8, 1_usize..8), 1..40)) {
            let all: Vec<TillEntry> = prices.iter().zip(1..).map(|((product, minor), seq)| entry(seq, &format!("p{product}"), *minor)).collect();
            let mut book = PriceBook::default();
            for (back, forward) in cuts.into_iter().chain(std::iter::repeat((0, 8))) {
                let at = usize::try_from(book.cursor()).unwrap();
                if at == all.len() {
                    break;
                }
                let mut page = all[at.saturating_sub(back)..(at + forward).min(all.len())].to_vec();
                // Some services leave out what has been replaced.
                let newest: BTreeMap<ProductId, u64> = page.iter().map(|entry| (entry.product.clone(), entry.seq)).collect();
                page.retain(|entry| forward % 2 == 0 || newest[&entry.product] == entry.seq);
                book.apply(&feed(page, all.len() as u64)).unwrap();
            }
            let mut expected = BTreeMap::new();
            for entry in &all {
                expected.insert(entry.product.clone(), entry.price);
            }
            prop_assert_eq!(book.prices(), &expected);
        }
    }
}
