//! ● The names and texts of this service, parsed once at the edge.

use std::fmt;
use std::str::FromStr;

use wire::DeviceId;
use wire::till::{ProductId, StoreId, TillId};

/// Longest name of a person or program that acts.
pub const ACTOR_CHARS_MAX: usize = 64;
/// Longest actor: a till with its store.
const ACTOR_STORED_CHARS_MAX: usize = 80;
/// Longest identifier of a task or change.
const ID_CHARS_MAX: usize = 64;

/// Why a text is no identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not 1 to {ID_CHARS_MAX} of 0-9 a-z A-Z -")]
pub struct ParseIdError(String);

macro_rules! identifier {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// A fresh one from the generator of identifiers.
            pub fn generated(text: String) -> Self {
                $name(text)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let fits = (1..=ID_CHARS_MAX).contains(&text.len());
                if fits && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
                    return Ok($name(text.to_owned()));
                }
                Err(ParseIdError(text.chars().take(ID_CHARS_MAX).collect()))
            }
        }
    };
}
identifier!(TaskId, "A task.");
identifier!(ChangeId, "A change of a price.");
identifier!(OperationId, "An operation of a tag.");

/// Why a text is no label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is 1 to {chars_max} characters, none of them a control character")]
pub struct ParseLabelError {
    what: &'static str,
    chars_max: usize,
}

/// Trimmed text of 1 to `chars_max` characters without control characters.
fn label(what: &'static str, chars_max: usize, text: &str) -> Result<String, ParseLabelError> {
    let text = text.trim();
    let fits = (1..=chars_max).contains(&text.chars().count());
    if fits && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(ParseLabelError { what, chars_max })
}

macro_rules! label {
    ($name:ident, $what:literal, $chars_max:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseLabelError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                label($what, $chars_max, text).map($name)
            }
        }
    };
}
label!(Name, "a name", 60, "What people call a store or a product.");
label!(Unit, "a unit", 24, "What a price is for: `500 g`, `1 l`, `each`.");
label!(Remark, "a reason", 200, "Why somebody did it.");

/// Why a text is no currency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a currency of three letters like EUR")]
pub struct ParseCurrencyError(String);

/// The currency of a store, after ISO 4217.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Currency(String);

impl Currency {
    /// Its three letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands beside an amount.
    pub fn symbol(&self) -> &str {
        match self.0.as_str() {
            "EUR" => "€",
            "USD" => "$",
            "GBP" => "£",
            "PLN" => "zł",
            other => other,
        }
    }
}

impl FromStr for Currency {
    type Err = ParseCurrencyError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 3 && text.bytes().all(|octet| octet.is_ascii_uppercase()) {
            return Ok(Currency(text.to_owned()));
        }
        Err(ParseCurrencyError(text.chars().take(8).collect()))
    }
}

/// A product of a store: what has one price.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProductKey {
    /// Where.
    pub store: StoreId,
    /// What.
    pub product: ProductId,
}

impl fmt::Display for ProductKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.store, self.product)
    }
}

/// Why a text is no actor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an actor is 1 to {ACTOR_CHARS_MAX} characters, none of them a control character")]
pub struct ParseActorError;

/// Who did it and which way, for the audit log and for every transition:
/// `api`, `api:<name>`, `page`, `page:<name>`, `till:<store>/<till>`, `access-point:<device>` or `system`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// A caller of the API that gave no name.
    pub fn api() -> Self {
        Actor("api".to_owned())
    }

    /// A caller of the API that gave this name.
    pub fn caller(name: &str) -> Result<Self, ParseActorError> {
        let name = checked(name, ACTOR_CHARS_MAX)?;
        Ok(Actor(format!("api:{name}")))
    }

    /// Somebody at a page of this service.
    pub fn page() -> Self {
        Actor("page".to_owned())
    }

    /// A till that says what it charges.
    pub fn till(store: &StoreId, till: &TillId) -> Self {
        Actor(format!("till:{store}/{till}"))
    }

    /// This service, because time passed or a rule demanded it.
    pub fn service() -> Self {
        Actor("system".to_owned())
    }

    /// An access point, known by its topic.
    pub fn access_point(device: &DeviceId) -> Self {
        Actor(format!("access-point:{device}"))
    }

    /// Somebody at a page of this service who gave this name.
    pub fn visitor(name: &str) -> Result<Self, ParseActorError> {
        let name = checked(name, ACTOR_CHARS_MAX)?;
        Ok(Actor(format!("page:{name}")))
    }

    /// The person it is, if it gave a name.
    pub fn person(&self) -> Option<&str> {
        self.0.strip_prefix("api:").or_else(|| self.0.strip_prefix("page:"))
    }

    /// Whether both gave the same name, however it is spelt.
    pub fn is_same_person(&self, other: &Actor) -> bool {
        let folded = |actor: &Actor| actor.person().map(str::to_lowercase);
        folded(self).is_some() && folded(self) == folded(other)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Trimmed text of 1 to `chars_max` characters without control characters.
fn checked(text: &str, chars_max: usize) -> Result<&str, ParseActorError> {
    let text = text.trim();
    let fits = (1..=chars_max).contains(&text.chars().count());
    if fits && !text.contains(char::is_control) {
        return Ok(text);
    }
    Err(ParseActorError)
}

impl FromStr for Actor {
    type Err = ParseActorError;
    /// As stored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        checked(text, ACTOR_STORED_CHARS_MAX).map(|text| Actor(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!("0199-ab".parse::<TaskId>().is_ok());
        assert!("".parse::<TaskId>().is_err());
        assert!("a/b".parse::<ChangeId>().is_err());
    }

    #[test]
    fn an_actor_says_which_way_it_came() {
        assert_eq!(Actor::caller(" anna ").unwrap().as_str(), "api:anna");
        for bad in ["", "a\nb", &"x".repeat(65)] {
            assert_eq!(Actor::caller(bad), Err(ParseActorError));
        }
        let (store, till) = ("s".repeat(32).parse().unwrap(), "t".repeat(32).parse().unwrap());
        let longest = [Actor::caller(&"x".repeat(64)).unwrap(), Actor::till(&store, &till)];
        for actor in longest {
            assert_eq!(actor.as_str().parse::<Actor>(), Ok(actor.clone()), "it reads back");
        }
    }
}
