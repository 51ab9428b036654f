-- What is read of records because a setting asks for it: grants, extended profiles, columns of lists. A setting that stops asking is no answer of the API, so what it stopped
-- asking for stays, and it is said since when it is no longer read. What is read for the first time is no change at Zephr either: until a full scan has read it of everybody it
-- makes no versions.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

create table readings (
    table_name text not null,
    part       text not null,
    is_read    boolean not null,
    since      timestamptz not null,
    whole_at   timestamptz,
    was        text check (was in ('hash', 'drop')),
    primary key (table_name, part)
);
comment on table readings is 'What is read of the records of a table because a setting asks for it, and what is no longer read since a setting stopped asking. What is no longer read stays as it was.';
comment on column readings.table_name is 'The table of the records.';
comment on column readings.part is 'What it is about: grants, app_ids.APP (an extended profile), columns.NAME (a column of a list), or privacy.NAME (what the settings [privacy] keep again).';
comment on column readings.is_read is 'Whether it is read now.';
comment on column readings.since is 'Since when that is so: the beginning of the first run under the setting.';
comment on column readings.whole_at is 'When a full scan had read it of everybody; until then a row may have been read without it.';
comment on column readings.was is 'Of what the settings [privacy] keep again: what was done with it before.';

select set_config('search_path', current_setting('zephr_sync.data_path'), true);

-- A mirror that holds grants was read with them.
insert into readings (table_name, part, is_read, since, whole_at)
select 'users', 'grants', true, now(), now()
where exists (select from user_grants where _zephr_deleted_at is null);
