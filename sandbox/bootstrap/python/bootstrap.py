"""The Python runtime.

It is started for a function (then the environment is complete), or ahead of
time (THERMOCLINE_WAIT=1), when it waits to be told.
"""
import importlib
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [HERE] + [p for p in sys.path if p not in ("", HERE)]

import thermocline_client as client  # noqa: E402
import thermocline_log as log  # noqa: E402
import thermocline_runtime as runtime  # noqa: E402

sys.path.remove(HERE)


def bind(api):
    """Waits for the function, and takes over its environment.

    It rehearses an invocation first: whoever asks for a binding is ready for
    one.
    """
    runtime.rehearse()
    import_main()
    status, _, body = api.request("GET", "/thermocline/v1/binding")
    if status != 200:
        raise OSError(f"the Runtime API answered {status} to binding")
    message = json.loads(body)
    os.environ.clear()
    os.environ.update(message["env"])
    os.environ["_HANDLER"] = message["handler"]
    time.tzset()
    importlib.invalidate_caches()


def import_main():
    """Loads what runs programs without a handler, which the path does not show."""
    sys.path.insert(0, HERE)
    importlib.import_module("thermocline_main")
    sys.path.remove(HERE)


def main():
    log.install()
    api = client.Client(os.environ["AWS_LAMBDA_RUNTIME_API"])
    if os.environ.get("THERMOCLINE_WAIT"):
        bind(api)
    for name in [n for n in os.environ if n.startswith("THERMOCLINE_")]:
        del os.environ[name]
    root = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")
    # Also when it is the working directory already: the function's code may
    # have been mounted over it since.
    os.chdir(root)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for path in (f"/opt/python/lib/{version}/site-packages", "/opt/python", root):
        if path in sys.path:
            sys.path.remove(path)
        sys.path.insert(0, path)
    if os.environ.get("_HANDLER") == "thermocline_main.handler":
        import_main()
    runtime.Runtime(api).run(os.environ.get("_HANDLER", ""))


if __name__ == "__main__":
    main()
