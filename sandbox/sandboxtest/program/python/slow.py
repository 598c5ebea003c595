# The first initialisation takes too long; the one after it finds its mark.
import os
import time

if not os.path.exists("/tmp/tried"):
    open("/tmp/tried", "w").close()
    time.sleep(60)


def handler(event, context):
    return "at last"
