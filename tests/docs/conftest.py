"""One demo server for all pages, as `make serve` starts it on an empty machine."""

import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.servers import RunningServer, environment, server_process
from tests.support.transcriber import MODEL, ScriptedTranscriber

CREATE_KEY = 'mutation { createApiKey(input: {name: "documents"}) { key } }'
DOCUMENTED_KEY, DOCUMENTED_PORT, DOCUMENTED_RECEIVER_PORT = "sk-caret-api-…", "8080", "9000"


@dataclass(frozen=True)
class Demo:
    """The server of the demo workspace. `settings` are those of the commands that its pages run."""

    server: RunningServer
    settings: dict[str, str]
    receiver_port: int

    @property
    def token(self) -> str:
        return next(line.split()[-1] for line in self.server.lines if line.startswith("  User token"))

    @property
    def port(self) -> str:
        return self.server.url.rpartition(":")[2]

    @property
    def environment(self) -> dict[str, str]:
        return environment(**self.settings)

    def create_key(self) -> str:
        """A new API key, so that each page has the points of a caller for itself."""
        answer = self.query(self.token, CREATE_KEY)
        return str(answer["data"]["createApiKey"]["key"])  # type: ignore[index]

    def query(self, credential: str, document: str) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {credential}"}
        answer = httpx.post(f"{self.server.url}/graphql", json={"query": document}, headers=headers, timeout=30)
        return dict(answer.json())

    def localized(self, command: str, key: str) -> str:
        """The command with this server's ports, its key and this Python in the place of the documented ones."""
        # The example reads another address than its default from the environment.
        command = command.replace("CARET_KEY=$CARET_KEY ", f"CARET_KEY=$CARET_KEY CARET_URL={self.server.ws_url} ")
        command = command.replace(DOCUMENTED_KEY, key).replace(".venv/bin/", f"{Path(sys.executable).parent}/")
        command = re.sub(rf"\b{DOCUMENTED_PORT}\b", self.port, command)
        return re.sub(rf"\b{DOCUMENTED_RECEIVER_PORT}\b", str(self.receiver_port), command)

    def documented(self, output: str) -> str:
        """The output with the documented ports."""
        output = re.sub(rf"127\.0\.0\.1:{self.port}\b", f"127.0.0.1:{DOCUMENTED_PORT}", output)
        return re.sub(rf"127\.0\.0\.1:{self.receiver_port}\b", f"127.0.0.1:{DOCUMENTED_RECEIVER_PORT}", output)


@dataclass(frozen=True)
class Workspace:
    """What the demo workspace holds, to remove what a page has added to it."""

    client: httpx.Client

    def contents(self) -> set[str]:
        notes = self.client.get("/v1/notes", params={"limit": 100}).json()["items"]
        webhooks = self.client.get("/v1/webhooks").json()["webhooks"]
        tags = self.client.get("/v1/workspace/tags").json()["tags"]
        folders = self.client.get("/v1/folders").json()["folders"]
        return (
            {f"/v1/notes/{row['id']}" for row in notes}
            | {f"/v1/webhooks/{row['id']}" for row in webhooks}
            | {f"/v1/workspace/tags/{row['id']}" for row in tags}
            | {f"/v1/folders/{row['id']}" for row in folders}
        )

    def remove(self, paths: set[str]) -> None:
        for path in sorted(paths):
            assert self.client.delete(path).status_code == 200, path


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    transcriber = ScriptedTranscriber()
    transcriber.start()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        receiver_port = free.getsockname()[1]
    settings = {
        "data_dir": str(tmp_path_factory.mktemp("documents")),
        "webhooks_allow_local": "1",
        "transcriber_base_url": transcriber.url,
        "transcriber_model": MODEL,
        "transcriber_api_key": "sk-transcriber",
    }
    try:
        with server_process(**settings) as server:
            yield Demo(server, settings, receiver_port)
    finally:
        transcriber.stop()


@pytest.fixture
def unchanged_workspace(demo: Demo) -> Iterator[None]:
    """Removes what the test has added to the demo workspace."""
    headers = {"Authorization": f"Bearer {demo.token}"}
    with httpx.Client(base_url=demo.server.url, headers=headers, timeout=30) as client:
        workspace = Workspace(client)
        before = workspace.contents()
        yield
        workspace.remove(workspace.contents() - before)
