"""How CARET_RATE_LIMITS is read: the three plans, each once, and nothing else."""

import pytest

from caret.settings import Settings, SettingsError
from models import Plan


def read(monkeypatch: pytest.MonkeyPatch, text: str) -> dict[str, int]:
    monkeypatch.setenv("CARET_RATE_LIMITS", text)
    return Settings.load().rate_limits


def test_rate_limits_are_read_from_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    default = Settings.load().rate_limits
    assert default == read(monkeypatch, "") == read(monkeypatch, "free=60,pro=120,enterprise=300")
    expected = {Plan.PRO: 1_000_000, Plan.FREE: 1, Plan.ENTERPRISE: 70}
    assert read(monkeypatch, "pro=1000000,free=1,enterprise=70") == expected


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "60",
        "free=60,pro=120",
        "free=60,pro=120,enterprise=0",
        "free=60,pro=120,enterprise=1000001",
        "free=60,pro=120,enterprise=-1",
        "free=60,pro=120,enterprise=3.5",
        "free=60,pro=120,enterprise=",
        "free=60,pro=120,enterprise=300,",
        "free=60,pro=120,enterprise=300,big=1",
        "free=60,free=60,pro=120,enterprise=300",
        "free=60, pro=120,enterprise=300",
        "free=60;pro=120,enterprise=300",
        "FREE=60,pro=120,enterprise=300",
        "free=060,pro=120,enterprise=300",
        "free=6_0,pro=120,enterprise=300",
        "free=٣,pro=120,enterprise=300",
        "free=60,pro=120,enterprise=300\n",
        "free=" + "9" * 5000 + ",pro=120,enterprise=300",
        '{"free": 60, "pro": 120, "enterprise": 300}',
    ],
    ids=lambda text: text[:50],
)
def test_a_setting_without_a_limit_for_each_plan_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(SettingsError, match="must give each plan a number from 1 to 1000000, like free=60,pro=120,"):
        read(monkeypatch, text)
