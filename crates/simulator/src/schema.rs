//! `GET /v3/schema/users` (contract 7), the tenant's own or one that replaced it.

use serde_json::value::RawValue;

use super::answer::Answer;
use super::attributes;
use super::list::List;
use super::routes::Call;
use super::tenant::Tenant;

/// Appends the answer of `GET /v3/schema/users`.
pub(super) fn write(out: &mut Vec<u8>, replaced: Option<&RawValue>) {
    match replaced {
        Some(schema) => out.extend_from_slice(schema.get().as_bytes()),
        None => attributes::schema(out),
    }
}

/// `GET /v3/schema/users`: a bare array.
pub(super) fn read(call: &Call<'_>) -> Answer {
    let mut body = Vec::new();
    if call.tenant.hides(List::UserSchema) {
        body.extend_from_slice(b"[]");
    } else {
        call.tenant
            .world(|world| write(&mut body, world.books.schema.as_deref()));
    }
    Answer::json(200, body)
}

/// Appends one line per field; a schema that is no array is one line.
pub(super) fn truth(out: &mut Vec<u8>, replaced: Option<&RawValue>) {
    let mut whole = Vec::new();
    write(&mut whole, replaced);
    match serde_json::from_slice::<Vec<Box<RawValue>>>(&whole) {
        Ok(fields) => {
            for field in fields {
                // A replaced field may be written over several lines; outside of strings they mean
                // nothing.
                out.extend(
                    field
                        .get()
                        .bytes()
                        .filter(|byte| !matches!(byte, b'\n' | b'\r')),
                );
                out.push(b'\n');
            }
        }
        Err(_) => {
            out.extend(whole.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
            out.push(b'\n');
        }
    }
}

impl Tenant {
    /// Replaces the user schema by JSON, sent exactly as it is here.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn set_schema(&self, json: &str) -> Result<(), serde_json::Error> {
        let schema = RawValue::from_string(json.to_owned())?;
        self.change(|books, _, _| books.schema = Some(schema));
        Ok(())
    }
}
