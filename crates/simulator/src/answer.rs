//! An answer before it meets its fate on the way to the client.

use super::json;

/// Status, type and body of a whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// Export items in the body.
    pub users: u32,
}

impl Answer {
    pub(super) fn json(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type: "application/json",
            body,
            users: 0,
        }
    }

    pub(super) fn html(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type: "text/html; charset=UTF-8",
            body: body.into(),
            users: 0,
        }
    }

    /// `{"error":"…"}`, as documented for 400 and 401.
    pub(super) fn error(status: u16, reason: &str) -> Self {
        Self::with_text(status, "error", reason)
    }

    /// `{"message":"…"}`, as acknowledgements are.
    pub(super) fn message(status: u16, text: &str) -> Self {
        Self::with_text(status, "message", text)
    }

    fn with_text(status: u16, name: &str, text: &str) -> Self {
        let mut body = Vec::new();
        json::text_field(&mut body, name, text);
        body[0] = b'{';
        body.push(b'}');
        Self::json(status, body)
    }
}
