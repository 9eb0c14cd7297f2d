"""The client of client.mjs, which shares no code with the server, against a running one."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from models import Plan, Role
from tests.conftest import Services, Tenant, make_tenant
from tests.support.clients import Caller
from tests.support.servers import running_server

CLIENT = Path(__file__).with_name("client.mjs")

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node 20 or newer")


async def complaints(caller: Caller, part: str) -> str:
    """What the client found wrong, one line each; empty if it found nothing."""
    process = await asyncio.create_subprocess_exec(
        *("node", str(CLIENT), part),
        env={**os.environ, "CARET_URL": caller.served.url, "CARET_KEY": caller.credential},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert (process.returncode == 0) == (output == b""), process.returncode
    return output.decode()


async def test_every_response_is_as_documented(tenant: Tenant) -> None:
    await tenant.user(Role.ADMIN, "Ada")
    await tenant.user(Role.MEMBER, "Bob")
    assert await complaints(await tenant.key(), "walk") == ""


async def test_the_client_receives_the_rate_limit(services: Services, database: AsyncEngine) -> None:
    settings = {**services.settings, "rate_limits": "free=3,pro=3,enterprise=3"}
    with running_server(**settings) as limited:
        caller = await (await make_tenant(limited, database, Plan.FREE)).key()
        assert await complaints(caller, "limits") == ""
        await caller.close()
