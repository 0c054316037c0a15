//! Connections: accepted up to a number, with bounded headers and patience, and let go in good order
//! at the end.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use owlet_lab::Interrupt;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::error::Result;

/// Headers must have come within this, and a connection may be idle for as long.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes of a request's line and headers.
const HEADERS: usize = 64 << 10;
const MOST_HEADERS: usize = 100;
/// Time for requests under way when the server stops.
const GRACE: Duration = Duration::from_secs(3);
/// How often the wish to stop is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Serves until `interrupt` is set.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    connections: usize,
    interrupt: &Interrupt,
) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(connections));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEADERS)
        .max_headers(MOST_HEADERS);
    let stopped = async {
        while !interrupt.is_set() {
            sleep(LOOK).await;
        }
    };
    tokio::pin!(stopped);
    loop {
        // The semaphore is never closed.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place.ok(),
            () = &mut stopped => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, or the client is gone already: others go on meanwhile.
            sleep(LOOK).await;
            continue;
        };
        // Tokens are small and awaited.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A broken connection is the client's affair.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    // Whoever is still there after that is cut off.
    let _ = timeout(GRACE, graceful.shutdown()).await;
    Ok(())
}
