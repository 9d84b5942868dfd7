//! What must hold for requests of anybody to the responder, of any shape?

use axum::{body::Body, extract::Request, http::header};

use super::responder::{MAX_TOKEN, asked};

/// A method, a target and the value of `Host`, separated by spaces.
pub fn request(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == b' ');
    let mut part = || parts.next().unwrap_or_default();
    let request = Request::builder()
        .method(part())
        .uri(part())
        .header(header::HOST, part())
        .body(Body::empty());
    let Ok(request) = request else {
        return;
    };
    let Some((host, token)) = asked(&request) else {
        return;
    };
    assert!(request.uri().path().ends_with(&token));
    assert!(!token.is_empty() && token.len() <= MAX_TOKEN);
    assert_eq!(host, host.to_ascii_lowercase());
    assert!(host.len() <= data.len());
}
