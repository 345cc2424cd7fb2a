//! ● What a face says. The same content is the same picture, and so the same hash.

use wire::till::{Price, ProductId};

use crate::names::{Currency, Name, Unit};

/// A label: the text on a face.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Which product.
    pub product: ProductId,
    /// Its name for people.
    pub name: Name,
    /// What it costs.
    pub price: Price,
    /// In which currency.
    pub currency: Currency,
    /// For what.
    pub unit: Option<Unit>,
}

/// What a face says, and how large it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaceContent {
    /// In pixels.
    pub width: u16,
    /// In pixels.
    pub height: u16,
    /// The text; a blank face has none.
    pub label: Option<Label>,
}
