-- Comparisons that ended before ($1), except the last of each job, which `status` shows.
delete from verifications v
where finished_at < $1
  and exists (select from verifications later where later.job = v.job and later.started_at > v.started_at)
