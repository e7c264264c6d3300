"""What ``kubevip rebalance`` is told wrong: it says what would be right, and asks no API server."""

import pytest

from kubevip.cli import main


@pytest.mark.parametrize("count", ["0", "-1", "x", "1.5", "", "9" * 5000])
def test_max_moves_is_a_number_of_services(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["rebalance", f"--max-moves={count}"])
    assert caught.value.code == 2
    assert "argument --max-moves: " in (told := capsys.readouterr().err)
    assert told.rstrip().endswith("write a number of Services, 1 or more")


@pytest.mark.parametrize("time", ["0", "-1", "x", "nan", "inf", "3601"])
def test_a_wait_is_some_seconds(time: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["rebalance", f"--timeout={time}"])
    assert caught.value.code == 2
    assert f"argument --timeout: '{time}': write seconds above 0, at most 3600" in capsys.readouterr().err
