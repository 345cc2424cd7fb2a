//! Faces: from what a tag should say to a one-bit picture.
//!
//! ```text
//! FaceContent ──layout──▶ SVG (escaped template) ──usvg──▶ tree ──resvg──▶ grey ──threshold──▶ Face ──SHA-256──▶ FaceHash
//! ```
//! The same content gives the same picture on every machine: fonts come from a crate and never from the system, and a
//! template can read no file. A font that is not there would drop its text without a word, so a test looks for ink.

/// Where everything stands on a face.
mod layout;

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Source};
use resvg::usvg::{ImageHrefResolver, Options, Tree};
use service_kit::random;
use wire::face::{Face, FaceHash, ParseFaceError};
use wire::tag::RadioKey;

use crate::shop::content::FaceContent;
use crate::shop::words::Outside;

/// Grey below this is black: more than half, so that thin strokes stay.
const BLACK_BELOW: u16 = 150;
/// Most faces remembered by what they say; beyond that they are drawn again.
const KNOWN_MAX: usize = 20_000;

/// The text of the template, so that a new template makes new faces.
const TEMPLATE: &str = include_str!("../templates/face.svg");
const LAYOUT: &str = include_str!("render/layout.rs");

/// Why a face could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The template could not be filled in.
    #[error("face template cannot be filled in")]
    Template(#[source] askama::Error),
    /// What came out is no SVG.
    #[error("face template is no SVG")]
    Svg(#[source] resvg::usvg::Error),
    /// The size is none a face may have.
    #[error("a face cannot have this size")]
    Size,
    /// The size is none a face may have.
    #[error("a face cannot be made of these pixels")]
    Face(#[source] ParseFaceError),
}

/// A face that was drawn.
#[derive(Clone)]
pub struct Painted {
    /// Its name.
    pub hash: FaceHash,
    /// What it says, as text.
    pub content: String,
    /// The picture.
    pub face: Face,
}

/// Draws faces, each only once.
pub struct Painter {
    options: Options<'static>,
    /// Names template and layout.
    revision: String,
    known: BTreeMap<String, FaceHash>,
    fresh: Vec<Painted>,
}

impl Default for Painter {
    fn default() -> Self {
        Painter {
            options: options(),
            revision: FaceHash::of([TEMPLATE, LAYOUT].concat().as_bytes()).short(),
            known: BTreeMap::new(),
            fresh: Vec::new(),
        }
    }
}

fn options() -> Options<'static> {
    let mut fonts = Database::new();
    for octets in [dejavu::sans_condensed::regular(), dejavu::sans_condensed::bold()] {
        fonts.load_font_source(Source::Binary(Arc::new(octets)));
    }
    Options {
        fontdb: Arc::new(fonts),
        image_href_resolver: ImageHrefResolver {
            resolve_data: Box::new(|_, _, _| None),
            resolve_string: Box::new(|_, _| None),
        },
        ..Options::default()
    }
}

impl Painter {
    /// These faces need not be drawn again.
    pub fn know(&mut self, faces: impl IntoIterator<Item = (String, FaceHash)>) {
        self.known.extend(faces);
    }

    /// Faces drawn since the last call of [`Painter::keep`] or [`Painter::forget`]; they have to be stored.
    pub fn fresh(&self) -> &[Painted] {
        &self.fresh
    }

    /// The fresh faces are stored.
    pub fn keep(&mut self) {
        self.fresh.clear();
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
    }

    /// The fresh faces could not be stored; they are drawn again when they are needed.
    pub fn forget(&mut self) {
        for painted in self.fresh.drain(..) {
            self.known.remove(&painted.content);
        }
    }

    /// Draws a face.
    pub fn draw(&self, content: &FaceContent) -> Result<Face, RenderError> {
        let (width, height) = (content.width, content.height);
        let Some(label) = &content.label else {
            return Face::blank(width, height).map_err(RenderError::Face);
        };
        let page = layout::Page::new(width, height, label);
        let svg = page.render().map_err(RenderError::Template)?;
        let tree = Tree::from_str(&svg, &self.options).map_err(RenderError::Svg)?;
        let mut pixels = Pixmap::new(width.into(), height.into()).ok_or(RenderError::Size)?;
        pixels.fill(Color::WHITE);
        resvg::render(&tree, Transform::identity(), &mut pixels.as_mut());
        let is_black = |x: u16, y: u16| {
            let pixel = pixels.pixel(x.into(), y.into());
            pixel.is_some_and(|pixel| {
                u16::from(pixel.red()) + u16::from(pixel.green()) + u16::from(pixel.blue()) < 3 * BLACK_BELOW
            })
        };
        Face::from_pixels(width, height, is_black).map_err(RenderError::Face)
    }

    fn text_of(&self, content: &FaceContent) -> String {
        let FaceContent { width, height, label } = content;
        let Some(label) = label else { return format!("{width}x{height}") };
        let unit = label.unit.as_ref().map_or("", |unit| unit.as_str());
        let (product, name, currency) = (&label.product, label.name.as_str(), label.currency.as_str());
        // None of these can hold a line feed.
        format!("{}\n{width}x{height}\n{product}\n{name}\n{}\n{currency}\n{unit}", self.revision, label.price)
    }
}

impl Outside for Painter {
    fn new_id(&mut self) -> String {
        random::new_id()
    }

    fn new_key(&mut self) -> RadioKey {
        RadioKey::from_octets(random::octets())
    }

    fn paint(&mut self, content: &FaceContent) -> Option<FaceHash> {
        let text = self.text_of(content);
        if let Some(hash) = self.known.get(&text) {
            return Some(*hash);
        }
        match self.draw(content) {
            Ok(face) => {
                let hash = FaceHash::of(&face.to_file());
                self.known.insert(text.clone(), hash);
                self.fresh.push(Painted { hash, content: text, face });
                Some(hash)
            }
            Err(cause) => {
                tracing::error!(%cause, "a face cannot be drawn");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::till::Price;

    use super::*;
    use crate::shop::content::Label;

    fn content(name: &str, minor: i64, unit: Option<&str>) -> FaceContent {
        let label = Label {
            product: "coffee".parse().unwrap(),
            name: name.parse().unwrap(),
            price: Price::from_minor(minor).unwrap(),
            currency: "EUR".parse().unwrap(),
            unit: unit.map(|unit| unit.parse().unwrap()),
        };
        FaceContent { width: 296, height: 128, label: Some(label) }
    }

    fn ink(face: &Face, columns: std::ops::Range<u16>, rows: std::ops::Range<u16>) -> usize {
        rows.map(|y| columns.clone().filter(|x| face.is_black(*x, y)).count()).sum()
    }

    #[test]
    fn name_price_and_details_leave_ink_where_they_stand() {
        let face = Painter::default().draw(&content("Coffee, ground", 549, Some("500 g"))).unwrap();
        assert!(ink(&face, 0..200, 0..36) > 300, "the name");
        assert!(ink(&face, 150..296, 50..128) > 1500, "the price");
        assert!(ink(&face, 0..100, 50..128) > 100, "unit and product");
        assert_eq!(ink(&face, 0..296, 0..2), 0, "a margin");
    }

    #[test]
    fn the_same_content_has_the_same_hash_and_other_content_another() {
        let (mut one, mut two) = (Painter::default(), Painter::default());
        let paint = |painter: &mut Painter, name, minor| painter.paint(&content(name, minor, None)).unwrap();
        let hash = paint(&mut one, "Coffee", 549);
        assert_eq!(paint(&mut two, "Coffee", 549), hash);
        assert_ne!(paint(&mut two, "Coffee", 559), hash);
        assert_ne!(paint(&mut two, "Tea", 549), hash);
    }

    #[test]
    fn accents_euro_and_markup_are_drawn_and_not_obeyed() {
        let painter = Painter::default();
        let plain = painter.draw(&content("Kawa mielona", 549, None)).unwrap();
        let accents = painter.draw(&content("Żółć & <b>€</b>", 549, None)).unwrap();
        assert!(ink(&accents, 0..296, 0..40) > 200);
        assert!(plain != accents);
        let image = r#"<image href="/etc/passwd"/>"#;
        assert!(painter.draw(&content(image, 549, None)).is_ok());
    }

    #[test]
    fn every_size_and_the_longest_texts_have_a_face() {
        let painter = Painter::default();
        for (width, height) in [(128, 64), (250, 122), (296, 128), (400, 300), (800, 480), (64, 32)] {
            let long = content(&"Wide Moment ".repeat(5), 99_999_999, Some("123456789012345678901234"));
            let face = painter.draw(&FaceContent { width, height, ..long }).unwrap();
            assert_eq!((face.width(), face.height()), (width, height));
            assert_eq!(ink(&face, width - 1..width, 0..height), 0, "nothing runs over the edge at {width}");
        }
        let blank = painter.draw(&FaceContent { width: 296, height: 128, label: None }).unwrap();
        assert_eq!(ink(&blank, 0..296, 0..128), 0);
    }

    #[test]
    fn what_could_not_be_stored_is_drawn_again() {
        let mut painter = Painter::default();
        let tea = content("Tea", 199, None);
        let hash = painter.paint(&tea).unwrap();
        painter.forget();
        assert_eq!(painter.paint(&tea), Some(hash));
        assert_eq!(painter.fresh().len(), 1);
        painter.keep();
        assert_eq!(painter.paint(&tea), Some(hash));
        assert!(painter.fresh().is_empty());
    }
}
