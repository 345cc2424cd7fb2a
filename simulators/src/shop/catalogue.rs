//! What a shop sells.

use wire::till::Price;

use super::{PlanError, PlannedProduct};
use crate::air::Dice;

/// Name in the system, name for people, unit, price in minor units. The first two have fixed prices.
const GOODS: [(&str, &str, &str, i64); 48] = [
    ("coffee", "Coffee, ground", "500 g", 499),
    ("milk", "Whole milk 3.5 %", "1 l", 129),
    ("butter", "Butter, salted", "250 g", 249),
    ("eggs", "Free-range eggs", "10 pcs", 299),
    ("bread", "Rye bread", "750 g", 279),
    ("rolls", "Oven rolls", "6 pcs", 149),
    ("cheese", "Mountain cheese", "200 g", 329),
    ("yoghurt", "Plain yoghurt", "500 g", 119),
    ("quark", "Low-fat quark", "500 g", 109),
    ("cream", "Whipping cream", "200 ml", 99),
    ("apples", "Apples Elstar", "1 kg", 249),
    ("bananas", "Bananas", "1 kg", 179),
    ("oranges", "Oranges", "2 kg", 349),
    ("lemons", "Lemons", "500 g", 159),
    ("potatoes", "Potatoes, waxy", "2.5 kg", 379),
    ("carrots", "Carrots", "1 kg", 129),
    ("onions", "Onions", "1 kg", 119),
    ("tomatoes", "Vine tomatoes", "500 g", 199),
    ("cucumber", "Cucumber", "1 pc", 89),
    ("lettuce", "Iceberg lettuce", "1 pc", 129),
    ("spaghetti", "Spaghetti", "500 g", 139),
    ("rice", "Basmati rice", "1 kg", 349),
    ("flour", "Wheat flour", "1 kg", 99),
    ("sugar", "Sugar", "1 kg", 129),
    ("salt", "Table salt", "500 g", 49),
    ("oil", "Sunflower oil", "1 l", 219),
    ("olive-oil", "Olive oil, virgin", "750 ml", 899),
    ("vinegar", "Apple vinegar", "750 ml", 129),
    ("mustard", "Mustard, medium", "200 ml", 99),
    ("ketchup", "Tomato ketchup", "500 ml", 229),
    ("honey", "Blossom honey", "500 g", 549),
    ("jam", "Strawberry jam", "450 g", 249),
    ("muesli", "Fruit muesli", "750 g", 299),
    ("oats", "Rolled oats", "500 g", 79),
    ("chocolate", "Dark chocolate 70 %", "100 g", 149),
    ("biscuits", "Butter biscuits", "200 g", 129),
    ("tea", "Black tea", "25 pcs", 229),
    ("cocoa", "Cocoa powder", "250 g", 329),
    ("juice", "Orange juice", "1 l", 219),
    ("water", "Mineral water", "1.5 l", 69),
    ("lemonade", "Lemonade", "1 l", 119),
    ("beer", "Lager", "500 ml", 109),
    ("wine", "Riesling, dry", "750 ml", 599),
    ("tuna", "Tuna in oil", "150 g", 199),
    ("beans", "Kidney beans", "400 g", 89),
    ("soup", "Lentil soup", "800 g", 249),
    ("soap", "Hand soap", "300 ml", 149),
    ("tissues", "Tissues", "100 pcs", 179),
];

/// The product with this number, and how many tags it has.
pub fn product(number: usize, dice: &mut Dice) -> Result<(PlannedProduct, usize), PlanError> {
    let (id, name, unit, minor) = match GOODS.get(number) {
        Some((id, name, unit, minor)) => ((*id).to_owned(), (*name).to_owned(), *unit, *minor),
        None => (format!("article-{number}"), format!("Article {number}"), "1 pc", 399),
    };
    let (price, copies) = match number {
        0 => (minor, 3),
        1 => (minor, 2),
        _ => (near(minor, dice), copies(dice)),
    };
    let product = PlannedProduct {
        product: id.parse()?,
        name,
        price: Price::from_minor(price)?,
        unit: unit.to_owned(),
    };
    Ok((product, copies))
}

/// Up to a fifth off, and with a nine at the end.
fn near(minor: i64, dice: &mut Dice) -> i64 {
    let percent = i64::try_from(dice.between(80, 120)).unwrap_or(100);
    (minor * percent / 100) / 10 * 10 + 9
}

/// Most products have one tag, some two, a few three.
fn copies(dice: &mut Dice) -> usize {
    match dice.between(1, 10) {
        1..=6 => 1,
        7..=9 => 2,
        _ => 3,
    }
}
