-- A process that stops in the middle of a COPY is at work as far as Postgres knows: no time limit of idle sessions ends it, and whoever takes over waits for the rows
-- that it wrote. So every transaction that writes under a lease or a claim says so by an advisory lock, and whoever takes the lease or the claim ends who still holds it.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

-- Of this pair of schemas and no other: advisory locks belong to the whole database.
create function writer_lock(permit text) returns bigint language sql stable as $lock$
    select hashtextextended('leases'::regclass::oid || ' ' || permit, 0)
$lock$;
comment on function writer_lock(text) is 'The key of the advisory lock that a transaction holds, shared, while it writes under a lease ("users 12": resource and fencing token) or a claim ("claim 7").';

create function end_writers(permit text) returns bigint language sql volatile as $ended$
    -- First who it is, then the end of those: in one expression Postgres may choose another order.
    with writers as materialized (
        select writer.pid
        from pg_locks held
        join pg_stat_activity writer on writer.pid = held.pid
        where held.locktype = 'advisory' and held.granted and held.objsubid = 1
            and held.database = (select oid from pg_database where datname = current_database())
            and (held.classid::bigint << 32 | held.objid::bigint) = writer_lock(permit)
            and held.pid <> pg_backend_pid()
            -- Sessions of other roles are not ours to end: the fencing token keeps them out all the same.
            and pg_has_role(writer.usesysid, 'usage')
    )
    select count(*) filter (where pg_terminate_backend(pid)) from writers
$ended$;
comment on function end_writers(text) is 'Ends the sessions of those who still write under a lease or a claim that was taken from them; how many.';
