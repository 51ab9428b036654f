"""The user export into Postgres with dlt: merged by user_id, nested values kept as JSON, staged as Parquet."""

import os

import dlt
import zephr_pages


@dlt.resource(
    name="users",
    primary_key="user_id",
    write_disposition={"disposition": "merge", "strategy": "upsert"},
    max_table_nesting=0,
    columns={
        "registered_at": {"data_type": "timestamp"},
        "foreign_keys": {"data_type": "json"},
        "attributes": {"data_type": "json"},
        "extra": {"data_type": "json"},
    },
)
def users():
    yield from zephr_pages.users()


# dlt wants a password, even where the server does not.
os.environ.setdefault("CREDENTIALS__PASSWORD", "unused")

pipeline = dlt.pipeline(
    pipeline_name="zephr",
    pipelines_dir=os.environ["PEER_DIRECTORY"],
    destination=dlt.destinations.postgres(os.environ["DATABASE_URL"]),
    dataset_name="peer",
)
pipeline.run(users, loader_file_format="parquet").raise_on_failed_jobs()
