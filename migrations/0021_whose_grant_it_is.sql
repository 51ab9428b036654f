-- A grant is part of a user's record, so its row is that user's: of one that two users show, or that moves while a scan reads, the row of one was taken for the other's, and was marked as deleted with it
-- although somebody still had it. And rows below parents that vanish visit by visit are one incident, which has to be counted over the runs.

select set_config('search_path', current_setting('zephr_sync.data_path'), true);

-- Building an index lets readers read; what does not, comes after and takes no time.
create unique index user_grants_holder on user_grants (user_id, grant_id);
create index user_grants_grant on user_grants (grant_id);
alter table user_grants drop constraint user_grants_pkey, add constraint user_grants_pkey primary key using index user_grants_holder;
drop index user_grants_user;

comment on table user_grants is 'What users may use: one row per user and grant, from the user export when the job says grants = true. A grant that two users show, or that has moved, has a row for each of them.';

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

create table vanishing (
    table_name text primary key,
    rows bigint not null
);
comment on table vanishing is 'Rows that were marked as deleted after answers about single parents, in runs one after the other in which at least half of what is known was missing: such runs are one incident for the brake.';
comment on column vanishing.table_name is 'The table of the rows.';
comment on column vanishing.rows is 'How many were marked so; a run whose answers show most of what is known begins anew.';
