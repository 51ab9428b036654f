"""The user export, page by page, with Python's own library: what each peer reads, signed as Zephr wants it."""

import hashlib
import http.client
import json
import os
import time
import urllib.parse
import uuid

# Records per page: the API's default, and what zephr-sync asks for.
RPP = 500


def users():
    """Yields the users of each page as a list: flat, with what is nested as objects."""
    base = urllib.parse.urlsplit(os.environ["ZEPHR_BASE_URL"])
    connection = http.client.HTTPConnection(base.hostname, base.port)
    page = 1
    while True:
        target = f"/v3/user-export?attributes=true&rpp={RPP}&page={page}"
        connection.request("GET", target, headers={"Authorization": authorization("GET", target)})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{target}: {answer.status}")
        document = json.loads(body)
        # Documented as a list in a list; some tenants leave the outer one out.
        results = document["results"]
        items = results[0] if results and isinstance(results[0], list) else results
        if items:
            yield [record(item["user"]) for item in items]
        if len(items) < RPP:
            return
        page += 1


def record(user):
    """The columns that zephr-sync has; all the rest in `extra`."""
    user = dict(user)
    identifiers = user.pop("identifiers", None) or {}
    known = {
        "user_id": user.pop("user_id"),
        "email": identifiers.get("email_address"),
        "username": identifiers.get("username"),
        "email_verified": user.pop("email_verified", None),
        "tracking_id": user.pop("tracking_id", None),
        "registered_at": user.pop("registered", None),
        "registration_tenant": user.pop("registration_tenant", None),
        "foreign_keys": user.pop("foreign_keys", None),
        "attributes": user.pop("attributes", None),
    }
    return known | {"extra": user}


def authorization(method, target):
    """A plain SHA-256 over the parts, secret first; not an HMAC."""
    path, _, query = target.partition("?")
    timestamp = str(int(time.time() * 1000))
    nonce = uuid.uuid4().hex
    text = os.environ["ZEPHR_SECRET_KEY"] + path + query + method + timestamp + nonce
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"ZEPHR-HMAC-SHA256 {os.environ['ZEPHR_ACCESS_KEY']}:{timestamp}:{nonce}:{digest}"
