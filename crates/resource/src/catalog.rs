//! What is sold and what it grants (contract section 10).

use super::{List, Step};
use record::columns;
use record::table::{Table, WithoutKey};

static COMPANIES: Table = Table::new(
    "companies",
    columns! { company_id: Text = "company_id", "companyId", "id"; },
    columns! {
        name: Text;
        description: Text;
        website: Text;
        contact: Text;
        account_manager: Text = "account_manager", "accountManager";
    },
    WithoutKey::KeyedByHash,
);

static PRODUCTS: Table = Table::new(
    "products",
    columns! { product_id: Text = "id", "product_id", "productId"; },
    columns! {
        label: Text;
        description: Text;
        entitlement_type: Text = "entitlement.type";
        entitlement_id: Text = "entitlement.id";
        tenant_id: Text = "tenantId", "tenant_id";
        sharing_limit: Numeric = "sharingLimit", "sharing_limit";
        mapping: Jsonb;
    },
    WithoutKey::KeyedByHash,
);

static BUNDLES: Table = Table::new(
    "bundles",
    columns! { bundle_id: Text = "id", "bundle_id", "bundleId"; },
    columns! {
        label: Text;
        description: Text;
        auto_assign: Text = "auto_assign", "autoAssign";
        tenant_id: Text = "tenantId", "tenant_id";
        includes: Jsonb;
    },
    WithoutKey::KeyedByHash,
);

static ENTITLEMENTS: Table = Table::new(
    "entitlements",
    columns! { entitlement_id: Text = "id", "entitlement_id", "entitlementId"; },
    columns! {
        label: Text;
        description: Text;
        auto_assign: Text = "auto_assign", "autoAssign";
        tenant_id: Text = "tenantId", "tenant_id";
    },
    WithoutKey::KeyedByHash,
);

static METERS: Table = Table::new(
    "meters",
    columns! { meter_id: Text = "id", "meter_id", "meterId"; },
    columns! {
        label: Text;
        description: Text;
        auto_assign: Text = "auto_assign", "autoAssign";
        tenant_id: Text = "tenantId", "tenant_id";
        unit: Text;
        limit_value: Numeric = "limit";
        cycle: Text;
        period: Text;
        timezone: Text;
    },
    WithoutKey::KeyedByHash,
);

static CREDITS: Table = Table::new(
    "credits",
    columns! { credit_id: Text = "id", "credit_id", "creditId"; },
    columns! {
        label: Text;
        description: Text;
        auto_assign: Text = "auto_assign", "autoAssign";
        tenant_id: Text = "tenantId", "tenant_id";
        delivers: Jsonb;
        unit: Text;
        quantity: Numeric;
    },
    WithoutKey::KeyedByHash,
);

/// Six lists, each whole in one answer.
pub fn steps() -> Vec<Step> {
    [
        (&COMPANIES, "/v3/companies"),
        (&PRODUCTS, "/v3/products"),
        (&BUNDLES, "/v3/bundles"),
        (&ENTITLEMENTS, "/v3/entitlements"),
        (&METERS, "/v3/meters"),
        (&CREDITS, "/v3/credits"),
    ]
    .into_iter()
    .map(|(table, path)| Step::List(List::unpaged(table, path)))
    .collect()
}
