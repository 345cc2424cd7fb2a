//! A disk in memory that stops, or is full, where a test wants it to.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::super::disk::{Disk, DiskFile};
use crate::sync::locked;

#[derive(Clone, Debug, Default)]
struct Content {
    written: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
    next_file: u64,
    /// Changes that may still be made before the machine stops.
    left: Option<u64>,
    /// Octets that fit.
    room: Option<usize>,
    changes: u64,
}

/// See the top of the file.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<State>>);

#[derive(Debug)]
struct Open {
    state: Arc<Mutex<State>>,
    file: u64,
}

/// How a machine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The program is killed: what was written is there.
    Kill,
    /// Power is cut: of what was not synced, so many octets of each file are there, and no name that was not synced.
    PowerCut(usize),
}

impl State {
    /// One step towards the stop.
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        match &mut self.left {
            Some(0) => Err(io::Error::other("stopped")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn used(&self) -> usize {
        let named = self.names.values().filter_map(|file| self.files.get(file));
        named.map(|content| content.written.len()).sum()
    }
}

impl Memory {
    /// The machine stops after so many changes; how it was then is seen by [`Memory::after`].
    pub fn stop_after(&self, changes: u64) {
        locked(&self.0).left = Some(changes);
    }

    /// Only so many octets fit.
    pub fn set_room(&self, room: Option<usize>) {
        locked(&self.0).room = room;
    }

    /// Octets in files.
    pub fn used(&self) -> usize {
        locked(&self.0).used()
    }

    /// Changes so far.
    pub fn changes(&self) -> u64 {
        locked(&self.0).changes
    }

    /// Makes a file unreadable from its middle on, or says that there is none.
    pub fn damage(&self, name: &str) -> bool {
        let mut state = locked(&self.0);
        let file = state.names.get(name).copied();
        let Some(content) = file.and_then(|file| state.files.get_mut(&file)) else { return false };
        let middle = content.written.len() / 2;
        content.written[middle] ^= 1;
        true
    }

    /// The disk as the next start finds it.
    pub fn after(&self, stop: Stop) -> Memory {
        let state = locked(&self.0);
        let names = match stop {
            Stop::Kill => state.names.clone(),
            Stop::PowerCut(_) => state.synced_names.clone(),
        };
        let files = state.files.iter().map(|(file, content)| {
            let found = match stop {
                Stop::Kill => content.written.clone(),
                Stop::PowerCut(more) => {
                    let synced = content.synced.len();
                    let torn = content.written.get(synced..(synced + more).min(content.written.len()));
                    [&content.synced[..], torn.unwrap_or_default()].concat()
                }
            };
            (*file, Content { synced: found.clone(), written: found })
        });
        let (files, next_file) = (files.collect(), state.next_file);
        let state = State { files, synced_names: names.clone(), names, next_file, ..State::default() };
        Memory(Arc::new(Mutex::new(state)))
    }
}

impl Disk for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(locked(&self.0).names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = locked(&self.0);
        state.change()?;
        let file = state.next_file;
        state.next_file += 1;
        state.files.insert(file, Content::default());
        state.names.insert(name.to_owned(), file);
        Ok(Arc::new(Open { state: self.0.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let found = locked(&self.0).names.get(name).copied();
        let file = found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Arc::new(Open { state: self.0.clone(), file }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = locked(&self.0);
        state.change()?;
        state.names.remove(name).map(|_| ()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = locked(&self.0);
        state.change()?;
        let file = state.names.remove(from).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = locked(&self.0);
        state.change()?;
        state.synced_names = state.names.clone();
        Ok(())
    }
}

impl DiskFile for Open {
    fn bytes(&self) -> io::Result<u64> {
        Ok(locked(&self.state).files[&self.file].written.len() as u64)
    }

    fn read_at(&self, octets: &mut [u8], offset: u64) -> io::Result<()> {
        let state = locked(&self.state);
        let begin = usize::try_from(offset).unwrap();
        let found = state.files[&self.file].written.get(begin..begin + octets.len());
        octets.copy_from_slice(found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.change()?;
        let begin = usize::try_from(offset).unwrap();
        let room = state.room.map_or(usize::MAX, |room| room.saturating_sub(state.used()));
        let file = &mut state.files.get_mut(&self.file).unwrap().written;
        assert_eq!(file.len(), begin, "only ever at the end");
        file.extend_from_slice(&octets[..octets.len().min(room)]);
        if octets.len() > room { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.change()?;
        state.files.get_mut(&self.file).unwrap().written.truncate(usize::try_from(bytes).unwrap());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.change()?;
        let content = state.files.get_mut(&self.file).unwrap();
        content.synced = content.written.clone();
        Ok(())
    }
}
