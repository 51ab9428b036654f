-- Whose mirror it is, and that its two halves belong together: the tenant it was begun for, so that another one's settings are refused; and a mark that tables and
-- bookkeeping carry of each other, so that a half that was restored, and a table that was truncated or swapped, is noticed before anything believes it.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

create table tenant (
    only_one boolean primary key default true check (only_one),
    address  text not null,
    noted_at timestamptz not null default clock_timestamp()
);
comment on table tenant is 'The tenant that the mirror holds, one row; settings that name another one are refused until somebody adopts the mirror for it.';
comment on column tenant.only_one is 'There is one row at most.';
comment on column tenant.address is 'Host of its Admin API in lower case, with the port where that is not the usual one.';
comment on column tenant.noted_at is 'When this was written down.';

create table tenant_keys (
    address     text not null,
    key_check   bytea not null,
    known_since timestamptz not null default clock_timestamp(),
    primary key (address, key_check)
);
comment on table tenant_keys is 'Addresses and keys that are known to lead to the tenant of this mirror: with others it is first asked for some of the users that the mirror holds.';
comment on column tenant_keys.address is 'The address, as in tenant.';
comment on column tenant_keys.key_check is 'Hash of the access key; the key itself is not kept.';
comment on column tenant_keys.known_since is 'Since when.';

create table data_mark (
    only_one  boolean primary key default true check (only_one),
    mark      uuid not null,
    marked_at timestamptz not null default clock_timestamp()
);
comment on table data_mark is 'The mark that the tables carry in mirror_mark, one row. Every run renews both at its beginning and at its end, an erasure too: where they differ, one of the two was restored.';
comment on column data_mark.only_one is 'There is one row at most.';
comment on column data_mark.mark is 'The mark.';
comment on column data_mark.marked_at is 'When it was last renewed.';
insert into data_mark (mark) values (gen_random_uuid());

create table table_marks (
    table_name text primary key,
    table_oid  oid not null,
    had_rows   boolean not null
);
comment on table table_marks is 'Which tables runs left behind, so that one that was dropped, swapped or emptied is noticed.';
comment on column table_marks.table_name is 'Name of the table.';
comment on column table_marks.table_oid is 'Postgres''s own number of it: another table of the same name has another one.';
comment on column table_marks.had_rows is 'Whether it is known to have had rows. Rows that are gone stay as tombstones, so it does not become empty by itself.';

alter table checkpoints
    add column distrusted    text,
    add column distrusted_at timestamptz;
comment on column checkpoints.distrusted is 'Why what was known of the job''s progress is not believed any more; null again once everything was read anew.';
comment on column checkpoints.distrusted_at is 'When that was noticed.';

-- The other half of the mark, in the schema for analysts, so that whoever saves or restores that schema does so with it; and what notices a truncation. Whether the
-- mark had to be made. A function, since a schema from an older backup, and a table that a job file makes, has none of it.
create function make_marks() returns boolean language plpgsql as $make$
declare
    before  text := current_setting('search_path');
    place   oid := (select relnamespace from pg_class where oid = to_regclass('users'));
    made    boolean := false;
    unnoted regclass;
begin
    if place is null then
        return false;
    end if;
    perform set_config('search_path', place::regnamespace::text || ', pg_temp', true);
    if to_regclass('mirror_mark') is null then
        create table mirror_mark (
            only_one  boolean primary key default true check (only_one),
            mark      uuid not null default gen_random_uuid(),
            truncated text[] not null default '{}',
            erased    bytea[] not null default '{}'
        );
        comment on table mirror_mark is 'What says to which state of the bookkeeping these tables belong, one row. Not for analysts: it is saved and restored with the tables.';
        comment on column mirror_mark.only_one is 'There is one row at most.';
        comment on column mirror_mark.mark is 'The mark: the same as in the bookkeeping, unless one of the two was restored.';
        comment on column mirror_mark.truncated is 'Tables that were truncated since a run last looked.';
        comment on column mirror_mark.erased is 'Keyed hashes of who was erased, as in the bookkeeping, so that they outlast a restore of it. No personal data.';
        made := true;
    end if;
    insert into mirror_mark default values on conflict do nothing;
    if to_regproc('mirror_mark_truncated') is null then
        -- Of the owner's right: whoever may truncate a table need not be able to write the mark.
        create function mirror_mark_truncated() returns trigger language plpgsql security definer set search_path from current as $trigger$
        begin
            update mirror_mark set truncated = array_append(truncated, tg_table_name::text) where not tg_table_name = any(truncated);
            return null;
        end
        $trigger$;
        comment on function mirror_mark_truncated() is 'Notes that a table was truncated.';
    end if;
    for unnoted in
        select c.oid from pg_class c
        where c.relnamespace = place and c.relkind in ('r', 'p') and not c.relispartition and c.oid <> to_regclass('mirror_mark')
            and pg_get_userbyid(c.relowner) = current_user
            and not exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = 'mirror_mark_truncated')
    loop
        execute format('create trigger mirror_mark_truncated after truncate on %s for each statement execute function mirror_mark_truncated()', unnoted);
    end loop;
    perform set_config('search_path', before, true);
    return made;
end
$make$;
comment on function make_marks() is 'Makes what is missing of mirror_mark and of what notices a truncation; whether the mark had to be made.';

do $$
begin
    -- One that is there belongs to another state of the bookkeeping.
    if make_marks() then
        update mirror_mark set mark = (select mark from data_mark), erased = array(select keyed_hash from erasures);
    end if;
end
$$;
