//! ● A list whose items are found by their key, however many there are.
//!
//! ```text
//! few ──more than 32──▶ many: the list, and where in it each key is
//!     ◀──16 or fewer──
//! ```
//! Most lists have one item, and a list of few costs what its items do. Whoever goes through all of them goes through one
//! piece of memory, be they few or many. The last item takes the place of one that is removed.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// So many are looked through faster than found in a map.
const FEW: usize = 32;

/// What an item of a [`List`] is found by.
pub(super) trait Keyed {
    type Key: Ord + Clone + Debug;

    fn key(&self) -> &Self::Key;
}

/// Items with different keys.
#[derive(Debug)]
pub(super) enum List<T: Keyed> {
    Few(Vec<T>),
    Many(Box<Many<T>>),
}

/// Items, and where among them each key is.
#[derive(Debug)]
pub(super) struct Many<T: Keyed> {
    items: Vec<T>,
    places: BTreeMap<T::Key, usize>,
}

impl<T: Keyed> Default for List<T> {
    fn default() -> Self {
        List::Few(Vec::new())
    }
}

impl<T: Keyed> List<T> {
    /// All of them: in the order they came while none was removed.
    pub fn items(&self) -> &[T] {
        match self {
            List::Few(items) => items,
            List::Many(many) => &many.items,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items().is_empty()
    }

    /// The one with this key.
    pub fn get<Q>(&self, key: &Q) -> Option<&T>
    where
        T::Key: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.place_of(key).map(|place| &self.items()[place])
    }

    /// The one with this key, to be changed in everything but its key.
    pub fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut T>
    where
        T::Key: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.place_of(key).map(|place| &mut self.items_mut()[place])
    }

    /// The one with this key, made when there is none.
    pub fn get_or_push<Q>(&mut self, key: &Q, make: impl FnOnce() -> T) -> &mut T
    where
        T::Key: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let place = self.place_of(key).unwrap_or_else(|| {
            self.push(make());
            self.items().len() - 1
        });
        &mut self.items_mut()[place]
    }

    /// Adds one whose key is not there.
    pub fn push(&mut self, item: T) {
        match self {
            List::Few(items) => {
                items.push(item);
                if items.len() > FEW {
                    let items = std::mem::take(items);
                    let places = items.iter().map(|item| item.key().clone()).zip(0..).collect();
                    *self = List::Many(Box::new(Many { items, places }));
                }
            }
            List::Many(many) => {
                many.places.insert(item.key().clone(), many.items.len());
                many.items.push(item);
            }
        }
    }

    /// Takes the one with this key away; whether there was one.
    pub fn remove<Q>(&mut self, key: &Q) -> bool
    where
        T::Key: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let Some(place) = self.place_of(key) else { return false };
        match self {
            List::Few(items) => {
                items.swap_remove(place);
            }
            List::Many(many) => {
                many.places.remove(key);
                many.items.swap_remove(place);
                let moved = many.items.get(place).map(Keyed::key);
                if let Some(at) = moved.and_then(|key| many.places.get_mut::<T::Key>(key)) {
                    *at = place;
                }
                if many.items.len() <= FEW / 2 {
                    let mut items = std::mem::take(&mut many.items);
                    items.shrink_to_fit();
                    *self = List::Few(items);
                }
            }
        }
        true
    }

    fn place_of<Q>(&self, key: &Q) -> Option<usize>
    where
        T::Key: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        match self {
            List::Few(items) => items.iter().position(|item| item.key().borrow() == key),
            List::Many(many) => many.places.get(key).copied(),
        }
    }

    fn items_mut(&mut self) -> &mut [T] {
        match self {
            List::Few(items) => items,
            List::Many(many) => &mut many.items,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    thread_local! {
        static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    /// A key that counts how often one is compared.
    #[derive(Clone, Debug, Eq)]
    struct Counted(u32);

    impl Ord for Counted {
        fn cmp(&self, other: &Self) -> Ordering {
            COMPARISONS.with(|count| count.set(count.get() + 1));
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl PartialEq for Counted {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other) == Ordering::Equal
        }
    }

    #[derive(Debug)]
    struct Item {
        key: Counted,
        value: u32,
    }

    impl Keyed for Item {
        type Key = Counted;

        fn key(&self) -> &Counted {
            &self.key
        }
    }

    fn item(key: u32) -> Item {
        Item { key: Counted(key), value: key }
    }

    fn comparisons_of<R>(action: impl FnOnce() -> R) -> (usize, R) {
        COMPARISONS.with(|count| count.set(0));
        let result = action();
        (COMPARISONS.with(Cell::get), result)
    }

    #[test]
    fn with_ten_thousand_there_nothing_looks_at_more_than_a_few() {
        const COUNT: u32 = 10_000;
        /// The step from few to many sorts the few.
        const MAX: usize = 400;
        let mut list = List::default();
        // 7,919 is a prime: each key once, and no two neighbours after each other.
        let scattered = || (0..COUNT).map(|number| number * 7_919 % COUNT);
        for key in scattered() {
            let (made, value) = comparisons_of(|| list.get_or_push(&Counted(key), || item(key)).value);
            assert!((made, value) <= (MAX, key), "{made} comparisons to add {key}");
        }
        for key in 0..COUNT {
            let (made, value) = comparisons_of(|| list.get_mut(&Counted(key)).map(|item| item.value));
            assert_eq!(value, Some(key));
            assert!(made <= MAX, "{made} comparisons to find {key}");
        }
        for key in scattered() {
            let (made, removed) = comparisons_of(|| list.remove(&Counted(key)));
            assert!(removed);
            assert!(made <= MAX, "{made} comparisons to remove {key}");
        }
        assert!(list.is_empty());
    }

    #[test]
    fn few_have_no_map_and_many_that_became_few_give_it_back() {
        let mut list = List::default();
        for key in 0..=32 {
            assert!(matches!(list, List::Few(_)), "{key}");
            list.push(item(key));
        }
        for key in 0..=16 {
            assert!(matches!(list, List::Many(_)), "{key}");
            list.remove(&Counted(key));
        }
        let List::Few(items) = list else { panic!("still many") };
        assert_eq!((items.len(), items.capacity()), (16, 16));
    }

    proptest! {
        #[test]
        fn it_is_a_list_in_which_the_last_fills_gaps(steps in prop::collection::vec((0_u32..80, 0_u32..10), 0..500), rarely in 2_u32..8) {
            let mut list = List::default();
            let mut plain: Vec<u32> = Vec::new();
            // They grow to where most are there, and shrink to where few are.
            let half = steps.len() / 2;
            for (number, (key, choice)) in steps.into_iter().enumerate() {
                let place = plain.iter().position(|one| *one == key);
                let adds = if number < half { choice >= rarely - 1 } else { choice < rarely - 1 };
                if adds {
                    if place.is_none() {
                        plain.push(key);
                    }
                    prop_assert_eq!(list.get_or_push(&Counted(key), || item(key)).value, key);
                } else {
                    prop_assert_eq!(list.remove(&Counted(key)), place.is_some());
                    place.map(|place| plain.swap_remove(place));
                }
                prop_assert_eq!(list.items().iter().map(|item| item.value).collect::<Vec<_>>(), &*plain);
                let found = list.get(&Counted(key)).map(|item| item.value);
                prop_assert_eq!(found, adds.then_some(key));
            }
        }
    }
}
