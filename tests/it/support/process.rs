//! A child process that can neither hang a test nor outlive it.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::eventually;

/// A child process. Killed when it goes out of scope.
pub(crate) struct Process {
    child: Child,
    stdout: Pipe,
    stderr: Pipe,
}

/// How a process ended and all it said.
pub(crate) struct Exit {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// One stream of a child's output, read by a thread of its own so that the child never waits.
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `command` with `input` on its standard input.
    pub(crate) fn start(command: &mut Command, input: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A process that ends before it reads is judged by how it ends.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let stdout = Pipe::new(child.stdout.take().unwrap());
        let stderr = Pipe::new(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Waits for its end.
    pub(crate) async fn wait(&mut self) -> Exit {
        let child = &mut self.child;
        let ended = eventually("the end of a process", async || child.try_wait().unwrap()).await;
        let (stdout, stderr) = (self.stdout.finish(), self.stderr.finish());
        Exit { code: ended.code(), stdout, stderr }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it has said so far on standard error.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Asks it to end (SIGTERM).
    pub(crate) fn terminate(&self) {
        let script = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Ends it at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Exit {
    /// Everything it said.
    pub(crate) fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl Pipe {
    fn new(mut source: impl Read + Send + 'static) -> Self {
        let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
        let read = bytes.clone();
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 8 << 10];
            while let Ok(count @ 1..) = source.read(&mut piece) {
                read.lock().unwrap().extend_from_slice(&piece[..count]);
            }
        });
        Self { bytes, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// Everything, once the process has ended.
    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.text()
    }
}
