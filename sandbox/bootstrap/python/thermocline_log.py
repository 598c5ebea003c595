"""Standard output and the logging module, as AWS sets them up.

A newline inside a record becomes a carriage return, so that one record stays
one line.
"""
import logging
import sys
import time

request_id = None  # of the running invocation


class _Formatter(logging.Formatter):
    converter = time.gmtime

    def format(self, record):
        record.aws_request_id = request_id or ""
        return super().format(record).replace("\n", "\r")


class _Handler(logging.Handler):
    def emit(self, record):
        try:
            sys.stdout.write(self.format(record) + "\n")
        except Exception:  # as every handler: logging must not break the program
            self.handleError(record)


def install():
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", write_through=True)
    handler = _Handler()
    handler.setFormatter(_Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s",
        "%Y-%m-%dT%H:%M:%S"))
    logging.root.addHandler(handler)


def error(result):
    """Writes the error that the caller gets as one line of the log."""
    lines = [f"[ERROR] {result['errorType']}: {result['errorMessage']}",
             "Traceback (most recent call last):"]
    for entry in result["stackTrace"]:
        for line in entry.splitlines():
            text = line.lstrip(" ")
            lines.append("\u00a0" * (len(line) - len(text)) + text)
    sys.stdout.write("\r".join("\r".join(lines).splitlines()) + "\n")
