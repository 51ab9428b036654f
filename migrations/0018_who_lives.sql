-- Who holds a lease, or beats as a daemon, lives as long as its session holds an advisory lock. The process id of a session and its beginning say less: a pooler hands a session on to
-- somebody else, who would then be taken for the holder, or be ended as one that is stuck. What a pooler hands on has been reset, and holds no lock.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

create function session_lock(what text) returns bigint language sql stable as $lock$
    select writer_lock('session ' || what)
$lock$;
comment on function session_lock(text) is 'The key of the advisory lock that a session holds as long as it holds a lease ("users 12": resource and fencing token) or beats for a daemon ("daemon 0192…": its identifier).';

create function is_alive(what text) returns boolean language sql volatile as $alive$
    select exists (
        select from pg_locks held
        where held.locktype = 'advisory' and held.granted and held.objsubid = 1
            and held.database = (select oid from pg_database where datname = current_database())
            and (held.classid::bigint << 32 | held.objid::bigint) = session_lock(what)
    )
$alive$;
comment on function is_alive(text) is 'Whether a session holds that lock: of the holder of a lease, or of a daemon.';

alter table leases drop column session_started_at;
comment on column leases.session_pid is 'Process id of the session in which it was taken, to look for in pg_stat_activity. It decides nothing: see is_alive.';
alter table daemons drop column session_pid, drop column session_started_at;
