-- Fence, parts, findings and counters of a batch. No row changes where the token is old.
with held as (
    select token from leases where resource = $1 and token = $2 for key share
),
parts as (
    insert into windows (scan_id, run_id, lower_bound, upper_bound, part, proof, rows_read)
    select $4, $3, part.*
    from held, unnest($5::timestamptz[], $6::timestamptz[], $7::text[], $8::text[], $9::bigint[]) as part
),
findings as (
    insert into scan_notes (scan_id, note, record_id)
    select $4, found.* from held, unnest($10::text[], $11::text[]) as found
    on conflict do nothing
)
update runs set
    rows_read = rows_read + $12,
    rows_inserted = rows_inserted + $13,
    rows_updated = rows_updated + $14,
    rows_unchanged = rows_unchanged + $15,
    rows_rejected = rows_rejected + $16,
    rows_tombstoned = rows_tombstoned + $17,
    times_from_numbers = times_from_numbers + $18
from held
where run_id = $3
