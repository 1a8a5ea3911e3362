//! What the receiver is compared with: the same HTTP server that reads each request whole and answers 200, without
//! verifying or storing anything.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

/// Serves for ever, after printing the address to standard output.
///
/// # Errors
/// No port can be bound.
pub(crate) async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut http = http1::Builder::new();
            // As the receiver sets it up.
            http.timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(15))
                .max_buf_size(64 * 1024)
                .max_headers(128)
                .half_close(true);
            // A client that goes away ends its connection and nothing else.
            drop(http.serve_connection(TokioIo::new(stream), service_fn(answer)).with_upgrades().await);
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = match request.into_body().collect().await {
        Ok(_) => Bytes::from_static(b"{\"message\":\"200 OK\"}"),
        Err(_) => Bytes::new(),
    };
    Ok(Response::new(Full::new(text)))
}
