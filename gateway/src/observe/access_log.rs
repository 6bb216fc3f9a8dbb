//! The access log's writer: a bounded queue and a thread of its own.
//!
//! A request never waits for a disk or a terminal: when the queue is full its line is dropped and counted. Lines are
//! gathered for a moment ([`GATHER`]) and written together: a writer that is woken for each line costs a busy gateway as
//! much as TLS does. A file is opened again on each reload, so that it can be rotated by renaming.

use std::{
    fmt,
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    path::PathBuf,
    str::FromStr,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use prometheus::IntCounter;
use todo_shared::telemetry::LogFormat;

use crate::observe::record::Record;

/// Lines that may wait to be written. At the usual 400 octets a line this is less than 4 MiB; a target may have 8 KiB.
const QUEUE: usize = 8192;

/// How long a line may wait for others. The queue holds what comes in it at 160,000 requests a second.
const GATHER: Duration = Duration::from_millis(50);

/// How much is written at once, in octets.
const BUFFER: usize = 64 << 10;

/// How long stopping waits for a writer that is stuck.
const LONGEST_FLUSH: Duration = Duration::from_secs(2);

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("expected `stdout` or the path of a file".to_owned()),
            "stdout" => Ok(Self::Stdout),
            path => Ok(Self::File(path.into())),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => formatter.write_str("stdout"),
            Self::File(path) => path.display().fmt(formatter),
        }
    }
}

impl Output {
    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::File(path) => Box::new(OpenOptions::new().append(true).create(true).open(path)?),
        })
    }
}

#[derive(Debug)]
enum Message {
    Line(Record),
    Reopen,
    Stop(SyncSender<()>),
}

/// The handle that everything logs through.
#[derive(Debug)]
pub struct AccessLog {
    queue: SyncSender<Message>,
    dropped: IntCounter,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl AccessLog {
    /// Starts the writer.
    ///
    /// # Errors
    /// Where the file cannot be opened or the thread cannot be started.
    pub fn start(output: Output, format: LogFormat, dropped: IntCounter) -> io::Result<Self> {
        let sink = output.open()?;
        Self::start_with(sink, move || output.open(), format, dropped)
    }

    fn start_with(
        sink: Box<dyn Write + Send>,
        reopen: impl Fn() -> io::Result<Box<dyn Write + Send>> + Send + 'static,
        format: LogFormat,
        dropped: IntCounter,
    ) -> io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let lost = dropped.clone();
        let writer = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(&messages, sink, &reopen, format, &lost))?;
        Ok(Self { queue, dropped, writer: Mutex::new(Some(writer)) })
    }

    /// Logs a line, or counts it as dropped. Never waits.
    pub fn log(&self, record: Record) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.queue.try_send(Message::Line(record)) {
            self.dropped.inc();
        }
    }

    /// Opens the file again, for rotation.
    pub fn reopen(&self) {
        let _ = self.queue.try_send(Message::Reopen);
    }

    /// Writes what is queued, and stops.
    pub fn stop(&self) {
        let (done, finished) = sync_channel(1);
        let deadline = Instant::now() + LONGEST_FLUSH;
        let mut message = Message::Stop(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = back;
            thread::sleep(Duration::from_millis(5));
        }
        let stopped = finished.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok();
        if let Some(writer) = self.writer.lock().take()
            && stopped
        {
            let _ = writer.join();
        }
    }
}

/// The output with what has been written and not flushed. What cannot be written is counted, and said once when it begins: a
/// full disk must not fill the other log as well.
struct Sink<'a> {
    writer: BufWriter<Box<dyn Write + Send>>,
    unflushed: u64,
    failing: bool,
    lost: &'a IntCounter,
}

impl Sink<'_> {
    fn write(&mut self, line: &[u8]) {
        self.unflushed += 1;
        if let Err(error) = self.writer.write_all(line) {
            self.unflushed -= 1;
            self.lost.inc();
            self.fail(&error);
        }
    }

    fn flush(&mut self) {
        match self.writer.flush() {
            Ok(()) => (self.unflushed, self.failing) = (0, false),
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &io::Error) {
        if !self.failing {
            tracing::error!(%error, "the access log cannot be written");
        }
        self.failing = true;
    }

    /// Goes on with another output. What could not be flushed is lost now.
    fn replace(&mut self, fresh: Box<dyn Write + Send>) {
        self.lost.inc_by(std::mem::take(&mut self.unflushed));
        // Without another attempt to write what was given up.
        let _ = std::mem::replace(&mut self.writer, BufWriter::with_capacity(BUFFER, fresh)).into_parts();
    }
}

fn write_all(
    messages: &Receiver<Message>,
    output: Box<dyn Write + Send>,
    reopen: &dyn Fn() -> io::Result<Box<dyn Write + Send>>,
    format: LogFormat,
    lost: &IntCounter,
) {
    let writer = BufWriter::with_capacity(BUFFER, output);
    let mut sink = Sink { writer, unflushed: 0, failing: false, lost };
    let mut line = Vec::new();
    while let Some(message) = next(messages, &mut sink) {
        match message {
            Message::Line(record) => {
                line.clear();
                record.write(format, &mut line);
                sink.write(&line);
            }
            Message::Reopen => {
                sink.flush();
                match reopen() {
                    Ok(fresh) => sink.replace(fresh),
                    Err(error) => {
                        tracing::error!(%error, "the access log cannot be opened again; the old file is kept");
                    }
                }
            }
            Message::Stop(done) => {
                sink.flush();
                lost.inc_by(sink.unflushed);
                let _ = done.send(());
                return;
            }
        }
    }
}

/// The next message; what was written is flushed before waiting for one. After a wait others are let come as well: whoever
/// logs in the meantime finds nobody to wake.
fn next(messages: &Receiver<Message>, sink: &mut Sink<'_>) -> Option<Message> {
    if let Ok(message) = messages.try_recv() {
        return Some(message);
    }
    sink.flush();
    let first = messages.recv().ok()?;
    if matches!(first, Message::Line(_)) {
        thread::sleep(GATHER);
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::observe::record::tests::request;

    fn counter() -> IntCounter {
        IntCounter::new("dropped", "dropped").expect("counter")
    }

    fn line(path: &str) -> Record {
        Record::Request(Box::new(request(path)))
    }

    #[test]
    fn lines_reach_the_file_in_order_and_rotation_loses_none() {
        let folder = tempfile::tempdir().expect("folder");
        let (path, rotated) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let log = AccessLog::start(Output::File(path.clone()), LogFormat::Json, counter()).expect("started");
        log.log(line("/one"));
        std::fs::rename(&path, &rotated).expect("rotated");
        log.reopen();
        log.log(line("/two"));
        log.stop();
        let (old, new) = (std::fs::read_to_string(rotated), std::fs::read_to_string(path));
        assert!(old.is_ok_and(|text| text.contains("/one") && !text.contains("/two")));
        assert!(new.is_ok_and(|text| text.contains("/two") && !text.contains("/one")));
    }

    /// A sink that takes nothing until it is released.
    struct Stuck(Arc<Mutex<()>>);

    impl Write for Stuck {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            drop(self.0.lock());
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_never_waits() {
        let gate = Arc::new(Mutex::new(()));
        let dropped = counter();
        let sink = Box::new(Stuck(Arc::clone(&gate)));
        let held = gate.lock();
        let log = AccessLog::start_with(sink, || Err(io::ErrorKind::Other.into()), LogFormat::Json, dropped.clone())
            .expect("started");
        // The queue, what the writer's buffer takes, and more.
        let lines = QUEUE + 200;
        (0..lines).for_each(|_| log.log(line("/x")));
        assert!(dropped.get() > 0);
        drop(held);
        log.stop();
    }

    /// A sink on a full disk.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_could_not_be_flushed_are_counted_at_a_rotation_and_at_the_end() {
        let dropped = counter();
        let full = || Ok::<Box<dyn Write + Send>, _>(Box::new(Full));
        let log = AccessLog::start_with(Box::new(Full), full, LogFormat::Json, dropped.clone()).expect("started");
        (0..3).for_each(|_| log.log(line("/x")));
        log.reopen();
        (0..2).for_each(|_| log.log(line("/y")));
        log.stop();
        assert_eq!(dropped.get(), 5);
    }
}
