//! Values of a row, parsed. What this program did not write is an error that names its column.

use std::str::FromStr;

use sqlx::Row;
use sqlx::any::AnyRow;
use wire::Timestamp;
use wire::till::Price;

use super::StoreError;
use crate::names::ProductKey;

/// What columns hold.
pub(super) trait Columns {
    fn text(&self, column: &'static str) -> Result<String, StoreError>;
    fn text_opt(&self, column: &'static str) -> Result<Option<String>, StoreError>;
    fn number(&self, column: &'static str) -> Result<i64, StoreError>;
    fn number_opt(&self, column: &'static str) -> Result<Option<i64>, StoreError>;

    fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, StoreError> {
        parse(column, self.text(column)?)
    }

    fn parsed_opt<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        self.text_opt(column)?.map(|text| parse(column, text)).transpose()
    }

    /// A number of any size.
    fn count<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, StoreError> {
        fit(column, self.number(column)?)
    }

    fn count_opt<T: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        self.number_opt(column)?.map(|number| fit(column, number)).transpose()
    }

    fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_millis(self.number(column)?))
    }

    fn time_opt(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.number_opt(column)?.map(Timestamp::from_millis))
    }

    fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        Ok(self.number(column)? != 0)
    }

    fn price(&self, column: &'static str) -> Result<Price, StoreError> {
        self.count(column)
    }

    /// `store` and a product column.
    fn key(&self, product: &'static str) -> Result<ProductKey, StoreError> {
        Ok(ProductKey { store: self.parsed("store")?, product: self.parsed(product)? })
    }

    fn key_opt(&self, product: &'static str) -> Result<Option<ProductKey>, StoreError> {
        match self.parsed_opt(product)? {
            Some(product) => Ok(Some(ProductKey { store: self.parsed("store")?, product })),
            None => Ok(None),
        }
    }
}

impl Columns for AnyRow {
    fn text(&self, column: &'static str) -> Result<String, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn text_opt(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn number(&self, column: &'static str) -> Result<i64, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn number_opt(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        Ok(self.try_get(column)?)
    }
}

fn parse<T: FromStr>(column: &'static str, text: String) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Value { column, value: text })
}

fn fit<T: TryFrom<i64>>(column: &'static str, number: i64) -> Result<T, StoreError> {
    T::try_from(number).map_err(|_| StoreError::Value { column, value: number.to_string() })
}

/// Numbers as databases hold them; ours stay far below their limit.
pub(super) fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
