"""The loop: ask for an invocation, run the handler, answer."""
import importlib
import json
import os
import sys
import traceback

import thermocline_client as client
import thermocline_log as log
from thermocline_context import LambdaContext

API = "/2018-06-01/runtime/"
HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Fault(Exception):
    """An error of loading or answering, named as AWS names it."""

    def __init__(self, kind, message, trace=()):
        super().__init__(message)
        self.kind = "Runtime." + kind
        self.trace = list(trace)


def load(handler):
    """Returns the function that [dir/]module.function names."""
    module_name, dot, function_name = handler.rpartition(".")
    if not dot:
        raise Fault("MalformedHandlerName",
                    f"Bad handler '{handler}': not enough values to unpack (expected 2, got 1)")
    name = module_name.replace("/", ".")
    if name.split(".")[0] in sys.builtin_module_names:
        raise Fault("BuiltInModuleConflict", f"Cannot use built-in module {module_name} as a handler module")
    try:
        module = importlib.import_module(name)
    except ImportError as err:
        raise Fault("ImportModuleError", f"Unable to import module '{module_name}': {err}") from err
    except SyntaxError as err:
        raise Fault("UserCodeSyntaxError", f"Syntax error in module '{module_name}': {err}",
                    [f'  File "{err.filename}" Line {err.lineno}\n    {err.text}']) from err
    except ValueError as err:  # a name such as ".x"
        if not name.strip("."):
            raise Fault("MalformedHandlerName", f"Bad handler '{handler}': {err}") from err
        raise
    function = getattr(module, function_name, None)
    if function is None:
        raise Fault("HandlerNotFound", f"Handler '{function_name}' missing on module '{module_name}'")
    return function


def describe(err, request_id):
    """Returns what the caller of the function gets to see of err."""
    if isinstance(err, Fault):
        kind, trace = err.kind, err.trace
    else:
        frames = [(f.filename, f.lineno, f.name, f.line) for f in traceback.extract_tb(err.__traceback__)]
        while frames and frames[0][0].startswith(HERE):
            frames.pop(0)
        kind, trace = type(err).__name__, traceback.format_list(frames)
    try:
        message = str(err)
    except Exception:  # the exception is the user's, and so is its __str__
        message = ""
    return {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace}


def encode(value):
    if isinstance(value, bytes):
        return value, "application/unknown"
    try:
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"), "application/json"
    except Exception as err:
        raise Fault("MarshalError", f"Unable to marshal response: {err}") from err


class Runtime:
    def __init__(self, api):
        self._api = api
        self.handler = None

    def run(self, handler):
        try:
            self.handler = load(handler)
        except SystemExit:
            raise
        except BaseException as err:
            self._post_error("init/error", describe(err, ""))
            sys.exit(1)
        while True:
            status, headers, body = self._api.request("GET", API + "invocation/next")
            if status != 200:
                raise OSError(f"the Runtime API answered {status} to next")
            self.invoke(headers, body)

    def invoke(self, headers, body):
        request_id = headers["lambda-runtime-aws-request-id"]
        log.request_id = request_id
        trace = headers.get("lambda-runtime-trace-id")
        if trace:
            os.environ["_X_AMZN_TRACE_ID"] = trace
        else:
            os.environ.pop("_X_AMZN_TRACE_ID", None)
        try:
            result, kind = encode(self.handler(decode(body), LambdaContext(headers)))
        except SystemExit:
            raise
        except BaseException as err:
            self._post_error(f"invocation/{request_id}/error", describe(err, request_id))
            return
        self._api.request("POST", f"{API}invocation/{request_id}/response", [("Content-Type", kind)], result)

    def _post_error(self, path, result):
        log.error(result)
        kind = result["errorType"].encode("ascii", "replace").decode()
        self._api.request("POST", API + path, [
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Function-Error-Type", kind),
        ], json.dumps(result, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def decode(body):
    try:
        return json.loads(body)
    except Exception as err:
        raise Fault("UnmarshalError", f"Unable to unmarshal input: {err}") from err


class _Audience:
    def request(self, *_):
        return 202, {}, b""


def rehearse():
    """Runs what the first invocation will need, once, while there is time."""
    status, headers = client.parse_head(
        "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: rehearsal\r\nLambda-Runtime-Deadline-Ms: 0")
    stage = Runtime(_Audience())
    stage.handler = lambda event, context: {"left": context.get_remaining_time_in_millis(), "event": event}
    stage.invoke(headers, b'{"a": "b"}')
    try:
        load("thermocline_client.nothing")
    except Fault as err:
        describe(err, "")
    log.request_id = None
