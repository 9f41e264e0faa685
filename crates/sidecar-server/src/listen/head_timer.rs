//! Gives hyper's one timer for request heads two lengths, and makes it cheap.
//!
//! hyper starts the timer when it begins to wait for a request and drops it when the head is
//! complete, so that one length would have to do for an idle connection, which may be long, and
//! for a head that has begun, which must be short. Here the timer runs for the idle limit until
//! the first byte comes, and for the header limit from then on. A new connection has no idle time.
//!
//! A timer of tokio's for each request would be registered and removed each time, under a lock that
//! connections share. Here a connection has one, which is left to run when its head is complete.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use hyper_util::rt::TokioTimer;
use sidecar_core::clock::Clock;
use tokio::time;

use super::socket::Socket;

/// The timer of one connection. hyper is to be given the idle limit as its timeout.
#[derive(Debug)]
pub(super) struct HeadTimer(Arc<Inner>);

/// What the waits for the heads of one connection share.
#[derive(Debug)]
struct Inner {
    socket: Arc<Socket>,
    header_timeout: Duration,
    clock: Clock,
    /// Never contended, as a connection is served by one task.
    alarm: Mutex<Alarm>,
}

/// The wait for one head.
#[derive(Debug)]
struct HeadSleep {
    inner: Arc<Inner>,
    /// How much had been received when the idle time began; none once it is over.
    idle_since: Option<u64>,
    deadline: time::Instant,
}

/// Wakes a task at its deadline. It costs next to nothing that the deadline changes with each wait,
/// as long as it only moves on: the timer is left to run, and set anew when it has fired too early.
#[derive(Debug, Default)]
struct Alarm {
    /// Set for the deadline that was last asked for, or for an earlier time.
    sleep: Option<Pin<Box<time::Sleep>>>,
}

impl HeadTimer {
    pub(super) fn new(socket: Arc<Socket>, header_timeout: Duration, clock: Clock) -> Self {
        let alarm = Mutex::new(Alarm::default());
        Self(Arc::new(Inner { socket, header_timeout, clock, alarm }))
    }
}

#[expect(clippy::disallowed_types, reason = "hyper's trait is written in this type")]
impl Timer for HeadTimer {
    /// Not called by an HTTP/1 server.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        TokioTimer::new().sleep(duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        let inner = Arc::clone(&self.0);
        let (idle_since, deadline) = match inner.socket.received() {
            0 => (None, inner.header_deadline()),
            received => (Some(received), deadline.into()),
        };
        Box::pin(HeadSleep { inner, idle_since, deadline })
    }

    /// The time that deadlines are made from: tokio's, as they are waited for with its timers.
    fn now(&self) -> std::time::Instant {
        TokioTimer::new().now()
    }
}

impl Inner {
    /// When a head that begins now has to be complete.
    fn header_deadline(&self) -> time::Instant {
        self.clock.to_tokio(self.clock.now() + self.header_timeout)
    }

    fn poll_alarm(&self, deadline: time::Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.lock().unwrap_or_else(PoisonError::into_inner).poll(deadline, cx)
    }
}

impl Future for HeadSleep {
    type Output = ();

    /// hyper polls this each time it has read all there is and the head is not complete.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { inner, idle_since, deadline } = self.get_mut();
        if idle_since.is_some_and(|received| inner.socket.received() != received) {
            *idle_since = None;
            *deadline = inner.header_deadline();
        }
        inner.poll_alarm(*deadline, cx)
    }
}

impl Sleep for HeadSleep {}

impl Alarm {
    /// Ready when `deadline` has passed, and not before.
    fn poll(&mut self, deadline: time::Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const HEADER: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(75);
    const SECOND: Duration = Duration::from_secs(1);

    /// The timer of a connection, in hyper's hands.
    struct Connection {
        socket: Arc<Socket>,
        clock: Clock,
        timer: HeadTimer,
        // Closed with it.
        _client: TcpStream,
    }

    impl Connection {
        fn new() -> Self {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, _) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            let socket = Arc::new(Socket::new(tokio::net::TcpStream::from_std(stream).unwrap()));
            let clock = Clock::simulated();
            let timer = HeadTimer::new(Arc::clone(&socket), HEADER, clock.clone());
            Self { socket, clock, timer, _client: client }
        }

        /// One that has received a request.
        fn used() -> Self {
            let connection = Self::new();
            connection.socket.note_received(1);
            connection
        }

        /// Begins to wait for a head.
        fn wait(&self) -> Pin<Box<dyn Sleep>> {
            self.timer.sleep_until(self.timer.now() + IDLE)
        }

        /// When the alarm is to go off.
        fn alarm(&self) -> Option<time::Instant> {
            self.timer.0.alarm.lock().unwrap().sleep.as_ref().map(|sleep| sleep.deadline())
        }
    }

    async fn is_over(wait: &mut Pin<Box<dyn Sleep>>) -> bool {
        poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx).is_ready())).await
    }

    /// Checks that `wait` lasts for `limit` from now, and that the task is woken at its end.
    async fn lasts(connection: &Connection, wait: Pin<Box<dyn Sleep>>, limit: Duration) {
        let start = connection.clock.now();
        wait.await;
        let waited = connection.clock.now() - start;
        assert!(waited >= limit && waited < limit + SECOND, "{waited:?} for {limit:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_no_idle_time() {
        let connection = Connection::new();
        lasts(&connection, connection.wait(), HEADER).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_used_connection_has_its_idle_time() {
        let connection = Connection::used();
        lasts(&connection, connection.wait(), IDLE).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_byte_ends_the_idle_time() {
        let connection = Connection::used();
        let mut wait = connection.wait();
        assert!(!is_over(&mut wait).await);
        time::advance(SECOND).await;
        connection.socket.note_received(1);
        assert!(!is_over(&mut wait).await);
        lasts(&connection, wait, HEADER).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_first_byte_extends_the_wait_to_the_header_limit() {
        let connection = Connection::used();
        let mut wait = connection.wait();
        assert!(!is_over(&mut wait).await);
        time::advance(IDLE - SECOND).await;
        connection.socket.note_received(1);
        assert!(!is_over(&mut wait).await);
        lasts(&connection, wait, HEADER).await;
    }

    #[tokio::test(start_paused = true)]
    async fn further_bytes_do_not_extend_the_wait() {
        let connection = Connection::used();
        let mut wait = connection.wait();
        assert!(!is_over(&mut wait).await);
        for _ in 0..10 {
            connection.socket.note_received(1);
            assert!(!is_over(&mut wait).await);
            time::advance(SECOND).await;
        }
        time::advance(SECOND).await;
        assert!(is_over(&mut wait).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_not_cut_short_by_the_alarm_of_an_earlier_one() {
        let connection = Connection::new();
        assert!(!is_over(&mut connection.wait()).await);
        time::advance(SECOND).await;
        connection.socket.note_received(1);
        lasts(&connection, connection.wait(), IDLE).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_not_cut_short_by_an_alarm_that_has_gone_off_before() {
        let connection = Connection::new();
        assert!(!is_over(&mut connection.wait()).await);
        time::advance(IDLE * 2).await;
        connection.socket.note_received(1);
        lasts(&connection, connection.wait(), IDLE).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_alarm_is_set_once_for_each_idle_limit() {
        assert_eq!(alarms_of_requests(1).await, [HEADER, IDLE, IDLE]);
    }

    #[tokio::test(start_paused = true)]
    async fn heads_in_two_reads_set_the_alarm_twice_for_each_header_limit() {
        let alarms = alarms_of_requests(2).await;
        assert!(alarms.len() <= 20, "{alarms:?}");
    }

    /// How far ahead the alarm was set, each time that it was, while 1000 requests came within
    /// 100 s, each in that many reads.
    async fn alarms_of_requests(reads: u32) -> Vec<Duration> {
        let connection = Connection::new();
        let (mut alarm, mut alarms) = (None, Vec::new());
        for _ in 0..1_000 {
            let mut wait = connection.wait();
            for _ in 0..reads {
                assert!(!is_over(&mut wait).await);
                if connection.alarm() != alarm {
                    alarm = connection.alarm();
                    let now = connection.clock.to_tokio(connection.clock.now());
                    alarms.extend(alarm.map(|alarm| alarm - now));
                }
                connection.socket.note_received(100);
            }
            // The head is complete: hyper drops the wait without another look.
            drop(wait);
            time::advance(SECOND / 10).await;
        }
        alarms
    }
}
