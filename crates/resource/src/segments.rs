//! Segments and who is in them (contract section 11). There is no list of a segment's members, so
//! each user is asked for.

use std::borrow::Cow;

use super::{Below, Budgeted, List, NotFound, Paging, Step};
use record::columns;
use record::table::{Table, WithoutKey};

static SEGMENTS: Table = Table::new(
    "segments",
    columns! { segment_id: Text = "id", "segment_id", "segmentId"; },
    columns! { label: Text; description: Text; active: Boolean; archived: Boolean; },
    WithoutKey::Rejected,
);

static USER_SEGMENTS: Table = Table::new(
    "user_segments",
    columns! {
        user_id: Text = "user_id", "userId";
        segment_id: Text = "id", "segment_id", "segmentId";
    },
    columns! { label: Text; },
    WithoutKey::Rejected,
);

/// The list, then the segments of users.
pub fn steps() -> Vec<Step> {
    vec![
        Step::List(List {
            not_found: NotFound::MeansNone,
            ..List::unpaged(&SEGMENTS, "/v4/users/segments")
        }),
        Step::Below(Below {
            table: Cow::Borrowed(&USER_SEGMENTS),
            parents: Cow::Borrowed("users"),
            parent_key: Cow::Borrowed("user_id"),
            path: Cow::Borrowed("/v4/users/{}/segments"),
            items: None,
            paging: Paging::Unpaged,
            parent_path: Some(Cow::Borrowed("/v3/users/{}")),
            not_found: NotFound::MeansNone,
            budget: Budgeted::All,
        }),
    ]
}
