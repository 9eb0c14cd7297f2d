"""Wrong settings and absent servers: one clear line, status 1, and nothing that keeps trying."""

from pathlib import Path

import pytest

from tests.conftest import Services
from tests.support.commands import run_here, run_process
from tests.support.servers import ENCRYPTION_KEY, SECRET

NOBODY = "127.0.0.1:1"
WRONG = [
    ({"port": "abc"}, "CARET_PORT: "),
    ({"port": "65536"}, "CARET_PORT: must be a whole number from 0 to 65,535."),
    ({"database_url": "mysql://x"}, "CARET_DATABASE_URL: must be an address that starts with postgresql://."),
    ({"nats_url": "http://x"}, "CARET_NATS_URL: must be an address that starts with nats://."),
    ({"prot": "80"}, "CARET_PROT: there is no such setting."),
    ({"jwt_secret": "short"}, "CARET_JWT_SECRET: must have at least 32 characters."),
    ({"jwks_url": "example.com"}, "CARET_JWKS_URL: "),
    ({"log_level": "loud"}, "CARET_LOG_LEVEL: must be one of debug, info, warning, error."),
    ({"demo": "perhaps"}, "CARET_DEMO: must be 0 or 1."),
    ({"replies_per_user": "0"}, "CARET_REPLIES_PER_USER: "),
    ({"replies_per_workspace": "100001"}, "CARET_REPLIES_PER_WORKSPACE: "),
    (
        {"tokens_per_minute": "-1"},
        "CARET_TOKENS_PER_MINUTE: must be a whole number from 0 to 1,000,000,000,000 tokens.",
    ),
    ({"chunk_size": "127"}, "CARET_CHUNK_SIZE: "),
    ({"chunk_size": "8193"}, "CARET_CHUNK_SIZE: must be a whole number from 128 to 8,192 characters."),
    ({"chunk_overlap": "-1"}, "CARET_CHUNK_OVERLAP: "),
    ({"chunk_size": "200", "chunk_overlap": "101"}, "CARET_CHUNK_OVERLAP: at most half of CARET_CHUNK_SIZE, here 100."),
    ({"shutdown_grace": "301"}, "CARET_SHUTDOWN_GRACE: "),
    (
        {"rate_limits": "free=60,pro=120"},
        "CARET_RATE_LIMITS: must give each plan a number from 1 to 1000000, like ",
    ),
    ({"llm_base_url": "http://"}, "CARET_LLM_BASE_URL: must be an address that names a host"),
    ({"llm_base_url": "http://127.0.0.1:1/v1"}, "CARET_LLM_BASE_URL is set but CARET_LLM_MODEL is not"),
    ({"llm_silence": "0.5"}, "CARET_LLM_SILENCE: "),
    ({"llm_silence": "601"}, "CARET_LLM_SILENCE: must be a number from 1 to 600 seconds."),
    ({"llm_fallbacks": "a,,b"}, "CARET_LLM_FALLBACKS: must be ids of models with commas between them, each once."),
    ({"llm_fallbacks": "a, b,a"}, "CARET_LLM_FALLBACKS: must be ids of models with commas between them, each once."),
    ({"embedding_api_key": "k"}, "CARET_EMBEDDING_MODEL is not set"),
    ({"embedding_model": "m"}, "CARET_EMBEDDING_MODEL is set: set CARET_EMBEDDING_BASE_URL"),
    ({"transcriber_base_url": "http://127.0.0.1:1/v1"}, "CARET_TRANSCRIBER_MODEL is not set"),
    ({"transcriber_model": "m"}, "CARET_TRANSCRIBER_MODEL is set: set CARET_TRANSCRIBER_BASE_URL"),
    ({"storage_url": "https://x"}, "CARET_STORAGE_URL: must be an address that starts with s3://."),
    ({"storage_url": "s3://"}, "CARET_STORAGE_URL: must be an address that names a host"),
    (
        {"storage_url": "s3://b", "storage_access_key_id": "i"},
        "CARET_STORAGE_URL is set: set CARET_STORAGE_ACCESS",
    ),
    ({"storage_endpoint": "http://127.0.0.1:1"}, "CARET_STORAGE_URL is not set: name the bucket"),
    ({"storage_region": "eu-west-1"}, "CARET_STORAGE_URL is not set: name the bucket"),
    ({"encryption_keys": "short"}, "CARET_ENCRYPTION_KEYS: must be keys of 32 bytes in URL-safe base64"),
    ({"encryption_keys": f"{ENCRYPTION_KEY},"}, "CARET_ENCRYPTION_KEYS: must be keys of 32 bytes in URL-safe base64"),
    ({"public_url": "caret.example"}, "CARET_PUBLIC_URL: must be an address that starts with https://."),
]


@pytest.mark.parametrize(("settings", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_setting_stops_the_server(settings: dict[str, str], message: str, tmp_path: Path) -> None:
    stopped = run_here("serve", **{"port": "0", "data_dir": str(tmp_path), **settings})
    assert (stopped.returncode, stopped.stdout) == (1, "")
    [line] = stopped.stderr.splitlines()
    assert line.startswith(f"caret: {message}")
    assert "short" not in line or "jwt_secret" not in settings, "the secret is not shown"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"database_url": f"postgresql://u:hidden@{NOBODY}/x"}, "CARET_DATABASE_URL: no database can be used there: "),
        ({"database_url": "postgresql://u:hidden@127.0.0.1:port/x"}, "CARET_DATABASE_URL: no database can be used"),
        ({"nats_url": f"nats://hidden@{NOBODY}"}, "CARET_NATS_URL: no NATS can be used there: "),
        ({"llm_base_url": "", "llm_model": "nobody/knows"}, "CARET_LLM_MODEL is 'nobody/knows', which no configured"),
        ({"llm_fallbacks": "caret/extractive, x"}, "CARET_LLM_FALLBACKS names 'x', which no configured"),
        ({"models_file": "/nowhere/models.json"}, "CARET_MODELS_FILE: /nowhere/models.json can't be read"),
        ({"models_file": __file__}, f"CARET_MODELS_FILE: {__file__}: Invalid JSON: "),
    ],
    ids=["database", "database port", "bus", "model", "fallback", "no models file", "wrong models file"],
)
def test_settings_that_only_a_connection_can_check(
    services: Services, settings: dict[str, str], message: str, tmp_path: Path
) -> None:
    stopped = run_process("serve", **{**services.settings, "port": "0", "data_dir": str(tmp_path), **settings})
    assert (stopped.returncode, stopped.stdout) == (1, "")
    [line] = stopped.stderr.splitlines()
    assert line.startswith(f"caret: {message}")
    assert "hidden" not in line


def test_wrong_credentials_and_absent_servers_have_different_messages(services: Services, tmp_path: Path) -> None:
    address = services.nats_url.rpartition("@")[2]
    stopped = run_process(
        "serve", **{**services.settings, "nats_url": f"nats://wrong@{address}", "data_dir": str(tmp_path)}, port="0"
    )
    assert stopped.returncode == 1
    assert "Authorization Violation" in stopped.stderr
    address = services.database_url.rpartition("@")[2]
    process = run_process("migrate", **{**services.settings, "database_url": f"postgresql://caret:hidden@{address}"})
    assert process.returncode == 1
    [line] = process.stderr.splitlines()
    assert line == 'caret: CARET_DATABASE_URL: the database refuses: password authentication failed for user "caret"'


@pytest.mark.parametrize(
    "command",
    [("migrate",), ("seed",), ("key", "create", "--workspace", "W"), ("token", "create", "--email", "a@b.example")],
    ids=" ".join,
)
def test_commands_without_their_database(command: tuple[str, ...], tmp_path: Path) -> None:
    url = f"postgresql://u:hidden@{NOBODY}/x"
    process = run_process(*command, database_url=url, data_dir=str(tmp_path), jwt_secret=SECRET)
    assert (process.returncode, process.stdout) == (1, "")
    [line] = process.stderr.splitlines()
    assert line.startswith("caret: CARET_DATABASE_URL: no database can be used there: ")
    assert "hidden" not in line


def test_commands_on_a_folder_that_no_server_uses(tmp_path: Path) -> None:
    """Each starts the embedded database for the moment, and prints its secret alone."""
    folder = {"data_dir": str(tmp_path / "fresh")}
    key = run_process("key", "create", "--workspace", "W", **folder)
    assert (key.returncode, key.stderr) == (0, "")
    assert key.stdout.startswith("sk-caret-api-")
    assert len(key.stdout.split()) == 1
    token = run_process("token", "create", "--email", "a@b.example", **folder)
    assert (token.returncode, token.stderr, len(token.stdout.split())) == (0, "", 1)
    seeded = run_process("seed", **folder)
    assert (seeded.returncode, seeded.stdout) == (0, "")
    assert "there is a workspace already" in seeded.stderr
    unknown = run_process("key", "create", "--workspace", "W", "--scope", "nonsense", **folder)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "Unknown scope" in unknown.stderr
    assert not (tmp_path / "fresh" / "postgres" / "data" / "postmaster.pid").exists()


def test_the_schema_needs_nothing(tmp_path: Path) -> None:
    printed = run_process("schema", database_url=f"postgresql://u@{NOBODY}/x", data_dir=str(tmp_path / "none"))
    assert (printed.returncode, printed.stderr) == (0, "")
    assert not (tmp_path / "none").exists()
