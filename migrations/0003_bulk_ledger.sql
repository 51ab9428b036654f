-- The ledger of bulk updates: a push is written down before it is sent, so a crash can be settled from evidence.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

create table bulk_plans (
    plan_id      uuid primary key,
    file_name    text not null,
    file_hash    bytea not null,
    created_at   timestamptz not null default now(),
    applied_at   timestamptz,
    finished_at  timestamptz,
    undo_of      uuid references bulk_plans,
    rows_planned bigint not null,
    rows_skipped bigint not null
);
comment on table bulk_plans is 'Planned bulk updates, each a stored value made from one file.';
comment on column bulk_plans.plan_id is 'Identifier of the plan; everything about a push goes by it.';
comment on column bulk_plans.file_name is 'Name of the file it was made from.';
comment on column bulk_plans.file_hash is 'SHA-256 of that file: the plan is refused when the file changed since.';
comment on column bulk_plans.created_at is 'When it was planned.';
comment on column bulk_plans.applied_at is 'When its first chunk was sent; null while it is only a plan.';
comment on column bulk_plans.finished_at is 'When every row had an outcome.';
comment on column bulk_plans.undo_of is 'The plan this one takes back; null for an ordinary plan.';
comment on column bulk_plans.rows_planned is 'Rows that would change something.';
comment on column bulk_plans.rows_skipped is 'Rows left out because they would change nothing.';

create table bulk_chunks (
    plan_id     uuid not null references bulk_plans on delete cascade,
    chunk       integer not null,
    state       text not null check (state in ('planned', 'sending', 'accepted', 'done')),
    job_id      text,
    sent_at     timestamptz,
    accepted_at timestamptz,
    done_at     timestamptz,
    answer      text,
    primary key (plan_id, chunk),
    check (state not in ('accepted') or job_id is not null)
);
comment on table bulk_chunks is 'The requests of a bulk update, written down before they are sent.';
comment on column bulk_chunks.plan_id is 'The plan.';
comment on column bulk_chunks.chunk is 'Number of the chunk in the plan, from 0.';
comment on column bulk_chunks.state is 'planned, sending (an answer is awaited or was lost), accepted (the API named a job) or done.';
comment on column bulk_chunks.job_id is 'The API''s identifier of the job.';
comment on column bulk_chunks.sent_at is 'When it was sent.';
comment on column bulk_chunks.accepted_at is 'When the API accepted it.';
comment on column bulk_chunks.done_at is 'When all its rows had an outcome.';
comment on column bulk_chunks.answer is 'The API''s last answer about the job, as it came.';

create table bulk_rows (
    plan_id      uuid not null references bulk_plans on delete cascade,
    row_number   bigint not null,
    chunk        integer,
    user_id      text not null,
    action       text not null check (action in ('set', 'delete')),
    old_values   jsonb,
    new_values   jsonb,
    state        text not null check (state in ('planned', 'sent', 'succeeded', 'failed', 'unknown')),
    message      text,
    confirmed_at timestamptz,
    primary key (plan_id, row_number)
);
comment on table bulk_rows is 'The rows of a bulk update with their before-images and outcomes. Personal data.';
comment on column bulk_rows.plan_id is 'The plan.';
comment on column bulk_rows.row_number is 'Number of the row in the file, from 1 below the header.';
comment on column bulk_rows.chunk is 'The chunk it is sent with.';
comment on column bulk_rows.user_id is 'The user it is about.';
comment on column bulk_rows.action is 'set (attributes) or delete (the user).';
comment on column bulk_rows.old_values is 'The attributes before, for undo.';
comment on column bulk_rows.new_values is 'The attributes after.';
comment on column bulk_rows.state is 'planned, sent, succeeded, failed or unknown (no evidence either way).';
comment on column bulk_rows.message is 'What the API or the reconciliation said about it.';
comment on column bulk_rows.confirmed_at is 'When a sync saw that the values really arrived.';
