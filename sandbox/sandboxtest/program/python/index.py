import os
import subprocess
import threading
import time

state = {"count": 0, "ticks": 0, "ticker": None}
hoard = []


def count(e):
    state["count"] += 1
    return state["count"]


def fail(e):
    raise RuntimeError("on purpose")


def sleep(e):
    time.sleep(e["ms"] / 1000)
    return "slept"


def emit(e):
    for part in e["parts"]:
        os.write(2 if part.get("err") else 1, part["text"].encode())


def write(e):
    with open("/tmp/file", "w") as f:
        f.write(e["value"])


def read(e):
    if not os.path.exists("/tmp/file"):
        return None
    with open("/tmp/file") as f:
        return f.read()


def run_ticker():
    while True:
        time.sleep(0.005)
        state["ticks"] += 1


def tick(e):
    if state["ticker"] is None:
        state["ticker"] = threading.Thread(target=run_ticker, daemon=True)
        state["ticker"].start()
    return state["ticks"]


def memory(e):
    while True:
        hoard.append(bytearray(b"x" * (1 << 20)))


def shell(e):
    r = subprocess.run(["/bin/sh", "-c", e["value"]], capture_output=True, text=True)
    return {"status": r.returncode, "out": r.stdout, "err": r.stderr}


def background(e):
    subprocess.Popen(["/bin/sh", "-c", e["value"]], stdin=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


actions = {
    "echo": lambda e: e["value"],
    "fail": fail,
    "exit": lambda e: os._exit(e["status"]),
    "sleep": sleep,
    "count": count,
    "print": emit,
    "write": write,
    "read": read,
    "env": lambda e: dict(os.environ),
    "where": lambda e: os.getcwd(),
    "large": lambda e: "x" * e["bytes"],
    "length": lambda e: len(e["value"]),
    "tick": tick,
    "memory": memory,
    "shell": shell,
    "background": background,
}


def handler(event, context):
    return actions[event["do"]](event)
