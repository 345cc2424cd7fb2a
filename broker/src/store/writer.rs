//! The thread that writes: one batch after another, each with one write and one fsync.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::error;

use super::log::Log;
use super::record::{self, Record};
use super::tables::{RowChange, Tables};
use super::{Gathering, Op, Store, StoreFailed};
use crate::stored::{Position, Stored};
use crate::sync::locked;

/// A buffer larger than this is given back after its batch.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

pub struct Writer {
    store: Arc<Store>,
    log: Log,
    tables: Arc<Tables>,
    buffer: Vec<u8>,
    rows: Vec<RowChange>,
    placed: Vec<(Arc<Stored>, Position)>,
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("the log cannot be written")]
    Log(#[from] std::io::Error),
    #[error("the tables cannot be written")]
    Tables(#[from] redb::Error),
}

impl Writer {
    pub fn new(store: Arc<Store>, log: Log, tables: Arc<Tables>) -> Self {
        Writer { store, log, tables, buffer: Vec::new(), rows: Vec::new(), placed: Vec::new() }
    }

    /// Until the store is closed, or a write fails.
    pub fn run(mut self) -> Result<(), StoreFailed> {
        loop {
            let Some(batch) = self.next_batch() else { return Ok(()) };
            let closed = batch.closed;
            if let Err(failure) = self.commit(batch) {
                let cause = std::error::Error::source(&failure).map(ToString::to_string).unwrap_or_default();
                error!(%failure, cause, "the store stops: nothing is acknowledged from here on");
                return Err(StoreFailed(format!("{failure}: {cause}")));
            }
            if closed {
                return Ok(());
            }
        }
    }

    fn next_batch(&self) -> Option<Gathering> {
        let mut gathering = locked(&self.store.gathering);
        while !gathering.urgent && !gathering.closed {
            gathering = self.store.work.wait(gathering).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        let next = Gathering { epoch: gathering.epoch + 1, closed: gathering.closed, ..Gathering::default() };
        let batch = std::mem::replace(&mut *gathering, next);
        (!batch.ops.is_empty() || !batch.closed).then_some(batch)
    }

    fn commit(&mut self, batch: Gathering) -> Result<(), WriteError> {
        let store = self.store.clone();
        let figures = &store.figures;
        self.log.roll_if_large()?;
        let (segment, start) = self.log.position();
        self.buffer.clear();
        record::put_small(&mut self.buffer, &Record::Synced { offset: start });
        let empty = self.buffer.len();
        let mut bytes_taken = 0;
        for op in batch.ops {
            bytes_taken += self.encode(op, segment, start);
        }
        if self.buffer.len() > empty {
            self.log.append(&self.buffer)?;
            self.log.sync()?;
            figures.syncs.fetch_add(1, Ordering::Relaxed);
        }
        if !self.rows.is_empty() {
            self.tables.apply(&self.rows)?;
            self.rows.clear();
        }
        for (stored, position) in self.placed.drain(..) {
            stored.written_to(position);
        }
        figures.queued_bytes.fetch_sub(bytes_taken, Ordering::Relaxed);
        self.log.drop_unused()?;
        figures.log_bytes.store(self.log.bytes(), Ordering::Relaxed);
        if self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = Vec::new();
        }
        self.store.durable.store(batch.epoch, Ordering::Release);
        self.store.durable_watch.send_replace(batch.epoch);
        for waiter in batch.waiters {
            waiter.notify_one();
        }
        Ok(())
    }

    /// Puts an operation into the buffer; returns the octets it had counted in the queue.
    fn encode(&mut self, op: Op, segment: u64, start: u64) -> u64 {
        match op {
            Op::Message { stored, message, receipt, targets } => {
                let bytes_queued =
                    (message.payload().len() + message.topic_octets().len() + 64 + 5 * targets.len()) as u64;
                if receipt.is_none() && stored.is_done() {
                    self.store.figures.messages_skipped.fetch_add(1, Ordering::Relaxed);
                    return bytes_queued;
                }
                let offset = self.buffer.len();
                record::put_message(&mut self.buffer, stored.seq, receipt, &targets, &message);
                let bytes = u32::try_from(self.buffer.len() - offset).unwrap_or(u32::MAX);
                self.log.add_live(segment, targets.len() as u64);
                self.placed.push((stored, Position { segment, offset: start + offset as u64, bytes }));
                self.store.figures.messages.fetch_add(1, Ordering::Relaxed);
                bytes_queued
            }
            Op::Small(record) => {
                record::put_small(&mut self.buffer, &record);
                0
            }
            Op::Done { client, stored } => {
                let in_this_batch = || self.placed.iter().rev().find(|(placed, _)| placed.seq == stored.seq);
                let position = stored.position().or_else(|| in_this_batch().map(|(_, position)| *position));
                if let Some(position) = position {
                    record::put_small(&mut self.buffer, &Record::Ack { client, seq: stored.seq });
                    self.log.remove_live(position.segment);
                }
                0
            }
            Op::Row(row) => {
                self.rows.push(row);
                0
            }
        }
    }
}
