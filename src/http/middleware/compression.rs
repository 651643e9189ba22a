//! gzip and deflate on HTTP (RFC 9110 section 8.4): answers of the API and of polling, and the
//! bodies of requests to the API.

use std::io;

use async_compression::tokio::bufread::{GzipDecoder, ZlibDecoder};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::Limited;
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, NotForContentType, Predicate, SizeAbove};

use crate::http::response;

const ACCEPTED: &str = "gzip, deflate";

/// Compresses answers of at least `threshold` bytes for whoever accepts it; none without a
/// threshold. A stream of events is never held back by it.
pub(in crate::http) fn answers(
    threshold: Option<usize>,
) -> CompressionLayer<And<SizeAbove, NotForContentType>> {
    let least = threshold.unwrap_or_default() as u64;
    CompressionLayer::new()
        .gzip(threshold.is_some())
        .deflate(threshold.is_some())
        // Each answer is for one client: its time counts more than its last percent.
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(least).and(NotForContentType::SSE))
}

/// Which bodies of requests are read.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Readable {
    /// Longest body, as it is sent.
    pub limit: usize,
    /// Whether a body may be compressed.
    pub compressed: bool,
}

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
}

impl Coding {
    /// The one that is left without those that mean nothing; `None` for more than one, and for any
    /// that is not known. Names have no case, and gzip has two (RFC 9110 section 8.4.1).
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut codings = headers
            .get_all(header::CONTENT_ENCODING)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .map(|coding| coding.trim_ascii().to_ascii_lowercase())
            .filter(|coding| !coding.is_empty() && coding != b"identity");
        let coding = match codings.next().as_deref() {
            None => Self::Identity,
            Some(b"gzip" | b"x-gzip") => Self::Gzip,
            Some(b"deflate") => Self::Deflate,
            Some(_) => return None,
        };
        codings.next().is_none().then_some(coding)
    }
}

/// Inflates the bodies of requests, of which no more is read than the limit; what reads them limits
/// their inflated length. Answers 415 to an encoding that can't be read.
pub(in crate::http) async fn inflate(
    State(readable): State<Readable>,
    request: Request,
    next: Next,
) -> Response {
    let coding = Coding::of(request.headers());
    let coding = coding.filter(|coding| *coding == Coding::Identity || readable.compressed);
    let Some(coding) = coding else {
        return unreadable(readable);
    };
    if coding == Coding::Identity {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(header::CONTENT_ENCODING);
    parts.headers.remove(header::CONTENT_LENGTH);
    let deflated = Body::new(Limited::new(body, readable.limit)).into_data_stream();
    let deflated = StreamReader::new(deflated.map_err(io::Error::other));
    let body = if coding == Coding::Gzip {
        let mut decoder = GzipDecoder::new(deflated);
        // RFC 1952 section 2.2; what writes a log in pieces makes one a piece.
        decoder.multiple_members(true);
        read(decoder)
    } else {
        read(ZlibDecoder::new(deflated))
    };
    next.run(Request::from_parts(parts, body)).await
}

fn read(inflated: impl AsyncRead + Send + 'static) -> Body {
    Body::from_stream(ReaderStream::new(inflated))
}

fn unreadable(readable: Readable) -> Response {
    let accepted = if readable.compressed {
        ACCEPTED
    } else {
        "identity"
    };
    let mut response = response::problem(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "INVALID_MESSAGE",
        &format!("`Content-Encoding` must be one of: {accepted}"),
    );
    response
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_one_encoding_by_any_of_its_names() {
        let coding = |lines: &[&str]| {
            let lines = lines
                .iter()
                .map(|line| HeaderValue::from_str(line).unwrap());
            let headers = lines.map(|line| (header::CONTENT_ENCODING, line)).collect();
            Coding::of(&headers)
        };
        for (lines, expected) in [
            (&[][..], Coding::Identity),
            (&["identity"], Coding::Identity),
            (&["IDENTITY, identity"], Coding::Identity),
            (&["gzip"], Coding::Gzip),
            (&["GZIP"], Coding::Gzip),
            (&["x-gzip"], Coding::Gzip),
            (&["X-GZip", "identity"], Coding::Gzip),
            (&["Deflate"], Coding::Deflate),
        ] {
            assert_eq!(coding(lines), Some(expected), "{lines:?}");
        }
        for lines in [
            &["br"][..],
            &["gzip, gzip"],
            &["gzip", "gzip"],
            &["deflate, gzip"],
            &["gzip;q=1"],
            &["x"],
        ] {
            assert_eq!(coding(lines), None, "{lines:?}");
        }
    }
}
