-- BI tools show the comments of what they query, and that is mostly views: each column says what the table's column says.

select set_config(
    'search_path',
    current_setting('zephr_sync.data_path') || ', ' || current_setting('zephr_sync.state_path'),
    true
);

do $$
declare
    source record;
begin
    for source in
        select shown.attrelid::regclass as shown_by, shown.attname as name, col_description(kept.attrelid, kept.attnum) as meaning
        from (values
            ('sync_runs'::regclass, 'runs'::regclass),
            ('users_current'::regclass, 'users'::regclass),
            ('users_versions'::regclass, 'users'::regclass)
        ) as pair (shown_by, kept_in)
        join pg_attribute shown on shown.attrelid = pair.shown_by and shown.attnum > 0
        join pg_attribute kept on kept.attrelid = pair.kept_in and kept.attname = shown.attname
    loop
        execute format('comment on column %s.%I is %L', source.shown_by, source.name, source.meaning);
    end loop;
end $$;

comment on column users_versions.valid_from is 'When the mirror first held this version.';
comment on column users_versions.valid_to is 'When the mirror replaced it, or found the user deleted; null for the present version.';
