//! A collector of traces, as small as it can be: takes protobuf over HTTP, and reads of it what is
//! asked here.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A span as it came.
#[derive(Debug, Clone, Default)]
pub struct Span {
    pub name: String,
    pub trace: Vec<u8>,
    pub id: Vec<u8>,
    pub parent: Vec<u8>,
    pub attributes: BTreeMap<String, String>,
}

/// What was sent to it.
#[derive(Debug)]
pub struct Collector {
    pub address: SocketAddr,
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

impl Collector {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&bodies);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let taken = Arc::clone(&taken);
                let service = service_fn(move |request: Request<Incoming>| {
                    let taken = Arc::clone(&taken);
                    async move {
                        assert_eq!(request.uri().path(), "/v1/traces");
                        let body = request.into_body().collect().await.expect("a body");
                        taken.lock().expect("a lock").push(body.to_bytes());
                        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, bodies }
    }

    /// All that came, as it came.
    pub fn bytes(&self) -> Vec<u8> {
        self.bodies.lock().expect("a lock").concat()
    }

    /// The attributes of whoever sent it.
    pub fn resource(&self) -> BTreeMap<String, String> {
        // ExportTraceServiceRequest 1: ResourceSpans, 1: Resource, 1: attributes
        let all = self.bytes();
        let resources = parts(&all, 1).into_iter().flat_map(|part| parts(part, 1));
        resources
            .flat_map(|resource| attributes(resource, 1))
            .collect()
    }

    /// All spans that came.
    pub fn spans(&self) -> Vec<Span> {
        // ExportTraceServiceRequest 1: ResourceSpans, 2: ScopeSpans, 2: Span
        let all = self.bytes();
        let scopes = parts(&all, 1).into_iter().flat_map(|part| parts(part, 2));
        let spans = scopes.flat_map(|scope| parts(scope, 2));
        spans
            .map(|span| Span {
                name: text(span, 5),
                trace: bytes(span, 1),
                id: bytes(span, 2),
                parent: bytes(span, 4),
                attributes: attributes(span, 9),
            })
            .collect()
    }
}

/// A field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

fn number(rest: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (first, others) = rest.split_first().expect("more bytes");
        *rest = others;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    number
}

fn fields(mut rest: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let key = number(&mut rest);
        let field = match key & 7 {
            0 => Field::Number(number(&mut rest)),
            1 => {
                rest = &rest[8..];
                Field::Fixed
            }
            2 => {
                let length = number(&mut rest) as usize;
                let (value, others) = rest.split_at(length);
                rest = others;
                Field::Bytes(value)
            }
            5 => {
                rest = &rest[4..];
                Field::Fixed
            }
            other => panic!("no such kind of field: {other}"),
        };
        found.push((key >> 3, field));
    }
    found
}

fn parts(message: &[u8], wanted: u64) -> Vec<&[u8]> {
    let parts = fields(message)
        .into_iter()
        .filter_map(|(number, field)| match field {
            Field::Bytes(part) if number == wanted => Some(part),
            Field::Bytes(_) | Field::Number(_) | Field::Fixed => None,
        });
    parts.collect()
}

fn bytes(message: &[u8], wanted: u64) -> Vec<u8> {
    parts(message, wanted).concat()
}

fn text(message: &[u8], wanted: u64) -> String {
    String::from_utf8(bytes(message, wanted)).expect("text")
}

/// KeyValue 1: key, 2: AnyValue 1: string, 3: integer.
fn attributes(message: &[u8], wanted: u64) -> BTreeMap<String, String> {
    let pairs = parts(message, wanted).into_iter().map(|pair| {
        let value = bytes(pair, 2);
        let value = fields(&value)
            .into_iter()
            .next()
            .map(|(_, field)| match field {
                Field::Bytes(value) => String::from_utf8(value.to_vec()).expect("text"),
                Field::Number(value) => value.to_string(),
                Field::Fixed => "a number".to_owned(),
            });
        (text(pair, 1), value.unwrap_or_default())
    });
    pairs.collect()
}
