//! Connections of both servers: accepted up to a number, with bounded headers and patience in both
//! directions, and let go in good order at the end.

mod guests;

use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use owlet_lab::Interrupt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep, timeout};

use guests::{Attended, Guests};

/// Headers must have come within this, a connection may be idle and a client take nothing of an
/// answer for as long.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes of a request's line and headers.
const HEADERS: usize = 64 << 10;
const MOST_HEADERS: usize = 100;
/// How often the wish to stop is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until `interrupt` is set; requests under way then have `grace`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    connections: usize,
    interrupt: &Interrupt,
    grace: Duration,
) -> Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(connections));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEADERS)
        .max_headers(MOST_HEADERS);
    let stop = async {
        while !interrupt.is_set() {
            sleep(LOOK).await;
        }
    };
    tokio::pin!(stop);
    let guests = Guests::default();
    'accepting: loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, or the client is gone already: others go on meanwhile.
            guests.let_one_go();
            sleep(PAUSE).await;
            continue;
        };
        let place = loop {
            if places.available_permits() == 0 {
                guests.let_one_go();
            }
            // The semaphore is never closed.
            tokio::select! {
                place = Arc::clone(&places).acquire_owned() => break place.ok(),
                () = sleep(PAUSE) => {}
                () = &mut stop => break 'accepting,
            }
        };
        // Tokens are small and awaited.
        let _ = stream.set_nodelay(true);
        let guest = guests.welcome();
        let leave = Arc::clone(&guest.leave);
        let service = Attended::new(router.clone(), guest);
        let connection = graceful
            .watch(http.serve_connection(TokioIo::new(Patient { stream, stuck: None }), service));
        tokio::spawn(async move {
            // A broken connection is the client's affair.
            tokio::select! {
                _ = connection => {}
                () = leave.notified() => {}
            }
            drop(place);
        });
    }
    drop(listener);
    // Whoever is still there after that is cut off.
    let _ = timeout(grace, graceful.shutdown()).await;
    Ok(())
}

/// A connection that is given up if the other side takes nothing for long: what is to be sent would
/// hold memory meanwhile.
struct Patient {
    stream: TcpStream,
    stuck: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn judged<T>(&mut self, context: &mut Context<'_>, sent: Poll<Result<T>>) -> Poll<Result<T>> {
        if sent.is_ready() {
            self.stuck = None;
            return sent;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        match stuck.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(Error::from(ErrorKind::TimedOut))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judged(context, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judged(context, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWrite;

    use super::*;

    #[test]
    fn a_client_that_takes_nothing_is_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let stuck = Some(Box::pin(sleep(Duration::from_millis(50))));
            let mut patient = Patient { stream, stuck };
            let full = vec![0; 1 << 20];
            let error = loop {
                let sent = std::future::poll_fn(|context| {
                    // The first time there is no room, the patience left is what was set above.
                    let sent = Pin::new(&mut patient.stream).poll_write(context, &full);
                    if sent.is_ready() { sent } else { patient.judged(context, sent) }
                });
                if let Err(error) = sent.await {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            drop(client);
        });
    }
}
