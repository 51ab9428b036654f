-- The users of the tenant and their keys in other systems: the main tables of the mirror.
-- `attributes` and `extra` together hold everything that was sent, each part once: parsing jsonb is what Postgres spends its time on.

select set_config('search_path', current_setting('zephr_sync.data_path'), true);

create table users (
    user_id              text primary key,
    email                text,
    username             text,
    email_verified       boolean,
    tracking_id          text,
    registered_at        timestamptz,
    registration_tenant  text,
    attributes           jsonb,
    extra                jsonb,
    _zephr_run_id        uuid not null,
    _zephr_first_seen_at timestamptz not null,
    _zephr_loaded_at     timestamptz not null,
    _zephr_extracted_at  timestamptz not null,
    _zephr_deleted_at    timestamptz,
    _zephr_hash          bytea not null,
    _zephr_issues        jsonb
);
-- Answers "did anything in this window change?" and "which of these records are new?" without touching the table.
create index users_registered_at on users (registered_at) include (_zephr_hash) where _zephr_deleted_at is null;
create index users_email on users (email);

comment on table users is 'The users of the Zephr tenant. A row with _zephr_deleted_at is a user who no longer exists.';
comment on column users.user_id is 'Zephr''s identifier of the user.';
comment on column users.email is 'E-mail address as given; null when the user has none.';
comment on column users.username is 'User name, where the user is identified by one.';
comment on column users.email_verified is 'Whether the e-mail address was verified.';
comment on column users.tracking_id is 'Zephr''s tracking identifier.';
comment on column users.registered_at is 'When the user registered.';
comment on column users.registration_tenant is 'The tenant (and sub-tenant) the user registered with.';
comment on column users.attributes is 'The user''s attributes by slug, as sent.';
comment on column users.extra is 'Everything else that was sent about the user and has no column of its own.';
comment on column users._zephr_run_id is 'The run that last changed this row.';
comment on column users._zephr_first_seen_at is 'When this user first appeared in the mirror.';
comment on column users._zephr_loaded_at is 'When this row last changed in the mirror; untouched while the user stays the same.';
comment on column users._zephr_extracted_at is 'When the API answered with this version (the API''s clock).';
comment on column users._zephr_deleted_at is 'When the user was found to be deleted; null for a living one.';
comment on column users._zephr_hash is 'Hash of the user''s content without volatile fields: equal hash, equal user.';
comment on column users._zephr_issues is 'Values that could not be kept as sent, with the reason; null when there are none.';

create table user_foreign_keys (
    user_id              text not null,
    system               text not null,
    key                  text not null,
    _zephr_run_id        uuid not null,
    _zephr_first_seen_at timestamptz not null,
    _zephr_loaded_at     timestamptz not null,
    _zephr_extracted_at  timestamptz not null,
    _zephr_deleted_at    timestamptz,
    _zephr_hash          bytea not null,
    _zephr_issues        jsonb,
    primary key (user_id, system, key)
);
create index user_foreign_keys_key on user_foreign_keys (system, key);

comment on table user_foreign_keys is 'The keys of users in other systems. One user may have several keys in one system.';
comment on column user_foreign_keys.user_id is 'The user.';
comment on column user_foreign_keys.system is 'Name of the other system.';
comment on column user_foreign_keys.key is 'The user''s key there.';
comment on column user_foreign_keys._zephr_run_id is 'The run that last changed this row.';
comment on column user_foreign_keys._zephr_first_seen_at is 'When this key first appeared in the mirror.';
comment on column user_foreign_keys._zephr_loaded_at is 'When this row last changed in the mirror.';
comment on column user_foreign_keys._zephr_extracted_at is 'When the API answered with this version (the API''s clock).';
comment on column user_foreign_keys._zephr_deleted_at is 'When the key was found to be gone; null for a living one.';
comment on column user_foreign_keys._zephr_hash is 'Hash of the row''s content.';
comment on column user_foreign_keys._zephr_issues is 'Values that could not be kept as sent, with the reason.';

create view users_current as
    select user_id, email, username, email_verified, tracking_id, registered_at, registration_tenant, attributes, extra
    from users
    where _zephr_deleted_at is null;
comment on view users_current is 'Living users, without the mirror''s own columns.';

create view sync_runs as
    select run_id, job, mode, status, verdict, verdict_reason, started_at, finished_at, rows_read, rows_inserted, rows_updated,
           rows_unchanged, rows_tombstoned, rows_rejected
    from runs;
comment on view sync_runs is 'What each run of a job did and how complete it was: ask this view how fresh the tables are.';
