//! The exports of the API, as the scan reads them: neither knows the other.

use record::{Page, Query};
use scan::Source;
use zephr::Reader;
use zephr::read::Events;

/// The user export.
#[derive(Debug, Clone)]
pub(super) struct UserExport(pub(super) Reader);

impl Source for UserExport {
    type Error = zephr::Error;

    fn endpoint(&self) -> &'static str {
        "GET /v3/user-export"
    }

    async fn page(&self, query: Query) -> Result<Page, zephr::Error> {
        self.0.export(query).await
    }
}

/// The events export.
#[derive(Debug, Clone)]
pub(super) struct EventExport(pub(super) Events);

impl Source for EventExport {
    type Error = zephr::Error;

    fn endpoint(&self) -> &'static str {
        "GET /v4/user-export"
    }

    async fn page(&self, query: Query) -> Result<Page, zephr::Error> {
        self.0.page(query).await
    }
}
