-- What a push needs to be previewed, resumed and taken back: who planned it from what, where each row of the file went, which jobs of the API are known.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

alter table bulk_plans
    alter column file_name drop not null,
    alter column file_hash drop not null,
    add column file_path     text,
    add column rejects_path  text,
    add column identifier    text not null default 'user_id',
    add column created_by    text not null default '',
    add column applied_by    text,
    add column rows_read     bigint not null default 0,
    add column rows_rejected bigint not null default 0,
    add column rows_deleting bigint not null default 0,
    add column totals        jsonb not null default '[]',
    add column fields        jsonb not null default '[]',
    add column synced_at     timestamptz,
    add check (undo_of is not null or file_hash is not null);
comment on column bulk_plans.file_name is 'Name of the file it was made from; null for an undo, which is made from another plan.';
comment on column bulk_plans.file_path is 'Where that file was, to see whether it changed since.';
comment on column bulk_plans.rejects_path is 'Where the rows that were left out with a complaint were written; null when there were none.';
comment on column bulk_plans.identifier is 'What the file names users by: user_id, email, username or foreign_key:<system>.';
comment on column bulk_plans.created_by is 'Who planned it: user of the operating system and host.';
comment on column bulk_plans.applied_by is 'Who applied it.';
comment on column bulk_plans.rows_read is 'Rows of the file.';
comment on column bulk_plans.rows_rejected is 'Rows left out with a complaint.';
comment on column bulk_plans.rows_deleting is 'Those of rows_planned that delete a user.';
comment on column bulk_plans.totals is 'Per attribute how many rows set it, where there was no value and where there was another, and how many clear it.';
comment on column bulk_plans.fields is 'The fields of the tenant''s user schema that the file was checked against.';
comment on column bulk_plans.synced_at is 'When the last finished run of users began: how old the mirror was that it was compared with.';

alter table bulk_chunks
    add column action     text not null check (action in ('set', 'delete')),
    add column rows_sent  integer,
    add column attempts   integer not null default 0,
    add column job_status text;
create index bulk_chunks_open on bulk_chunks (plan_id, chunk) where state in ('sending', 'accepted');
comment on column bulk_chunks.action is 'set or delete: the two are never in one request.';
comment on column bulk_chunks.rows_sent is 'Updates in the request.';
comment on column bulk_chunks.attempts is 'How often it was sent; more than once only after evidence that the API did nothing with it.';
comment on column bulk_chunks.job_status is 'The API''s word for the state of the job, as it last came.';

alter table bulk_rows
    alter column user_id drop not null,
    drop constraint bulk_rows_state_check,
    -- Looked up for each row, it was a third of what storing a plan costs; see the trigger below.
    drop constraint bulk_rows_plan_id_fkey,
    add column line          bigint not null,
    add column identifier    text,
    add column registered_at timestamptz,
    add column settled_at    timestamptz,
    add column refuted_at    timestamptz,
    add check (state in ('planned', 'sent', 'succeeded', 'failed', 'unknown', 'unchanged', 'rejected')),
    add check (user_id is not null or state = 'rejected'),
    add check ((state in ('succeeded', 'failed', 'unknown')) = (settled_at is not null));
-- Rows are written in the transaction that adds their plan, so what is left for a foreign key to do is this.
create function bulk_rows_follow() returns trigger language plpgsql set search_path from current as $$
begin
    delete from bulk_rows using gone where bulk_rows.plan_id = gone.plan_id;
    return null;
end
$$;
create trigger bulk_rows_follow after delete on bulk_plans referencing old table as gone
    for each statement execute function bulk_rows_follow();
comment on function bulk_rows_follow() is 'Deletes the rows of plans that are deleted.';
-- What an erasure goes by, and how planning finds a user who stands in a plan twice. Hashes, since rows come in the order of a file: to put a million identifiers
-- in order, in a B-tree that is unique, was more than half of what storing a plan costs.
create index bulk_rows_user on bulk_rows using hash (user_id) where user_id is not null;
create index bulk_rows_chunk on bulk_rows (plan_id, chunk) where chunk is not null;
-- What is known to have been set and was not seen in the mirror yet: later plans are compared with it, syncs look for it.
create index bulk_rows_unconfirmed on bulk_rows (user_id) where state = 'succeeded' and confirmed_at is null and refuted_at is null;
comment on column bulk_rows.row_number is 'Number of the row in the file, from 1 below the header; of an undo, as in the plan it takes back.';
comment on column bulk_rows.line is 'Line of the file at which the row begins, from 1.';
comment on column bulk_rows.identifier is 'What the file named the user by, as it stood there.';
comment on column bulk_rows.registered_at is 'When the user registered: another date under the same user_id is another person.';
comment on column bulk_rows.old_values is 'Before: of set the attributes that change, null where there was none; of delete the person.';
comment on column bulk_rows.new_values is 'After: the attributes as they are sent.';
comment on column bulk_rows.state is 'planned, sent, succeeded, failed or unknown (no evidence either way); unchanged (nothing to do) or rejected (see message), which are never sent.';
comment on column bulk_rows.settled_at is 'When it succeeded, failed or became unknown.';
comment on column bulk_rows.confirmed_at is 'When a sync saw that the values really arrived.';
comment on column bulk_rows.refuted_at is 'When a full sync saw that they did not; message says which.';

create table bulk_jobs (
    job_id  text primary key,
    ours    boolean not null,
    listed  boolean not null,
    seen_at timestamptz not null default now()
);
comment on table bulk_jobs is 'The jobs of the API that were seen: one that is not here can be the answer to a request whose answer was lost.';
comment on column bulk_jobs.job_id is 'The API''s identifier of the job.';
comment on column bulk_jobs.ours is 'Whether one of our requests made it.';
comment on column bulk_jobs.listed is 'Whether the API''s list of jobs has shown it: then the list can be believed.';
comment on column bulk_jobs.seen_at is 'When it was first seen.';

select set_config('search_path', current_setting('zephr_sync.data_path'), true);

-- A file may name users by their user name, which may be longer than an entry of a B-tree.
create index users_username on users using hash (username) where username is not null;

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

alter table runs
    add column pushes_confirmed bigint not null default 0,
    add column pushes_refuted   bigint not null default 0;
comment on column runs.pushes_confirmed is 'Rows of bulk updates whose values this run saw in the tenant.';
comment on column runs.pushes_refuted is 'Rows of bulk updates that the API said were done and whose values this run did not see.';
