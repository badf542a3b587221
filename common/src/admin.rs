//! The admin HTTP server of a process: `/metrics`, `/healthz`, `/readyz` and pages that the process adds.
//!
//! It has a thread and a runtime of its own, so that scraping never delays a request, and it only reads.

mod discovery;
mod health;

pub use discovery::{Target, discovery_page};
pub use health::{Health, Pulse};

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, oneshot};

use crate::metrics::Metrics;
use crate::platform::{net, threads};

/// More scrapers at once than anybody needs; further ones wait in the listen queue.
const CONNECTIONS: usize = 64;

/// For a client to send its request's head, then for the next one on the same connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Listen queue of the admin port.
const BACKLOG: i32 = 64;

/// A page of the admin server that only this kind of process has.
pub struct Page {
    /// For example `/sd`.
    pub path: &'static str,
    pub content_type: &'static str,
    /// Called on the admin thread for every request.
    pub body: Box<dyn Fn() -> String + Send + Sync>,
}

/// The running server. Dropping it closes the port.
pub struct Admin {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

struct Pages {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    more: Vec<Page>,
}

impl Admin {
    /// Binds `host:port` and serves it from a new thread.
    ///
    /// # Errors
    /// When the address is taken or does not resolve, and when no thread can be started.
    pub fn start(
        address: &str,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        more: Vec<Page>,
    ) -> io::Result<Admin> {
        let pages = Arc::new(Pages { metrics, health, more });
        let (bound, result) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let address = address.to_owned();
        threads::spawn("admin", move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(bound.send(Err(error))),
            };
            runtime.block_on(async {
                let listener = match net::listen(&address, BACKLOG) {
                    Ok(listener) => listener,
                    Err(error) => return drop(bound.send(Err(error))),
                };
                if bound.send(listener.local_addr()).is_err() {
                    return;
                }
                tokio::select! {
                    () = accept(listener, pages) => {}
                    _ = stopped => {}
                }
            });
        })?;
        let address = result.recv().map_err(|_| io::Error::other("the admin thread ended"))??;
        Ok(Admin { address, _stop: stop })
    }

    /// Where it listens, which tells the port if port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: net::Listener, pages: Arc<Pages>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: the listener stays readable, so do not spin.
                tracing::warn!(%error, "admin connection not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let pages = pages.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let response = pages.answer(request.method(), request.uri().path());
                async { Ok::<_, Infallible>(response) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "admin connection ended");
            }
            drop(place);
        });
    }
}

impl Pages {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            let mut response =
                text(StatusCode::METHOD_NOT_ALLOWED, "this server only reads: GET and HEAD\n".to_owned());
            response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/metrics" => page(StatusCode::OK, prometheus::TEXT_FORMAT, self.metrics.render()),
            "/healthz" => verdict(self.health.alive()),
            "/readyz" => verdict(self.health.ready()),
            _ => match self.more.iter().find(|more| more.path == path) {
                Some(more) => page(StatusCode::OK, more.content_type, (more.body)()),
                None => text(StatusCode::NOT_FOUND, self.index()),
            },
        }
    }

    fn index(&self) -> String {
        let own = ["/metrics", "/healthz", "/readyz"].into_iter();
        let paths: Vec<&str> = own.chain(self.more.iter().map(|more| more.path)).collect();
        format!("not found; there are {}\n", paths.join(", "))
    }
}

fn verdict(state: Result<(), String>) -> Response<Full<Bytes>> {
    match state {
        Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    page(status, "text/plain; charset=utf-8", body)
}

fn page(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
