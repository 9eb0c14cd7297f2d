"""Every create of the notes API that takes an Idempotency-Key: the same twice makes one thing."""

from typing import Any

import pytest

from tests.conftest import Tenant

CREATES: dict[str, tuple[str, dict[str, Any]]] = {
    "note": ("/v1/notes", {"title": "Once"}),
    "tag": ("/v1/workspace/tags", {"name": "once", "color": "#112233"}),
    "folder": ("/v1/folders", {"name": "Once"}),
    "group": ("/v1/workspace/groups", {"name": "Once"}),
    "invite": ("/v1/invites", {"email": "once@people.example"}),
    # The secret of the first call too, whose answer may have been lost.
    "webhook": ("/v1/webhooks", {"url": "https://once.example", "events": ["note.deleted"], "isActive": False}),
}
OTHER = {"title": "Other", "name": "other", "email": "other@people.example", "url": "https://other.example"}


@pytest.mark.parametrize("noun", CREATES)
async def test_a_repeated_create_returns_the_first_result(tenant: Tenant, noun: str) -> None:
    path, body = CREATES[noun]
    key, other = await tenant.key(), await tenant.key()
    once = {"Idempotency-Key": "same"}
    first, again = [await key.http.post(path, json=body, headers=once) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201), first.text
    assert again.json() == first.json()
    different = {name: OTHER.get(name, value) for name, value in body.items()}
    refused = await key.http.post(path, json=different, headers=once)
    message = "This idempotency key was used for another request before."
    assert (refused.status_code, refused.json()) == (
        422,
        {
            "error": {
                "code": "unprocessable",
                "message": message,
                "type": "validation_error",
                "param": "Idempotency-Key",
            },
            "message": message,
            "code": "unprocessable",
            "errors": {"Idempotency-Key": message},
        },
    )
    # Another caller's keys are their own.
    fresh = await other.http.post(path, json=different, headers=once)
    assert fresh.status_code == 201, fresh.text
    assert fresh.json()[noun]["id"] != first.json()[noun]["id"]
