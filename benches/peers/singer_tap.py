"""The user export as Singer messages on stdout, for any Singer target."""

import json
import sys

import zephr_pages

TEXT = {"type": ["string", "null"]}
OBJECT = {"type": ["object", "null"]}

SCHEMA = {
    "type": "object",
    "properties": {
        "user_id": {"type": "string"},
        "email": TEXT,
        "username": TEXT,
        "email_verified": {"type": ["boolean", "null"]},
        "tracking_id": TEXT,
        "registered_at": {"type": ["string", "null"], "format": "date-time"},
        "registration_tenant": TEXT,
        "foreign_keys": OBJECT,
        "attributes": OBJECT,
        "extra": OBJECT,
    },
}


def write(message):
    sys.stdout.write(json.dumps(message, ensure_ascii=False) + "\n")


write({"type": "SCHEMA", "stream": "users", "schema": SCHEMA, "key_properties": ["user_id"]})
for page in zephr_pages.users():
    for user in page:
        write({"type": "RECORD", "stream": "users", "record": user})
write({"type": "STATE", "value": {}})
