//! The tenant's user schema (contract section 7).

use super::{List, Step};
use record::columns;
use record::table::{Table, WithoutKey};

static USER_SCHEMA: Table = Table::new(
    "user_schema",
    columns! { slug: Text; },
    columns! {
        label: Text;
        internal_description: Text = "internal-description", "internal_description";
        public_description: Text = "public-description", "public_description";
        context: Text;
        visibility: Text;
        required: Boolean;
        decision_point: Boolean = "decision-point", "decision_point";
        publicly_writable: Boolean = "publicly-writable", "publicly_writable";
        form_use: Boolean = "form-use", "form_use";
        validation_expression: Text = "validation-expression", "validation_expression";
        input_type: Text = "input-type", "input_type";
        select_options: Text = "select-options", "select_options";
        range_start: Numeric = "range-start", "range_start";
        range_end: Numeric = "range-end", "range_end";
        range_step: Numeric = "range-step", "range_step";
        value_precision: Numeric = "value-precision", "value_precision";
        unit: Text;
        unit_position: Text = "unit-position", "unit_position";
        stat_direction: Text = "stat-direction", "stat_direction";
    },
    WithoutKey::Rejected,
);

/// The one list.
pub fn steps() -> Vec<Step> {
    vec![Step::List(List::unpaged(&USER_SCHEMA, "/v3/schema/users"))]
}
