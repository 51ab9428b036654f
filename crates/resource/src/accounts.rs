//! Accounts with their members and grants (contract section 9).

use std::borrow::Cow;

use super::{Below, Budgeted, List, NotFound, Paging, Step, grants};
use record::columns;
use record::table::{Table, WithoutKey};

static ACCOUNTS: Table = Table::new(
    "accounts",
    columns! { account_id: Text = "account_id", "accountId"; },
    columns! {
        name: Text;
        tenant_id: Text = "tenant_id", "tenantId";
        email_address: Text = "email_address", "emailAddress";
        company_id: Text = "company_id", "companyId";
        number_of_seats: Numeric = "number_of_seats", "numberOfSeats";
        registration_code: Text = "registration_code", "registrationCode";
        allow_oversubscription: Boolean = "allow_oversubscription", "allowOversubscription";
        notify_when_account_oversubscribed: Boolean;
        notify_on_each_registration_when_account_is_oversubscribed: Boolean;
        on_premises_ips: Text = "on_premises_ips", "onPremisesIps";
        premises_tags: Text = "premises_tags", "premisesTags";
        ip_addresses: Text = "ip_addresses", "ipAddresses";
        registration_domains: Text = "registration_domains", "registrationDomains";
        session_limit: Numeric = "session_limit", "sessionLimit";
        session_limit_behaviour: Text = "session_limit_behaviour", "sessionLimitBehaviour";
        branding: Jsonb;
    },
    WithoutKey::Rejected,
);

static ACCOUNT_USERS: Table = Table::new(
    "account_users",
    columns! {
        account_id: Text = "account_id", "accountId";
        user_id: Text = "user_id", "userId";
    },
    columns! { user_type: Text = "user_type", "userType"; },
    WithoutKey::Rejected,
);

/// The list, then the members and the grants of each account.
pub fn steps() -> Vec<Step> {
    vec![
        Step::List(List {
            paging: Paging::B,
            detail: Some(Cow::Borrowed("/v3/accounts/{}")),
            ..List::unpaged(&ACCOUNTS, "/v3/accounts")
        }),
        Step::Below(below(&ACCOUNT_USERS, "/v3/accounts/{}/users")),
        Step::Below(below(&grants::ACCOUNT_GRANTS, "/v3/accounts/{}/grants")),
    ]
}

fn below(table: &'static Table, path: &'static str) -> Below {
    Below {
        table: Cow::Borrowed(table),
        parents: Cow::Borrowed("accounts"),
        parent_key: Cow::Borrowed("account_id"),
        path: Cow::Borrowed(path),
        items: None,
        paging: Paging::Unpaged,
        parent_path: Some(Cow::Borrowed("/v3/accounts/{}")),
        not_found: NotFound::MeansNothing,
        budget: Budgeted::Unchanged,
    }
}
