-- Everything an analyst joins to users. The tables differ in their columns only: how rows get into them and out of them is the same for all (src/load/rows.rs),
-- and so are the columns of the mirror itself, which the block at the end adds.

select set_config('search_path', current_setting('zephr_sync.data_path'), true);

create table user_grants (
    grant_id         text not null,
    user_id          text not null,
    account_id       text,
    entitlement_type text,
    entitlement_id   text,
    product_id       text,
    expiry_state     text,
    start_time       timestamptz,
    end_time         timestamptz,
    created_at       timestamptz,
    extra            jsonb,
    primary key (grant_id)
);
create index user_grants_user on user_grants (user_id);
create index user_grants_product on user_grants (product_id);
comment on table user_grants is 'What users may use: one row per grant, from the user export when the job says grants = true.';
comment on column user_grants.grant_id is 'Zephr''s identifier of the grant.';
comment on column user_grants.user_id is 'The user who holds it.';
comment on column user_grants.account_id is 'The account that the grant came through, where it says.';
comment on column user_grants.entitlement_type is 'What is granted: bundle, entitlement, meter or credits.';
comment on column user_grants.entitlement_id is 'Identifier of what is granted, in the table that entitlement_type names.';
comment on column user_grants.product_id is 'The product that was sold, where it says.';
comment on column user_grants.expiry_state is 'pending, active or expired, as Zephr said when it was read; end_time tells what has expired since.';
comment on column user_grants.start_time is 'From when it holds. Zephr sends no zone; taken as UTC.';
comment on column user_grants.end_time is 'Until when it holds; null means indefinitely.';
comment on column user_grants.created_at is 'When it was created.';
comment on column user_grants.extra is 'Everything else that was sent about it and has no column of its own.';

create table accounts (
    account_id                                                 text not null,
    name                                                       text,
    tenant_id                                                  text,
    email_address                                              text,
    company_id                                                 text,
    number_of_seats                                            numeric,
    registration_code                                          text,
    allow_oversubscription                                     boolean,
    notify_when_account_oversubscribed                         boolean,
    notify_on_each_registration_when_account_is_oversubscribed boolean,
    on_premises_ips                                            text,
    premises_tags                                              text,
    ip_addresses                                               text,
    registration_domains                                       text,
    session_limit                                              numeric,
    session_limit_behaviour                                    text,
    branding                                                   jsonb,
    extra                                                      jsonb,
    primary key (account_id)
);
comment on table accounts is 'The accounts (organisations with several readers) of the tenant: what the list and the detail of each say.';
comment on column accounts.account_id is 'Zephr''s identifier of the account.';
comment on column accounts.name is 'Name of the account.';
comment on column accounts.tenant_id is 'The tenant, as the list shows it.';
comment on column accounts.email_address is 'E-mail address of the account.';
comment on column accounts.company_id is 'The company it belongs to, if any.';
comment on column accounts.number_of_seats is 'Seats that were bought.';
comment on column accounts.registration_code is 'The code with which people join the account.';
comment on column accounts.allow_oversubscription is 'Whether more people than seats may join.';
comment on column accounts.notify_when_account_oversubscribed is 'Whether somebody is told when more people than seats have joined.';
comment on column accounts.notify_on_each_registration_when_account_is_oversubscribed is 'Whether somebody is told of each further one.';
comment on column accounts.on_premises_ips is 'Addresses and CIDR blocks from which readers are let in, one a line.';
comment on column accounts.premises_tags is 'JSON array of tags, as text, as sent.';
comment on column accounts.ip_addresses is 'Addresses, as sent.';
comment on column accounts.registration_domains is 'Domains whose e-mail addresses may join, as sent.';
comment on column accounts.session_limit is 'Sessions that a member may have at one time; null means the system''s default.';
comment on column accounts.session_limit_behaviour is 'PREVENT_LOGIN or DELETE_OLDEST_SESSIONS.';
comment on column accounts.branding is 'Logo, path, pages and OpenID configuration, as sent.';
comment on column accounts.extra is 'Everything else that was sent about it and has no column of its own.';

create table account_users (
    account_id text not null,
    user_id    text not null,
    user_type  text,
    extra      jsonb,
    primary key (account_id, user_id)
);
create index account_users_user on account_users (user_id);
comment on table account_users is 'Who belongs to which account. A membership that ended is a tombstone.';
comment on column account_users.account_id is 'The account.';
comment on column account_users.user_id is 'Its member.';
comment on column account_users.user_type is 'Role in the account, as sent.';
comment on column account_users.extra is 'Everything else that was sent about it and has no column of its own.';

create table account_grants (
    account_id       text not null,
    grant_id         text not null,
    user_id          text,
    entitlement_type text,
    entitlement_id   text,
    product_id       text,
    expiry_state     text,
    start_time       timestamptz,
    end_time         timestamptz,
    created_at       timestamptz,
    extra            jsonb,
    primary key (account_id, grant_id)
);
create index account_grants_product on account_grants (product_id);
comment on table account_grants is 'What accounts may use: one row per grant.';
comment on column account_grants.account_id is 'The account that holds it.';
comment on column account_grants.grant_id is 'Zephr''s identifier of the grant.';
comment on column account_grants.user_id is 'The user that the grant names, if any.';
comment on column account_grants.entitlement_type is 'What is granted: bundle, entitlement, meter or credits.';
comment on column account_grants.entitlement_id is 'Identifier of what is granted, in the table that entitlement_type names.';
comment on column account_grants.product_id is 'The product that was sold, where it says.';
comment on column account_grants.expiry_state is 'pending, active or expired, as Zephr said when it was read; end_time tells what has expired since.';
comment on column account_grants.start_time is 'From when it holds. Zephr sends no zone; taken as UTC.';
comment on column account_grants.end_time is 'Until when it holds; null means indefinitely.';
comment on column account_grants.created_at is 'When it was created.';
comment on column account_grants.extra is 'Everything else that was sent about it and has no column of its own.';

create table segments (
    segment_id  text not null,
    label       text,
    description text,
    active      boolean,
    archived    boolean,
    extra       jsonb,
    primary key (segment_id)
);
comment on table segments is 'The user segments of the tenant.';
comment on column segments.segment_id is 'Zephr''s identifier of the segment.';
comment on column segments.label is 'Its name.';
comment on column segments.description is 'What it is for.';
comment on column segments.active is 'Whether it is in use.';
comment on column segments.archived is 'Whether it was archived.';
comment on column segments.extra is 'Everything else that was sent about it and has no column of its own.';

create table user_segments (
    user_id    text not null,
    segment_id text not null,
    label      text,
    extra      jsonb,
    primary key (user_id, segment_id)
);
create index user_segments_segment on user_segments (segment_id);
comment on table user_segments is 'Who is in which segment. Zephr tells it one user at a time, so rows are as old as the last visit to their user: zephr-sync status says how far the round is.';
comment on column user_segments.user_id is 'The user.';
comment on column user_segments.segment_id is 'A segment that the user is in.';
comment on column user_segments.label is 'Its name, as the user''s list shows it.';
comment on column user_segments.extra is 'Everything else that was sent about it and has no column of its own.';

create table user_schema (
    slug                  text not null,
    label                 text,
    internal_description  text,
    public_description    text,
    context               text,
    visibility            text,
    required              boolean,
    decision_point        boolean,
    publicly_writable     boolean,
    form_use              boolean,
    validation_expression text,
    input_type            text,
    select_options        text,
    range_start           numeric,
    range_end             numeric,
    range_step            numeric,
    value_precision       numeric,
    unit                  text,
    unit_position         text,
    stat_direction        text,
    extra                 jsonb,
    primary key (slug)
);
comment on table user_schema is 'The attributes that users of the tenant have: its own schema.';
comment on column user_schema.slug is 'The attribute''s key in users.attributes.';
comment on column user_schema.label is 'What people call it.';
comment on column user_schema.internal_description is 'For staff.';
comment on column user_schema.public_description is 'For readers.';
comment on column user_schema.context is 'Where it is used.';
comment on column user_schema.visibility is 'Who sees it.';
comment on column user_schema.required is 'Whether it must be given.';
comment on column user_schema.decision_point is 'Whether rules may decide by it.';
comment on column user_schema.publicly_writable is 'Whether readers may change it.';
comment on column user_schema.form_use is 'Whether forms may ask for it.';
comment on column user_schema.validation_expression is 'Regular expression that values must match.';
comment on column user_schema.input_type is 'text, number, date, select and so on: what decides the type of its column in user_attributes.';
comment on column user_schema.select_options is 'The choices, as JSON in text, as sent.';
comment on column user_schema.range_start is 'Least number.';
comment on column user_schema.range_end is 'Greatest number.';
comment on column user_schema.range_step is 'Step between numbers.';
comment on column user_schema.value_precision is 'Digits after the point.';
comment on column user_schema.unit is 'Unit of the number.';
comment on column user_schema.unit_position is 'leading or trailing.';
comment on column user_schema.stat_direction is 'ascending or descending.';
comment on column user_schema.extra is 'Everything else that was sent about it and has no column of its own.';

create table companies (
    company_id      text not null,
    name            text,
    description     text,
    website         text,
    contact         text,
    account_manager text,
    extra           jsonb,
    primary key (company_id)
);
comment on table companies is 'The companies that accounts belong to.';
comment on column companies.company_id is 'Zephr''s identifier of the company, or a hash of the row where the list shows none: then a changed company is a new row.';
comment on column companies.name is 'Its name.';
comment on column companies.description is 'What it is.';
comment on column companies.website is 'Its address on the web.';
comment on column companies.contact is 'Whom to ask there.';
comment on column companies.account_manager is 'Who looks after it here.';
comment on column companies.extra is 'Everything else that was sent about it and has no column of its own.';

create table products (
    product_id       text not null,
    label            text,
    description      text,
    entitlement_type text,
    entitlement_id   text,
    tenant_id        text,
    sharing_limit    numeric,
    mapping          jsonb,
    extra            jsonb,
    primary key (product_id)
);
comment on table products is 'What is sold.';
comment on column products.product_id is 'Zephr''s identifier of the product, or a hash of the row where the list shows none.';
comment on column products.label is 'What people call it.';
comment on column products.description is 'What it is.';
comment on column products.entitlement_type is 'What it grants: bundle.';
comment on column products.entitlement_id is 'Identifier of what it grants.';
comment on column products.tenant_id is 'The tenant.';
comment on column products.sharing_limit is 'People who may share it.';
comment on column products.mapping is 'Identifiers of the product elsewhere, as sent.';
comment on column products.extra is 'Everything else that was sent about it and has no column of its own.';

create table bundles (
    bundle_id   text not null,
    label       text,
    description text,
    auto_assign text,
    tenant_id   text,
    includes    jsonb,
    extra       jsonb,
    primary key (bundle_id)
);
comment on table bundles is 'What products grant: entitlements, meters and credits together.';
comment on column bundles.bundle_id is 'Zephr''s identifier of the bundle, or a hash of the row where the list shows none.';
comment on column bundles.label is 'What people call it.';
comment on column bundles.description is 'What it is.';
comment on column bundles.auto_assign is 'Who gets it without buying: none, all, anonymous or authenticated.';
comment on column bundles.tenant_id is 'The tenant.';
comment on column bundles.includes is 'Identifiers of the entitlements, meters, credits and bundles in it, as sent.';
comment on column bundles.extra is 'Everything else that was sent about it and has no column of its own.';

create table entitlements (
    entitlement_id text not null,
    label          text,
    description    text,
    auto_assign    text,
    tenant_id      text,
    extra          jsonb,
    primary key (entitlement_id)
);
comment on table entitlements is 'Rights to read something.';
comment on column entitlements.entitlement_id is 'Zephr''s identifier of the entitlement, or a hash of the row where the list shows none.';
comment on column entitlements.label is 'What people call it.';
comment on column entitlements.description is 'What it is.';
comment on column entitlements.auto_assign is 'Who gets it without buying: none, all, anonymous or authenticated.';
comment on column entitlements.tenant_id is 'The tenant.';
comment on column entitlements.extra is 'Everything else that was sent about it and has no column of its own.';

create table meters (
    meter_id    text not null,
    label       text,
    description text,
    auto_assign text,
    tenant_id   text,
    unit        text,
    limit_value numeric,
    cycle       text,
    period      text,
    timezone    text,
    extra       jsonb,
    primary key (meter_id)
);
comment on table meters is 'Rights to read so many in a time.';
comment on column meters.meter_id is 'Zephr''s identifier of the meter, or a hash of the row where the list shows none.';
comment on column meters.label is 'What people call it.';
comment on column meters.description is 'What it is.';
comment on column meters.auto_assign is 'Who gets it without buying: none, all, anonymous or authenticated.';
comment on column meters.tenant_id is 'The tenant.';
comment on column meters.unit is 'What is counted.';
comment on column meters.limit_value is 'How many (limit in the API).';
comment on column meters.cycle is 'How often it starts anew.';
comment on column meters.period is 'Cycles between starts.';
comment on column meters.timezone is 'Whose midnight counts.';
comment on column meters.extra is 'Everything else that was sent about it and has no column of its own.';

create table credits (
    credit_id   text not null,
    label       text,
    description text,
    auto_assign text,
    tenant_id   text,
    delivers    jsonb,
    unit        text,
    quantity    numeric,
    extra       jsonb,
    primary key (credit_id)
);
comment on table credits is 'Rights to open so many of something.';
comment on column credits.credit_id is 'Zephr''s identifier of the credit, or a hash of the row where the list shows none.';
comment on column credits.label is 'What people call it.';
comment on column credits.description is 'What it is.';
comment on column credits.auto_assign is 'Who gets it without buying: none, all, anonymous or authenticated.';
comment on column credits.tenant_id is 'The tenant.';
comment on column credits.delivers is 'What one credit opens, as sent.';
comment on column credits.unit is 'What is counted.';
comment on column credits.quantity is 'How many.';
comment on column credits.extra is 'Everything else that was sent about it and has no column of its own.';

create table user_events (
    occurred_at timestamptz not null,
    event_key   text not null,
    user_id     text,
    type        text,
    payload     jsonb not null,
    primary key (occurred_at, event_key)
) partition by range (occurred_at);
create index user_events_user on user_events (user_id, occurred_at);
comment on table user_events is 'What users did, as Zephr''s events export tells it; one partition per month (UTC). Events are never changed, and only the retention setting removes them, a month at a time.';
comment on column user_events.occurred_at is 'When it happened.';
comment on column user_events.event_key is 'The event''s identifier, or a hash of its content where the export shows none.';
comment on column user_events.user_id is 'Who did it, where the event says.';
comment on column user_events.type is 'What it was, as sent.';
comment on column user_events.payload is 'All columns of the event by name, as sent.';

-- The mirror's own columns, the same everywhere.
do $$
declare
    kept_in text;
begin
    foreach kept_in in array array[
        'user_grants', 'accounts', 'account_users', 'account_grants', 'segments', 'user_segments', 'user_schema',
        'companies', 'products', 'bundles', 'entitlements', 'meters', 'credits', 'user_events'
    ]
    loop
        execute format(
            'alter table %I
                 add column _zephr_run_id        uuid not null,
                 add column _zephr_first_seen_at timestamptz not null,
                 add column _zephr_loaded_at     timestamptz not null,
                 add column _zephr_extracted_at  timestamptz not null,
                 add column _zephr_deleted_at    timestamptz,
                 add column _zephr_hash          bytea not null,
                 add column _zephr_issues        jsonb', kept_in);
        execute format('comment on column %I._zephr_run_id is %L', kept_in, 'The run that last changed this row.');
        execute format('comment on column %I._zephr_first_seen_at is %L', kept_in, 'When this row first appeared in the mirror.');
        execute format('comment on column %I._zephr_loaded_at is %L', kept_in,
            'When this row last changed in the mirror; untouched while it stays the same.');
        execute format('comment on column %I._zephr_extracted_at is %L', kept_in, 'When the API answered with this version (the API''s clock).');
        execute format('comment on column %I._zephr_deleted_at is %L', kept_in, 'When it was found to be gone; null for a living row.');
        execute format('comment on column %I._zephr_hash is %L', kept_in, 'Hash of the row''s content: equal hash, equal row.');
        execute format('comment on column %I._zephr_issues is %L', kept_in,
            'Values that could not be kept as sent, with the reason; null when there are none.');
    end loop;
end $$;

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

create table visits (
    table_name text not null,
    parent_id  text not null,
    shown_hash bytea,
    visited_at timestamptz not null,
    primary key (table_name, parent_id)
);
create index visits_oldest on visits (table_name, visited_at);
comment on table visits is 'When the API was last asked about something that it tells one parent at a time: the members of an account, the segments of a user.';
comment on column visits.table_name is 'The table that the answer went into.';
comment on column visits.parent_id is 'The account or user it was about.';
comment on column visits.shown_hash is 'Hash of how the parent''s list showed it then, where there is such a list: equal hash, no need to ask again.';
comment on column visits.visited_at is 'Not later than the request (Postgres''s clock).';
