"""Greets whoever the event names."""

import platform


def handler(event, context):
    name = event.get("name", "world")
    print(f"greeting {name}")
    return {"greeting": f"Hello, {name}, from Python {platform.python_version()}!"}
