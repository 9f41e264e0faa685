//! The one thread that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use redb::{Database, ReadableDatabase};
use tokio::sync::oneshot;

use super::commit::{Done, Work, write};
use super::engine::DatabaseHandle;
use super::tables::{self, REVISION, SEQUENCE};
use super::{StoreError, Table};

/// A handle to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: SyncSender<(Job, Answer)>,
    healthy: Arc<AtomicBool>,
}

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Job {
    Commit(Work),
    Close,
}

type Answer = oneshot::Sender<Result<Done, StoreError>>;

/// What the thread itself knows.
struct Thread {
    database: DatabaseHandle,
    /// How many commits have been made.
    sequence: u64,
    healthy: Arc<AtomicBool>,
}

impl Writer {
    pub(super) fn start(database: DatabaseHandle) -> Result<Self, StoreError> {
        let sequence = stored_sequence(&*database.get()?)?;
        let healthy = Arc::new(AtomicBool::new(true));
        let (jobs, queue) = sync_channel(MOST_WAITING);
        let thread = Thread { database, sequence, healthy: healthy.clone() };
        thread::Builder::new()
            .name("sidecar-store".to_owned())
            .spawn(move || thread.run(&queue))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { jobs, healthy })
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Queues `job`. The answer comes when it is durable.
    pub(super) fn hand_in(
        &self,
        job: Job,
    ) -> Result<oneshot::Receiver<Result<Done, StoreError>>, StoreError> {
        let (answer, answered) = oneshot::channel();
        match self.jobs.try_send((job, answer)) {
            Ok(()) => Ok(answered),
            Err(TrySendError::Full(_)) => Err(StoreError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(StoreError::Closed),
        }
    }
}

impl Thread {
    /// Ends when it is asked to close, or when nobody can ask any more.
    fn run(mut self, queue: &Receiver<(Job, Answer)>) {
        let mut closing = None;
        while closing.is_none() {
            let Ok(first) = queue.recv() else { break };
            // Whatever came while the last commit was under way shares the next one. Waiting for
            // more makes everything slower, measured at any load.
            let (mut works, mut answers) = (Vec::new(), Vec::new());
            for (job, answer) in std::iter::once(first).chain(queue.try_iter().take(MOST_JOINED)) {
                match job {
                    Job::Commit(work) => {
                        works.push(work);
                        answers.push(answer);
                    }
                    Job::Close => closing = Some(answer),
                }
            }
            if works.is_empty() {
                continue;
            }
            let result = self.commit(&works);
            self.healthy.store(result.is_ok(), Ordering::Relaxed);
            if let Err(error) = &result {
                tracing::error!(%error, "store commit failed");
            }
            for answer in answers {
                // Whoever has left does not need to know.
                let _ = answer.send(match &result {
                    Ok(done) => Ok(*done),
                    Err(error) => Err(StoreError::Unavailable(error.to_string())),
                });
            }
        }
        self.database.close();
        if let Some(answer) = closing {
            let _ = answer.send(Ok(Done { revision: 0, is_pruned: true }));
        }
    }

    /// Commits `works` as one. A commit that fails may be durable all the same: the file is opened
    /// again and its sequence number tells.
    fn commit(&mut self, works: &[Work]) -> Result<Done, StoreError> {
        let sequence = self.sequence + 1;
        let database = match self.database.get() {
            Ok(database) => database,
            // The last reopening failed.
            Err(_) => self.database.reopen()?,
        };
        let first = write(&database, works, sequence);
        drop(database);
        let done = match first {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(%error, "store commit failed, opening the file again");
                let database = self.database.reopen()?;
                if stored_sequence(&database)? == sequence {
                    // What was pruned was not read back; whoever asked will ask again.
                    Done { revision: stored_revision(&database)?, is_pruned: false }
                } else {
                    write(&database, works, sequence)?
                }
            }
        };
        self.sequence = sequence;
        Ok(done)
    }
}

fn stored_sequence(database: &Database) -> Result<u64, StoreError> {
    stored_number(database, SEQUENCE)
}

fn stored_revision(database: &Database) -> Result<u64, StoreError> {
    stored_number(database, REVISION)
}

fn stored_number(database: &Database, key: &str) -> Result<u64, StoreError> {
    let transaction = database.begin_read().map_err(tables::damaged)?;
    let meta = transaction.open_table(Table::Meta.definition()).map_err(tables::damaged)?;
    tables::number(&meta, key)
}

/// How many jobs may wait; whoever comes then is told so.
const MOST_WAITING: usize = 1_024;
/// How many jobs share one commit.
const MOST_JOINED: usize = 1_024;
