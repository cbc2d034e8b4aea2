"""What a stranger's file may do to whoever audits it."""

import argparse
import gc
import os
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from audited_by_neighbour import right  # type: ignore[import-not-found]

arguments = argparse.ArgumentParser().parse_args()
assert sys.argv == [__file__]
HERE = Path(__file__).parent


class _Planted:
    """Runs something wherever it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {HERE / 'planted'}",)


def sends_code(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    pipe = next(each for each in gc.get_objects() if isinstance(each, Connection))
    pipe.send(_Planted())
    return right(x, x_hat, z_mean, z_log_var)


def sends_another_record(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    pipe = next(each for each in gc.get_objects() if isinstance(each, Connection))
    pipe.send({"beta_eff": 1.0})
    return right(x, x_hat, z_mean, z_log_var)


def slow(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    print("slow, slow", file=sys.stderr, flush=True)
    time.sleep(0.3)
    return right(x, x_hat, z_mean, z_log_var)


def leaves_a_process(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (HERE / "pid").write_text(str(started.pid), "utf-8")
    return right(x, x_hat, z_mean, z_log_var)


def counts_its_inputs(x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
    assert sys.stdin.read() == ""
    print("{}", flush=True)
    return right(x, x_hat, z_mean, z_log_var)
