//! ● Where everything stands on a face.
//!
//! ```text
//! ┌──────────────────────────────┐
//! │ Name of the product,         │   one or two lines, as large as they fit
//! │ bold                         │
//! │ ──────────────────────────── │
//! │ 500 g                   ▄ 49 │   what the price is for, the unit price, the product's id;
//! │ 10.98 €/kg            5 █  € │   the price as large as it fits
//! │ coffee                       │
//! └──────────────────────────────┘
//! ```
//! Everything is a share of the size, so every size has its face. Text widths are estimated on the safe side.

use askama::Template;

use crate::shop::content::Label;
use crate::unit_price::unit_price;

/// What the shares are of: the usual tag.
const WIDTH: f32 = 296.0;
const HEIGHT: f32 = 128.0;

/// The template of a face.
#[derive(Template)]
#[template(path = "face.svg", escape = "html")]
pub(super) struct Page {
    width: f32,
    height: f32,
    margin: f32,
    name: Vec<Line>,
    rule_y: f32,
    rule_height: f32,
    details: Vec<Line>,
    price: PriceText,
}

struct Line {
    y: f32,
    size: f32,
    text: String,
}

struct PriceText {
    x: f32,
    y: f32,
    raised_y: f32,
    size: f32,
    small_size: f32,
    symbol_size: f32,
    gap: f32,
    whole: String,
    cents: String,
    symbol: String,
}

impl Page {
    pub(super) fn new(width: u16, height: u16, label: &Label) -> Page {
        let (width, height) = (f32::from(width), f32::from(height));
        let scale = (width / WIDTH).min(height / HEIGHT);
        let margin = 8.0 * scale;
        let name = name_lines(label.name.as_str(), width - 2.0 * margin, scale);
        let rule_y = 48.0 * scale;
        let price = price_text(label, width - margin, (rule_y + 10.0 * scale, height - 12.0 * scale), scale);
        let room = price.x - width_of(&price.whole, price.size) - 2.0 * margin;
        let details = detail_lines(label, height, room, scale);
        Page { width, height, margin, name, rule_y, rule_height: (2.0 * scale).max(1.0), details, price }
    }
}

/// One line, as large as it fits, or two smaller ones, the last one cut where it must be.
fn name_lines(name: &str, room: f32, scale: f32) -> Vec<Line> {
    for (size, y) in [(27.0, 34.0), (24.0, 33.0), (21.0, 32.0)] {
        if width_of(name, size * scale) <= room {
            return vec![Line { y: y * scale, size: size * scale, text: name.to_owned() }];
        }
    }
    let small = 18.0 * scale;
    let mut first = String::new();
    let mut words = name.split_whitespace().peekable();
    while let Some(word) = words.peek() {
        let longer = format!("{first} {word}");
        if !first.is_empty() && width_of(&longer, small) > room {
            break;
        }
        longer.trim().clone_into(&mut first);
        words.next();
    }
    let second = words.collect::<Vec<_>>().join(" ");
    if second.is_empty() {
        return vec![Line { y: 31.0 * scale, size: small, text: cut(&first, small, room) }];
    }
    [(20.0, first), (40.0, second)]
        .into_iter()
        .map(|(y, text)| Line { y: y * scale, size: small, text: cut(&text, small, room) })
        .collect()
}

fn detail_lines(label: &Label, height: f32, room: f32, scale: f32) -> Vec<Line> {
    let symbol = label.currency.symbol();
    let unit = label.unit.as_ref();
    let per = unit
        .and_then(|unit| unit_price(label.price, unit))
        .map(|found| format!("{}.{:02} {symbol}/{}", found.minor / 100, found.minor % 100, found.per));
    let texts = [
        (47.0, 18.0, unit.map(|unit| unit.as_str().to_owned())),
        (28.0, 16.0, per),
        (10.0, 12.0, Some(label.product.to_string())),
    ];
    texts
        .into_iter()
        .filter_map(|(from_bottom, size, text)| {
            let (y, size) = (height - from_bottom * scale, size * scale);
            Some(Line { y, size, text: cut(&text?, size, room) })
        })
        .collect()
}

/// The price between two heights, at most three fifths of the width.
fn price_text(label: &Label, right: f32, rows: (f32, f32), scale: f32) -> PriceText {
    let text = label.price.to_string();
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
    let symbol = label.currency.symbol();
    let (top, bottom) = rows;
    // A capital is 0.73 of the font size high.
    let tallest = (bottom - top) / 0.73;
    let room = right * 0.6;
    let width_at = |size: f32| {
        let small = width_of(cents, size * 0.5).max(width_of(symbol, size * 0.36));
        width_of(whole, size) + small + 3.0 * scale
    };
    let size = (tallest * (room / width_at(tallest)).min(1.0)).max(1.0);
    let (small_size, symbol_size) = (size * 0.5, size * 0.36);
    let small = width_of(cents, small_size).max(width_of(symbol, symbol_size));
    PriceText {
        x: right - small - 3.0 * scale,
        y: bottom,
        raised_y: bottom - 0.73 * (size - small_size),
        size,
        small_size,
        symbol_size,
        gap: 3.0 * scale,
        whole: whole.to_owned(),
        cents: cents.to_owned(),
        symbol: symbol.to_owned(),
    }
}

/// The width of a text in the condensed bold face, estimated.
fn width_of(text: &str, size: f32) -> f32 {
    text.chars().map(share_of).sum::<f32>() * size
}

fn share_of(character: char) -> f32 {
    match character {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '!' | '|' | ' ' => 0.345,
        'f' | 't' | 'r' | '(' | ')' | '-' | '/' | '"' => 0.46,
        'c' | 's' | 'z' | 'v' | 'x' | 'y' | 'J' => 0.59,
        'm' | 'M' | 'w' | 'W' | '@' | '%' | '&' => 1.0,
        upper if upper.is_uppercase() => 0.75,
        _ => 0.645,
    }
}

/// The text, or as much of it as there is room for.
fn cut(text: &str, size: f32, room: f32) -> String {
    if width_of(text, size) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for character in text.chars() {
        if width_of(&kept, size) + width_of("m…", size) > room {
            break;
        }
        kept.push(character);
    }
    format!("{}…", kept.trim_end())
}
