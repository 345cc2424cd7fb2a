//! ● Unit prices: what a kilogram, a litre, a metre or a piece costs.
//!
//! `500 g` at 1.09 is 2.18 a kilogram. Directive 98/6/EC asks for it beside the selling price. A unit that is no
//! quantity (`each`, `bunch`) has none.

use wire::till::Price;

use crate::names::Unit;

/// An amount for one whole unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitPrice {
    /// In minor units, rounded half up.
    pub minor: i64,
    /// Of what: `kg`.
    pub per: &'static str,
}

/// Names of quantities, how many thousandths of the whole unit they are, and the whole unit.
const QUANTITIES: [(&str, i64, &str); 9] = [
    ("g", 1, "kg"),
    ("kg", 1000, "kg"),
    ("ml", 1, "l"),
    ("cl", 10, "l"),
    ("l", 1000, "l"),
    ("cm", 10, "m"),
    ("m", 1000, "m"),
    ("pcs", 1000, "pc"),
    ("pc", 1000, "pc"),
];
/// Decimals a quantity may have.
const DECIMALS: usize = 3;

/// The unit price of something that costs `price` for `unit`.
pub fn unit_price(price: Price, unit: &Unit) -> Option<UnitPrice> {
    let text = unit.as_str();
    let digits =
        text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ',').len();
    let (number, name) = text.split_at(digits);
    let (_, thousandths, per) =
        QUANTITIES.into_iter().find(|(known, ..)| known.eq_ignore_ascii_case(name.trim()))?;
    // Thousandths of a thousandth: 0.5 g is 500.
    let quantity = scaled(number)?.checked_mul(thousandths)?;
    if quantity == 0 {
        return None;
    }
    let minor = price.as_minor().checked_mul(1_000_000)?.checked_add(quantity / 2)? / quantity;
    Some(UnitPrice { minor, per })
}

/// `1.5` as 1500.
fn scaled(number: &str) -> Option<i64> {
    let (whole, decimals) = number.split_once(['.', ',']).unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > 6 || decimals.len() > DECIMALS {
        return None;
    }
    format!("{whole}{decimals:0<DECIMALS$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_and_what_a_whole_one_costs() {
        let read = |minor: i64, unit: &str| {
            let price = Price::from_minor(minor).unwrap();
            unit_price(price, &unit.parse().unwrap()).map(|found| (found.minor, found.per))
        };
        assert_eq!(read(109, "500 g"), Some((218, "kg")));
        assert_eq!(read(129, "1 l"), Some((129, "l")));
        assert_eq!(read(549, "250g"), Some((2196, "kg")));
        assert_eq!(read(99, "0.33 l"), Some((300, "l")));
        assert_eq!(read(99, "1,5 L"), Some((66, "l")));
        assert_eq!(read(299, "6 pcs"), Some((50, "pc")));
        for none in ["each", "g", "0 g", "1.2345 kg", "1.2.3 kg", "5 stone", "9999999 kg"] {
            assert_eq!(read(99, none), None, "{none}");
        }
    }
}
