//! ● Money, and the feed of prices to the tills of a store.
//!
//! The feed is a numbered sequence per store. A till reads from its cursor, applies each entry in order, and
//! acknowledges what it applied; only then may a face with a lower price go out, and a till is never given a price
//! above what any tag may be showing. A till without a cursor begins with the snapshot. An answer leaves out an entry
//! that a newer one of the same product has replaced, so nobody applies a price that is no longer asked for.
//!
//! ```text
//! GET  /api/v1/stores/{store}/till-feed?after=N         entries with seq > N, at most 500
//! GET  /api/v1/stores/{store}/till-feed/snapshot        every current price, and the seq it stands for
//! POST /api/v1/stores/{store}/tills/{till}/ack          {"upto": N}
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{is_name_char, text_newtype};
use crate::time::Timestamp;

/// Most entries in one answer of the feed.
pub const TILL_ENTRIES_MAX: usize = 500;
/// Highest price, in minor units: what fits a shelf label and every database.
pub const PRICE_MINOR_MAX: i64 = 99_999_999;

/// Why a text is no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParsePriceError {
    /// Not digits with at most one point or comma and two decimals.
    #[error("price `{0}` is not a number like 5.49 with at most two decimals")]
    Shape(String),
    /// Outside what a price may be.
    #[error("price {0} is not between 0.01 and {max}", max = Price(PRICE_MINOR_MAX))]
    Range(String),
}

/// An amount in minor units (cents); its currency is the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Price(i64);

impl Price {
    /// From minor units, 1 to [`PRICE_MINOR_MAX`].
    pub fn from_minor(minor: i64) -> Result<Self, ParsePriceError> {
        if (1..=PRICE_MINOR_MAX).contains(&minor) {
            return Ok(Price(minor));
        }
        Err(ParsePriceError::Range(minor.to_string()))
    }

    /// As minor units.
    pub fn as_minor(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Price {
    type Error = ParsePriceError;
    fn try_from(minor: i64) -> Result<Self, Self::Error> {
        Price::from_minor(minor)
    }
}

impl From<Price> for i64 {
    fn from(price: Price) -> i64 {
        price.0
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl FromStr for Price {
    type Err = ParsePriceError;
    /// `5`, `5.4`, `5.49` or `5,49`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = || ParsePriceError::Shape(text.chars().take(32).collect());
        let trimmed = text.trim();
        let (whole, decimals) = trimmed.split_once(['.', ',']).unwrap_or((trimmed, "0"));
        let digits = |part: &str, max: usize| {
            (1..=max).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_digit())
        };
        if !digits(whole, 12) || !digits(decimals, 2) {
            return Err(shape());
        }
        let whole: i64 = whole.parse().map_err(|_| shape())?;
        let hundredths: i64 = format!("{decimals:0<2}").parse().map_err(|_| shape())?;
        Price::from_minor(whole * 100 + hundredths).map_err(|_| ParsePriceError::Range(trimmed.to_owned()))
    }
}

/// Why a text is no store, product or till id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not 1 to 32 of 0-9 A-Z a-z _ -")]
pub struct ParseShopNameError(String);

fn check(text: &str) -> Result<String, ParseShopNameError> {
    if (1..=32).contains(&text.chars().count()) && text.chars().all(is_name_char) {
        return Ok(text.to_owned());
    }
    Err(ParseShopNameError(text.chars().take(33).collect()))
}

macro_rules! shop_name {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);
        text_newtype!($name);
        impl FromStr for $name {
            type Err = ParseShopNameError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                check(text).map($name)
            }
        }
    };
}
shop_name!(StoreId, "A shop. `store-1`.");
shop_name!(ProductId, "What has a price. `coffee`.");
shop_name!(TillId, "Where a price is charged. `till-1`.");

/// One step of the feed: from this entry on, this product costs this much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TillEntry {
    /// Position in the store's feed, from 1, growing. Positions of entries that were left out are missing.
    pub seq: u64,
    /// Which product.
    pub product: ProductId,
    /// What it costs.
    pub price: Price,
    /// When it was published.
    pub at: Timestamp,
}

/// An answer of the feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TillFeed {
    /// In order of `seq`.
    pub entries: Vec<TillEntry>,
    /// The last position there is.
    pub head: u64,
}

/// What a till says after it applied entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TillAck {
    /// Everything up to here is charged at the counter.
    pub upto: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prices_people_type() {
        let read = |text: &str| text.parse::<Price>().map_or_else(|e| e.to_string(), |p| p.to_string());
        insta::assert_snapshot!(read("5.49"), @"5.49");
        insta::assert_snapshot!(read(" 5,4 "), @"5.40");
        insta::assert_snapshot!(read("5"), @"5.00");
        insta::assert_snapshot!(read("0"), @"price 0 is not between 0.01 and 999999.99");
        insta::assert_snapshot!(read("5.499"), @"price `5.499` is not a number like 5.49 with at most two decimals");
        insta::assert_snapshot!(read("-1"), @"price `-1` is not a number like 5.49 with at most two decimals");
        insta::assert_snapshot!(read("1000000"), @"price 1000000 is not between 0.01 and 999999.99");
        insta::assert_snapshot!(read("5."), @"price `5.` is not a number like 5.49 with at most two decimals");
        insta::assert_snapshot!(read("abc"), @"price `abc` is not a number like 5.49 with at most two decimals");
    }

    proptest! {
        #[test]
        fn a_price_reads_back(minor in 1..=PRICE_MINOR_MAX) {
            let price = Price::from_minor(minor).unwrap();
            prop_assert_eq!(price.to_string().parse::<Price>().unwrap(), price);
        }

        #[test]
        fn any_text_gets_an_answer(text in ".{0,40}") {
            let _ = text.parse::<Price>();
        }
    }
}
